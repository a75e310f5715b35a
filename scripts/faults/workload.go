package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	distributedlock "distributedlock/clients/go"
)

const (
	workers   = 4 // a client's goroutines
	leaseTime = 2 * time.Second
	shortTime = 300 * time.Millisecond
	waitTime  = 10 * time.Second
)

// target is a lock of the workload.
type target struct {
	name   string
	shared bool // some share it
	limit  int
}

// crowd is some clients that work with some locks.
type crowd struct {
	begin   time.Time
	targets []target
	clients []*distributedlock.Client

	mu       sync.Mutex
	requests int
	history  *history
	done     sync.WaitGroup
}

// gather makes the clients, of which the last one uses REST alone. Each begins with another node.
func gather(title string, r *rig) *crowd {
	c := &crowd{begin: time.Now(), history: &history{title: title, moves: map[int][]move{}, rest: map[int]bool{}}}
	for i, kind := range []string{"exclusive", "exclusive", "exclusive", "exclusive", "shared", "shared", "limit", "limit"} {
		t := target{name: fmt.Sprintf("%s/%s-%d", title, kind, i), shared: kind == "shared", limit: 1}
		if kind == "limit" {
			t.limit = 2
		}
		c.targets = append(c.targets, t)
	}
	for i, row := range r.doors {
		w := &watcher{c: c, client: i}
		var urls []string
		for k := range row {
			n := (i + k) % len(row)
			w.hosts = append(w.hosts, host{row[n].addr(), n})
			urls = append(urls, "http://"+row[n].addr())
		}
		c.history.moves[i] = []move{{0, w.hosts[0].node}}
		opts := []distributedlock.ClientOption{distributedlock.WithEndpoints(urls[1:]...), distributedlock.WithClientID(fmt.Sprintf("%s/%d", title, i)),
			distributedlock.WithLogger(slog.New(w))}
		if i == len(r.doors)-1 {
			c.history.rest[i] = true
			opts = append(opts, distributedlock.WithoutWebSocket())
		}
		c.clients = append(c.clients, distributedlock.NewDistributedLockClient(urls[0], opts...))
	}
	return c
}

// work has all clients do random things until ctx ends.
func (c *crowd) work(ctx context.Context, seed, stream uint64) {
	for i := range c.clients {
		for w := range workers {
			rnd := rand.New(rand.NewPCG(seed, stream<<16+uint64(i)<<8+uint64(w))) //nolint:gosec // no secret; a seed repeats it
			c.done.Go(func() {
				for ctx.Err() == nil {
					c.once(ctx, i, rnd)
				}
			})
		}
	}
}

// close ends the clients, once their workers have ended.
func (c *crowd) close() {
	c.done.Wait()
	var wg sync.WaitGroup
	for _, one := range c.clients {
		wg.Go(func() { _ = one.Close() }) // it is nil
	}
	wg.Wait()
}

func (c *crowd) now() time.Duration { return time.Since(c.begin) }

func (c *crowd) note(a *act) {
	a.ret = c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.history.acts = append(c.history.acts, *a)
}

// once is one random thing that a client does with a random lock.
func (c *crowd) once(ctx context.Context, client int, rnd *rand.Rand) {
	t := c.targets[rnd.IntN(len(c.targets))]
	a := act{kind: "acquire", lock: t.name, client: client, limit: t.limit, shared: t.shared && rnd.IntN(3) > 0, lease: leaseTime}
	dice, work := rnd.IntN(20), between(rnd, 0, 8*time.Millisecond)
	within := between(rnd, 0, 20*time.Millisecond)
	wait := waitTime
	switch dice {
	case 0, 1: // change one's mind
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, within)
		defer cancel()
	case 2, 6: // go away with the lock; hold it for longer than a lease
		a.lease = shortTime
	case 3: // do not wait
		wait = 0
	}
	l := c.acquire(ctx, &a, wait)
	if l == nil {
		return
	}
	c.hold(ctx, &a, l, work)
	switch dice {
	case 2:
		return
	case 4, 5:
		c.renew(ctx, &a, l)
		c.hold(ctx, &a, l, work)
	case 6:
		for range 3 {
			c.renew(ctx, &a, l)
			c.hold(ctx, &a, l, shortTime/2)
		}
	}
	c.release(&a, l)
}

