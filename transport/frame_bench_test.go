package transport

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"distributedlock/queue"
	"distributedlock/transport/frametest"
)

// loose is a connection without a network.
func loose(s *server) *conn {
	a, b := net.Pipe()
	_ = b.Close()
	c := &conn{s: s, who: principal{role: admin}, net: &gathered{Conn: a}}
	c.out.init(1<<30, c.net)
	c.life, c.die = context.WithCancel(context.Background())
	c.session = s.locks.Open(c)
	return c
}

// told takes what the client would be told.
func (c *conn) told() (frames []string) {
	t := c.out.take()
	if t.buf == nil {
		return nil
	}
	for b := []byte(t.buf.b); len(b) > 0; {
		n := int(binary.BigEndian.Uint32(b)&^carriesGrant) + lengthBytes
		frames = append(frames, string(b[lengthBytes:n]))
		b = b[n:]
	}
	c.out.wrote(len(t.buf.b))
	t.buf.free()
	return frames
}

// FuzzFrame: whatever a frame is, it is answered once, with a frame that the service may send and with its own id; or
// it closes the connection, and then is no JSON object.
func FuzzFrame(f *testing.F) {
	for _, e := range []string{`{"type":"hello","clientId":"c"}`, `{"type":"acquire","id":"1","lockName":"a","clientId":"c","timeout":1,"metadata":{"a":[1]}}`,
		`{"type":"release","id":"1","lockName":"a","clientId":"c","lockId":"l"}`, `{"type":"renew","id":"1","lockName":"a","clientId":"c","renewalToken":"t"}`,
		`{"type":"cancel","id":"1","target":"2"}`, `{"type":"subscribe","id":"1","locks":["a","b*","*"],"events":["granted"]}`, `{"type":"unsubscribe","id":"1","subscription":"s1"}`,
		`{"type":"ping","id":"\u00fc"}`, `{"type":"ping","id":"\ud800"}`, `{"type":"pi\u006eg","id":null}`, `[]`, `{}`, ``, `{"type":"subscribe","locks":[[],{},"]"]}`,
		`{"type":"ping","id":"a","id":"b"}`, "{\"type\":\"\xff\"}", ` {"type" : "ping" } `, `{"":{"type":"ping"}}`} {
		f.Add([]byte(e))
	}
	s := newServer(quiet{newFake()}, Options{Node: "n"})
	f.Fuzz(func(t *testing.T, body []byte) {
		c := loose(s)
		defer c.die()
		c.handle(body)
		told := c.told()
		object := json.Valid(body) && utf8.Valid(body) && strings.HasPrefix(strings.TrimLeft(string(body), " \t\r\n"), "{")
		if end := c.out.ends(); end != nil || !object {
			if object || end == nil || end.code != closeBadFrame || len(told) > 0 {
				t.Fatalf("%q: %+v %q", body, end, told)
			}
			return
		}
		if len(told) != 1 {
			t.Fatalf("%q: told %q", body, told)
		}
		frametest.Server(t, []byte(told[0]))
		var asked, answer struct{ Type, ID string }
		if json.Unmarshal([]byte(told[0]), &answer) != nil || answer.Type != "error" && (json.Unmarshal(body, &asked) != nil || asked.ID != answer.ID) {
			t.Fatalf("%q: told %q", body, told)
		}
	})
}

// quiet opens sessions and watches that nobody looks at.
type quiet struct{ *fakeLocks }

func (quiet) Open(l Listener) Session {
	return &fakeSession{l: l, under: map[string]*queue.Request{}, closed: make(chan []*queue.Request, 1)}
}

func (quiet) Watch(context.Context, []string, []string, func(*queue.Event)) (func(), error) {
	return func() {}, nil
}

// granting grants everything and does nothing else.
type granting struct {
	*fakeSession
	g queue.Grant
}

func (s *granting) Uses(string) bool { return false }
func (s *granting) Acquire(q *queue.Request) error {
	q.ID, q.LockID, q.RenewalToken = "5f0e8d3c1b2a49788796a5b4c3d2e1f0", "kR3vT9qLx0YzB1nM5pWcDg", "Zt7HjU2eXv8QaS4oKf6LmN"
	s.g = grantOf(q)
	s.l.Granted(q, &s.g, 0)
	return nil
}
func (s *granting) Release(_, _, _ string, done func(time.Duration, error)) {
	done(1500*time.Microsecond, nil)
}

const (
	acquireFrame = `{"type":"acquire","id":"a17","lockName":"user:123","clientId":"client-1","timeout":30,"waitTimeout":60}`
	releaseFrame = `{"type":"release","id":"r17","lockName":"user:123","clientId":"client-1","lockId":"kR3vT9qLx0YzB1nM5pWcDg"}`
)

