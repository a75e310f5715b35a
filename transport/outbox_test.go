package transport

import (
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/gorilla/websocket"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"distributedlock/queue"
)

// tapped is a listener whose connections the test sees into.
type tapped struct {
	net.Listener
	writes atomic.Int64
	bytes  atomic.Int64
	// write, where set, is asked before each write but the handshake's: it says how much of it to let through, and what
	// to answer.
	write func(b []byte) (int, error)
}

type tap struct {
	net.Conn
	t    *tapped
	said atomic.Int64
}

func (l *tapped) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return &tap{Conn: conn, t: l}, err
}

func (c *tap) Write(b []byte) (int, error) {
	c.t.writes.Add(1)
	c.t.bytes.Add(int64(len(b)))
	if c.said.Add(1) == 1 || c.t.write == nil {
		return c.Conn.Write(b)
	}
	n, err := c.t.write(b)
	if n > 0 {
		if n, err := c.Conn.Write(b[:n]); err != nil {
			return n, err
		}
	}
	return n, err
}

func serveTapped(t testing.TB, locks Locks, opts Options) (*tapped, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tapped := &tapped{Listener: l}
	return tapped, serveOn(t, NewServer(New(locks, opts), opts), tapped)
}

func acquires(from, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = `{"type":"acquire","id":"` + strconv.Itoa(from+i) + `","lockName":"user:1","clientId":"c1"}`
	}
	return all
}

// TestGathering: what comes in one packet goes to the session together, and what is ready leaves together.
func TestGathering(t *testing.T) {
	fake := newFake()
	fake.script = func(s *fakeSession) { s.late = true }
	l, addr := serveTapped(t, fake, Options{})
	ws := connect(t, addr)
	session := <-fake.opened
	before := l.writes.Load()
	const n = 30 // fits into one read
	_, _ = ws.NetConn().Write((&batch{}).text(acquires(0, n)...).b)
	for i := range n {
		ws.expectLike(`{"type":"granted","id":"` + strconv.Itoa(i) + `"`)
	}
	if got := session.flushed(); got > 2 {
		t.Errorf("%d flushes for %d frames", got, n)
	}
	if got := l.writes.Load() - before; got > 10 {
		t.Errorf("%d writes for %d frames", got, n)
	}
}

// TestFramesReadyAreOneWrite: while a write is under way, all that becomes ready waits for one next write.
func TestFramesReadyAreOneWrite(t *testing.T) {
	fake := newFake()
	fake.script = func(s *fakeSession) {
		s.acquire = func(q *queue.Request) error { s.queue(q); return nil }
	}
	started, goOn := make(chan struct{}, 100), make(chan struct{}, 100)
	l, addr := serveTapped(t, fake, Options{})
	l.write = func(b []byte) (int, error) {
		started <- struct{}{}
		<-goOn
		return len(b), nil
	}
	ws := connect(t, addr)
	session := <-fake.opened
	q := &queue.Request{Name: "a", ID: "r", Frame: "1"}
	session.l.Moved(q, 100)
	receive(t, started, "the first write")
	for i := range 50 {
		session.l.Moved(q, 50-i)
	}
	goOn <- struct{}{}
	receive(t, started, "the second write")
	goOn <- struct{}{}
	for range 51 {
		ws.expectLike(`{"type":"position"`)
	}
	if got := l.writes.Load(); got != 3 { // with the handshake's
		t.Errorf("%d writes", got)
	}
	close(goOn)
}

func TestTenThousandFramesAtOnce(t *testing.T) {
	const n = 10_000
	fake := newFake()
	fake.script = func(s *fakeSession) { s.late = true }
	ws := connect(t, serve(t, fake, Options{}))
	_ = ws.SetReadDeadline(time.Now().Add(60 * time.Second))
	go func() { _, _ = ws.NetConn().Write((&batch{}).text(acquires(0, n)...).b) }()
	for i := range n {
		_, b, err := ws.ReadMessage()
		if err != nil {
			t.Fatal(i, err)
		}
		if !strings.HasPrefix(string(b), `{"type":"granted","id":"`+strconv.Itoa(i)+`",`) {
			t.Fatalf("%d: %s", i, b)
		}
	}
}

// A client that sends all before it reads anything is slowed down rather than cut off: its own answers are no reason to.
func TestAClientThatReadsLate(t *testing.T) {
	const n = 10_000 // 4 MB of answers, with an outbox of 64 KiB
	fake := newFake()
	ws := connect(t, serve(t, fake, Options{OutLimit: 64 << 10}))
	_ = ws.SetReadDeadline(time.Now().Add(60 * time.Second))
	sent := make(chan error, 1)
	go func() {
		_, err := ws.NetConn().Write((&batch{}).text(acquires(0, n)...).b)
		sent <- err
	}()
	select { // either all is in the buffers of the kernel, or the server waits for us
	case <-sent:
	case <-time.After(300 * time.Millisecond):
	}
	for i := range n {
		if _, b, err := ws.ReadMessage(); err != nil || !strings.HasPrefix(string(b), `{"type":"granted"`) {
			t.Fatal(i, err)
		}
	}
}

