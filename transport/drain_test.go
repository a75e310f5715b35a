package transport

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"distributedlock/queue"
)

// TestDrain is its order: the word, the answers to what is under way, the close; and nobody new meanwhile.
func TestDrain(t *testing.T) {
	fake := newFake()
	h := New(fake, Options{})
	addr := serveHandler(t, NewServer(h, Options{}))
	fake.script = func(s *fakeSession) { s.acquire = func(q *queue.Request) error { s.queue(q); return nil } }
	ws := connect(t, addr)
	session := <-fake.opened
	idle := connect(t, addr)
	idle.pong()
	ws.say(acquires(1, 1)...)
	ws.pong()
	over := make(chan time.Duration, 1)
	go func() {
		began := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		h.Drain(ctx)
		over <- time.Since(began)
	}()
	ws.expect(`{"type":"draining"}`)
	refused(t, addr, 503, "draining")
	session.l.Failed(session.request("1"), queue.ErrDraining)
	ws.say(`{"type":"release","id":"2","lockName":"a","clientId":"c","lockId":"l"}`)
	ws.expectLike(`{"type":"error","id":"1","code":"draining"`, `"retryAfter":1`)
	ws.expectLike(`{"type":"released","id":"2"`)
	ws.expectClose(websocket.CloseGoingAway)
	idle.expect(`{"type":"draining"}`)
	idle.expectClose(websocket.CloseGoingAway)
	if took := receive(t, over, "the end of the drain"); took < drainGrace || took > drainGrace+goodbye {
		t.Errorf("it took %s", took)
	}
	receive(t, session.closed, "the end of the session")
	if a := ask(t, http.MethodGet, "http://"+addr+"/livez", ""); a.status != 200 {
		t.Error("the rest of the service is gone too")
	}
}

func TestDrainWithoutConnections(t *testing.T) {
	h := New(newFake(), Options{})
	began := time.Now()
	h.Drain(context.Background())
	h.Close()
	if took := time.Since(began); took > drainGrace/2 {
		t.Errorf("it took %s", took)
	}
}

// Where the clients leave by themselves, a drain is over at once.
func TestDrainEndsWithTheLastConnection(t *testing.T) {
	h := New(newFake(), Options{})
	ws := connect(t, serveHandler(t, NewServer(h, Options{})))
	ws.pong()
	over := make(chan struct{})
	began := time.Now()
	go func() {
		defer close(over)
		h.Drain(context.Background())
	}()
	ws.expect(`{"type":"draining"}`)
	_ = ws.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""))
	ws.expectClose(websocket.CloseNormalClosure)
	receive(t, over, "the end of the drain")
	if took := time.Since(began); took > drainGrace {
		t.Errorf("it took %s", took)
	}
}

// Clients that do not answer the close are cut off when the time is up, and so is one whose hello hangs.
func TestDrainThatRunsOutOfTime(t *testing.T) {
	fake := newFake()
	hanging := make(chan struct{}, 1)
	fake.script = func(s *fakeSession) {
		s.name = func(ctx context.Context, _, _ string) (string, bool, error) {
			hanging <- struct{}{}
			<-ctx.Done()
			return "", false, ctx.Err()
		}
	}
	h := New(fake, Options{})
	addr := serveHandler(t, NewServer(h, Options{}))
	silent, hung := connect(t, addr), connect(t, addr)
	silent.pong()
	hung.say(`{"type":"hello","clientId":"c"}`)
	receive(t, hanging, "the hello")
	ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
	defer cancel()
	began := time.Now()
	h.Drain(ctx)
	if took := time.Since(began); took < time.Second || took > 3*time.Second {
		t.Errorf("it took %s", took)
	}
	for range 2 {
		receive(t, (<-fake.opened).closed, "the end of a session")
	}
	if n := len(h.s.conns.all()); n > 0 {
		t.Errorf("%d connections are left", n)
	}
}

// A hello that Redis does not answer holds the connection up for its own time only, and may be said again.
func TestAHelloThatHangs(t *testing.T) {
	t.Parallel()
	fake := newFake()
	tries := 0
	fake.script = func(s *fakeSession) {
		if tries++; tries > 1 {
			return
		}
		s.name = func(ctx context.Context, _, _ string) (string, bool, error) {
			<-ctx.Done()
			return "", false, ctx.Err()
		}
	}
	ws := connect(t, serve(t, fake, Options{Heartbeat: time.Second}))
	ws.say(`{"type":"hello","clientId":"c"}`, `{"type":"hello","clientId":"c"}`)
	ws.expectLike(`{"type":"error","code":"unavailable"`)
	ws.expectLike(`{"type":"welcome"`)
	if tries != 2 {
		t.Errorf("%d sessions", tries)
	}
}

// TestCutsAndCloses: whatever ends first, it ends once.
func TestCutsAndCloses(t *testing.T) {
	fake := newFake()
	h := New(fake, Options{})
	addr := serveHandler(t, NewServer(h, Options{}))
	for range 20 {
		ws := connect(t, addr)
		session := <-fake.opened
		c := session.l.(*conn)
		go c.closeAway()
		go c.cut("a test")
		go c.Superseded()
		go func() { _ = ws.Close() }()
		receive(t, session.closed, "the end of the session")
	}
	eventually(t, func() bool { return len(h.s.conns.all()) == 0 }, "the end of all connections")
}

// A text that a close frame cannot take is cut at a character.
func TestLongReasons(t *testing.T) {
	fake := newFake()
	ws := connect(t, serve(t, fake, Options{}))
	(<-fake.opened).l.(*conn).close(closeBadFrame, "x"+strings.Repeat("ü", 100), "a test")
	_, _, err := ws.ReadMessage()
	if err == nil || !strings.HasSuffix(err.Error(), "üü…") {
		t.Error(err)
	}
}

// What a hello caused while the connection was about to end is given back.
func TestAGrantHeldBackAtTheEndIsGivenBack(t *testing.T) {
	fake := newFake()
	told, goOn := make(chan struct{}), make(chan struct{})
	fake.script = func(s *fakeSession) {
		s.name = func(context.Context, string, string) (string, bool, error) {
			q := &queue.Request{Name: "a", ID: "r", Frame: "1"}
			g := grantOf(q)
			s.l.Granted(q, &g, 0)
			close(told)
			<-goOn
			return "new", true, nil
		}
	}
	ws := connect(t, serve(t, fake, Options{}))
	ws.say(`{"type":"hello","clientId":"c","session":"old"}`)
	session := <-fake.opened
	receive(t, told, "the grant")
	session.l.(*conn).closeAway()
	ws.expectClose(websocket.CloseGoingAway)
	close(goOn)
	if lost := receive(t, session.closed, "the end of the session"); len(lost) != 1 || lost[0].ID != "r" {
		t.Errorf("given back: %v", lost)
	}
}

// A handshake under way as the drain begins succeeds, and ends at once.
func TestAHandshakeDuringADrain(t *testing.T) {
	fake := newFake()
	h := New(fake, Options{})
	fake.script = func(*fakeSession) { h.s.conns.refuse() }
	ws := connect(t, serveHandler(t, NewServer(h, Options{})))
	ws.expect(`{"type":"draining"}`)
	ws.expectClose(websocket.CloseGoingAway)
	receive(t, (<-fake.opened).closed, "the end of the session")
}