// BenchmarkFrame is the decoding of a frame and the encoding of its answer.
func BenchmarkFrame(b *testing.B) {
	for name, frame := range map[string]string{"acquire": acquireFrame, "release": releaseFrame, "ping": `{"type":"ping","id":"p17"}`} {
		b.Run(name, func(b *testing.B) {
			c := loose(newServer(quiet{newFake()}, Options{}))
			defer c.die()
			c.session = &granting{fakeSession: &fakeSession{l: c}}
			body := []byte(frame)
			b.ReportAllocs()
			for b.Loop() {
				c.handle(body)
				t := c.out.take()
				c.out.wrote(t.size())
				t.buf.free()
			}
		})
	}
}

// BenchmarkEvent is one event told to 5,000 subscribers; ns/event-subscriber is what each costs.
func BenchmarkEvent(b *testing.B) {
	const subscribers = 5000
	s := newServer(quiet{newFake()}, Options{})
	conns := make([]*conn, subscribers)
	sub := &subscription{id: "s1", kinds: anyKind, live: true}
	for i := range conns {
		conns[i] = loose(s)
		defer conns[i].die()
	}
	e := someEvent("granted")
	b.ReportAllocs()
	for b.Loop() {
		e.Seq++
		for _, c := range conns {
			c.event(sub, e)
		}
		b.StopTimer()
		for _, c := range conns {
			t := c.out.take()
			c.out.wrote(t.size())
			t.buf.free()
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/subscribers, "ns/event-subscriber")
}

// BenchmarkCycleWS is BenchmarkCycle over WebSockets: one acquire and one release, one after the other, on each of
// several connections; and 32 at a time.
func BenchmarkCycleWS(b *testing.B) {
	for name, together := range map[string]int{"one": 1, "32-together": 32} {
		b.Run(name, func(b *testing.B) {
			addr := serveHandler(b, NewServer(New(grantingLocks{newFake()}, Options{}), Options{}))
			var acquire, release batch
			for range together {
				acquire.text(acquireFrame)
				release.text(releaseFrame)
			}
			b.ReportAllocs()
			before := cpuTime()
			b.SetParallelism(8)
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				ws, _, err := dialWS(addr)
				if err != nil {
					b.Error(err)
					return
				}
				defer ws.Close()
				conn := ws.NetConn()
				r := bufio.NewReaderSize(conn, 32<<10)
				for n := 0; pb.Next(); n++ {
					if n%together != 0 {
						continue
					}
					for _, w := range []*batch{&acquire, &release} {
						_, _ = conn.Write(w.b)
						for range together {
							skipFrame(b, r)
						}
					}
				}
			})
			b.StopTimer()
			b.ReportMetric(float64(cpuTime()-before)/1e3/float64(b.N), "cpu-µs/op")
		})
	}
}

type grantingLocks struct{ *fakeLocks }

func (grantingLocks) Open(l Listener) Session {
	return &granting{fakeSession: &fakeSession{l: l, closed: make(chan []*queue.Request, 1)}}
}

func skipFrame(b *testing.B, r *bufio.Reader) {
	head, err := r.Peek(4)
	if err != nil {
		b.Fatal(err)
	}
	n := int(head[1]) + 2
	if head[1] == 126 {
		n = int(head[2])<<8 + int(head[3]) + 4
	}
	if _, err := r.Discard(n); err != nil {
		b.Fatal(err)
	}
}

// TestIdleConnectionsAreCheap: 10,000 of them must fit into little memory. The test's own ends are bare sockets.
func TestIdleConnectionsAreCheap(t *testing.T) {
	const n = 500
	addr := serve(t, newFake(), Options{})
	used := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc + m.StackInuse
	}
	before := used()
	buf := make([]byte, 4096)
	for range n {
		conn := dial(t, addr)
		_, _ = io.WriteString(conn, "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"+
			"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
		// What a busy one used once, an idle one must have given back.
		_, _ = conn.Read(buf)
		_, _ = conn.Write((&batch{}).text(strings.Repeat(" ", 20<<10)+`{"type":"ping"}`, acquireFrame, `{"type":"subscribe","id":"1","locks":["*"]}`).b)
		for got := 0; !strings.Contains(string(buf[max(0, got-100):got]), "subscribed"); {
			m, err := conn.Read(buf[got:])
			if err != nil {
				t.Fatal(err)
			}
			got += m
		}
	}
	each := (used() - before) / n
	t.Logf("%d bytes each", each)
	if each > 32<<10 {
		t.Errorf("a connection costs %d bytes", each)
	}
}