var errBroken = errors.New("the connection broke")

// TestUndelivered: grants that surely never reached the client are given back, others are not.
func TestUndelivered(t *testing.T) {
	for name, c := range map[string]struct {
		// n is how much of the second write gets through, of two frames of some 350 bytes each.
		n    int
		err  error
		want string
	}{
		"nothing written":           {0, errBroken, "2 3 4"},
		"half of the second":        {500, errBroken, "3 4"},
		"the first, but for a byte": {1, errBroken, "2 3 4"},
	} {
		t.Run(name, func(t *testing.T) {
			fake := newFake()
			fake.script = func(s *fakeSession) { s.acquire = func(q *queue.Request) error { s.queue(q); return nil } }
			l, addr := serveTapped(t, fake, Options{})
			started, goOn := make(chan int, 100), make(chan struct{}, 100)
			turn := 0
			l.write = func(b []byte) (int, error) {
				turn++
				started <- turn
				<-goOn
				if turn == 1 {
					return len(b), nil
				}
				return c.n, c.err
			}
			ws := connect(t, addr)
			session := <-fake.opened
			ws.say(acquires(1, 4)...)
			eventually(t, func() bool { return session.Uses("4") }, "the requests")
			one, two, three, four := session.request("1"), session.request("2"), session.request("3"), session.request("4")
			session.grant(one, 0)
			receive(t, started, "the first write")
			session.grant(two, 0)
			session.grant(three, 0)
			goOn <- struct{}{}
			receive(t, started, "the second write")
			session.grant(four, 0)
			goOn <- struct{}{}
			var ids []string
			for _, q := range receive(t, session.closed, "the end of the session") {
				ids = append(ids, q.Frame)
			}
			if got := strings.Join(ids, " "); !sameWords(got, c.want) {
				t.Errorf("given back: %s; want %s", got, c.want)
			}
			close(goOn)
		})
	}
}

func sameWords(a, b string) bool {
	for w := range strings.FieldsSeq(a) {
		if !strings.Contains(b, w) {
			return false
		}
	}
	return len(strings.Fields(a)) == len(strings.Fields(b))
}

// A client that closes takes no more: what is queued for it then is given back.
func TestAGrantAfterTheClientsCloseIsGivenBack(t *testing.T) {
	fake := newFake()
	fake.script = func(s *fakeSession) { s.acquire = func(q *queue.Request) error { s.queue(q); return nil } }
	l, addr := serveTapped(t, fake, Options{})
	started, goOn := make(chan struct{}, 100), make(chan struct{}, 100)
	l.write = func(b []byte) (int, error) {
		started <- struct{}{}
		<-goOn
		return len(b), nil
	}
	ws := connect(t, addr)
	session := <-fake.opened
	ws.say(acquires(1, 3)...)
	eventually(t, func() bool { return session.Uses("3") }, "the requests")
	one, two, three := session.request("1"), session.request("2"), session.request("3")
	session.grant(one, 0)
	receive(t, started, "the first write")
	session.grant(two, 0)
	_ = ws.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""))
	conn := session.l.(*conn)
	eventually(t, func() bool { return conn.out.ends() != nil }, "the client's close")
	session.grant(three, 0)
	close(goOn)
	ws.expectLike(`{"type":"granted","id":"1"`)
	ws.expectClose(websocket.CloseNormalClosure)
	if lost := receive(t, session.closed, "the end of the session"); len(lost) != 2 || lost[0] != two || lost[1] != three {
		t.Errorf("given back: %v", lost)
	}
}

// A session that goes on elsewhere gives nothing back: its client was told of it all there.
func TestASupersededSessionGivesNothingBack(t *testing.T) {
	fake := newFake()
	ws := connect(t, serve(t, fake, Options{}))
	session := <-fake.opened
	session.l.Superseded()
	session.l.Granted(&queue.Request{}, &queue.Grant{}, 0)
	ws.expectClose(websocket.CloseNormalClosure)
	if lost := receive(t, session.closed, "the end of the session"); lost != nil {
		t.Errorf("given back: %v", lost)
	}
}

