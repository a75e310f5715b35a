package transport

import (
	"context"
	"net"
)

// connKey is under which a request's context has its connection.
type connKey struct{}

// hungUp reports whether the client has closed its connection, as far as this host knows at this very moment. Then
// net/http has not noticed yet, or not told. Only plain TCP is looked at: what comes over TLS cannot be told from
// outside.
func hungUp(ctx context.Context) bool {
	conn, ok := ctx.Value(connKey{}).(*net.TCPConn)
	if !ok {
		return false
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return false
	}
	closed := false
	err = raw.Control(func(fd uintptr) { closed = peekClosed(int(fd)) })
	return closed || err != nil
}
