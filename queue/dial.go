package queue

import (
	"context"
	"crypto/tls"
	"net"

	"github.com/redis/rueidis"
)

// At says how to reach one Redis: network is "tcp", addr host:port, or "unix" and the path of its socket.
func At(network, addr string) rueidis.ClientOption {
	o := rueidis.ClientOption{InitAddress: []string{addr}, ForceSingleClient: true}
	if network == "unix" {
		o.DialCtxFn = func(ctx context.Context, path string, d *net.Dialer, _ *tls.Config) (net.Conn, error) {
			return d.DialContext(ctx, "unix", path)
		}
	}
	return o
}
