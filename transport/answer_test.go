package transport

import (
	"context"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"distributedlock/queue"
)

// get serves one request of an admin without a network; header is pairs of names and values.
func get(s http.Handler, target string, header ...string) *httptest.ResponseRecorder {
	method, path, _ := strings.Cut(target, " ")
	req := httptest.NewRequest(method, path, nil)
	req.Header.Set("Authorization", "Bearer "+adminToken)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	s.ServeHTTP(rec, req)
	return rec
}

const holderJSON = `{"clientId":"c1","ownerId":"c1","acquiredAt":"2030-01-02T03:04:05.006Z","expiresAt":"2030-01-02T03:04:35.006Z","ttlMs":29400,"fencingToken":7,"autoRenew":false,"metadata":{"a":1}}`

// TestAnswers holds whole answers against what they must be.
func TestAnswers(t *testing.T) {
	fake := newFake()
	fake.totals, fake.shown = someTotals(), someGraph()
	two := queue.Status{Holders: []queue.Grant{held("c1"), held("c1")}, Queue: 101, Waiters: make([]queue.Waiter, 101)}
	s := New(fake, Options{AdminToken: adminToken})
	one := `"lockName":"user:1","locked":true,"mode":"exclusive","limit":1,"clientId":"c1","expiresAt":"2030-01-02T03:04:35.006Z","fencingToken":7,"holders":[` + holderJSON + `],"queueLength":1`
	fake.status, fake.listed, fake.next = oneHolder(), []queue.Status{oneHolder()}, "ü/"
	for target, want := range map[string]string{
		"GET /locks/user:1/status": `{` + one + `,"waiters":[{"position":1,"clientId":"c2","ownerId":"o2","waiting":1.5}]}`,
		"GET /locks":               `{"locks":[{` + one + `}],"nextCursor":"w7wv"}`,
		"GET /locks/stats": `{"activeLocks":1,"waitingClients":2,"contendedLocks":1,"acquiredTotal":9,"releasedTotal":8,"expiredTotal":1,` +
			`"forceReleasedTotal":2,"renewedTotal":3,"deadlocksDetected":4,"nodes":[{"id":"n1","addr":"a:1"},{"id":"n2"}]}`,
		"DELETE /locks/a%2Fb": `{"released":true,"lockName":"a/b","holders":[` + holderJSON + `]}`,
		"GET /graph?format=json": `{"owners":[{"clientId":"c1","ownerId":"a"},{"clientId":"c2","ownerId":"b\""}],` +
			`"edges":[{"waiter":"a","waiterClientId":"c1","holder":"b\"","holderClientId":"c2","lockName":"l\\2","since":"2030-01-02T03:04:05.006Z"}],` +
			`"cycles":[[{"clientId":"c1","ownerId":"a","holds":"l1","heldSince":"2030-01-02T03:04:05.006Z","waitsFor":"l2","waitingSince":"2030-01-02T03:04:05.006Z"},{"clientId":"c2","ownerId":"b","holds":"l2","heldSince":"2030-01-02T03:04:05.006Z","waitsFor":"l1","waitingSince":"2030-01-02T03:04:05.006Z"}]]}`,
		"GET /graph?format=dot": "digraph waits {\n  n0 [label=\"c1 / a\"];\n  n1 [label=\"c2 / b\\\"\"];\n  n0 -> n1 [label=\"l\\\\2\\nsince 2030-01-02T03:04:05.006Z\"];\n}\n",
		"GET /livez":            `{"status":"ok"}`,
		"GET /readyz":           `{"status":"ready"}`,
	} {
		if rec := get(s, target); rec.Code != 200 || rec.Body.String() != want {
			t.Errorf("%s: %d\ngot  %s\nwant %s", target, rec.Code, rec.Body, want)
		}
	}
	fake.status, fake.listed, fake.next = queue.Status{}, nil, ""
	if rec := get(s, "GET /locks"); rec.Body.String() != `{"locks":[]}` {
		t.Errorf("an empty list: %s", rec.Body)
	}
	if rec := get(s, "GET /locks/a/status"); rec.Body.String() != `{"lockName":"a","locked":false,"holders":[],"queueLength":0,"waiters":[]}` {
		t.Errorf("a free lock: %s", rec.Body)
	}
	fake.status = two
	if text := get(s, "GET /locks/a/status").Body.String(); strings.Count(text, `"position"`) != 100 || strings.Count(text, `"fencingToken"`) != 2 {
		t.Errorf("two holders, 101 waiters: %s", text)
	}
}

