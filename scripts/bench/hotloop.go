package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"
)

// hotLoop is a closed loop of clients on one lock. It goes on until it is stopped, and counts only while it is told to.
type hotLoop struct {
	lock     string
	counting atomic.Bool
	stopped  atomic.Bool
	grants   atomic.Int64 // since the beginning
	holders  atomic.Int32
	freed    atomic.Int64 // when the last holder began its release, in ns
	per      []hotClient
	done     chan error
}

type hotClient struct {
	cycles    int
	handovers []time.Duration
}

var errDouble = errors.New("two clients held the lock at once")

func newHot(clients int) *hotLoop {
	return &hotLoop{lock: locksOf(1)[0], per: make([]hotClient, clients), done: make(chan error, 1)}
}

// startHot has the clients enter the line one after another, so that those of different nodes take turns in it, and
// then sets the loop going. The order lasts: a fair lock serves them in the same order ever after.
func startHot(ctx context.Context, s *store, crowd *crowd, clients int, addrs []string, first *conn) (*hotLoop, error) {
	h := newHot(clients)
	id, err := first.acquire(h.lock, maxLease, 0)
	if err != nil {
		return nil, err
	}
	var conns []*conn
	for i := range clients {
		c, err := crowd.dial(1, addrs...)
		if err != nil {
			return nil, err
		}
		if err := seat(ctx, s, c, []string{h.lock}, i); err != nil {
			return nil, err
		}
		conns = append(conns, c...)
	}
	if err := first.release(h.lock, id); err != nil {
		return nil, err
	}
	go func() { h.done <- inParallel(len(conns), func(i int) error { return h.client(conns[i], &h.per[i]) }) }()
	return h, nil
}

// client goes round, beginning with the answer to the acquire that is under way.
func (h *hotLoop) client(c *conn, mine *hotClient) error {
	for {
		if err := h.cycle(c, mine); err != nil {
			h.stopped.Store(true)
			return err
		}
		if h.stopped.Load() {
			return nil
		}
		if err := c.ask(h.lock, maxLease, maxWait); err != nil {
			return err
		}
	}
}

// cycle takes the grant, and releases the lock.
func (h *hotLoop) cycle(c *conn, mine *hotClient) error {
	id, err := c.taken()
	if err != nil {
		return fmt.Errorf("acquire: %w", err)
	}
	if err := h.took(mine); err != nil {
		return err
	}
	if err := c.release(h.lock, id); err != nil {
		return fmt.Errorf("release: %w", err)
	}
	return nil
}

// took notes a grant. The release must follow at once.
func (h *hotLoop) took(mine *hotClient) error {
	now := time.Now().UnixNano()
	if h.holders.Add(1) > 1 {
		return errDouble
	}
	if freed := h.freed.Load(); h.counting.Load() && freed != 0 {
		mine.cycles++
		mine.handovers = append(mine.handovers, time.Duration(now-freed))
	}
	h.grants.Add(1)
	h.holders.Add(-1)
	h.freed.Store(time.Now().UnixNano())
	return nil
}

// stop ends the loop and returns its first error.
func (h *hotLoop) stop() error {
	h.stopped.Store(true)
	return <-h.done
}

// count measures for a while, once every client has had two turns. before and after are called
// at the edges of that while.
func (h *hotLoop) count(ctx context.Context, d time.Duration, before, after func() error) (*outcome, error) {
	err := until(ctx, 30*time.Second, "two turns for every client", func() bool {
		return h.stopped.Load() || h.grants.Load() >= int64(2*len(h.per))
	})
	if err == nil {
		err = before()
	}
	o := &outcome{}
	if err == nil {
		begin := time.Now()
		h.counting.Store(true)
		pause(ctx, d)
		h.counting.Store(false)
		o.took = time.Since(begin)
		err = after()
	}
	if err := errors.Join(err, h.stop()); err != nil {
		return nil, err
	}
	for _, p := range h.per {
		o.cycles += p.cycles
		o.counts = append(o.counts, p.cycles)
		o.handovers = append(o.handovers, p.handovers...)
	}
	slices.Sort(o.handovers)
	return o, nil
}
