package distributedlock

import (
	"context"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// closePatience is how long Close waits for what is given back.
	closePatience = 2 * time.Second
	// defaultHTTPTimeout bounds a REST call.
	defaultHTTPTimeout = 10 * time.Second
)

// Client talks to the lock service, over one WebSocket for all its goroutines. Its methods are safe for concurrent use.
type Client struct {
	s    settings
	urls []*url.URL
	// bad is what is wrong with the settings, told by every call.
	bad  error
	rest *rest
	// chunk is the longest wait that one request asks for.
	chunk atomic.Int64

	// life ends with the client, closing is closed as the end begins.
	life    context.Context
	die     context.CancelFunc
	closing chan struct{}
	gone    chan struct{}
	tasks   sync.WaitGroup

	// mu guards what follows. A lock's own mutex is taken before it, never after.
	mu sync.Mutex
	// closed takes no more calls, over not even releases.
	closed, over bool
	lastID       uint64
	pending      map[uint64]*call
	held         map[string]*Lock
	// lapsed are the locks that were lost, until their leases have surely ended, tidied when those that had were taken out.
	lapsed map[string]time.Time
	tidied time.Time
	subs   map[*subscriber]struct{}
	// loose counts what Close waits for: releases, and calls that nobody else waits for. calm is closed when there are none.
	loose int
	calm  chan struct{}
	clock clock
	// conn is the connection, nil while there is none; linking is whether somebody sees to one; session is what to come
	// back with; endpoint is the one in use.
	conn     *conn
	linking  bool
	session  string
	endpoint int
	// restUntil is until when no WebSocket is tried, as none could be had. cause is what went wrong last.
	restUntil time.Time
	cause     error
}

// NewDistributedLockClient makes a client of the service at url, http or https. It connects with the first call that
// needs it; a wrong url is told by every call.
func NewDistributedLockClient(url string, opts ...ClientOption) *Client {
	s := settings{endpoints: []string{url}, httpTimeout: defaultHTTPTimeout, log: slog.New(slog.DiscardHandler)}
	for _, o := range opts {
		o(&s)
	}
	if s.clientID == "" {
		s.clientID = defaultClientID()
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	c := &Client{
		s: s, closing: make(chan struct{}), gone: make(chan struct{}),
		pending: map[uint64]*call{}, held: map[string]*Lock{}, lapsed: map[string]time.Time{}, subs: map[*subscriber]struct{}{},
	}
	c.chunk.Store(int64(defaultChunk))
	c.life, c.die = context.WithCancel(context.Background())
	c.urls, c.bad = parseEndpoints(s.endpoints)
	c.rest = newREST(c)
	return c
}

// ClientID is who the client is to the service.
func (c *Client) ClientID() string { return c.s.clientID }

func parseEndpoints(endpoints []string) ([]*url.URL, error) {
	urls := make([]*url.URL, 0, len(endpoints))
	for _, e := range endpoints {
		u, err := url.Parse(e)
		switch {
		case err != nil:
			return nil, invalid("url", "cannot be read: "+err.Error())
		case (u.Scheme != "http" && u.Scheme != "https") || u.Host == "":
			return nil, invalid("url", "must be http://host:port or https://host:port, not "+e)
		}
		u.Path, u.RawPath, u.RawQuery, u.Fragment = strings.TrimRight(u.Path, "/"), "", "", ""
		urls = append(urls, u)
	}
	return urls, nil
}

func (c *Client) longestAsk() time.Duration { return time.Duration(c.chunk.Load()) }

// shorten has waits asked for in smaller parts, where the service refused one. It reports whether that may help.
func (c *Client) shorten() bool {
	d := c.longestAsk()
	return d > minChunk && c.chunk.CompareAndSwap(int64(d), int64(max(d/2, minChunk)))
}

// begin reports whether a task may begin; tasks.Done must follow then.
func (c *Client) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.tasks.Add(1)
	return true
}

// pause waits, less where ctx or the client ends. It reports whether neither did.
func (c *Client) pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	case <-c.closing:
		return false
	}
}

// backoff is how long to wait before the next try: up to 50 ms, 100 ms, 200 ms… 5 s, all of it by chance, so that many
// clients do not come back at once. See https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/.
func backoff(attempt int, atLeast time.Duration) time.Duration {
	const base, most = 50 * time.Millisecond, 5 * time.Second
	d := most
	if attempt < 7 {
		d = min(base<<attempt, most)
	}
	return atLeast + time.Duration(rand.Int64N(int64(d))) //nolint:gosec // no secret
}

// Close ends the client: waits end with [ErrClosed], and what is held is released, for which Close waits up to 2 s.
// It is idempotent, and nil.
func (c *Client) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		<-c.gone
		return nil
	}
	c.closed = true
	close(c.closing)
	locks := make([]*Lock, 0, len(c.held))
	for _, l := range c.held {
		locks = append(locks, l)
	}
	for _, k := range slices.Collect(maps.Values(c.pending)) {
		switch {
		case c.pending[k.id] != k: // seen before, under another id
		case k.kind == callAcquire && !k.unattended:
			c.abandonAnswered(k)
			k.done <- answer{err: ErrClosed}
		case k.unattended && k.kind != callAcquire && k.kind != callRelease:
			c.end(k, answer{})
		}
	}
	c.mu.Unlock()
	for _, l := range locks {
		l.letGo()
	}
	c.awaitCalm()
	c.mu.Lock()
	c.over = true
	for _, k := range c.pending {
		c.end(k, answer{err: ErrClosed})
	}
	conn := c.conn
	c.conn = nil
	c.mu.Unlock()
	if conn != nil {
		conn.bye()
	}
	c.die()
	c.tasks.Wait()
	c.rest.close()
	close(c.gone)
	return nil
}

// abandonAnswered is abandon for an acquire whose caller was told already, and may free its call: a copy goes on.
// c.mu is held.
func (c *Client) abandonAnswered(k *call) {
	rest := *k
	rest.older = append([]uint64(nil), k.older...)
	c.forget(k)
	if rest.first.IsZero() {
		return
	}
	rest.done, rest.timer, rest.moved = make(chan answer, 1), time.NewTimer(time.Hour), nil
	for _, id := range append(rest.older, rest.id) {
		c.pending[id] = &rest
	}
	c.abandon(&rest)
}

// awaitCalm waits until all is given back, and nothing is under way that nobody waits for.
func (c *Client) awaitCalm() {
	c.mu.Lock()
	if c.loose == 0 || c.calm != nil {
		c.mu.Unlock()
		return
	}
	calm := make(chan struct{})
	c.calm = calm
	c.mu.Unlock()
	t := time.NewTimer(closePatience)
	defer t.Stop()
	select {
	case <-calm:
	case <-t.C:
		c.s.log.Warn("closed with something not given back: leases run out", "calls", c.loose)
	}
}
