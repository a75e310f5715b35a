//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long anything may take that takes no time where nothing else runs.
const patience = 20 * time.Second

// admin is the admin token of the shared service.
const admin = "admin-secret-of-the-test"

// quick keeps the race detector from waiting a second for late words at every exit.
const quick = "GORACE=atexit_sleep_ms=0"

var (
	raced     bool   // whether the race detector is on
	lockctl   string // the binaries
	lockd     string
	redisPort string
	shared    *node // for all tests that break nothing
)

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	// Where these are ignored, as under nohup, they would be in all that is started here too. What is handled is not.
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGHUP} {
		if signal.Ignored(s) {
			signal.Notify(make(chan os.Signal, 1), s)
		}
	}
	redis, err := exec.LookPath("redis-server")
	if err != nil {
		fmt.Println("SKIPPED: no redis-server here; scripts/setup installs one")
		if os.Getenv("CI") == "true" {
			return 1
		}
		return 0
	}
	dir, err := os.MkdirTemp("", "lockctl")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	lockctl, lockd = filepath.Join(dir, "lockctl"), filepath.Join(dir, "lockd")
	build(lockctl, ".")
	if given := os.Getenv("LOCKD"); given != "" {
		lockd = given
	} else {
		build(lockd, "../../service/cmd/lockd")
	}
	stop, port := startRedis(redis, dir, "noeviction")
	defer stop()
	redisPort = port
	if shared, err = startNode("ADMIN_TOKEN=" + admin); err != nil {
		panic(err)
	}
	defer shared.kill()
	return m.Run()
}

func build(binary, pkg string) {
	args := []string{"build", "-o", binary}
	if raced && pkg == "." {
		args = append(args, "-race")
	}
	out, err := exec.Command("go", append(args, pkg)...).CombinedOutput()
	if err != nil {
		panic(fmt.Sprintf("build %s: %v\n%s", pkg, err, out))
	}
}

// startRedis starts a Redis with a policy for when its memory is full.
func startRedis(path, dir, policy string) (stop func(), port string) {
	_, port, _ = net.SplitHostPort(freeAddr())
	server := exec.Command(path, "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
		"--maxmemory", "200mb", "--maxmemory-policy", policy, "--dir", dir)
	if err := server.Start(); err != nil {
		panic(err)
	}
	return sync.OnceFunc(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	}), port
}

func freeAddr() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// node is a lockd.
type node struct {
	url    string
	cmd    *exec.Cmd
	once   sync.Once
	output bytes.Buffer
}

// startNode starts a node on the Redis of the test, and returns when it is ready.
func startNode(env ...string) (*node, error) { return launchNode("/readyz", env...) }

// launchNode starts a node, and returns when it answers there with 200.
func launchNode(path string, env ...string) (*node, error) {
	addr := freeAddr()
	n := &node{url: "http://" + addr}
	n.cmd = exec.Command(lockd, "-listen-addr", addr)
	n.cmd.Env = append(os.Environ(), append([]string{"REDIS_HOST=127.0.0.1", "REDIS_PORT=" + redisPort}, env...)...)
	n.cmd.Stdout, n.cmd.Stderr = &n.output, &n.output
	if err := n.cmd.Start(); err != nil {
		return nil, err
	}
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		r, err := http.Get(n.url + path)
		if err == nil {
			_ = r.Body.Close()
			if r.StatusCode == http.StatusOK {
				return n, nil
			}
		}
	}
	n.kill()
	return nil, fmt.Errorf("lockd is not ready: %s", n.output.String())
}

// newNode is a node of a test's own.
func newNode(t *testing.T, env ...string) *node {
	t.Helper()
	n, err := startNode(env...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.kill)
	return n
}

func (n *node) kill() {
	n.once.Do(func() {
		_ = n.cmd.Process.Kill()
		_ = n.cmd.Wait()
	})
}

// lock is what the service says of a lock.
type lock struct {
	Locked      bool
	QueueLength int
	Holders     []struct {
		ClientID     string
		ExpiresAt    time.Time
		FencingToken int64
		TTLMs        int64
	}
}

// see asks the node for a lock.
func (n *node) see(t *testing.T, name string) (l lock) {
	t.Helper()
	r, err := http.Get(n.url + "/locks/" + url.PathEscape(name) + "/status")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	if err := json.NewDecoder(r.Body).Decode(&l); err != nil {
		t.Fatal(err)
	}
	return l
}

// hold takes a lock by the API, as somebody else, until the returned function is called.
func (n *node) hold(t *testing.T, name string) (release func()) {
	t.Helper()
	post := func(op, body string) (answer struct{ LockID string }) {
		t.Helper()
		r, err := http.Post(n.url+"/locks/"+url.PathEscape(name)+op, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = r.Body.Close() }()
		raw, _ := io.ReadAll(r.Body)
		if r.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s", op, raw)
		}
		if err := json.Unmarshal(raw, &answer); err != nil {
			t.Fatal(err)
		}
		return answer
	}
	held := post("/acquire", `{"clientId":"other","timeout":120}`)
	return func() { post("/release", `{"clientId":"other","lockId":"`+held.LockID+`"}`) }
}

// name is a lock of the test's own.
func name(t *testing.T) string { return strings.ReplaceAll(t.Name(), "/", ":") }

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %s: %s", patience, what)
		}
	}
}

// output gathers what a process writes, for reading while it runs.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// process is a lockctl that runs.
type process struct {
	t        *testing.T
	cmd      *exec.Cmd
	out, err output
	ended    chan struct{}
}

// command is a lockctl that asks the shared node.
func command(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{t: t, ended: make(chan struct{})}
	p.cmd = exec.Command(lockctl, args...)
	p.cmd.Env = append(os.Environ(), "LOCKCTL_SERVER="+shared.url, quick)
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.err
	return p
}

func (p *process) env(env ...string) *process {
	p.cmd.Env = append(p.cmd.Env, env...)
	return p
}

func (p *process) start() *process {
	p.t.Helper()
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.ended)
	}()
	p.t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.ended
	})
	return p
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// exit waits for the end, and fails if the code is another.
func (p *process) exit(code int) *process {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		_ = p.cmd.Process.Signal(syscall.SIGQUIT)
		p.t.Fatalf("did not end: %s\nout: %s\nerr: %s", p.cmd.Args, p.out.String(), p.err.String())
	}
	if got := p.cmd.ProcessState.ExitCode(); got != code {
		p.t.Fatalf("exit code %d, want %d: %s\nout: %s\nerr: %s", got, code, p.cmd.Args, p.out.String(), p.err.String())
	}
	return p
}

// wrote waits for the words on stdout.
func (p *process) wrote(words string) *process {
	p.t.Helper()
	defer func() {
		if p.t.Failed() {
			p.t.Logf("%s\nout: %q\nerr: %q", p.cmd.Args, p.out.String(), p.err.String())
		}
	}()
	eventually(p.t, fmt.Sprintf("%q on stdout", words), func() bool { return strings.Contains(p.out.String(), words) })
	return p
}

// gone reports whether there is no such process, or only what is left of it for its parent.
func gone(pid int) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return true
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || bytes.Contains(stat, []byte(") Z"))
}
