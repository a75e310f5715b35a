package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestNewcomer does what the README tells a newcomer to do, with a redis-server and without.
func TestNewcomer(t *testing.T) {
	for name, env := range map[string][]string{"redis-server": nil, "miniredis": {"PATH="}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := start(t, env, "-dev")
			if !strings.Contains(n.said(), name) || !strings.Contains(n.said(), "admin token") {
				t.Errorf("the banner does not say which redis runs: %s", n.said())
			}
			got := n.acquire(200, "user:123", `{"clientId": "client-1", "timeout": 30}`)
			if st := n.call(200, http.MethodGet, "/locks/user:123/status", ""); st["locked"] != true || st.str("clientId") != "client-1" {
				t.Errorf("status %v", st)
			}
			n.call(410, http.MethodPost, "/locks/user:123/release", `{"clientId": "client-1", "lockId": "lock-789"}`)
			n.release("user:123", "client-1", got.str("lockId"))
			n.acquire(200, "critical-section", `{"clientId": "worker-1", "timeout": 60, "autoRenew": true,
				"metadata": {"operation": "batch-processing", "jobId": "job-123"}}`)
			if list := n.call(200, http.MethodGet, "/locks", ""); len(list["locks"].([]any)) != 1 {
				t.Errorf("list %v", list)
			}
			if stats := n.call(200, http.MethodGet, "/locks/stats", ""); stats.num("acquiredTotal") != 2 {
				t.Errorf("stats %v", stats)
			}
			// a lease that ends, with somebody waiting
			n.acquire(200, "short", `{"clientId": "a", "timeout": 0.3}`)
			if g := n.acquire(200, "short", `{"clientId": "b", "waitTimeout": 5}`); g.num("waitTime") < 0.2 {
				t.Errorf("granted before the lease's end: %v", g)
			}
			// short leases that renew themselves
			n.acquire(200, "kept", `{"clientId": "a", "timeout": 0.5, "autoRenew": true}`)
			n.acquire(409, "kept", `{"clientId": "b", "waitTimeout": 2}`)
		})
	}
}

// TestNodeKilled ends the node of the head waiters with SIGKILL: the waiter behind them is granted.
func TestNodeKilled(t *testing.T) {
	t.Parallel()
	env, _ := redisEnv(t)
	a, b, dead := start(t, env), start(t, env), start(t, env)
	held := a.acquire(200, "x", `{"clientId":"holder"}`)
	var wg sync.WaitGroup
	for i := range 3 {
		wg.Go(func() {
			_, _, _ = dead.try(http.MethodPost, "/locks/x/acquire", fmt.Sprintf(`{"clientId":"d%d","waitTimeout":60}`, i))
		})
	}
	a.queue("x", 3)
	got := make(chan answer, 1)
	wg.Go(func() {
		_, ans, _ := b.try(http.MethodPost, "/locks/x/acquire", `{"clientId":"live","waitTimeout":60}`)
		got <- ans
	})
	a.queue("x", 4)
	dead.kill()
	begin := time.Now()
	a.release("x", "holder", held.str("lockId"))
	select {
	case ans := <-got:
		if ans["acquired"] != true || ans.num("fencingToken") <= held.num("fencingToken") {
			t.Errorf("%v", ans)
		}
		t.Logf("granted %s after the release", time.Since(begin))
	case <-time.After(5 * time.Second):
		t.Fatal("the live waiter was not granted within 5 s")
	}
	wg.Wait()
}

// TestDrain ends a node with SIGTERM while requests wait on it: they are told to go elsewhere, and find their places.
func TestDrain(t *testing.T) {
	t.Parallel()
	env, _ := redisEnv(t)
	a, b := start(t, env), start(t, env)
	held := b.acquire(200, "x", `{"clientId":"holder"}`)
	turned := make([]answer, 2)
	var wg sync.WaitGroup
	body := func(i int) string { return fmt.Sprintf(`{"clientId":"c%d","requestId":"r%d","waitTimeout":30}`, i, i) }
	for i := range 2 {
		wg.Go(func() { _, turned[i], _ = a.try(http.MethodPost, "/locks/x/acquire", body(i)) })
		b.queue("x", i+1)
	}
	if err := a.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	<-a.ended
	for i, ans := range turned {
		if ans.str("code") != "draining" || ans.str("requestId") != fmt.Sprintf("r%d", i) {
			t.Fatalf("answer of a draining node: %v", ans)
		}
	}
	var order []string
	var mu sync.Mutex
	for i := range 2 { // the second one comes back first, and must still be second
		i = 1 - i
		wg.Go(func() {
			_, g, _ := b.try(http.MethodPost, "/locks/x/acquire", body(i))
			mu.Lock()
			order = append(order, g.str("clientId"))
			mu.Unlock()
			b.release("x", g.str("clientId"), g.str("lockId"))
		})
		b.queue("x", 2-i)
	}
	b.release("x", "holder", held.str("lockId"))
	wg.Wait()
	if fmt.Sprint(order) != "[c0 c1]" {
		t.Errorf("granted in the order %v", order)
	}
}

