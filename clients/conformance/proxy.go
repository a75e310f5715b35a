package main

import (
	"bytes"
	"errors"
	"net"
	"sync"
	"time"
)

// A proxy stands between one client and one node, and does to their connections what a case asks for.
type proxy struct {
	listener net.Listener
	target   string

	mu      sync.Mutex
	pairs   map[*pair]struct{}
	opened  int           // connections taken since the start
	sockets int           // of them, those that asked for a WebSocket
	mode    string        // "", mute, refuse, no-websocket
	up      time.Duration // how long what the client sends is on its way
	down    time.Duration // and what the node sends
	news    chan struct{} // closed and made anew when the mode changes
	wg      sync.WaitGroup
}

// A pair is a connection of the client and the one to the node that belongs to it.
type pair struct{ client, node net.Conn }

func (p *pair) close() {
	_ = p.client.Close()
	_ = p.node.Close()
}

func newProxy(target, mode string) (*proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // at once
	if err != nil {
		return nil, err
	}
	p := &proxy{listener: l, target: target, mode: mode, pairs: map[*pair]struct{}{}, news: make(chan struct{})}
	p.wg.Go(p.serve)
	return p, nil
}

func (p *proxy) url() string { return "http://" + p.listener.Addr().String() }

func (p *proxy) serve() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		refuse := p.mode == "refuse"
		p.mu.Unlock()
		var n net.Conn
		if !refuse {
			n, err = net.Dial("tcp", p.target) //nolint:noctx // on this machine: at once
		}
		if refuse || err != nil {
			_ = c.Close()
			continue
		}
		both := &pair{client: c, node: n}
		p.mu.Lock()
		p.pairs[both] = struct{}{}
		p.opened++
		p.mu.Unlock()
		p.wg.Go(func() { p.pump(both, c, n, true) })
		p.wg.Go(func() { p.pump(both, n, c, false) })
	}
}

// A chunk is what was read at once, and when it may go on.
type chunk struct {
	data []byte
	due  time.Time
}

// pump carries one direction of a pair. Reading goes on while earlier chunks are on their way, so that a delay is one
// and no slow line.
func (p *proxy) pump(both *pair, from, to net.Conn, up bool) {
	chunks := make(chan chunk, 1024)
	p.wg.Go(func() {
		for c := range chunks {
			time.Sleep(time.Until(c.due))
			p.awaitSound()
			if _, err := to.Write(c.data); err != nil {
				_ = from.Close()
			}
		}
		p.drop(both)
	})
	defer close(chunks)
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			data := bytes.Clone(buf[:n])
			if up && bytes.HasPrefix(data, []byte("GET /ws")) && !p.mayUpgrade(both) {
				return
			}
			chunks <- chunk{data, time.Now().Add(p.delay(up))}
		}
		if err != nil {
			return
		}
	}
}

// mayUpgrade counts a WebSocket's handshake, and answers it as a proxy does that knows no WebSockets if that is asked
// for.
func (p *proxy) mayUpgrade(both *pair) bool {
	p.mu.Lock()
	no := p.mode == "no-websocket"
	if !no {
		p.sockets++
	}
	p.mu.Unlock()
	if !no {
		return true
	}
	const answer = "HTTP/1.1 501 Not Implemented\r\nContent-Type: text/plain\r\nContent-Length: 24\r\nConnection: close\r\n\r\nno upgrades pass here.\r\n"
	_, _ = both.client.Write([]byte(answer))
	return false
}

func (p *proxy) delay(up bool) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if up {
		return p.up
	}
	return p.down
}

// awaitSound returns when the line is not mute.
func (p *proxy) awaitSound() {
	for {
		p.mu.Lock()
		mute, news := p.mode == "mute", p.news
		p.mu.Unlock()
		if !mute {
			return
		}
		<-news
	}
}

func (p *proxy) drop(both *pair) {
	both.close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.pairs, both)
}

// set changes the mode: mute lets nothing through and closes nothing, refuse takes no new connections.
func (p *proxy) set(mode string, up, down time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mode, p.up, p.down = mode, up, down
	close(p.news)
	p.news = make(chan struct{})
}

// cut closes all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for both := range p.pairs {
		both.close()
	}
}

// counts says how many connections there are, were ever, and how many of these were WebSockets.
func (p *proxy) counts() (live, opened, sockets int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.pairs), p.opened, p.sockets
}

func (p *proxy) end() error {
	err := p.listener.Close()
	p.set("", 0, 0)
	p.cut()
	p.wg.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