func TestAcquireAnswer(t *testing.T) {
	fake := newFake()
	fake.acquire = func(_ context.Context, q *queue.Request) (queue.Grant, time.Duration, error) {
		return grantOf(q), 2500 * time.Millisecond, nil
	}
	rec := post(New(fake, Options{}), "/locks/user:123/acquire", `{"clientId":"c","requestId":"r","metadata":{"a": "<&>"}}`)
	want := `{"acquired":true,"lockId":"kR3vT9qLx0YzB1nM5pWcDg","lockName":"user:123","clientId":"c","ownerId":"c","requestId":"r",` +
		`"expiresAt":"2030-01-02T03:04:35.006Z","ttlMs":30000,"fencingToken":1795000000000001,"renewalToken":"Zt7HjU2eXv8QaS4oKf6LmN",` +
		`"waitTime":2.5,"autoRenew":false,"metadata":{"a":"<&>"}}`
	if rec.Code != 200 || rec.Body.String() != want {
		t.Errorf("got  %s\nwant %s", rec.Body, want)
	}
}

func TestListQuery(t *testing.T) {
	fake := newFake()
	s := New(fake, Options{})
	if rec := get(s, "GET /locks?prefix=a%2F&limit=5&cursor=w7wv&unknown=1"); rec.Code != 200 || fake.prefix != "a/" || fake.limit != 5 || fake.after != "ü/" {
		t.Errorf("%d %q %q %d", rec.Code, fake.prefix, fake.after, fake.limit)
	}
	if get(s, "GET /locks"); fake.limit != listDefault || fake.prefix != "" || fake.after != "" {
		t.Errorf("defaults: %q %q %d", fake.prefix, fake.after, fake.limit)
	}
	for query, field := range map[string]string{"limit=0": "limit", "limit=1001": "limit", "limit=x": "limit", "limit=": "limit", "limit=1e2": "limit",
		"cursor=%21": "cursor", "cursor=Lg": "cursor", "cursor=_w": "cursor", "prefix=%00": "prefix", "prefix=%ff": "prefix", "a=%zz": "query"} {
		if rec := get(s, "GET /locks?"+query); rec.Code != 400 || !strings.Contains(rec.Body.String(), `"field":"`+field+`"`) {
			t.Errorf("%s: %d %s", query, rec.Code, rec.Body)
		}
	}
}

func TestForceReleaseTellsWhoAndWhy(t *testing.T) {
	core, logs := observer.New(zap.InfoLevel)
	fake := newFake()
	s := New(fake, Options{AdminToken: adminToken, Logger: zap.New(core)})
	get(s, "DELETE /locks/a?reason=stuck+job", "X-Request-Id", "x-1")
	if fake.reason != "stuck job" || fake.by != "admin" {
		t.Errorf("the lock manager got %q by %q", fake.reason, fake.by)
	}
	line := logs.TakeAll()
	if len(line) != 1 {
		t.Fatalf("%d lines", len(line))
	}
	said := line[0].ContextMap()
	if said["reason"] != "stuck job" || said["by"] != "admin" || said["lock"] != "a" || said["xRequestId"] != "x-1" || said["holders"].([]any)[0] != "c1" {
		t.Errorf("logged %v", said)
	}
	for _, query := range []string{"reason=%00", "reason=" + strings.Repeat("x", 1025)} {
		if rec := get(s, "DELETE /locks/a?"+query); rec.Code != 400 {
			t.Errorf("%.20s: %d %s", query, rec.Code, rec.Body)
		}
	}
}

