package redistest

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"distributedlock/queue/embedded"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func do(t testing.TB, s *embedded.Server, command string) string {
	t.Helper()
	conn, err := net.Dial(s.Network(), s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(conn, "%s\r\n", command); err != nil {
		t.Fatal(err)
	}
	answer, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(answer)
}

// ask checks that the server answers and is empty.
func ask(t testing.TB, s *embedded.Server) {
	t.Helper()
	if got := do(t, s, "PING"); got != "+PONG" {
		t.Errorf("%s: PING answers %q", s.Kind(), got)
	}
	if got := do(t, s, "DBSIZE"); got != ":0" {
		t.Errorf("%s: DBSIZE answers %q, want an empty server", s.Kind(), got)
	}
}

func TestStart(t *testing.T) {
	s := Start(t)
	ask(t, s)
	if !s.Real() {
		t.Errorf("got %s", s.Kind())
	}
}

func TestStartWithOptionsIsOurProcess(t *testing.T) {
	t.Setenv(AddrVariable, "127.0.0.1:1")
	s := Start(t, embedded.TCP())
	ask(t, s)
	if s.PID() == 0 || s.Network() != "tcp" {
		t.Errorf("got %s on %s", s.Kind(), s.Network())
	}
}

func TestStartEndsWithTheTest(t *testing.T) {
	var s *embedded.Server
	t.Run("test", func(t *testing.T) { s = Start(t, embedded.TCP()) })
	if s == nil {
		t.Skip("SKIPPED, no Redis")
	}
	if _, err := net.Dial(s.Network(), s.Addr()); err == nil {
		t.Error("the server outlived its test")
	}
}

func TestExternal(t *testing.T) {
	for _, opt := range []embedded.Option{embedded.TCP(), embedded.Dir(t.TempDir())} {
		other := Start(t, opt)
		do(t, other, "SET a 1")
		t.Setenv(AddrVariable, other.Addr())
		s := Start(t)
		ask(t, s)
		if s.Addr() != other.Addr() || s.Network() != other.Network() || s.PID() != 0 {
			t.Errorf("got %s at %s", s.Kind(), s.Addr())
		}
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
		ask(t, other)
	}
}

func TestLocal(t *testing.T) {
	cases := map[string]bool{
		"127.0.0.1:6379": true, "127.8.0.1:6379": true, "[::1]:6379": true, "localhost:6379": true,
		"10.0.0.1:6379": false, "redis:6379": false, "localhost.example:6379": false, "127.0.0.1": false, "": false,
	}
	for addr, want := range cases {
		if got := local("tcp", addr); got != want {
			t.Errorf("%q: %v, want %v", addr, got, want)
		}
	}
	if !local("unix", "/run/redis.sock") {
		t.Error("a unix socket is not taken for local")
	}
}

// recorder is a testing.TB that notes how the test ended, but lets it go on.
type recorder struct {
	testing.TB
	said string
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.said += "failed: " + fmt.Sprintf(format, args...)
}
func (r *recorder) Skipf(format string, args ...any) {
	r.said += "skipped: " + fmt.Sprintf(format, args...)
}

func TestUnavailable(t *testing.T) {
	for ci, want := range map[string]string{"true": "failed: no Redis", "": "skipped: SKIPPED, no Redis"} {
		t.Setenv("CI", ci)
		r := &recorder{TB: t}
		unavailable(r, embedded.ErrNoServer)
		if !strings.HasPrefix(r.said, want) {
			t.Errorf("CI=%q: %q, want %q", ci, r.said, want)
		}
	}
}

// TestContainer takes the way through a container wherever a Docker engine answers.
func TestContainer(t *testing.T) {
	s, err := startContainer(t)
	if errors.Is(err, errNoEngine) {
		t.Skip("SKIPPED, the container way is not tested: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	ask(t, s)
	if want := "container "; !strings.HasPrefix(s.Kind(), want) || s.PID() != 0 || !s.Real() {
		t.Errorf("kind %q, process %d", s.Kind(), s.PID())
	}
}

// TestContainerWithoutServer checks that Start goes that way where PATH has no redis-server.
func TestContainerWithoutServer(t *testing.T) {
	if err := engine(t.Context()); err != nil {
		t.Skip("SKIPPED, the container way is not tested: ", err)
	}
	t.Setenv("PATH", t.TempDir())
	t.Setenv(AddrVariable, "")
	if s := Start(t); !strings.HasPrefix(s.Kind(), "container ") {
		t.Errorf("got %s, TEST_REDIS_IMAGE is %q", s.Kind(), os.Getenv(ImageVariable))
	}
}
