package service

import (
	"context"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"distributedlock/queue"
)

// spy listens to the events of all partitions.
type spy struct {
	f     *fleet
	plain rueidis.Client
	// channel is its own, on which it hears itself.
	channel string
	turn    sync.Mutex
	synced  chan struct{}

	mu      sync.Mutex
	entered map[string]int64
}

func (f *fleet) spy() *spy {
	f.t.Helper()
	s := &spy{f: f, plain: f.plain(), channel: "test:" + queue.NewSecret(), synced: make(chan struct{}, 1), entered: map[string]int64{}}
	c := f.plain()
	conn, release := c.Dedicate()
	lost := conn.SetPubSubHooks(rueidis.PubSubHooks{OnMessage: s.hear})
	if err := conn.Do(context.Background(), conn.B().Psubscribe().Pattern("dl:{*}:events", s.channel).Build()).Error(); err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() {
		release()
		c.Close()
		<-lost
	})
	return s
}

// hear notes the sequence of requests as they first entered a line, which is that of their tickets: an event is lines,
// its kind, lock, token, time, client, owner and sequence first.
func (s *spy) hear(m rueidis.PubSubMessage) {
	if m.Channel == s.channel {
		s.synced <- struct{}{}
		return
	}
	e := strings.Split(m.Message, "\n")
	if len(e) < 7 || e[0] != "queued" {
		return
	}
	if n, err := strconv.ParseInt(e[6], 10, 64); err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		if key := e[1] + "\n" + e[4]; s.entered[key] == 0 {
			s.entered[key] = n
		}
	}
}

// sync waits until all events so far have been heard.
func (s *spy) sync() {
	s.turn.Lock()
	defer s.turn.Unlock()
	s.f.do(s.plain, "PUBLISH", s.channel, "")
	select {
	case <-s.synced:
	case <-time.After(10 * time.Second):
		s.f.t.Error("the events are not heard")
	}
}

// ticket is what a client's request last got as it entered a lock's line, 0 for one that never waited.
func (s *spy) ticket(name, client string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.entered[name+"\n"+client]
}

// proxy stands between a node and Redis, and can lose answers.
type proxy struct {
	listener net.Listener
	network  string
	target   string
	wg       sync.WaitGroup
	// lose counts how many more answers get lost, each with its connection: answers to scripts that speak of a lock.
	lose atomic.Int32
	lost atomic.Int32
	lock string

	mu    sync.Mutex
	conns map[net.Conn]bool
}

// newProxy makes a proxy that can lose answers about a lock.
func newProxy(t testing.TB, f *fleet, lock string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, network: f.redis.Network(), target: f.redis.Addr(), lock: lock, conns: map[net.Conn]bool{}}
	p.wg.Go(p.accept)
	t.Cleanup(func() {
		_ = l.Close()
		p.cut()
		p.wg.Wait()
	})
	return p
}

// through has a node reach Redis by the proxy.
func (p *proxy) through(o *queue.Options) { o.Redis = queue.At("tcp", p.listener.Addr().String()) }

func (p *proxy) accept() {
	for {
		near, err := p.listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial(p.network, p.target)
		if err != nil {
			_ = near.Close()
			continue
		}
		p.mu.Lock()
		p.conns[near], p.conns[far] = true, true
		p.mu.Unlock()
		var asked atomic.Bool
		p.wg.Go(func() {
			p.pump(far, near, func(b []byte) bool {
				asked.Store(strings.Contains(string(b), "EVAL") && strings.Contains(string(b), p.lock))
				return true
			})
		})
		p.wg.Go(func() { p.pump(near, far, func([]byte) bool { return !asked.Load() || !p.take() }) })
	}
}

// take uses up one loss.
func (p *proxy) take() bool {
	for {
		n := p.lose.Load()
		if n <= 0 {
			return false
		}
		if p.lose.CompareAndSwap(n, n-1) {
			p.lost.Add(1)
			return true
		}
	}
}

// pump carries bytes until pass says no, which ends the connection.
func (p *proxy) pump(to, from net.Conn, pass func([]byte) bool) {
	defer func() {
		_, _ = to.Close(), from.Close()
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.conns, to)
		delete(p.conns, from)
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 && !pass(buf[:n]) {
			return
		}
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// cut ends all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
}
