package distributedlock_test

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	lock "distributedlock/clients/go"
)

// lockd is the service's program, built once a run; missing is why there is none.
var lockd, missing string

func TestMain(m *testing.M) {
	flag.Parse()
	_ = flag.Set("test.parallel", "16") // most tests wait most of the time
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "sdk")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	missing = prepare(dir)
	if missing != "" && os.Getenv("CI") == "true" {
		fmt.Println("FAIL:", missing)
		return 1
	}
	if missing != "" {
		fmt.Println("SKIPPED, no service for tests and examples:", missing)
		_ = flag.Set("test.skip", "^Example")
	}
	code := m.Run()
	stopShared()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Println(err)
		code = 1
	}
	return code
}

// prepare builds the service, and says what is missing for that.
func prepare(dir string) string {
	if _, err := exec.LookPath("redis-server"); err != nil {
		return "no redis-server on the PATH"
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		return err.Error()
	}
	if _, err := os.Stat(filepath.Join(root, "service", "cmd", "lockd")); err != nil {
		return "the service's source is not beside the SDK: " + err.Error()
	}
	lockd = filepath.Join(dir, "lockd")
	build := exec.Command("go", "build", "-o", lockd, "./service/cmd/lockd")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Sprintf("the service does not build: %v\n%s", err, out)
	}
	return ""
}

func needService(t testing.TB) {
	t.Helper()
	if missing != "" {
		t.Skip("SKIPPED, no service to test with: ", missing)
	}
}

// redis is a private Redis.
type redis struct{ port string }

func freePort(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

func startRedis(t testing.TB) *redis {
	t.Helper()
	needService(t)
	port := freePort(t)
	cmd := exec.Command("redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", t.TempDir())
	dieWithParent(cmd)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	eventually(t, "redis answers", 10*time.Second, func() bool {
		c, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err != nil {
			return false
		}
		defer c.Close()
		_, _ = c.Write([]byte("PING\r\n"))
		line, _ := bufio.NewReader(c).ReadString('\n')
		return strings.HasPrefix(line, "+PONG")
	})
	return &redis{port: port}
}

func dieWithParent(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }

// node is a lockd process.
type node struct {
	t      testing.TB
	cmd    *exec.Cmd
	url    string
	addr   string
	mu     sync.Mutex
	output bytes.Buffer
	ended  chan struct{}
}

var servingLine = regexp.MustCompile(`"serving".*"address":"([^"]+)"`)

// start runs a node on a free port, and waits until it serves. Settings are NAME=value.
func (r *redis) start(t testing.TB, settings ...string) *node {
	t.Helper()
	n := r.startTLS(t, settings...)
	eventually(t, "ready", 10*time.Second, func() bool {
		res, err := testHTTP.Get(n.url + "/readyz")
		if err != nil {
			return false
		}
		_ = res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
	return n
}

// startTLS is start for a node that cannot be asked whether it is ready without trusting it.
func (r *redis) startTLS(t testing.TB, settings ...string) *node {
	t.Helper()
	n := &node{t: t, ended: make(chan struct{}), cmd: exec.Command(lockd)}
	dieWithParent(n.cmd)
	n.cmd.Env = append(append(os.Environ(), "REDIS_HOST=127.0.0.1", "REDIS_PORT="+r.port, "LISTEN_ADDR=127.0.0.1:0", "ADMIN_TOKEN=admin"), settings...)
	out, err := n.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	n.cmd.Stdout = n.cmd.Stderr
	if err := n.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	serving := make(chan string, 1)
	go func() {
		defer close(n.ended)
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			if m := servingLine.FindStringSubmatch(lines.Text()); m != nil {
				serving <- m[1]
			}
			n.mu.Lock()
			n.output.WriteString(lines.Text() + "\n")
			n.mu.Unlock()
		}
		_ = n.cmd.Wait()
	}()
	t.Cleanup(n.stop)
	select {
	case n.addr = <-serving:
	case <-time.After(15 * time.Second):
		t.Fatal("lockd does not serve: ", n.said())
	}
	n.url = "http://" + n.addr
	return n
}

// testHTTP leaves no idle connections behind.
var testHTTP = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}

func (n *node) said() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.output.String()
}

func (n *node) signal(s syscall.Signal) { _ = n.cmd.Process.Signal(s) }

// kill ends the node at once, and waits until it is gone.
func (n *node) kill() {
	n.signal(syscall.SIGKILL)
	<-n.ended
}

func (n *node) stop() {
	n.signal(syscall.SIGCONT)
	n.signal(syscall.SIGTERM)
	select {
	case <-n.ended:
	case <-time.After(20 * time.Second):
		n.t.Error("lockd did not end on SIGTERM")
		n.kill()
	}
	if s := n.said(); strings.Contains(s, "panic") {
		n.t.Error(s)
	}
}

// service is a Redis and a node that tests share, each with lock names of its own.
var service struct {
	once    sync.Once
	node    *node
	cleanup []func()
}

// sharedTB lets the shared service outlive the test that starts it.
type sharedTB struct {
	testing.TB
	dir string
}

func (s *sharedTB) Cleanup(f func())  { service.cleanup = append(service.cleanup, f) }
func (s *sharedTB) TempDir() string   { return s.dir }
func (s *sharedTB) Error(args ...any) { fmt.Println(args...) }

// exampleTB stands in for a test where there is none.
type exampleTB struct{ testing.TB }

func (*exampleTB) Helper()           {}
func (*exampleTB) Fatal(args ...any) { panic(fmt.Sprint(args...)) }
func (*exampleTB) Fatalf(format string, args ...any) {
	panic(fmt.Sprintf(format, args...))
}

func shared(t testing.TB) *node {
	t.Helper()
	needService(t)
	return sharedNode(t)
}

func sharedNode(t testing.TB) *node {
	service.once.Do(func() {
		tb := &sharedTB{t, os.TempDir()}
		service.node = startRedis(tb).start(tb)
		service.node.t = tb
	})
	if service.node == nil {
		t.Fatal("the shared service did not start")
	}
	return service.node
}

func stopShared() {
	for _, f := range slices.Backward(service.cleanup) {
		f()
	}
}

// client is a client of a node, closed with the test.
func client(t testing.TB, url string, opts ...lock.ClientOption) *lock.Client {
	t.Helper()
	c := lock.NewDistributedLockClient(url, opts...)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// logged has the client's log in the test's.
func logged(t testing.TB) lock.ClientOption {
	return lock.WithLogger(slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})))
}

// name is a lock's name that no other test uses.
func name(t testing.TB) string { return fmt.Sprintf("%s-%d", t.Name(), time.Now().UnixNano()) }

func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// eventually polls a condition.
func eventually(t testing.TB, what string, most time.Duration, is func() bool) {
	t.Helper()
	for end := time.Now().Add(most); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", most, what)
		}
	}
}

func must[T any](t testing.TB) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// queue waits until that many wait for a lock.
func queue(t testing.TB, c *lock.Client, name string, n int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d in line", n), 10*time.Second, func() bool {
		s, err := c.Status(context.Background(), name)
		return err == nil && s.QueueLength == n
	})
}

func free(t testing.TB, c *lock.Client, name string) {
	t.Helper()
	eventually(t, name+" free", 10*time.Second, func() bool {
		s, err := c.Status(context.Background(), name)
		return err == nil && !s.Locked && s.QueueLength == 0
	})
}