func TestMetricsAndLogs(t *testing.T) {
	core, logs := observer.New(zap.DebugLevel)
	set := metrics.NewSet()
	fake := newFake()
	s := New(fake, Options{Metrics: set, Logger: zap.New(core)})
	post(s, "/locks/secret-name/acquire", `{"clientId":"client-name","requestId":"r"}`)
	post(s, "/locks/secret-name/acquire", `{}`)
	get(s, "GET /secret-path")
	fake.err = errSurprise
	get(s, "GET /locks/secret-name/status")
	page := get(s, "GET /metrics").Body.String()
	for _, want := range []string{`distributed_locks_http_request_seconds_bucket{route="/locks/{name}/acquire",code="200",le="+Inf"} 1`,
		`distributed_locks_http_request_seconds_count{route="/locks/{name}/acquire",code="400"} 1`, `{route="unmatched",code="404"} 1`,
		`le="0.0005"`, "go_goroutines", "process_cpu_seconds_total"} {
		if !strings.Contains(page, want) {
			t.Errorf("no %s in the metrics", want)
		}
	}
	if strings.Contains(page, "secret") || strings.Contains(page, "client-name") {
		t.Error("a metric tells a name")
	}
	var levels []string
	for _, line := range logs.All() {
		levels = append(levels, line.Level.String())
		for _, v := range line.ContextMap() {
			if v == "kR3vT9qLx0YzB1nM5pWcDg" || v == "Zt7HjU2eXv8QaS4oKf6LmN" {
				t.Error("a log line tells a secret")
			}
		}
	}
	if got := strings.Join(levels, " "); got != "debug debug debug warn debug" {
		t.Errorf("lines of levels %s", got)
	}
}

func TestRequestIDs(t *testing.T) {
	s := New(newFake(), Options{})
	made := regexp.MustCompile(`^[0-9a-z]{10,26}$`)
	for given, kept := range map[string]bool{"abc-1": true, strings.Repeat("x", 128): true, "": false, strings.Repeat("x", 129): false,
		"a b": false, "a\x7f": false, "ü": false, "a\tb": false} {
		got := get(s, "GET /livez", "X-Request-Id", given).Header().Get("X-Request-Id")
		if kept && got != given || !kept && !made.MatchString(got) {
			t.Errorf("%q became %q", given, got)
		}
	}
}

// TestProblemRequestIDs: the acquire's own in an answer to an acquire, otherwise the X-Request-Id.
func TestProblemRequestIDs(t *testing.T) {
	fake := newFake()
	failing(errHeld)(fake)
	fake.err = queue.ErrLost
	s := New(fake, Options{})
	for _, c := range []struct{ path, key, body, want string }{
		{"/locks/a/acquire", "", `{"clientId":"c","requestId":"mine"}`, "mine"},
		{"/locks/a/acquire", "", `{"clientId":7,"requestId":"mine"}`, "mine"},
		{"/locks/a/acquire", "key", `{"clientId":"c"}`, "key"},
		{"/locks/a/acquire", "key", `{"clientId":"c","requestId":"mine"}`, "mine"},
		{"/locks/a/acquire", "key", `{`, "key"},
		{"/locks/a/acquire", "", `{"clientId":"c"}`, "made-by-the-service"},
		{"/locks/a/release", "key", `{"clientId":"c","lockId":"l"}`, "x-1"},
		{"/locks/a/release", "key", `{`, "x-1"},
		{"/nowhere", "key", ``, "x-1"},
	} {
		req := httptest.NewRequest(http.MethodPost, c.path, strings.NewReader(c.body))
		req.Header.Set("X-Request-Id", "x-1")
		if c.key != "" {
			req.Header.Set("Idempotency-Key", c.key)
		}
		rec := httptest.NewRecorder()
		s.ServeHTTP(rec, req)
		if !strings.Contains(rec.Body.String(), `"requestId":"`+c.want+`"`) || rec.Header().Get("X-Request-Id") != "x-1" {
			t.Errorf("%+v: %s", c, rec.Body)
		}
	}
	rec := post(s, "/locks/a/acquire", `{"clientId":"c","requestId":7}`)
	if strings.Contains(rec.Body.String(), `"requestId":"`+rec.Header().Get("X-Request-Id")) || strings.Contains(rec.Body.String(), `"requestId":""`) {
		t.Errorf("no id of its own: %s", rec.Body)
	}
}

func TestPanicsAreAnswered(t *testing.T) {
	core, logs := observer.New(zap.ErrorLevel)
	fake := newFake()
	fake.acquire = func(context.Context, *queue.Request) (queue.Grant, time.Duration, error) { panic("oh no") }
	rec := post(New(fake, Options{Logger: zap.New(core)}), "/locks/a/acquire", `{"clientId":"c"}`)
	if rec.Code != 500 || strings.Contains(rec.Body.String(), "oh no") || logs.Len() != 1 {
		t.Errorf("%d %s, %d lines", rec.Code, rec.Body, logs.Len())
	}
}
