package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"distributedlock/queue/embedded"
)

var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "lockd")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "lockd")
	if out, err := exec.Command("go", "build", "-race", "-o", binary, ".").CombinedOutput(); err != nil {
		fmt.Printf("build: %v\n%s", err, out)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	http.DefaultClient.CloseIdleConnections()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Println(err)
		code = 1
	}
	os.Exit(code)
}

// node is a lockd process.
type node struct {
	t      *testing.T
	cmd    *exec.Cmd
	url    string
	mu     sync.Mutex
	output bytes.Buffer
	ended  chan struct{}
}

// start runs lockd on a free port, and waits until it is ready.
func start(t *testing.T, env []string, args ...string) *node {
	t.Helper()
	n := launch(t, env, args...)
	eventually(t, "ready", 10*time.Second, func() bool {
		code, _, err := n.try(http.MethodGet, "/readyz", "")
		return err == nil && code == http.StatusOK
	})
	return n
}

// launch runs lockd on a free port.
func launch(t *testing.T, env []string, args ...string) *node {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	n := &node{t: t, url: "http://" + addr, ended: make(chan struct{})}
	n.cmd = exec.Command(binary, append(args, "-listen-addr", addr)...)
	n.cmd.Env = append(os.Environ(), env...)
	out, err := n.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := n.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := n.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var readers sync.WaitGroup
	for _, r := range []io.Reader{out, stdout} {
		readers.Go(func() { n.read(r) })
	}
	go func() {
		readers.Wait()
		_ = n.cmd.Wait()
		close(n.ended)
	}()
	t.Cleanup(func() {
		_ = n.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-n.ended:
		case <-time.After(20 * time.Second):
			t.Error("lockd did not end on SIGTERM")
			n.kill()
		}
		if s := n.said(); strings.Contains(s, "DATA RACE") || strings.Contains(s, "panic:") {
			t.Error(s)
		}
	})
	return n
}

func (n *node) read(r io.Reader) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		n.mu.Lock()
		n.output.WriteString(lines.Text() + "\n")
		n.mu.Unlock()
	}
}

func (n *node) said() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.output.String()
}

// kill ends the process as a crash would.
func (n *node) kill() {
	_ = n.cmd.Process.Kill()
	<-n.ended
}

type answer map[string]any

func (a answer) str(field string) string { s, _ := a[field].(string); return s }

func (a answer) num(field string) float64 { f, _ := a[field].(float64); return f }

// try makes one call.
func (n *node) try(method, path, body string) (int, answer, error) {
	return n.tryContext(context.Background(), method, path, body)
}

func (n *node) tryContext(ctx context.Context, method, path, body string) (int, answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, n.url+path, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	return n.send(req)
}

func (n *node) send(req *http.Request) (int, answer, error) {
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		return res.StatusCode, nil, err
	}
	var a answer
	_ = json.Unmarshal(raw, &a) // /metrics is no JSON
	return res.StatusCode, a, nil
}

// do makes a call that must be answered.
func (n *node) do(req *http.Request) (int, answer) {
	n.t.Helper()
	code, a, err := n.send(req)
	if err != nil {
		n.t.Fatal(err)
	}
	return code, a
}

// call makes a call that must be answered with a status.
func (n *node) call(want int, method, path, body string) answer {
	n.t.Helper()
	code, a, err := n.try(method, path, body)
	if err != nil || code != want {
		n.t.Fatalf("%s %s: %d %v %v, want %d", method, path, code, a, err, want)
	}
	return a
}

func (n *node) acquire(want int, name, body string) answer {
	n.t.Helper()
	return n.call(want, http.MethodPost, "/locks/"+name+"/acquire", body)
}

func (n *node) release(name, client, lockID string) answer {
	n.t.Helper()
	return n.call(http.StatusOK, http.MethodPost, "/locks/"+name+"/release", fmt.Sprintf(`{"clientId":%q,"lockId":%q}`, client, lockID))
}

// queue waits until so many stand in line.
func (n *node) queue(name string, length int) {
	n.t.Helper()
	eventually(n.t, fmt.Sprintf("%d in line", length), 10*time.Second, func() bool {
		_, a, err := n.try(http.MethodGet, "/locks/"+name+"/status", "")
		return err == nil && a.num("queueLength") == float64(length)
	})
}

// eventually waits for something that must come about.
func eventually(t *testing.T, what string, within time.Duration, is func() bool) {
	t.Helper()
	end := time.Now().Add(within)
	for !is() {
		if time.Now().After(end) {
			t.Fatalf("not within %s: %s", within, what)
		}
		time.Sleep(2 * time.Millisecond) // a poll of a condition, bounded above
	}
}

// redisEnv starts a Redis of the test's own and says where it is.
func redisEnv(t *testing.T) ([]string, *embedded.Server) {
	t.Helper()
	s, err := embedded.Start(t.Context(), embedded.TCP(), embedded.RealOnly())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	host, port, err := net.SplitHostPort(s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	return []string{"REDIS_HOST=" + host, "REDIS_PORT=" + port, "ADMIN_TOKEN=", "CLIENT_TOKEN="}, s
}
