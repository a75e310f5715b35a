package distributedlock_test

import (
	"bufio"
	"io"
	"maps"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// proxy stands between a client and a node.
type proxy struct {
	url string
	// opened counts connections; late is how long what the node says is held back; deaf has no byte pass any more.
	opened atomic.Int64
	late   atomic.Int64
	deaf   atomic.Bool
	refuse atomic.Bool

	to       string
	listener net.Listener
	tasks    sync.WaitGroup
	mu       sync.Mutex
	conns    map[net.Conn]struct{}
}

func startProxy(t testing.TB, to string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{url: "http://" + l.Addr().String(), to: to, listener: l, conns: map[net.Conn]struct{}{}}
	p.tasks.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if p.refuse.Load() {
				_ = c.Close()
				continue
			}
			p.opened.Add(1)
			p.tasks.Go(func() { p.serve(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		p.cut()
		p.tasks.Wait()
	})
	return p
}

// cut ends all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
}

func (p *proxy) serve(c net.Conn) {
	s, err := net.Dial("tcp", p.to)
	if err != nil {
		_ = c.Close()
		return
	}
	p.mu.Lock()
	p.conns[c], p.conns[s] = struct{}{}, struct{}{}
	p.mu.Unlock()
	p.tasks.Go(func() { p.pipe(s, c, func() time.Duration { return 0 }) })
	p.pipe(c, s, func() time.Duration { return time.Duration(p.late.Load()) })
	p.mu.Lock()
	delete(p.conns, c)
	delete(p.conns, s)
	p.mu.Unlock()
}

// pipe carries bytes from one side to the other, each as late as late says when it comes.
func (p *proxy) pipe(to, from net.Conn, late func() time.Duration) {
	defer to.Close()
	defer from.Close()
	type piece struct {
		b  []byte
		at time.Time
	}
	pieces := make(chan piece, 10_000)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for b := range pieces {
			time.Sleep(time.Until(b.at))
			if !p.deaf.Load() {
				_, _ = to.Write(b.b)
			}
		}
	}()
	for {
		b := make([]byte, 32<<10)
		n, err := from.Read(b)
		if err != nil {
			break
		}
		pieces <- piece{b[:n], time.Now().Add(late())}
	}
	close(pieces)
	_ = to.Close()
	<-done
}

// startHTTPProxy is a proxy that knows HTTP and no WebSocket: it answers an upgrade with a status, or, for 0, never.
func startHTTPProxy(t testing.TB, to string, status int) *proxy {
	t.Helper()
	p := startProxy(t, to)
	inner := p.to
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			if status == 0 {
				select {
				case <-r.Context().Done():
				case <-stop:
				}
				return
			}
			w.WriteHeader(status)
			return
		}
		out := r.Clone(r.Context())
		out.RequestURI, out.URL.Scheme, out.URL.Host = "", "http", inner
		res, err := testHTTP.Transport.RoundTrip(out)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer res.Body.Close()
		maps.Copy(w.Header(), res.Header)
		w.WriteHeader(res.StatusCode)
		_, _ = io.Copy(w, bufio.NewReader(res.Body))
	})}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() {
		close(stop)
		_ = s.Close()
	})
	p.url = "http://" + l.Addr().String()
	return p
}
