//go:build !unix

package transport

// peekClosed cannot tell here; net/http's own notice has to do.
func peekClosed(int) bool { return false }
