package main

import (
	"bufio"
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// mode is what a proxy does to what passes.
type mode int32

const (
	pass  mode = iota
	delay      // each piece is on its way for a while, in both directions
	drop       // what the server answers is lost
	hole       // nothing passes; the connections stay
	slow       // the client reads some 10 kB/s
	mute       // messages of Redis's pub/sub are lost, but for the pings to itself by which a node knows that it hears
	deaf       // and these too
)

// proxy stands between some clients and a server, on a port of its own.
type proxy struct {
	listener net.Listener
	target   string
	// redis is whether what passes is Redis's protocol, of which mute and deaf take single messages out.
	redis bool

	dropped atomic.Int64 // messages that mute and deaf took out

	mu      sync.Mutex
	mode    mode
	lag     time.Duration
	news    chan struct{} // closed, and made anew, when the mode changes
	pairs   map[*pair]struct{}
	tainted bool // something was lost on the way: no connection of now can go on
	wg      sync.WaitGroup
}

// pair is a client's connection, and the one to the server that belongs to it.
type pair struct{ client, server net.Conn }

func (p *pair) close() {
	_ = p.client.Close()
	_ = p.server.Close()
}

func newProxy(ctx context.Context, target string, redis bool) (*proxy, error) {
	addr, err := freeAddr(ctx)
	if err != nil {
		return nil, err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	p := &proxy{listener: l, target: target, redis: redis, news: make(chan struct{}), pairs: map[*pair]struct{}{}}
	p.wg.Go(p.serve)
	return p, nil
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

func (p *proxy) serve() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		s, err := net.DialTimeout("tcp", p.target, time.Second) //nolint:noctx // on this machine: at once
		if err != nil {
			_ = c.Close()
			continue
		}
		both := &pair{c, s}
		p.mu.Lock()
		p.pairs[both] = struct{}{}
		p.mu.Unlock()
		p.wg.Go(func() { p.up(both) })
		p.wg.Go(func() { p.down(both) })
	}
}

// set changes the mode. What was held back goes on its way where the new one lets it; where something was lost, the
// connections break, as no network loses a part of a connection and goes on with it.
func (p *proxy) set(m mode, lag time.Duration) {
	p.mu.Lock()
	p.mode, p.lag = m, lag
	close(p.news)
	p.news = make(chan struct{})
	cut := p.tainted && m != drop
	if cut {
		p.tainted = false
	}
	p.mu.Unlock()
	if cut {
		p.cut()
	}
}

// cut breaks all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for both := range p.pairs {
		both.close()
	}
}

func (p *proxy) end() {
	_ = p.listener.Close() // twice is no harm
	p.set(pass, 0)
	p.cut()
	p.wg.Wait()
}

func (p *proxy) now() (m mode, lag time.Duration, news chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mode, p.lag, p.news
}

func (p *proxy) gone(both *pair) {
	both.close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.pairs, both)
}

// late waits as long as what was read at that moment has to be on its way.
func (p *proxy) late(at time.Time) (m mode) {
	for {
		m, lag, news := p.now()
		switch m {
		case hole:
			<-news
		case delay:
			time.Sleep(time.Until(at.Add(lag))) // the way is so long
			return m
		default:
			return m
		}
	}
}

// up carries what the client sends.
func (p *proxy) up(both *pair) {
	defer p.gone(both)
	buf := make([]byte, 32<<10)
	for {
		n, err := both.client.Read(buf)
		if n > 0 {
			p.late(time.Now())
			if _, err := both.server.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// down carries what the server answers.
func (p *proxy) down(both *pair) {
	defer p.gone(both)
	from := bufio.NewReaderSize(both.server, 64<<10)
	var frame []byte
	for {
		var err error
		about := ""
		if p.redis {
			frame, about, err = readFrame(from, frame[:0])
		} else {
			frame, err = readSome(from, frame[:0])
		}
		if len(frame) > 0 && err == nil {
			err = p.deliver(both, from, frame, about)
		}
		if err != nil {
			return
		}
	}
}

func (p *proxy) deliver(both *pair, from *bufio.Reader, frame []byte, about string) error {
	switch m := p.late(time.Now()); {
	case m == drop:
		p.mu.Lock()
		p.tainted = true
		p.mu.Unlock()
		return nil
	case m == deaf && about != "", m == mute && about != "" && !isPing(about):
		p.dropped.Add(1)
		return nil
	case m == slow:
		return trickle(both.client, frame)
	case p.redis && from.Buffered() > 0: // more is there already: one write for all of it
		return p.together(both, from, frame)
	}
	_, err := both.client.Write(frame)
	return err
}

// together adds what else has come by now, as long as it is no message, and passes all of it on at once.
func (p *proxy) together(both *pair, from *bufio.Reader, frame []byte) error {
	for from.Buffered() > 0 && len(frame) < 64<<10 {
		if head, err := from.Peek(1); err != nil || head[0] == '>' {
			break
		}
		var err error
		if frame, _, err = readFrame(from, frame); err != nil {
			return err
		}
	}
	_, err := both.client.Write(frame)
	return err
}

// trickle writes as slowly as a client on a bad line reads.
func trickle(to io.Writer, data []byte) error {
	for len(data) > 0 {
		n := min(len(data), 100)
		if _, err := to.Write(data[:n]); err != nil {
			return err
		}
		data = data[n:]
		time.Sleep(10 * time.Millisecond) // the line is so slow
	}
	return nil
}

func readSome(from *bufio.Reader, buf []byte) ([]byte, error) {
	if _, err := from.Peek(1); err != nil {
		return nil, err
	}
	buf = buf[:cap(buf)]
	if len(buf) == 0 {
		buf = make([]byte, 32<<10)
	}
	n, err := from.Read(buf)
	return buf[:n], err
}
