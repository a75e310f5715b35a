// Package redistest gives a test a true Redis: miniredis is too far from it to judge scripts by.
//
// In this order:
//
//  1. the server at TEST_REDIS_ADDR (host:port, or the path of a unix socket), if the test asks for nothing special;
//  2. a private redis-server from PATH, a fresh one for every call;
//  3. a container, if the test asks for nothing special and a Docker engine answers (see container.go).
//
// Where there is none, the test is skipped, and fails if CI=true.
package redistest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"distributedlock/queue/embedded"
)

// AddrVariable names the environment variable with the address of a Redis to test against.
const AddrVariable = "TEST_REDIS_ADDR"

// Start returns a running, empty Redis that ends with the test. With options, it is always a process of our own, which
// can be paused, killed and restarted; without, look before (Server.PID is 0 if it is none).
//
// The server at TEST_REDIS_ADDR is shared by all tests, so packages must then run one after another (go test -p 1). It
// is emptied with FLUSHALL if it is on this machine; elsewhere it is left as it is.
func Start(t testing.TB, opts ...embedded.Option) *embedded.Server {
	t.Helper()
	if addr := os.Getenv(AddrVariable); addr != "" && len(opts) == 0 {
		return external(t, addr)
	}
	s, err := embedded.Start(t.Context(), append(slices.Clone(opts), embedded.RealOnly())...)
	switch {
	case err == nil:
		t.Cleanup(func() {
			if err := s.Stop(); err != nil {
				t.Error(err)
			}
		})
		return s
	case !errors.Is(err, embedded.ErrNoServer):
		t.Fatal(err)
	case len(opts) > 0:
		unavailable(t, err)
	}
	s, err = startContainer(t)
	switch {
	case errors.Is(err, errNoEngine):
		unavailable(t, fmt.Errorf("%w; %w", embedded.ErrNoServer, err))
	case err != nil:
		t.Fatal(err)
	}
	return s
}

// unavailable ends the test: loudly where a person decides what to install, as a failure where nobody would see it.
func unavailable(t testing.TB, err error) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("no Redis to test with: %v (scripts/setup installs one)", err)
	}
	t.Skipf("SKIPPED, no Redis to test with: %v (scripts/setup installs one)", err)
}

func external(t testing.TB, addr string) *embedded.Server {
	t.Helper()
	network := "tcp"
	if strings.HasPrefix(addr, "/") {
		network = "unix"
	}
	if local(network, addr) {
		if err := flush(t.Context(), network, addr); err != nil {
			t.Fatalf("%s=%s: %v", AddrVariable, addr, err)
		}
	}
	return embedded.At(network, addr, "Redis at "+AddrVariable)
}

// local tells whether the address is this machine's own, whose data we may throw away.
func local(network, addr string) bool {
	if network == "unix" {
		return true
	}
	host, _, err := net.SplitHostPort(addr)
	return err == nil && (host == "localhost" || net.ParseIP(host).IsLoopback())
}

func flush(ctx context.Context, network, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	if _, err := conn.Write([]byte("FLUSHALL\r\n")); err != nil {
		return err
	}
	answer, err := bufio.NewReader(conn).ReadString('\n')
	if err == nil && answer != "+OK\r\n" {
		err = errors.New("FLUSHALL: " + strings.TrimSpace(answer))
	}
	return err
}
