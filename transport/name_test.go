package transport

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"distributedlock/queue"
)

func TestAnyLegalNameMakesTheRoundTrip(t *testing.T) {
	addr := serve(t, newFake(), Options{})
	names := []string{"a", "user:123", "a/b", "/", "//", "a//b", "stats", "locks", "acquire", "a b", "a+b", "a%2Fb", "%", "100%",
		"?", "#", "a?b=c&d", "ü", "日本語", "🔒", "...", ".a", "a.", "../x", "a;b", "a,b", `a"b\c`, "<&>", "~", "*", ":", "@", "=",
		"\u00a0", "\u2028", "e\u0301", "{name}", ":name", strings.Repeat("x", 512), strings.Repeat("ü", 256)}
	for _, name := range names {
		path := "http://" + addr + "/locks/" + url.PathEscape(name)
		got := ask(t, http.MethodPost, path+"/acquire", `{"clientId":"c"}`)
		if got.status != 200 || got.body["lockName"] != name {
			t.Errorf("%q: %d %s", name, got.status, got.text)
		}
		if got := ask(t, http.MethodGet, path+"/status", ""); got.status != 200 || got.body["lockName"] != name {
			t.Errorf("status of %q: %d %s", name, got.status, got.text)
		}
	}
}

func TestBadNamesAreRefused(t *testing.T) {
	s := New(newFake(), Options{AdminToken: adminToken})
	for _, escaped := range []string{"", "%2E", "%2e%2e", ".", "..", "a%00b", "a%0Ab", "%7F", "%C2%85", "%FF", "a%C3", "%ED%A0%80",
		strings.Repeat("x", 513), strings.Repeat("%C3%BC", 256) + "x"} {
		for _, c := range []struct{ method, action, body string }{
			{"POST", "/acquire", goodBodies[acquireOp]}, {"POST", "/release", goodBodies[releaseOp]},
			{"POST", "/renew", goodBodies[renewOp]}, {"GET", "/status", ""}, {"DELETE", "", ""},
		} {
			if escaped == "" && c.action == "" {
				continue // /locks/ is no path
			}
			req := httptest.NewRequest(c.method, "/locks/"+escaped+c.action, strings.NewReader(c.body))
			req.Header.Set("Authorization", "Bearer "+adminToken)
			rec := httptest.NewRecorder()
			s.ServeHTTP(rec, req)
			if rec.Code != 400 || strings.Count(rec.Body.String(), `"field":`) != 1 || !strings.Contains(rec.Body.String(), `"field":"lockName"`) {
				t.Errorf("%s %q: %d %s", c.method, escaped, rec.Code, rec.Body)
			}
		}
	}
}

// TestRoutes holds paths against what they must be taken for.
func TestRoutes(t *testing.T) {
	fake := newFake()
	fake.next = "n"
	s := New(fake, Options{AdminToken: adminToken})
	for _, c := range []struct {
		method, target string
		status         int
		allow, has     string
	}{
		{"GET", "/locks", 200, "", `"nextCursor"`},
		{"HEAD", "/locks", 200, "", ""},
		{"GET", "/locks/stats", 200, "", `"activeLocks"`},
		{"GET", "/locks/%73tats", 200, "", `"activeLocks"`},
		{"DELETE", "/locks/stats", 200, "", `"lockName":"stats"`},
		{"GET", "/locks/stats/status", 200, "", `"lockName":"stats"`},
		{"PUT", "/locks/stats", 405, "DELETE, GET, HEAD", "method_not_allowed"},
		{"GET", "/locks/other", 405, "DELETE", "method_not_allowed"},
		{"HEAD", "/locks/other", 405, "DELETE", ""},
		{"GET", "/locks/a/acquire", 405, "POST", "method_not_allowed"},
		{"POST", "/locks/a/status", 405, "GET, HEAD", "method_not_allowed"},
		{"OPTIONS", "/locks", 405, "GET, HEAD", "method_not_allowed"},
		{"POST", "/health", 405, "GET, HEAD", "method_not_allowed"},
		{"GET", "/", 404, "", "not_found"},
		{"GET", "/locks/", 404, "", "not_found"},
		{"POST", "/locks/a/acquire/", 404, "", "not_found"},
		{"POST", "/locks/a/b/acquire", 404, "", "not_found"},
		{"POST", "/Locks/a/acquire", 404, "", "not_found"},
		{"GET", "/health/", 404, "", "not_found"},
		{"GET", "//locks", 404, "", "not_found"},
		{"OPTIONS", "*", 404, "", "not_found"},
	} {
		req := httptest.NewRequest(c.method, c.target, nil)
		req.Header.Set("Authorization", "bearer "+adminToken)
		rec := httptest.NewRecorder()
		s.ServeHTTP(rec, req)
		if rec.Code != c.status || rec.Header().Get("Allow") != c.allow || !strings.Contains(rec.Body.String(), c.has) {
			t.Errorf("%s %s: %d %q %s", c.method, c.target, rec.Code, rec.Header().Get("Allow"), rec.Body)
		}
	}
}

// FuzzName sends any bytes as a name, percent-encoded: a legal one comes back as it was, any other is 400.
func FuzzName(f *testing.F) {
	for _, seed := range []string{"a", "a/b", ".", "..", "ü", "\x00", "\xff", "stats", "%2F", strings.Repeat("x", 513)} {
		f.Add(seed)
	}
	var got string
	fake := newFake()
	fake.acquire = func(_ context.Context, q *queue.Request) (queue.Grant, time.Duration, error) {
		got = q.Name
		return grantOf(q), 0, nil
	}
	s := New(fake, Options{})
	f.Fuzz(func(t *testing.T, name string) {
		got = ""
		u, err := url.ParseRequestURI("/locks/" + url.PathEscape(name) + "/acquire")
		if err != nil {
			t.Skip()
		}
		req := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(`{"clientId":"c"}`))
		req.URL = u
		rec := httptest.NewRecorder()
		s.ServeHTTP(rec, req)
		legal := nameFault(name) == ""
		if legal && (rec.Code != 200 || got != name) || !legal && rec.Code != 400 {
			t.Errorf("%q: %d, the lock manager got %q", name, rec.Code, got)
		}
		if !utf8.Valid(rec.Body.Bytes()) {
			t.Errorf("%q: the answer is not UTF-8", name)
		}
	})
}
