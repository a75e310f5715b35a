package transport

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"distributedlock/queue"
)

// TestProblems holds every row of the table against its status, headers and words.
func TestProblems(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
		code   string
		says   string
		retry  bool
	}{
		{errHeld, 409, "lock_held", `"user:1" is held by client "c9" for up to 29.4 s, and 2 requests wait for it. Send a waitTimeout`, false},
		{errTimedOut, 409, "wait_timeout", `did not come free within 2.5 s: it is held by client "c9"`, false},
		{errDeadlock, 409, "deadlock", "newest", false},
		{&queue.LimitError{Limit: 4}, 409, "limit_mismatch", "limit 4", false},
		{queue.ErrMismatch, 422, "request_mismatch", `"r"`, false},
		{queue.ErrNotOwner, 403, "not_owner", "another client", false},
		{queue.ErrLost, 410, "lock_lost", `"user:1"`, false},
		{queue.ErrNotLocked, 404, "not_locked", "Nobody holds", false},
		{&queue.FullError{Queue: 7}, 429, "queue_full", "7 requests wait", true},
		{queue.ErrQueueFull, 429, "queue_full", "as long as it may be", true},
		{queue.ErrBusy, 429, "rate_limited", "another node", true},
		{errWrapped, 503, "unavailable", "Redis did not answer", true},
		{queue.ErrDraining, 503, "draining", "same requestId", true},
		{queue.ErrUnknown, 504, "outcome_unknown", "same requestId", false},
		{errSurprise, 500, "internal", "X-Request-Id", false},
	} {
		fake := newFake()
		failing(c.err)(fake)
		rec := post(New(fake, Options{}), "/locks/user:1/acquire", `{"clientId":"c","requestId":"r"}`)
		text := strings.ReplaceAll(rec.Body.String(), `\"`, `"`)
		if rec.Code != c.status || !strings.Contains(text, `"type":"urn:distributed-lock:problem:`+c.code+`"`) || !strings.Contains(text, c.says) {
			t.Errorf("%s: %d %s", c.code, rec.Code, text)
		}
		if got := rec.Header().Get("Retry-After") != ""; got != c.retry {
			t.Errorf("%s: Retry-After %t", c.code, got)
		}
		if rec.Header().Get("Content-Type") != "application/problem+json" || strings.Contains(text, "SECRET") || strings.Contains(text, "surprise") {
			t.Errorf("%s: %v %s", c.code, rec.Header(), text)
		}
	}
}

func TestWhoHoldsIt(t *testing.T) {
	g := held("c9")
	g.Owner, g.AutoRenew = "o", true
	if got := heldBy([]queue.Grant{g, g, g}); got != `held by client "c9" (owner "o") and 2 more for up to 29.4 s, renewed by itself` {
		t.Error(got)
	}
	if got := heldBy(nil); got == "" {
		t.Error("nothing is said where nobody holds it")
	}
}

// TestAuth is the matrix of tokens configured, tokens sent and calls made.
func TestAuth(t *testing.T) {
	const lockCall, adminCall, openCall = "GET /locks/a/status", "DELETE /locks/a", "GET /livez"
	for _, c := range []struct {
		client, admin, header, call string
		status                      int
		code                        string
	}{
		{"", "", "", lockCall, 200, ""},
		{"", "", "Bearer any", lockCall, 200, ""},
		{"", "", "Bearer any", adminCall, 403, "admin_disabled"},
		{"", "", "Bearer ", adminCall, 403, "admin_disabled"},
		{"", "A", "", lockCall, 200, ""},
		{"", "A", "", adminCall, 401, "unauthorized"},
		{"", "A", "Bearer B", adminCall, 401, "unauthorized"},
		{"", "A", "Bearer A", adminCall, 200, ""},
		{"", "A", "bearer   A ", adminCall, 200, ""},
		{"", "A", "Basic A", adminCall, 401, "unauthorized"},
		{"", "A", "A", adminCall, 401, "unauthorized"},
		{"C", "A", "", lockCall, 401, "unauthorized"},
		{"C", "A", "Bearer", lockCall, 401, "unauthorized"},
		{"C", "A", "Bearer c", lockCall, 401, "unauthorized"},
		{"C", "A", "Bearer C", lockCall, 200, ""},
		{"C", "A", "Bearer A", lockCall, 200, ""},
		{"C", "A", "Bearer C", adminCall, 403, "forbidden"},
		{"C", "A", "Bearer A", adminCall, 200, ""},
		{"C", "", "Bearer C", adminCall, 403, "admin_disabled"},
		{"C", "A", "", openCall, 200, ""},
		{"C", "A", "Bearer wrong", openCall, 200, ""},
	} {
		method, path, _ := strings.Cut(c.call, " ")
		req := httptest.NewRequest(method, path, nil)
		if c.header != "" {
			req.Header.Set("Authorization", c.header)
		}
		rec := httptest.NewRecorder()
		New(newFake(), Options{ClientToken: c.client, AdminToken: c.admin}).ServeHTTP(rec, req)
		if rec.Code != c.status || !strings.Contains(rec.Body.String(), c.code) {
			t.Errorf("%+v: %d %s", c, rec.Code, rec.Body)
		}
		if (rec.Header().Get("WWW-Authenticate") != "") != (c.status == http.StatusUnauthorized) {
			t.Errorf("%+v: WWW-Authenticate %q", c, rec.Header().Get("WWW-Authenticate"))
		}
	}
}