func (c *crowd) acquire(ctx context.Context, a *act, wait time.Duration) *distributedlock.Lock {
	c.mu.Lock()
	c.requests++
	a.request = c.requests
	c.mu.Unlock()
	opts := []distributedlock.Option{distributedlock.WithWait(wait), distributedlock.OnQueued(func(distributedlock.Place) {
		if a.queued == 0 {
			a.queued = c.now()
		}
	})}
	if a.shared {
		opts = append(opts, distributedlock.WithShared())
	}
	if a.limit > 1 {
		opts = append(opts, distributedlock.WithLimit(a.limit))
	}
	a.call = c.now()
	l, err := c.clients[a.client].AcquireContext(ctx, a.lock, a.lease, opts...)
	switch {
	case err == nil:
		a.word, a.token, a.ends = "granted", l.FencingToken, l.ExpiresAt().Sub(c.begin)
	case errors.Is(err, distributedlock.ErrHeld):
		a.word = "held"
	case errors.Is(err, distributedlock.ErrWaitTimeout):
		a.word = "timeout"
	case ctx.Err() != nil:
		a.word = "cancelled"
	case errors.Is(err, distributedlock.ErrUnavailable), errors.Is(err, distributedlock.ErrLockLost):
		a.word = "failed"
	default:
		a.word = "failed"
		c.remark("request %d of %s: %v", a.request, a.lock, err)
	}
	c.note(a)
	return l
}

// hold works for a while, less where the lock is lost.
func (c *crowd) hold(ctx context.Context, a *act, l *distributedlock.Lock, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	case <-l.Done():
		b := c.about("loss", a, l)
		b.word = "lost"
		c.note(&b)
	}
}

func (c *crowd) about(kind string, a *act, l *distributedlock.Lock) act {
	b := *a
	b.kind, b.call, b.queued = kind, c.now(), 0
	b.ends = l.ExpiresAt().Sub(c.begin)
	b.before = b.ends
	return b
}

func (c *crowd) renew(ctx context.Context, a *act, l *distributedlock.Lock) {
	b := c.about("renew", a, l)
	switch err := l.Renew(ctx, 0); {
	case err == nil:
		b.word, b.ends = "renewed", l.ExpiresAt().Sub(c.begin)
	case errors.Is(err, distributedlock.ErrLockLost):
		b.word = "lost"
	default:
		b.word = "unknown"
	}
	c.note(&b)
}

func (c *crowd) release(a *act, l *distributedlock.Lock) {
	b := c.about("release", a, l)
	early := l.Err() != nil
	switch err := l.Release(); {
	case err == nil:
		b.word = "released"
	case early, !errors.Is(err, distributedlock.ErrLockLost):
		b.word = "unknown" // lost before: it is given back all the same, and nobody says when
	default:
		b.word = "lost"
	}
	c.note(&b)
}

func (c *crowd) remark(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.history.remarks = append(c.history.remarks, fmt.Sprintf(format, args...))
}

// struck notes a fault's time.
func (c *crowd) struck(w window) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.history.windows = append(c.history.windows, w)
}

// recovered tells whether every lock was granted after a moment, to a request of that time or before.
func (c *crowd) recovered(since time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	fresh := map[string]bool{}
	for i := len(c.history.acts) - 1; i >= 0 && c.history.acts[i].ret > since; i-- {
		if a := &c.history.acts[i]; a.granted() {
			fresh[a.lock] = true
		}
	}
	return len(fresh) == len(c.targets)
}

// watcher learns from what a client logs which node it is connected to.
type watcher struct {
	c      *crowd
	client int
	hosts  []host
}

type host struct {
	addr string
	node int
}

// Enabled takes what the client warns of.
func (*watcher) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }

// Handle notes the end of a connection, and where the client goes next.
func (w *watcher) Handle(_ context.Context, r slog.Record) error {
	next := -1
	r.Attrs(func(a slog.Attr) bool {
		for i, h := range w.hosts {
			switch {
			case h.addr != a.Value.String():
			case a.Key == "next":
				next = i
			case a.Key == "endpoint":
				next = (i + 1) % len(w.hosts)
			}
		}
		return true
	})
	if next >= 0 && strings.Contains(r.Message, "connection") {
		w.c.mu.Lock()
		defer w.c.mu.Unlock()
		m := w.c.history.moves
		m[w.client] = append(m[w.client], move{w.c.now(), w.hosts[next].node})
	}
	return nil
}

// WithAttrs is of no use here: the client has none.
func (w *watcher) WithAttrs([]slog.Attr) slog.Handler { return w }

// WithGroup likewise.
func (w *watcher) WithGroup(string) slog.Handler { return w }
