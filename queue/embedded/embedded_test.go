package embedded_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"distributedlock/queue/embedded"
)

func TestMain(m *testing.M) {
	if os.Getenv(orphanEnv) != "" {
		orphan()
	}
	goleak.VerifyTestMain(m)
}

// orphanEnv turns this test binary into the child of TestDiesWithParent.
const orphanEnv = "EMBEDDED_TEST_ORPHAN"

func orphan() {
	s, err := embedded.Start(context.Background())
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(s.PID(), filepath.Dir(s.Addr()))
	select {} // until killed
}

// start starts a server and makes sure that it is stopped.
func start(t *testing.T, opts ...embedded.Option) *embedded.Server {
	t.Helper()
	s, err := embedded.Start(t.Context(), opts...)
	if errors.Is(err, embedded.ErrNoServer) {
		t.Skip("SKIPPED: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// conn is a connection that speaks just enough of the protocol.
type conn struct {
	net.Conn
	r *bufio.Reader
}

func dial(t *testing.T, s *embedded.Server) conn {
	t.Helper()
	c, err := net.Dial(s.Network(), s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return conn{c, bufio.NewReader(c)}
}

// do sends a command of plain words and returns the answer.
func (c conn) do(command string) (string, error) {
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return "", err
	}
	words := strings.Fields(command)
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(words))
	for _, w := range words {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(w), w)
	}
	if _, err := c.Write([]byte(b.String())); err != nil {
		return "", err
	}
	return c.answer()
}

// answer reads one answer: a line as it is, the content of a bulk string, or those of an array with spaces between.
func (c conn) answer() (string, error) {
	line, err := c.r.ReadString('\n')
	line = strings.TrimSuffix(line, "\r\n")
	if err != nil || line == "" || line == "$-1" || !strings.ContainsAny(line[:1], "$*") {
		return line, err
	}
	n, err := strconv.Atoi(line[1:])
	if err != nil {
		return line, err
	}
	if line[0] == '$' {
		body := make([]byte, n+2)
		_, err = io.ReadFull(c.r, body)
		return string(body[:n]), err
	}
	parts := make([]string, n)
	for i := range parts {
		if parts[i], err = c.answer(); err != nil {
			return "", err
		}
	}
	return strings.Join(parts, " "), nil
}

func (c conn) must(t *testing.T, command, want string) {
	t.Helper()
	if got, err := c.do(command); err != nil || got != want {
		t.Fatalf("%s: %q, %v, want %q", command, got, err, want)
	}
}

func mustDo(t *testing.T, s *embedded.Server, command, want string) {
	t.Helper()
	c := dial(t, s)
	defer func() { _ = c.Close() }()
	c.must(t, command, want)
}

// await waits until the server counts as ended.
func await(t *testing.T, s *embedded.Server) {
	t.Helper()
	select {
	case <-s.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("the server has not ended")
	}
}

// each runs the test on both kinds of server.
func each(t *testing.T, test func(t *testing.T, opts ...embedded.Option)) {
	t.Run("process", func(t *testing.T) { test(t, embedded.RealOnly()) })
	t.Run("process on TCP", func(t *testing.T) { test(t, embedded.RealOnly(), embedded.TCP()) })
	t.Run("miniredis", func(t *testing.T) { test(t, embedded.InProcess()) })
}

func TestServes(t *testing.T) {
	each(t, func(t *testing.T, opts ...embedded.Option) {
		s := start(t, opts...)
		mustDo(t, s, "SET a 1", "+OK")
		mustDo(t, s, "GET a", "1")
		select {
		case <-s.Done():
			t.Error("Done is closed while the server runs")
		default:
		}
		if err := s.Err(); err != nil {
			t.Error(err)
		}
	})
}

func TestStopLeavesNothing(t *testing.T) {
	each(t, func(t *testing.T, opts ...embedded.Option) {
		t.Setenv("TMPDIR", t.TempDir())
		s := start(t, opts...)
		if err := s.Stop(); err != nil {
			t.Fatal(err)
		}
		await(t, s)
		if err := s.Stop(); err != nil {
			t.Error("second Stop:", err)
		}
		if _, err := net.Dial(s.Network(), s.Addr()); err == nil {
			t.Error("somebody still answers")
		}
		if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) != 0 {
			t.Errorf("left in the temporary directory: %v, %v", left, err)
		}
		if err := s.Err(); err != nil {
			t.Error("an end that was asked for is no failure:", err)
		}
	})
}

func TestKeysExpireInRealTime(t *testing.T) {
	each(t, func(t *testing.T, opts ...embedded.Option) {
		c := dial(t, start(t, opts...))
		const life = 100 * time.Millisecond
		before := c.time(t)
		c.must(t, fmt.Sprintf("SET a 1 PX %d", life.Milliseconds()), "+OK")
		for {
			got, err := c.do("GET a")
			if err != nil {
				t.Fatal(err)
			}
			now := c.time(t)
			if off := time.Since(now).Abs(); off > 5*time.Second {
				t.Fatalf("the server's clock is off by %v", off)
			}
			after := now.Sub(before)
			if got == "1" && after < 5*time.Second {
				continue
			}
			// A millisecond is the grain of the clock that a key expires by.
			if got != "$-1" || after < life-time.Millisecond {
				t.Errorf("%q after %v, want it gone after %v", got, after, life)
			}
			return
		}
	})
}

// time is the server's clock.
func (c conn) time(t *testing.T) time.Time {
	t.Helper()
	got, err := c.do("TIME")
	if err != nil {
		t.Fatal(err)
	}
	var s, us int64
	if _, err := fmt.Sscan(got, &s, &us); err != nil {
		t.Fatalf("TIME: %q, %v", got, err)
	}
	return time.Unix(s, us*1000)
}

func TestDirectoryIsPrivate(t *testing.T) {
	s := start(t, embedded.RealOnly())
	info, err := os.Stat(filepath.Dir(s.Addr()))
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v, want 0700", info.Mode(), err)
	}
}

func TestLongTempDir(t *testing.T) {
	long := filepath.Join(t.TempDir(), strings.Repeat("d", 100))
	if err := os.Mkdir(long, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", long)
	mustDo(t, start(t, embedded.RealOnly()), "PING", "+PONG")
}

func TestFallsBackToMiniredis(t *testing.T) {
	scripts := map[string]string{
		"none":        "",
		"too old":     "echo 'Redis server v=6.2.14 sha=00000000:0 malloc=libc bits=64 build=1'",
		"fails":       "exit 3",
		"not a Redis": "echo hello",
	}
	for name, script := range scripts {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if script != "" {
				writeExecutable(t, filepath.Join(dir, "redis-server"), script)
			}
			t.Setenv("PATH", dir)
			s := start(t)
			if s.Real() || s.Kind() != "miniredis" || s.Network() != "tcp" {
				t.Errorf("got %s on %s", s.Kind(), s.Network())
			}
			mustDo(t, s, "PING", "+PONG")
			if _, err := embedded.Start(t.Context(), embedded.RealOnly()); !errors.Is(err, embedded.ErrNoServer) {
				t.Errorf("RealOnly: %v", err)
			}
		})
	}
}

func writeExecutable(t *testing.T, path, script string) {
	t.Helper()
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
}

func TestKindNamesTheVersion(t *testing.T) {
	s := start(t, embedded.RealOnly())
	if !s.Real() || !strings.HasPrefix(s.Kind(), "redis-server ") || s.PID() == 0 {
		t.Errorf("%q, process %d", s.Kind(), s.PID())
	}
}
