package transport

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"distributedlock/queue"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeLocks answers what the test told it to, and otherwise grants everything.
type fakeLocks struct {
	acquire func(context.Context, *queue.Request) (queue.Grant, time.Duration, error)
	// err is the answer of every call but Acquire; ready that of Ready.
	err, ready error
	status     queue.Status
	listed     []queue.Status
	next       string
	totals     queue.Totals
	shown      Graph
	redis      queue.Health
	draining   bool

	abandoned chan *queue.Request
	fakeSessions
	// after, reason, by and lease are what the last call came with.
	prefix, after, reason, by string
	limit                     int
	lease                     time.Duration
	client, secret            string
}

func newFake() *fakeLocks {
	return &fakeLocks{abandoned: make(chan *queue.Request, 100), fakeSessions: newFakeSessions()}
}

var (
	since = time.Date(2030, 1, 2, 3, 4, 5, 6_000_000, time.UTC)
	until = since.Add(30 * time.Second)
)

func grantOf(q *queue.Request) queue.Grant {
	return queue.Grant{Name: q.Name, LockID: q.LockID, RenewalToken: q.RenewalToken, Client: q.Client, Owner: q.Owner,
		Request: q.ID, Mode: q.Mode, Limit: q.Limit, Token: 1795000000000001, Since: since, End: until, TTL: q.Lease,
		AutoRenew: q.AutoRenew, Metadata: q.Metadata}
}

// held is a grant that somebody else has, with secrets that no answer may show.
func held(client string) queue.Grant {
	return queue.Grant{Name: "x", LockID: "SECRET-lock", RenewalToken: "SECRET-token", Client: client, Owner: client,
		Request: "r", Mode: queue.Exclusive, Limit: 1, Token: 7, Since: since, End: until, TTL: 29400 * time.Millisecond,
		Metadata: json.RawMessage(`{"a":1}`)}
}

func (f *fakeLocks) Acquire(ctx context.Context, q *queue.Request) (queue.Grant, time.Duration, error) {
	if q.ID == "" {
		q.ID = "made-by-the-service"
	}
	q.LockID, q.RenewalToken = "kR3vT9qLx0YzB1nM5pWcDg", "Zt7HjU2eXv8QaS4oKf6LmN"
	if f.acquire != nil {
		return f.acquire(ctx, q)
	}
	return grantOf(q), 0, nil
}

func (f *fakeLocks) Abandon(q *queue.Request) { f.abandoned <- q }

func (f *fakeLocks) Release(_ context.Context, _, client, lockID string) (time.Duration, error) {
	f.client, f.secret = client, lockID
	return 1500 * time.Millisecond, f.err
}

func (f *fakeLocks) Renew(_ context.Context, name, client, token string, lease time.Duration) (queue.Grant, error) {
	f.client, f.secret, f.lease = client, token, lease
	return queue.Grant{Name: name, Token: 7, End: until, TTL: 30 * time.Second}, f.err
}

func (f *fakeLocks) Status(context.Context, string, int) (queue.Status, error) {
	return f.status, f.err
}

func (f *fakeLocks) List(_ context.Context, prefix, after string, limit int) ([]queue.Status, string, error) {
	f.prefix, f.after, f.limit = prefix, after, limit
	return f.listed, f.next, f.err
}

func (f *fakeLocks) ForceRelease(_ context.Context, _, reason, by string) ([]queue.Grant, error) {
	f.reason, f.by = reason, by
	return []queue.Grant{held("c1")}, f.err
}

func (f *fakeLocks) Totals(context.Context) (queue.Totals, error) { return f.totals, f.err }
func (f *fakeLocks) Now() time.Time                               { return since }
func (f *fakeLocks) Graph(context.Context, int) (Graph, error)    { return f.shown, f.err }
func (f *fakeLocks) Health(context.Context) (queue.Health, error) { return f.redis, f.err }
func (f *fakeLocks) Ready(context.Context) error                  { return f.ready }
func (f *fakeLocks) Draining() bool                               { return f.draining }

// serve runs a real server on a loopback port until the test ends, and returns its address.
func serve(t testing.TB, locks Locks, opts Options) string {
	t.Helper()
	return serveHandler(t, NewServer(New(locks, opts), opts))
}

func serveHandler(t testing.TB, s *http.Server) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveOn(t, s, l)
}

func serveOn(t testing.TB, s *http.Server, l net.Listener) string {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(l)
	}()
	t.Cleanup(func() {
		_ = s.Close()
		if h, ok := s.Handler.(*Handler); ok {
			h.Close()
		}
		<-done
	})
	return l.Addr().String()
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	text   string
	body   map[string]any
}

var httpClient = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 30 * time.Second}

// ask makes a request; header is pairs of names and values.
func ask(t testing.TB, method, url, body string, header ...string) answer {
	t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := httpClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	a := answer{status: res.StatusCode, header: res.Header, text: string(text)}
	if strings.Contains(res.Header.Get("Content-Type"), "json") && len(text) > 0 {
		if err := json.Unmarshal(text, &a.body); err != nil {
			t.Fatalf("%s %s: %v in %s", method, url, err, text)
		}
	}
	return a
}
