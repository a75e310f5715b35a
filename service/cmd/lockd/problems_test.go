package main

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// TestProblems provokes the refusals of the contract on a running node.
func TestProblems(t *testing.T) {
	t.Parallel()
	env, _ := redisEnv(t)
	n := start(t, append(env, "MAX_QUEUE=2", "MAX_TIMEOUT=60", "ADMIN_TOKEN=admin-token-0123456789"))
	other := start(t, append(env, "MAX_QUEUE=2"))
	held := n.acquire(200, "x", `{"clientId":"holder","requestId":"r1","metadata":{"why":"test"}}`)
	lockID, renewal := held.str("lockId"), held.str("renewalToken")
	n.acquire(200, "pool", `{"clientId":"a","limit":2}`)
	var waiters sync.WaitGroup
	for i := range 2 {
		waiters.Go(func() {
			_, _, _ = n.try(http.MethodPost, "/locks/x/acquire", fmt.Sprintf(`{"clientId":"w%d","requestId":"w%d","waitTimeout":30}`, i, i))
		})
		n.queue("x", i+1)
	}
	body := func(format string, args ...any) string { return fmt.Sprintf(format, args...) }
	for _, c := range []struct {
		what, method, path, body string
		status                   int
		code                     string
	}{
		{"held", "POST", "/locks/x/acquire", `{"clientId":"c"}`, 409, "lock_held"},
		{"full", "POST", "/locks/x/acquire", `{"clientId":"c","waitTimeout":5}`, 429, "queue_full"},
		{"timeout", "POST", "/locks/pool/acquire", `{"clientId":"c","limit":3}`, 409, "limit_mismatch"},
		{"mode beside a limit", "POST", "/locks/pool/acquire", `{"clientId":"c","mode":"shared"}`, 409, "limit_mismatch"},
		{"another body", "POST", "/locks/x/acquire", `{"clientId":"holder","requestId":"r1","timeout":9}`, 422, "request_mismatch"},
		{"another body in line", "POST", "/locks/x/acquire", `{"clientId":"w0","requestId":"w0","timeout":9,"waitTimeout":1}`, 422, "request_mismatch"},
		{"release of another's", "POST", "/locks/x/release", body(`{"clientId":"thief","lockId":%q}`, lockID), 403, "not_owner"},
		{"release of nothing", "POST", "/locks/x/release", `{"clientId":"holder","lockId":"invented"}`, 410, "lock_lost"},
		{"renewal of another's", "POST", "/locks/x/renew", body(`{"clientId":"thief","renewalToken":%q}`, renewal), 403, "not_owner"},
		{"renewal of nothing", "POST", "/locks/x/renew", `{"clientId":"holder","renewalToken":"invented"}`, 410, "lock_lost"},
		{"lease too long", "POST", "/locks/y/acquire", `{"clientId":"c","timeout":61}`, 400, "invalid_argument"},
		{"no client", "POST", "/locks/y/acquire", `{}`, 400, "invalid_argument"},
		{"shared with a limit", "POST", "/locks/y/acquire", `{"clientId":"c","mode":"shared","limit":2}`, 400, "invalid_argument"},
		{"no token", "DELETE", "/locks/x", "", 401, "unauthorized"},
		{"too large", "POST", "/locks/y/acquire", `{"clientId":"` + strings.Repeat("c", 70<<10) + `"}`, 413, "too_large"},
		{"no such path", "GET", "/nothing", "", 404, "not_found"},
		{"no such method", "PUT", "/locks/x/acquire", "", 405, "method_not_allowed"},
	} {
		if a := n.call(c.status, c.method, c.path, c.body); a.str("code") != c.code {
			t.Errorf("%s: %v", c.what, a)
		}
	}
	if a := other.call(403, http.MethodDelete, "/locks/x", ""); a.str("code") != "admin_disabled" {
		t.Errorf("%v", a)
	}
	n.release("x", "holder", lockID)
	waiters.Wait()
}

// TestSameRequest repeats a request: of a grant, and of a waiting one on another node.
func TestSameRequest(t *testing.T) {
	t.Parallel()
	env, _ := redisEnv(t)
	a, b := start(t, env), start(t, env)
	body := `{"clientId":"c","requestId":"once","waitTimeout":1}`
	first := a.acquire(200, "x", body)
	again := b.acquire(200, "x", `{"clientId":"c","requestId":"once","waitTimeout":9}`)
	for _, field := range []string{"lockId", "renewalToken", "fencingToken", "requestId"} {
		if first[field] != again[field] {
			t.Errorf("%s: %v, then %v", field, first[field], again[field])
		}
	}
	var calls sync.WaitGroup
	got := make([]answer, 2)
	calls.Go(func() {
		_, got[0], _ = a.try(http.MethodPost, "/locks/x/acquire", `{"clientId":"d","requestId":"w","waitTimeout":3}`)
	})
	a.queue("x", 1)
	calls.Go(func() {
		_, got[1], _ = a.try(http.MethodPost, "/locks/x/acquire", `{"clientId":"d","requestId":"w","waitTimeout":3}`)
	})
	a.release("x", "c", first.str("lockId"))
	calls.Wait()
	if got[0].str("lockId") == "" || got[0].str("lockId") != got[1].str("lockId") {
		t.Errorf("two calls of one request: %v and %v", got[0], got[1])
	}
	if st := b.call(200, http.MethodGet, "/locks/x/status", ""); len(st["holders"].([]any)) != 1 || st.num("queueLength") != 0 {
		t.Errorf("%v", st)
	}
}

// TestForceRelease takes a stuck lock away: its holder hears of it, the next in line has it.
func TestForceRelease(t *testing.T) {
	t.Parallel()
	env, _ := redisEnv(t)
	n := start(t, append(env, "ADMIN_TOKEN=admin-token-0123456789"))
	held := n.acquire(200, "x", `{"clientId":"stuck","timeout":300}`)
	var next sync.WaitGroup
	var got answer
	next.Go(func() { _, got, _ = n.try(http.MethodPost, "/locks/x/acquire", `{"clientId":"next","waitTimeout":30}`) })
	n.queue("x", 1)
	force := func() (int, answer) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, n.url+"/locks/x?reason=stuck+since+noon", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer admin-token-0123456789")
		return n.do(req)
	}
	code, a := force()
	if holders, _ := a["holders"].([]any); code != 200 || len(holders) != 1 {
		t.Fatalf("%d %v", code, a)
	}
	next.Wait()
	if got["acquired"] != true {
		t.Errorf("the next in line: %v", got)
	}
	n.call(410, http.MethodPost, "/locks/x/release", fmt.Sprintf(`{"clientId":"stuck","lockId":%q}`, held.str("lockId")))
	n.release("x", "next", got.str("lockId"))
	if code, a := force(); code != 404 || a.str("code") != "not_locked" {
		t.Errorf("%d %v", code, a)
	}
	if said := n.said(); !strings.Contains(said, "stuck since noon") || strings.Contains(said, held.str("lockId")) {
		t.Errorf("log: %s", said)
	}
}
