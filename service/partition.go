package service

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"distributedlock/queue"
)

const (
	// standIn is how much later a node looks at a lease that another node sees to: it acts only where that one did not.
	standIn = 250 * time.Millisecond
	// breather is the least time between two looks at a partition's leases, so that many ends are taken together.
	breather = 5 * time.Millisecond
	// retryAfter is when to look again where Redis did not answer.
	retryAfter = 500 * time.Millisecond
)

// partition is the loop of one partition: it claims grants when the bell rings, and looks at leases when they are due.
type partition struct {
	m      *Manager
	number int
	places places
	lines  lines
	// next is when to look at the leases, in nanoseconds of the manager's clock; 0 for never.
	next    atomic.Int64
	begin   time.Time
	poke    chan struct{}
	bell    chan struct{}
	doubted atomic.Bool
	looked  atomic.Int64
}

func newPartition(m *Manager, number int) *partition {
	p := &partition{m: m, number: number, begin: time.Now(), poke: make(chan struct{}, 1), bell: make(chan struct{}, 1),
		places: places{detector: m.detector, byKey: map[string]*place{}, byID: map[string]*place{}}}
	p.lines.m = m
	return p
}

// arm has the leases looked at after a time, unless that is to happen sooner anyway.
func (p *partition) arm(after time.Duration) {
	at := int64(time.Since(p.begin)+after) + 1
	for {
		next := p.next.Load()
		if next != 0 && next <= at {
			return
		}
		if p.next.CompareAndSwap(next, at) {
			signal(p.poke)
			return
		}
	}
}

// doubt has the waiting requests look up their places: something may have happened to them unseen.
func (p *partition) doubt() {
	p.doubted.Store(true)
	signal(p.bell)
}

// signal leaves a note; one note stands for many.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (p *partition) run(ctx context.Context) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		if next := p.next.Load(); next == 0 {
			timer.Reset(time.Hour)
		} else {
			timer.Reset(max(time.Duration(next), time.Duration(p.looked.Load())+breather) - time.Since(p.begin))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-p.poke:
		case <-p.bell:
			p.answer(ctx)
		case <-timer.C:
			p.look(ctx)
		}
	}
}

// answer claims what other nodes granted to waiters here. While Redis is away nothing is asked: the beat that finds it
// back rings again.
func (p *partition) answer(ctx context.Context) {
	if !p.m.up.Load() && !p.m.calling.Load() {
		return
	}
	if p.doubted.Load() {
		p.doubted.Store(false)
		p.reenter(ctx)
	}
	c, err := p.m.store.Claim(ctx, p.number)
	if err != nil {
		p.m.noticed(p.number, err)
		return
	}
	p.m.handed(c.Effects)
	for _, f := range c.Failed {
		p.m.deadlocked(p, f)
	}
	if c.Taken >= queue.Batch {
		signal(p.bell)
	}
}

// look has Redis do what the partition's leases ask for.
func (p *partition) look(ctx context.Context) {
	p.next.Store(0)
	if !p.m.up.Load() {
		p.looked.Store(int64(time.Since(p.begin)))
		p.arm(retryAfter)
		return
	}
	r, err := p.m.store.Due(ctx, p.number)
	p.looked.Store(int64(time.Since(p.begin)))
	if err != nil {
		p.m.noticed(p.number, err)
		p.m.met.renewalFailed(err)
		p.arm(retryAfter)
		return
	}
	p.m.counts.renewed.Add(int64(r.Renewed))
	p.m.met.renewed(r.Renewed)
	next := r.Next
	r.Next = 0
	p.m.apply("", r.Effects)
	if next > 0 {
		p.follow(next, r.Mine)
	}
}

// follow arms for the next lease of the partition, later where another node sees to it.
func (p *partition) follow(next time.Duration, mine bool) {
	if !mine {
		next += standIn
	}
	p.arm(next)
}

// reenter has every waiting request ask for its place again, in the order of their tickets. It comes out as it would
// for a client that repeats its request: the place, or the grant that was made meanwhile.
func (p *partition) reenter(ctx context.Context) {
	for _, at := range p.places.inLine() {
		if ctx.Err() != nil || !p.again(ctx, at.place, at.ticket) {
			return
		}
	}
	p.recheck(ctx)
}

// again asks for one place, and reports whether Redis answered.
func (p *partition) again(ctx context.Context, at *place, ticket int64) bool {
	q := at.q
	q.Known, q.Ticket = true, ticket
	a, err := p.m.store.Acquire(ctx, &q, p.m.opts.MaxQueue)
	p.m.apply(q.Name, a.Effects)
	live := true
	switch {
	case unconfirmed(err):
		p.places.end(at, queue.Grant{}, queue.Handed{}, p.m.undoGrant(q, a.Grant))
	case errors.Is(err, queue.ErrUnavailable), errors.Is(err, queue.ErrUnknown):
		p.m.noticed(p.number, err)
		p.doubted.Store(true)
		return false
	case err != nil:
		p.m.log.Warn("a waiting request lost its place", zap.Error(err))
		p.places.end(at, queue.Grant{}, queue.Handed{}, err)
	case a.Word == queue.Granted:
		live = p.places.end(at, a.Grant, queue.Handed{}, nil)
	default:
		live = p.places.queued(at, a.Ticket) || p.places.grantedSince(at, a.At())
	}
	// The last call may have left, and have cancelled, before the question came to Redis: then nobody listens for what
	// came of it. One that leaves from now on sees it.
	if !live {
		q.Taken = a.Grant.Taken
		p.m.tasks.Go(func() { p.m.giveUp(&q, false) })
	}
	return true
}
