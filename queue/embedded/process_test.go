package embedded_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"distributedlock/queue/embedded"
)

func TestKillAndRestart(t *testing.T) {
	s := start(t, embedded.RealOnly(), embedded.TCP())
	addr, first, pid := s.Addr(), s.Done(), s.PID()
	mustDo(t, s, "SET a 1", "+OK")
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	await(t, s)
	if _, err := net.Dial("tcp", addr); err == nil {
		t.Error("somebody answers after Kill")
	}
	if err := s.Pause(); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("Pause of a dead process: %v", err)
	}
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustDo(t, s, "GET a", "$-1")
	if s.Addr() != addr || s.PID() == pid || s.Done() == first || s.Err() != nil {
		t.Errorf("after Restart: %s, process %d, err %v", s.Addr(), s.PID(), s.Err())
	}
}

func TestRestartKeepsWhatItWasToldToKeep(t *testing.T) {
	s := start(t, embedded.RealOnly(), embedded.Args("--appendonly", "yes"))
	mustDo(t, s, "SET a 1", "+OK")
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustDo(t, s, "GET a", "1")
	mustDo(t, s, "CONFIG SET appendfsync always", "+OK")
	mustDo(t, s, "SET a 2", "+OK")
	if err := errors.Join(s.Kill(), s.Restart(t.Context())); err != nil {
		t.Fatal(err)
	}
	mustDo(t, s, "GET a", "2")
}

func TestDirOutlivesStop(t *testing.T) {
	dir := t.TempDir()
	opts := []embedded.Option{embedded.RealOnly(), embedded.Dir(dir), embedded.Args("--appendonly", "yes")}
	s := start(t, opts...)
	mustDo(t, s, "SET a 1", "+OK")
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	mustDo(t, start(t, opts...), "GET a", "1")
}

func TestPauseAndResume(t *testing.T) {
	s := start(t, embedded.RealOnly())
	c := dial(t, s)
	c.must(t, "PING", "+PONG")
	if err := s.Pause(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte("PING\r\n")); err != nil {
		t.Fatal(err)
	}
	if err := c.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if line, err := c.r.ReadString('\n'); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("a paused server answers %q, %v", line, err)
	}
	if err := s.Resume(); err != nil {
		t.Fatal(err)
	}
	if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if got, err := c.answer(); got != "+PONG" {
		t.Errorf("after Resume: %q, %v", got, err)
	}
}

func TestStopOfPaused(t *testing.T) {
	s := start(t, embedded.RealOnly(), embedded.Dir(t.TempDir()))
	if err := errors.Join(s.Pause(), s.Stop()); err != nil {
		t.Fatal(err)
	}
	await(t, s)
	if err := s.Restart(t.Context()); err == nil {
		t.Error("Restart after Stop succeeds")
	}
}

func TestUnexpectedDeathShows(t *testing.T) {
	s := start(t, embedded.RealOnly())
	c := dial(t, s)
	_, _ = c.do("SHUTDOWN NOSAVE")
	await(t, s)
	if err := s.Err(); err == nil || !strings.Contains(err.Error(), "ready to exit") {
		t.Errorf("Err: %v, want the end of the log", err)
	}
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustDo(t, s, "PING", "+PONG")
}

func TestOnPort(t *testing.T) {
	first := start(t, embedded.RealOnly(), embedded.TCP())
	_, port, err := net.SplitHostPort(first.Addr())
	if err != nil {
		t.Fatal(err)
	}
	var n int
	if _, err := fmt.Sscan(port, &n); err != nil {
		t.Fatal(err)
	}
	if s, err := embedded.Start(t.Context(), embedded.OnPort(n)); err == nil {
		_ = s.Stop()
		t.Fatal("two servers on one port")
	}
	if err := first.Stop(); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []embedded.Option{embedded.RealOnly(), embedded.InProcess()} {
		s := start(t, kind, embedded.OnPort(n))
		mustDo(t, s, "PING", "+PONG")
		if s.Addr() != first.Addr() {
			t.Errorf("%s listens on %s", s.Kind(), s.Addr())
		}
		if err := s.Stop(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFailedStartLeavesNothing(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	over, cancel := context.WithCancel(t.Context())
	cancel()
	cases := map[string]struct {
		ctx  context.Context
		opt  embedded.Option
		want string
	}{
		"bad argument":   {t.Context(), embedded.Args("--no-such-thing", "1"), "no-such-thing"},
		"no directory":   {t.Context(), embedded.Dir(filepath.Join(os.TempDir(), "missing")), "missing"},
		"context over":   {over, embedded.TCP(), "canceled"},
		"never answers":  {t.Context(), embedded.Args("--daemonize", "yes", "--port", "x"), ""},
		"stranger there": {t.Context(), embedded.OnPort(listener(t)), "in use"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s, err := embedded.Start(c.ctx, embedded.RealOnly(), c.opt)
			if err == nil {
				_ = s.Stop()
				t.Fatal("started")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want it to say %q", err, c.want)
			}
			if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) != 0 {
				t.Errorf("left in the temporary directory: %v, %v", left, err)
			}
		})
	}
}

func listener(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().(*net.TCPAddr).Port
}

func TestPasswordInArgs(t *testing.T) {
	mustDo(t, start(t, embedded.RealOnly(), embedded.Args("--requirepass", "x")), "AUTH x", "+OK")
}

func TestNotOurProcess(t *testing.T) {
	servers := map[string]*embedded.Server{
		"miniredis":     start(t, embedded.InProcess()),
		"somebody else": embedded.At("tcp", "127.0.0.1:1", "a server elsewhere"),
	}
	for name, s := range servers {
		t.Run(name, func(t *testing.T) {
			calls := map[string]error{
				"Pause": s.Pause(), "Resume": s.Resume(), "Kill": s.Kill(), "Restart": s.Restart(t.Context()),
			}
			for call, err := range calls {
				if !errors.Is(err, embedded.ErrNotProcess) {
					t.Errorf("%s: %v", call, err)
				}
			}
			if s.PID() != 0 || s.Err() != nil {
				t.Errorf("process %d, err %v", s.PID(), s.Err())
			}
			if err := s.Stop(); err != nil {
				t.Error(err)
			}
			await(t, s)
		})
	}
	if s := servers["somebody else"]; !s.Real() || s.Kind() != "a server elsewhere" || s.Addr() != "127.0.0.1:1" {
		t.Errorf("At: %s %s", s.Kind(), s.Addr())
	}
}
