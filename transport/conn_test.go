package transport

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"distributedlock/queue"
)

const patience = 10 * time.Second

// dial opens a raw connection that ends with the test.
func dial(t *testing.T, addr string) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return conn.(*net.TCPConn)
}

func receive[T any](t *testing.T, from <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-from:
	case <-time.After(patience):
		t.Fatalf("%s did not happen", what)
	}
	return v
}

func readAnswer(t *testing.T, conn net.Conn) (*http.Response, string) {
	t.Helper()
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(text)
}

const waitingBody = `{"clientId":"c","waitTimeout":60}`

func TestAClientThatGoesAwayWhileItWaitsIsNoticed(t *testing.T) {
	waiting, over := make(chan struct{}), make(chan error, 1)
	fake := newFake()
	fake.acquire = func(ctx context.Context, _ *queue.Request) (queue.Grant, time.Duration, error) {
		close(waiting)
		<-ctx.Done()
		over <- ctx.Err()
		return queue.Grant{}, time.Second, ctx.Err()
	}
	conn := dial(t, serve(t, fake, Options{}))
	_, _ = conn.Write(rawPost("/locks/a/acquire", waitingBody))
	receive(t, waiting, "the wait")
	_ = conn.Close()
	if err := receive(t, over, "the end of the wait"); !errors.Is(err, context.Canceled) {
		t.Errorf("the wait ended with %v", err)
	}
}

