//go:build unix

package transport

import (
	"errors"

	"golang.org/x/sys/unix"
)

// peekClosed looks at what a socket would give to read, and takes nothing: nothing at all means that the other end
// has closed it.
func peekClosed(fd int) bool {
	var b [1]byte
	n, _, err := unix.Recvfrom(fd, b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
	if err != nil {
		return !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR)
	}
	return n == 0
}
