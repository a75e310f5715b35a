package embedded

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	readyTime  = 10 * time.Second // the longest that a start may take
	readyPoll  = time.Millisecond // a server takes about 13 ms; a look costs a refused connection
	socketPath = 100              // the longest path of a socket that every system takes (104 to 108 bytes)

	// Ports that Linux does not give to outgoing connections by default (those are 32768 to 60999). A client that
	// dials a port of that range while its server is down may get itself on the line, and the port is then taken.
	lowPort, highPort = 20000, 32000
	portTries         = 50
)

// makeDir makes a directory that only we can read, with a path short enough for a socket in it.
func makeDir() (string, error) {
	dir, err := os.MkdirTemp("", "lockd-redis-")
	if err != nil || len(filepath.Join(dir, "redis.sock")) <= socketPath {
		return dir, err
	}
	if err := os.Remove(dir); err != nil {
		return "", err
	}
	return os.MkdirTemp("/tmp", "lockd-redis-")
}

func removeDir(dir string) error {
	if dir == "" {
		return nil
	}
	return os.RemoveAll(dir)
}

func chooseAddr(ctx context.Context, o *options, private string) (network, addr string, err error) {
	if !o.tcp {
		return "unix", filepath.Join(private, "redis.sock"), nil
	}
	if o.port != 0 {
		addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(o.port))
		return "tcp", addr, tryListen(ctx, addr)
	}
	for range portTries {
		addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(lowPort+rand.IntN(highPort-lowPort)))
		if err = tryListen(ctx, addr); err == nil {
			return "tcp", addr, nil
		}
	}
	return "", "", fmt.Errorf("no free port found: %w", err)
}

func tryListen(ctx context.Context, addr string) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	return l.Close()
}

// waitReady returns once the server answers and is the run's process, not a stranger that took the port.
func waitReady(ctx context.Context, network, addr string, r *run) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readyTime, fmt.Errorf("no answer within %v", readyTime))
	defer cancel()
	tick := time.NewTicker(readyPoll)
	defer tick.Stop()
	for {
		err := probe(ctx, network, addr, r.pid())
		if err == nil {
			return nil
		}
		select {
		case <-r.done:
			return r.failure()
		case <-ctx.Done():
			return fmt.Errorf("%w (last: %w): %s", context.Cause(ctx), err, logTail(r.log))
		case <-tick.C:
		}
	}
}

// probe asks the server for its process id, which it tells only when it is ready. A demand for a password counts as
// ready: the Args asked for it.
func probe(ctx context.Context, network, addr string, pid int) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	if _, err := conn.Write([]byte("INFO server\r\nPING\r\n")); err != nil {
		return err
	}
	var seen []byte
	for buf := make([]byte, 4096); len(seen) < 1<<16; {
		n, err := conn.Read(buf)
		seen = append(seen, buf[:n]...)
		switch {
		case bytes.HasPrefix(seen, []byte("-NOAUTH")):
			return nil
		case bytes.HasSuffix(seen, []byte("+PONG\r\n")):
			if bytes.Contains(seen, []byte(fmt.Sprintf("\r\nprocess_id:%d\r\n", pid))) {
				return nil
			}
			return errors.New("another server answers at " + addr)
		case err != nil:
			return err
		case seen[0] == '-':
			return fmt.Errorf("answer: %s", bytes.TrimSpace(seen)) // -LOADING
		}
	}
	return errors.New("endless answer")
}

// logTail is the end of a log on one line, for an error message.
func logTail(path string) string {
	raw, err := os.ReadFile(path)
	if err != nil {
		return "no log: " + err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(raw)), "\n")
	return strings.Join(lines[max(0, len(lines)-5):], " | ")
}