// TestStart has lockd refuse what it cannot work with, in one clear line.
func TestStart(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		env  []string
		want string
	}{
		"redis away":    {[]string{"REDIS_HOST=127.0.0.1", "REDIS_PORT=1", "STARTUP_TIMEOUT=1"}, "did not answer within 1s"},
		"bad number":    {[]string{"MAX_TIMEOUT=soon"}, "MAX_TIMEOUT"},
		"bad bool":      {[]string{"DEADLOCK_DETECTION=perhaps"}, "DEADLOCK_DETECTION"},
		"no such thing": {[]string{"AUTH_TOKENS_FILE=tokens.json"}, "AUTH_TOKENS_FILE"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := launch(t, c.env)
			select {
			case <-n.ended:
			case <-time.After(10 * time.Second):
				t.Fatal("still there")
			}
			if said := n.said(); n.cmd.ProcessState.ExitCode() != 1 || !strings.Contains(said, c.want) || strings.Count(said, "\n") != 1 {
				t.Errorf("exit %d: %s", n.cmd.ProcessState.ExitCode(), said)
			}
		})
	}
}

// TestGoneAtTheGrant closes a waiter's connection at the very moment of its grant, 200 times. Either the answer came,
// and the test gives the lock back, or nobody holds it: it is never held by somebody who does not know.
func TestGoneAtTheGrant(t *testing.T) {
	t.Parallel()
	env, _ := redisEnv(t)
	nodes := []*node{start(t, env), start(t, env)}
	answered := 0
	for i := range 200 {
		a, b := nodes[i%2], nodes[i/2%2]
		held := a.acquire(200, "x", `{"clientId":"holder","waitTimeout":2}`)
		conn, err := net.Dial("tcp", strings.TrimPrefix(b.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		body := `{"clientId":"gone","waitTimeout":60,"timeout":60}`
		fmt.Fprintf(conn, "POST /locks/x/acquire HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		a.queue("x", 1)
		var wg sync.WaitGroup
		wg.Go(func() { a.release("x", "holder", held.str("lockId")) })
		for range i * 100 { // a different moment each time
			if i%3 == 0 {
				break
			}
			_ = time.Now()
		}
		_ = conn.(*net.TCPConn).CloseWrite() // the server sees the end; what it still sends can be read
		wg.Wait()
		_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		if res, err := http.ReadResponse(bufio.NewReader(conn), nil); err == nil && res.StatusCode == http.StatusOK {
			raw, _ := io.ReadAll(res.Body)
			_, id, _ := strings.Cut(string(raw), `"lockId":"`)
			id, _, _ = strings.Cut(id, `"`)
			answered++
			a.release("x", "gone", id)
		}
		_ = conn.Close()
	}
	nodes[0].acquire(200, "x", `{"clientId":"last","waitTimeout":2}`)
	t.Logf("%d of 200 got their answer", answered)
}

// TestRedisAway kills, restarts and pauses Redis under a running node.
func TestRedisAway(t *testing.T) {
	t.Parallel()
	env, redis := redisEnv(t)
	n := start(t, env)
	refused := func(what string) {
		t.Helper()
		eventually(t, "refused while redis is "+what, 10*time.Second, func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			code, a, err := n.tryContext(ctx, http.MethodPost, "/locks/x/acquire", `{"clientId":"c"}`)
			if err != nil || code != 503 && code != 504 {
				t.Fatalf("%d %v %v", code, a, err)
			}
			return code == 503 && a.str("code") == "unavailable"
		})
		n.call(503, http.MethodGet, "/readyz", "")
		n.call(200, http.MethodGet, "/livez", "")
	}
	serves := func() {
		t.Helper()
		eventually(t, "serving again", 5*time.Second, func() bool {
			code, a, err := n.try(http.MethodPost, "/locks/y/acquire", `{"clientId":"c","waitTimeout":1,"timeout":1}`)
			return err == nil && code == 200 && a["acquired"] == true
		})
	}
	if err := redis.Kill(); err != nil {
		t.Fatal(err)
	}
	refused("killed")
	if err := redis.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	serves()
	if err := redis.Pause(); err != nil {
		t.Fatal(err)
	}
	refused("paused")
	if err := redis.Resume(); err != nil {
		t.Fatal(err)
	}
	serves()
}
