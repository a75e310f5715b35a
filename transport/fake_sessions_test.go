package transport

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"distributedlock/queue"
	"distributedlock/transport/frametest"
)

// fakeSessions opens fake sessions and watches, and hands them to the test.
type fakeSessions struct {
	// script, where set, is what each session does.
	script func(*fakeSession)
	opened chan *fakeSession
	// watch, where set, answers Watch.
	watch   func(ctx context.Context) error
	watched chan *fakeWatch
}

func newFakeSessions() fakeSessions {
	return fakeSessions{opened: make(chan *fakeSession, 100_000), watched: make(chan *fakeWatch, 1000)}
}

func (f *fakeSessions) Open(l Listener) Session {
	s := &fakeSession{l: l, under: map[string]*queue.Request{}, closed: make(chan []*queue.Request, 1)}
	if f.script != nil {
		f.script(s)
	}
	f.opened <- s
	return s
}

type fakeWatch struct {
	names, prefixes []string
	mu              sync.Mutex
	tell            func(*queue.Event)
}

// event tells the watcher of an event, unless it has stopped.
func (w *fakeWatch) event(e *queue.Event) (told bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.tell != nil {
		w.tell(e)
	}
	return w.tell != nil
}

func (f *fakeSessions) Watch(ctx context.Context, names, prefixes []string, tell func(*queue.Event)) (func(), error) {
	if f.watch != nil {
		if err := f.watch(ctx); err != nil {
			return nil, err
		}
	}
	w := &fakeWatch{names: names, prefixes: prefixes, tell: tell}
	w.event(someEvent("released")) // before the client knows of its subscription
	f.watched <- w
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.tell = nil
	}, nil
}

// fakeSession grants everything at once, unless the test has it do otherwise.
type fakeSession struct {
	l Listener
	// name and acquire, where set, answer those calls; err answers Release and Renew.
	name    func(ctx context.Context, id, client string) (string, bool, error)
	acquire func(q *queue.Request) error
	err     error
	// late is whether answers come with the Flush only.
	late bool

	mu      sync.Mutex
	under   map[string]*queue.Request
	flushes int
	waiting []func()
	closed  chan []*queue.Request
	done    bool
}

func (s *fakeSession) Name(ctx context.Context, id, client string) (string, bool, error) {
	if s.name != nil {
		return s.name(ctx, id, client)
	}
	return "session-of-" + client, false, nil
}

func (s *fakeSession) Acquire(q *queue.Request) error {
	s.mu.Lock()
	if s.done {
		panic("an acquire after Close")
	}
	taken := s.under[q.Frame] != nil
	s.mu.Unlock()
	if taken {
		return queue.ErrInUse
	}
	if q.ID == "" {
		q.ID = "made-by-the-service"
	}
	q.LockID, q.RenewalToken = "kR3vT9qLx0YzB1nM5pWcDg", "Zt7HjU2eXv8QaS4oKf6LmN"
	if s.acquire != nil {
		return s.acquire(q)
	}
	s.answer(func() { s.grant(q, 0) })
	return nil
}

// queue has a request wait.
func (s *fakeSession) queue(q *queue.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.under[q.Frame] = q
}

// request is one under way.
func (s *fakeSession) request(frame string) *queue.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.under[frame]
}

// grant ends a request well.
func (s *fakeSession) grant(q *queue.Request, waited time.Duration) {
	s.mu.Lock()
	delete(s.under, q.Frame)
	s.mu.Unlock()
	g := grantOf(q)
	s.l.Granted(q, &g, waited)
}

func (s *fakeSession) Cancel(frame, requestID string, done func(error)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, q := range s.under {
		if id == frame || q.ID == requestID {
			delete(s.under, id)
			s.l.Failed(q, queue.ErrCancelled)
			done(nil)
			return nil
		}
	}
	return queue.ErrNoRequest
}

func (s *fakeSession) Uses(frame string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.under[frame] != nil
}

func (s *fakeSession) Release(name, client, lockID string, done func(time.Duration, error)) {
	s.answer(func() { done(1500*time.Millisecond, s.err) })
}