// TestSlowReaders: a client that reads nothing is cut off with 4408. It costs the others nothing, and no memory beyond
// its outbox.
func TestSlowReaders(t *testing.T) {
	core, logs := observer.New(zap.InfoLevel)
	set := metrics.NewSet()
	fake := newFake()
	addr := serve(t, fake, Options{OutLimit: 256 << 10, Metrics: set, Logger: zap.New(core)})
	slow := connect(t, addr)
	session := <-fake.opened
	good := connect(t, addr)
	for _, ws := range []*wsClient{slow, good} {
		ws.say(`{"type":"subscribe","id":"1","locks":["*"]}`)
		ws.expectLike(`{"type":"subscribed"`)
	}
	first, second := <-fake.watched, <-fake.watched
	var got atomic.Int64
	var reading sync.WaitGroup
	reading.Go(func() {
		for {
			if _, _, err := good.ReadMessage(); err != nil {
				return
			}
			got.Add(1)
		}
	})
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	e := someEvent("force_released")
	e.Reason = strings.Repeat("x", 1000)
	sent, slowest := int64(0), time.Duration(0)
	for conn := session.l.(*conn); conn.out.ends() == nil; sent++ {
		e.Seq++
		began := time.Now()
		first.event(e)
		second.event(e)
		slowest = max(slowest, time.Since(began))
		if sent > 100_000 {
			t.Fatal("100 MB are buffered")
		}
		for sent-got.Load() > 100 { // the good one keeps up
			runtime.Gosched()
		}
	}
	eventually(t, func() bool { return got.Load() >= sent }, "the last event of the other connection")
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 4<<20 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
	if slowest > time.Second {
		t.Errorf("an event took %s to be told", slowest)
	}
	// It reads again, in time to learn why.
	for n := 0; ; n++ {
		if _, _, err := slow.ReadMessage(); err != nil {
			if !websocket.IsCloseError(err, closeSlow) {
				t.Errorf("after %d frames: %v", n, err)
			}
			break
		}
	}
	receive(t, session.closed, "the end of the slow one's session")
	eventually(t, func() bool { return strings.Contains(metricsOf(set), "distributed_locks_ws_slow_closed_total 1\n") }, "the count")
	eventually(t, func() bool { return logs.FilterMessage("websocket closed").Len() == 1 }, "the log line")
	if told := second.event(e); !told {
		t.Error("the other connection ended too")
	}
	_ = good.Close()
	reading.Wait()
}

// One that never reads again is cut off without a word.
func TestReadersThatNeverRead(t *testing.T) {
	t.Parallel()
	fake := newFake()
	set := metrics.NewSet()
	ws := connect(t, serve(t, fake, Options{OutLimit: 16 << 10, Metrics: set}))
	ws.say(`{"type":"subscribe","id":"1","locks":["*"]}`)
	ws.expectLike(`{"type":"subscribed"`)
	w, session := <-fake.watched, <-fake.opened
	e := someEvent("force_released")
	e.Reason = strings.Repeat("x", 1000)
	conn := session.l.(*conn)
	queued := func() int {
		conn.out.mu.Lock()
		defer conn.out.mu.Unlock()
		return conn.out.size
	}
	for full := false; conn.out.ends() == nil; {
		w.event(e)
		for end := time.Now().Add(300 * time.Millisecond); !full && queued() > 0; runtime.Gosched() {
			full = time.Now().After(end) // the kernel takes no more
		}
	}
	began := time.Now()
	receive(t, session.closed, "the end of the session")
	if took := time.Since(began); took < slowTimeout-time.Second || took > slowTimeout+2*time.Second {
		t.Errorf("it took %s", took)
	}
	eventually(t, func() bool { return strings.Contains(metricsOf(set), "distributed_locks_ws_slow_closed_total 1\n") }, "the count")
	if _, err := io.Copy(io.Discard, ws.NetConn()); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the connection is left open")
	}
}

// TestHeartbeat: a client that answers pings stays, one that does not is gone.
func TestHeartbeat(t *testing.T) {
	core, logs := observer.New(zap.DebugLevel)
	fake := newFake()
	addr := serve(t, fake, Options{Heartbeat: 100 * time.Millisecond, Logger: zap.New(core)})
	good := connect(t, addr)
	alive := <-fake.opened
	pings := make(chan string, 1000)
	answer := good.PingHandler()
	good.SetPingHandler(func(payload string) error {
		pings <- payload
		return answer(payload)
	})
	go func() {
		for {
			if _, _, err := good.ReadMessage(); err != nil {
				return
			}
		}
	}()
	dead := connect(t, addr)
	began := time.Now()
	receive(t, (<-fake.opened).closed, "the end of the dead one")
	if took := time.Since(began); took < 150*time.Millisecond || took > 2*time.Second {
		t.Errorf("it was found after %s", took)
	}
	for range 8 {
		receive(t, pings, "a ping")
	}
	if len(alive.closed) > 0 {
		t.Error("the one that answers is gone too")
	}
	found := func() int {
		n := 0
		for _, line := range logs.FilterMessage("websocket closed").All() {
			if line.ContextMap()["why"] == "no pong" {
				n++
			}
		}
		return n
	}
	eventually(t, func() bool { return found() == 1 }, "the log line")
	_ = dead.Close()
}
