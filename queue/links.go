package queue

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
)

// dialFunc is how rueidis has a connection made.
type dialFunc = func(ctx context.Context, addr string, d *net.Dialer, conf *tls.Config) (net.Conn, error)

// links are the store's connections to Redis. All clients of a store dial through them, so that one word cuts every
// connection to a Redis that is the master no more: the driver then dials again by itself, and what was under way is
// settled as after any lost answer.
type links struct {
	// dial reaches an address.
	dial dialFunc
	// follow says where the master is; nil where the address that the options name is the only one.
	follow *follower
	// moved is set when a client had to connect again: what answers now may be another instance.
	moved atomic.Bool

	mu       sync.Mutex
	conns    map[*link]struct{}
	refusals int
	cutAt    time.Time
}

// link is one connection.
type link struct {
	net.Conn
	l    *links
	addr string
}

// Close ends the connection.
func (c *link) Close() error {
	c.l.mu.Lock()
	delete(c.l.conns, c)
	c.l.mu.Unlock()
	return c.Conn.Close()
}

func newLinks(o *rueidis.ClientOption) *links {
	l := &links{dial: o.DialCtxFn, conns: map[*link]struct{}{}}
	if l.dial == nil {
		l.dial = plainDial
	}
	return l
}

// plainDial is what rueidis does where it is told nothing else.
func plainDial(ctx context.Context, addr string, d *net.Dialer, conf *tls.Config) (net.Conn, error) {
	if conf != nil {
		return (&tls.Dialer{NetDialer: d, Config: conf}).DialContext(ctx, "tcp", addr)
	}
	return d.DialContext(ctx, "tcp", addr)
}

// dialer is how one client connects.
func (l *links) dialer() dialFunc {
	var before sync.Map // the addresses dialled
	return func(ctx context.Context, addr string, d *net.Dialer, conf *tls.Config) (net.Conn, error) {
		conn, err := l.open(ctx, addr, d, conf)
		if err != nil {
			return nil, notDialled(addr, err)
		}
		if _, again := before.LoadOrStore(addr, true); again {
			l.moved.Store(true)
		}
		return conn, nil
	}
}

var errMoved = errors.New("the master moved as it was dialled")

func (l *links) open(ctx context.Context, addr string, d *net.Dialer, conf *tls.Config) (net.Conn, error) {
	if l.follow != nil {
		ctx, cancel := context.WithTimeout(ctx, d.Timeout)
		defer cancel()
		var err error
		if addr, err = l.follow.master(ctx); err != nil {
			return nil, err
		}
	}
	conn, err := l.dial(ctx, addr, d, conf)
	if err != nil {
		return nil, err
	}
	c := &link{Conn: conn, l: l, addr: addr}
	l.mu.Lock()
	l.conns[c] = struct{}{}
	l.mu.Unlock()
	// Only now: a move from here on finds the connection, and cuts it.
	if l.follow != nil && !l.follow.is(addr) {
		_ = c.Close()
		return nil, errMoved
	}
	return c, nil
}

// notDialled marks an error as one that came before anything was sent: see explain.
func notDialled(addr string, err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return err
	}
	return &net.OpError{Op: "dial", Net: "tcp", Err: &net.AddrError{Err: err.Error(), Addr: addr}}
}

// cut ends all connections but those to an address; with "", all.
func (l *links) cut(but string) {
	l.mu.Lock()
	var gone []*link
	for c := range l.conns {
		if but == "" || c.addr != but {
			gone = append(gone, c)
		}
	}
	l.mu.Unlock()
	for _, c := range gone {
		_ = c.Conn.Close() // the driver, which finds it closed, calls Close
	}
}

const (
	// refusalsMost is how many commands are refused as READONLY before all connections are made anew.
	refusalsMost = 3
	// refusalsPause is the least time between two such cuts.
	refusalsPause = time.Second
)

// refused is told that a Redis would not write, as it is a replica by now. That breaks no connection, and so nothing else
// would lead away from it: the Sentinels are asked at once; and after a few refusals all connections are made anew,
// as the same address may lead to another machine by now.
func (l *links) refused() {
	if l.follow != nil {
		l.follow.poke()
	}
	l.mu.Lock()
	l.refusals++
	enough := l.refusals >= refusalsMost && time.Since(l.cutAt) >= refusalsPause
	if enough {
		l.refusals, l.cutAt = 0, time.Now()
	}
	l.mu.Unlock()
	if enough {
		l.cut("")
	}
}

// fine is told that Redis writes.
func (l *links) fine() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refusals = 0
}