// A node that shuts down may cut its requests off: their clients are there and get an answer.
func TestARequestCutOffByADrainIsAnswered(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	fake := newFake()
	fake.draining = true
	fake.acquire = func(ctx context.Context, _ *queue.Request) (queue.Grant, time.Duration, error) {
		cancel()
		<-ctx.Done()
		return queue.Grant{}, 0, errors.Join(queue.ErrDraining, ctx.Err())
	}
	rec := httptest.NewRecorder()
	New(fake, Options{}).ServeHTTP(rec, httptest.NewRequestWithContext(ctx, http.MethodPost, "/locks/a/acquire", strings.NewReader(waitingBody)))
	if rec.Code != 503 || !strings.Contains(rec.Body.String(), `"draining"`) {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

// TestAGrantForAConnectionJustClosedIsGivenBack closes the connection before the grant, so shortly that net/http may
// not have noticed.
func TestAGrantForAConnectionJustClosedIsGivenBack(t *testing.T) {
	waiting, closed := make(chan struct{}), make(chan struct{})
	fake := newFake()
	fake.acquire = func(_ context.Context, q *queue.Request) (queue.Grant, time.Duration, error) {
		waiting <- struct{}{}
		<-closed
		return grantOf(q), time.Second, nil
	}
	addr := serve(t, fake, Options{})
	for i := range 200 {
		conn := dial(t, addr)
		_, _ = conn.Write(rawPost("/locks/a/acquire", waitingBody))
		receive(t, waiting, "the wait")
		if i%2 == 0 {
			_ = conn.SetLinger(0) // a reset instead of an orderly end
		}
		_ = conn.Close()
		closed <- struct{}{}
		if q := receive(t, fake.abandoned, "the giving back"); q.LockID == "" || q.Name != "a" {
			t.Fatalf("gave back %+v", q)
		}
	}
}

func TestHungUp(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for name, c := range map[string]struct {
		act  func(*net.TCPConn)
		want bool
	}{
		"open":                  {func(*net.TCPConn) {}, false},
		"sent more":             {func(c *net.TCPConn) { _, _ = c.Write([]byte("x")) }, false},
		"closed":                {func(c *net.TCPConn) { _ = c.Close() }, true},
		"will send no more":     {func(c *net.TCPConn) { _ = c.CloseWrite() }, true},
		"reset":                 {func(c *net.TCPConn) { _ = c.SetLinger(0); _ = c.Close() }, true},
		"sent more, then ended": {func(c *net.TCPConn) { _, _ = c.Write([]byte("x")); _ = c.Close() }, false},
	} {
		theirs := dial(t, l.Addr().String())
		ours, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		c.act(theirs)
		if got := hungUp(context.WithValue(t.Context(), connKey{}, ours)); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
		_ = ours.Close()
		if !hungUp(context.WithValue(t.Context(), connKey{}, ours)) {
			t.Errorf("%s: a connection closed on this side passes for open", name)
		}
	}
	a, b := net.Pipe()
	defer a.Close()
	_ = b.Close()
	if hungUp(context.WithValue(t.Context(), connKey{}, a)) || hungUp(t.Context()) {
		t.Error("what is no TCP connection was judged")
	}
}

// brokenWriter is a connection that takes no answer.
type brokenWriter struct {
	*httptest.ResponseRecorder
	write, flush error
}

func (w *brokenWriter) Write(b []byte) (int, error) { return len(b), w.write }
func (w *brokenWriter) FlushError() error           { return w.flush }

func TestAGrantThatCannotBeWrittenIsGivenBack(t *testing.T) {
	for name, w := range map[string]*brokenWriter{
		"write": {httptest.NewRecorder(), io.ErrClosedPipe, nil},
		"flush": {httptest.NewRecorder(), nil, io.ErrClosedPipe},
	} {
		fake := newFake()
		func() {
			defer func() {
				if p := recover(); p != http.ErrAbortHandler { //nolint:errorlint // the very value is what net/http knows
					t.Errorf("%s: the connection is left open: %v", name, p)
				}
			}()
			New(fake, Options{}).ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/locks/a/acquire", strings.NewReader(waitingBody)))
		}()
		receive(t, fake.abandoned, "the giving back")
	}
	fake := newFake()
	post(New(fake, Options{}), "/locks/a/acquire", waitingBody)
	if len(fake.abandoned) > 0 {
		t.Error("a grant that was delivered was given back")
	}
}

// TestSlowBodies: a body must come in time, however long its request may wait afterwards.
func TestSlowBodies(t *testing.T) {
	const limit = 200 * time.Millisecond
	fake := newFake()
	fake.acquire = func(ctx context.Context, q *queue.Request) (queue.Grant, time.Duration, error) {
		select {
		case <-ctx.Done():
			return queue.Grant{}, 0, ctx.Err()
		case <-time.After(2 * limit):
			return grantOf(q), 2 * limit, nil
		}
	}
	s := NewServer(New(fake, Options{}), Options{})
	s.ReadTimeout, s.ReadHeaderTimeout = limit, limit
	addr := serveHandler(t, s)

	conn := dial(t, addr)
	_, _ = conn.Write(rawPost("/locks/a/acquire", waitingBody))
	if res, text := readAnswer(t, conn); res.StatusCode != http.StatusOK {
		t.Errorf("a wait longer than the time for reading: %d %s", res.StatusCode, text)
	}
	conn = dial(t, addr)
	_, _ = io.WriteString(conn, "POST /locks/a/acquire HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\n{\"clientId\":")
	res, text := readAnswer(t, conn)
	if res.StatusCode != http.StatusBadRequest || !strings.Contains(text, `"field":"body","detail":"did not arrive within 10 s"`) || !res.Close {
		t.Errorf("a slow body: %d %s", res.StatusCode, text)
	}
}

func TestBrokenBodies(t *testing.T) {
	addr := serve(t, newFake(), Options{})
	head := "POST /locks/a/acquire HTTP/1.1\r\nHost: a\r\n"
	big := strings.Repeat("x", 70<<10)
	for name, c := range map[string]struct {
		raw    string
		status int
		has    string
	}{
		"truncated":           {head + "Content-Length: 50\r\n\r\n{\"clientId\":", 400, "ended before its Content-Length"},
		"truncated chunks":    {head + "Transfer-Encoding: chunked\r\n\r\n20\r\n{\"clientId\":", 400, `"field":"body"`},
		"bad chunks":          {head + "Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400, `"field":"body"`},
		"70 KiB":              {head + "Content-Length: " + strconv.Itoa(len(big)) + "\r\n\r\n" + big, 413, "too_large"},
		"70 KiB in one chunk": {head + "Transfer-Encoding: chunked\r\n\r\n" + strconv.FormatInt(int64(len(big)), 16) + "\r\n" + big + "\r\n0\r\n\r\n", 413, "too_large"},
		"1 TB promised":       {head + "Content-Length: 1000000000000\r\n\r\n", 413, "too_large"},
		"none":                {head + "Content-Length: 0\r\n\r\n", 400, "is missing"},
		"a chunked good one":  {head + "Transfer-Encoding: chunked\r\n\r\n4\r\n{\"cl\r\nc\r\nientId\":\"a\"}\r\n0\r\n\r\n", 200, "acquired"},
		"as curl sends it":    {head + "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 16\r\n\r\n{\"clientId\":\"a\"}", 200, "acquired"},
	} {
		conn := dial(t, addr)
		_, _ = io.WriteString(conn, c.raw)
		if c.status == 400 {
			_ = conn.CloseWrite()
		}
		res, text := readAnswer(t, conn)
		if res.StatusCode != c.status || !strings.Contains(text, c.has) {
			t.Errorf("%s: %d %s", name, res.StatusCode, text)
		}
		if want := typeProblem[0]; c.status != 200 && res.Header.Get("Content-Type") != want {
			t.Errorf("%s: %s", name, res.Header.Get("Content-Type"))
		}
	}
	if got := ask(t, http.MethodPost, "http://"+addr+"/locks/a/acquire", `{"clientId":"a"}`); got.status != 200 {
		t.Errorf("the service is harmed: %d %s", got.status, got.text)
	}
	exact := `{"clientId":"a"}` + strings.Repeat(" ", maxBody-16)
	if got := ask(t, http.MethodPost, "http://"+addr+"/locks/a/acquire", exact); got.status != 200 {
		t.Errorf("64 KiB are not taken: %d %s", got.status, got.text)
	}
}