func (s *fakeSession) Renew(name, client, token string, lease time.Duration, done func(queue.Grant, error)) {
	s.answer(func() { done(queue.Grant{Name: name, Token: 7, End: until, TTL: max(lease, time.Second)}, s.err) })
}

func (s *fakeSession) answer(now func()) {
	if !s.late {
		now()
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = append(s.waiting, now)
}

func (s *fakeSession) Flush() {
	s.mu.Lock()
	if s.done {
		panic("a Flush after Close")
	}
	s.flushes++
	waiting := s.waiting
	s.waiting = nil
	s.mu.Unlock()
	for _, now := range waiting {
		now()
	}
}

func (s *fakeSession) flushed() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.flushes
}

func (s *fakeSession) Close(lost func() []*queue.Request) {
	undelivered := lost()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done {
		panic("closed twice")
	}
	s.done = true
	s.closed <- undelivered
}

func someEvent(kind string) *queue.Event {
	e := &queue.Event{Kind: kind, Name: "user:1", Client: "c1", Owner: "o1", Token: 7, Seq: 3, At: since}
	if kind == "deadlock" {
		const at = `Since":"2030-01-02T03:04:05.006Z"`
		e.Reason = `[{"clientId":"c1","ownerId":"o1","holds":"user:1","held` + at + `,"waitsFor":"user:1","waiting` + at + `}]`
	}
	return e
}

// client is a WebSocket client.
type wsClient struct {
	*websocket.Conn
	t testing.TB
}

// connect opens a WebSocket; header is pairs of names and values.
func connect(t testing.TB, addr string, header ...string) *wsClient {
	t.Helper()
	ws, res, err := dialWS(addr, header...)
	if err != nil {
		t.Fatalf("%v %+v", err, res)
	}
	t.Cleanup(func() { _ = ws.Close() })
	_ = ws.SetReadDeadline(time.Now().Add(patience))
	return &wsClient{Conn: ws, t: t}
}

func dialWS(addr string, header ...string) (*websocket.Conn, *http.Response, error) {
	h := http.Header{}
	for i := 0; i < len(header); i += 2 {
		h.Add(header[i], header[i+1])
	}
	return (&websocket.Dialer{HandshakeTimeout: patience}).Dial("ws://"+addr+"/ws", h)
}

func (c *wsClient) say(frames ...string) {
	c.t.Helper()
	for _, f := range frames {
		if err := c.WriteMessage(websocket.TextMessage, []byte(f)); err != nil {
			c.t.Fatal(err)
		}
	}
}

// hear is the next frame.
func (c *wsClient) hear() string {
	c.t.Helper()
	kind, b, err := c.ReadMessage()
	if err != nil {
		c.t.Fatal(err)
	}
	if kind != websocket.TextMessage || !json.Valid(b) {
		c.t.Fatalf("a frame of kind %d: %s", kind, b)
	}
	frametest.Server(c.t, b)
	return string(b)
}

func (c *wsClient) expect(want ...string) {
	c.t.Helper()
	for _, w := range want {
		if got := c.hear(); got != w {
			c.t.Errorf("\ngot  %s\nwant %s", got, w)
		}
	}
}

// expectLike wants a frame that begins and goes on so.
func (c *wsClient) expectLike(start string, parts ...string) {
	c.t.Helper()
	got := c.hear()
	if !strings.HasPrefix(got, start) || slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(got, p) }) {
		c.t.Errorf("\ngot  %s\nwant %s with %q", got, start, parts)
	}
}

// expectClose wants the connection to be closed, and nothing before.
func (c *wsClient) expectClose(code int) {
	c.t.Helper()
	_, b, err := c.ReadMessage()
	closed, ok := errors.AsType[*websocket.CloseError](err)
	if !ok || closed.Code != code {
		c.t.Fatalf("got %q, %v; want close %d", b, err, code)
	}
}

// pong makes sure that everything before was handled.
func (c *wsClient) pong() {
	c.t.Helper()
	c.say(`{"type":"ping"}`)
	c.expect(`{"type":"pong"}`)
}

// eventually waits for something that takes a moment.
func eventually(t testing.TB, is func() bool, what string) {
	t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s did not come", what)
		}
	}
}
