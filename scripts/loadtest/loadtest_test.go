package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeService is a lock service in memory. Its faults are planted.
type fakeService struct {
	shareAfter int64 // from this token on, everybody is granted at once: two holders
	sameToken  bool  // tokens do not rise
	refuse     int   // status of every acquire
	down       int   // status of /locks/stats

	mu    sync.Mutex
	locks map[string]chan struct{}
	token int64
}

func (s *fakeService) lock(name string) chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.locks == nil {
		s.locks = map[string]chan struct{}{}
	}
	if s.locks[name] == nil {
		s.locks[name] = make(chan struct{}, 1)
	}
	return s.locks[name]
}

func (s *fakeService) next() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.sameToken || s.token == 0 {
		s.token++
	}
	return s.token
}

func (s *fakeService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	fail := func(status int, code string) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, `{"status":%d,"code":%q,"detail":"planted"}`, status, code)
	}
	var body struct{ ClientID, LockID string }
	_ = json.NewDecoder(r.Body).Decode(&body)
	name, call, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/locks/"), "/")
	lock := s.lock(name)
	switch {
	case name == "stats" && s.down != 0:
		fail(s.down, "unauthorized")
	case name == "stats":
		_, _ = fmt.Fprint(w, `{}`)
	case call == "acquire" && s.refuse != 0:
		fail(s.refuse, "queue_full")
	case call == "acquire":
		shared := s.shareAfter > 0 && s.next() >= s.shareAfter
		if !shared {
			select {
			case lock <- struct{}{}:
			case <-r.Context().Done():
				return
			}
		}
		_, _ = fmt.Fprintf(w, `{"acquired":true,"lockId":"x","fencingToken":%d,"waitTime":0.5}`, s.next())
	case call == "release":
		select {
		case <-lock:
		default:
		}
		_, _ = fmt.Fprint(w, `{"released":true}`)
	}
}

// result runs the load test against a server.
func result(t *testing.T, h http.Handler, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	server := httptest.NewServer(h)
	defer server.Close()
	var out, log bytes.Buffer
	code = run(t.Context(), append([]string{"-url", server.URL}, args...), &out, &log)
	return code, out.String(), log.String()
}

func wants(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("no %q in:\n%s", p, text)
		}
	}
}

func TestRun(t *testing.T) {
	for _, c := range []struct {
		name    string
		service *fakeService
		args    []string
		code    int
		wants   []string
	}{
		{"all is well", &fakeService{}, []string{"-operations", "300"}, exitOK,
			[]string{"300 operations by 20 clients on 3 locks", "acquire", "release", "waits", "two holders at once: 0", "did not rise: 0", "errors: 0"}},
		{"more clients than operations", &fakeService{}, []string{"-operations", "2"}, exitOK, []string{"2 operations by"}},
		{"two holders", &fakeService{shareAfter: 40}, []string{"-operations", "300", "-hold", "2ms"}, exitFailed, []string{"first: lt:", "is held by loadtest-"}},
		{"tokens stand still", &fakeService{sameToken: true}, []string{"-operations", "30"}, exitFailed, []string{"two holders at once: 0", "did not rise: 27", "token 1 after 1"}},
		{"every acquire fails", &fakeService{refuse: 429}, []string{"-operations", "30"}, exitFailed, []string{"0 operations by", "errors: 30", "30 × queue_full  planted"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, stdout, stderr := result(t, c.service, append(c.args, "-concurrent", "20", "-locks", "3", "-prefix", "lt:")...)
			if code != c.code {
				t.Errorf("exit code %d, want %d\n%s", code, c.code, stderr)
			}
			wants(t, stdout, c.wants...)
			wants(t, stderr, " operations (100%), ")
		})
	}
}

func TestCannotBegin(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	refusing := httptest.NewServer(&fakeService{down: http.StatusUnauthorized})
	defer refusing.Close()
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	for _, c := range []struct {
		name  string
		args  []string
		wants []string
	}{
		{"nobody there", []string{"-url", gone.URL}, []string{"no lock service answers at " + gone.URL, "lockd -dev"}},
		{"no token", []string{"-url", refusing.URL}, []string{"does not take the load test's calls: unauthorized: planted"}},
		{"another service", []string{"-url", other.URL}, []string{"http_404"}},
		{"a bad address", []string{"-url", "ht!tp://x"}, []string{"no lock service answers"}},
		{"no clients", []string{"-concurrent", "0"}, []string{"must be at least 1"}},
		{"a long hold", []string{"-hold", "40s"}, []string{"-hold must be shorter than -timeout"}},
		{"an argument too many", []string{"x"}, []string{`unexpected argument "x"`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out, log bytes.Buffer
			if code := run(t.Context(), c.args, &out, &log); code != exitUsage {
				t.Errorf("exit code %d, want %d", code, exitUsage)
			}
			if n := strings.Count(log.String(), "\n"); n != 1 {
				t.Errorf("%d lines, want one", n)
			}
			wants(t, log.String(), c.wants...)
		})
	}
}

// TestEndedEarly ends the load test while one client holds the lock and the others wait: the holder must release it.
func TestEndedEarly(t *testing.T) {
	server := httptest.NewServer(&fakeService{})
	defer server.Close()
	s, err := parse([]string{"-url", server.URL, "-locks", "1", "-concurrent", "3", "-hold", "20s", "-progress=false"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	a := newAPI(s)
	defer a.close()
	r := newRun(s, a)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.drive(ctx)
	}()
	for begin := time.Now(); r.check.held() == 0; time.Sleep(time.Millisecond) { // a poll of a condition, bounded
		if time.Since(begin) > 10*time.Second {
			t.Fatal("no client holds the lock")
		}
	}
	cancel()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("did not end early")
	}
	var out bytes.Buffer
	r.print(&out)
	wants(t, out.String(), "ended early, after ", "errors: 0")
	if n := len(r.sum.releases); n == 0 || n != len(r.sum.acquires) || r.failed() {
		t.Errorf("%d acquired and %d released\n%s", len(r.sum.acquires), n, out.String())
	}
}
