package service

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"distributedlock/graph"
	"distributedlock/queue"
)

const (
	// ripeAfter is how long a request waits before it is looked at: most are granted sooner, and cost nothing.
	ripeAfter = 20 * time.Millisecond
	// restAfter is the least time between two looks, so that many requests are looked at together.
	restAfter = 15 * time.Millisecond
	// strikeAfter is how long the notes of waits that are over may stay, so that many are struck together.
	strikeAfter = 200 * time.Millisecond
	// turnAfter is how often a node asks for a turn.
	turnAfter = 5 * time.Millisecond
	// sweepEvery is the least time between two sweeps of the fleet; where a sweep took long, it is sweepRest times that.
	sweepEvery = 2 * time.Second
	sweepRest  = 100
	// ripeMost is how many requests are looked at together.
	ripeMost = 500
	// turnFor is the longest that one node may take to break deadlocks.
	turnFor = 5 * time.Second
)

// detector is the loop that finds and breaks deadlocks. A request that waits is noted in Redis under its owner, for
// every node to find, and then followed: whom does it wait for, and what do they wait for? As the request that closes a
// circle is noted last, its own look finds the circle, wherever the others wait. A sweep over all lines is the net.
type detector struct {
	m    *Manager
	wake chan struct{}

	mu sync.Mutex
	// fresh are the places to look at, in the order in which they come of age.
	fresh []ripening
	// struck are waits that were noted, and are over.
	struck map[queue.Noted]bool
	// urgent is whether a place is to be looked at at once.
	urgent bool

	// news is whether requests were noted since the last sweep.
	news atomic.Bool
	// What only the loop uses.
	swept   time.Time     // when it was
	sweep   time.Duration // how long it took
	cleared time.Time     // when notes were last struck
}

type ripening struct {
	p  *place
	at time.Time
}

func newDetector(m *Manager) *detector {
	return &detector{m: m, wake: make(chan struct{}, 1), struck: map[queue.Noted]bool{}}
}

// add is told of a place that stands in line; its partition is locked.
func (d *detector) add(p *place) {
	d.mu.Lock()
	d.fresh = append(d.fresh, ripening{p, time.Now().Add(ripeAfter)})
	first := len(d.fresh) == 1
	d.mu.Unlock()
	if first {
		signal(d.wake)
	}
}

// hurry has a place looked at at once: its owner is in its own way.
func (d *detector) hurry(p *place) {
	d.mu.Lock()
	d.fresh, d.urgent = append([]ripening{{p, time.Now()}}, d.fresh...), true
	d.mu.Unlock()
	signal(d.wake)
}

func (d *detector) run(ctx context.Context) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var rested time.Time
	for {
		timer.Reset(d.due(rested))
		select {
		case <-ctx.Done():
			return nil
		case <-d.wake:
			continue
		case <-timer.C:
		}
		begin := time.Now()
		rested = time.Now().Add(d.rest(d.look(ctx), begin))
	}
}

// rest is how long to leave everything alone after a look: where it failed, what was urgent too.
func (d *detector) rest(err error, begin time.Time) time.Duration {
	if err == nil {
		return max(restAfter, time.Since(begin)/2)
	}
	d.m.log.Debug("deadlocks could not be looked for", zap.Error(err))
	d.mu.Lock()
	defer d.mu.Unlock()
	d.urgent = false
	return retryAfter
}

// due is how long until there is something to do.
func (d *detector) due(rested time.Time) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	at := time.Now().Add(time.Hour)
	if d.news.Load() {
		at = d.swept.Add(d.pace())
	}
	if strike := d.cleared.Add(strikeAfter); len(d.struck) > 0 && strike.Before(at) {
		at = strike
	}
	if len(d.fresh) > 0 && d.fresh[0].at.Before(at) {
		at = d.fresh[0].at
	}
	if at.Before(rested) && !d.urgent {
		at = rested
	}
	return time.Until(at)
}

func (d *detector) pace() time.Duration { return max(sweepEvery, sweepRest*d.sweep) }

// look sees to what is due. Where it fails, all of it is due again.
func (d *detector) look(ctx context.Context) error {
	if !d.m.up.Load() {
		return queue.ErrUnavailable
	}
	// Before any are noted: one that ends from then on is struck at a later look, when its note is surely there.
	if now := time.Now(); now.Sub(d.cleared) >= strikeAfter || d.again(now) {
		d.cleared = now
		if err := d.strike(ctx); err != nil {
			return err
		}
	}
	ripe, waits := d.ripe(time.Now())
	if len(ripe) > 0 {
		d.news.Store(true)
		err := d.m.store.NoteWaits(ctx, waits)
		if err == nil {
			waits, err = d.m.suspects(ctx, waits)
		}
		if err == nil && len(waits) > 0 {
			err = d.follow(ctx, waits)
		}
		if err != nil {
			d.putBack(ripe)
			return err
		}
	}
	if time.Since(d.swept) < d.pace() {
		return nil
	}
	d.swept = time.Now()
	if !d.news.Load() {
		return nil
	}
	return d.sweepAll(ctx)
}

// ripe takes the places that have come of age and still stand.
func (d *detector) ripe(now time.Time) (ripe []ripening, waits []queue.Noted) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.news.Load() {
		d.swept = now // there is no hurry: they are followed now
	}
	d.urgent = false
	n := 0
	for ; n < len(d.fresh) && len(ripe) < ripeMost && !d.fresh[n].at.After(now); n++ {
		p := d.fresh[n].p
		if p.left {
			continue
		}
		p.noted = true
		w := notedOf(p)
		delete(d.struck, w) // where the same request waited before
		w.Grant = p.alone
		ripe, waits = append(ripe, d.fresh[n]), append(waits, w)
	}
	if d.fresh = d.fresh[n:]; len(d.fresh) == 0 {
		d.fresh = nil
	}
	return ripe, waits
}

func (d *detector) putBack(ripe []ripening) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fresh = append(ripe, d.fresh...)
}

// follow looks for deadlocks around waits that have just been noted.
func (d *detector) follow(ctx context.Context, waits []queue.Noted) error {
	glances, locks, err := d.m.around(ctx, waits)
	if err != nil || len(graph.Deadlocks(locks)) == 0 {
		return err
	}
	return d.resolve(ctx, glances, locks, lookHeads)
}

// resolve breaks the deadlocks in what was read, if they stand. They do where a second reading, begun after the first
// had ended, finds the same grants and the same waiting requests: as no id ever comes back, all of them stood
// together at the moment between the two. One node at a time does it, or two might break one knot in two places.
func (d *detector) resolve(ctx context.Context, glances []queue.Glance, before []graph.Lock, first int) error {
	begin := time.Now()
	for {
		mine, err := d.m.store.Turn(ctx, "break", turnFor)
		if err != nil {
			return err
		}
		if mine {
			break
		}
		if d.m.pause(ctx, turnAfter); ctx.Err() != nil || time.Since(begin) > 2*turnFor {
			return queue.ErrUnavailable
		}
	}
	begin = time.Now()
	err := d.breakThem(ctx, glances, before, first)
	if time.Since(begin) < turnFor/2 {
		if e := d.m.store.EndTurn(context.WithoutCancel(ctx), "break"); err == nil {
			err = e
		}
	}
	return err
}

func (d *detector) breakThem(ctx context.Context, glances []queue.Glance, before []graph.Lock, first int) error {
	begin := time.Now()
	now, err := d.m.store.Look(ctx, glances, first)
	if err != nil {
		return err
	}
	for _, dead := range graph.Deadlocks(graph.Stable(before, picture(now))) {
		if time.Since(begin) > turnFor/4 {
			return queue.ErrUnavailable // what is left is looked at again
		}
		w := queue.Wait{Name: dead.Lock}
		w.Owner, w.Request = queue.Owner(dead.Victim.Owner), requestOf(now, dead.Lock, dead.Victim.Key)
		_, e, err := d.m.store.Fail(ctx, w, dead.Victim.Key, Steps(dead.Cycle))
		d.m.apply(dead.Lock, e)
		if err != nil {
			d.m.noticed(d.m.store.Partition(dead.Lock), err)
			return err
		}
	}
	return nil
}

func requestOf(now []queue.Status, lock, lockID string) string {
	for i := range now {
		for j := range now[i].Waiters {
			if now[i].Name == lock && now[i].Waiters[j].LockID == lockID {
				return now[i].Waiters[j].Request
			}
		}
	}
	return ""
}

// deadlocked tells a request of this node that it was failed to break a deadlock.
func (m *Manager) deadlocked(part *partition, f queue.Failed) {
	m.counts.deadlocks.Add(1)
	m.met.deadlocked()
	m.log.Warn("deadlock broken: its newest request was failed", zap.String("lock", f.Cycle[0].WaitsFor), zap.Any("cycle", f.Cycle))
	if p := part.places.get(f.LockID); p != nil {
		q := p.q
		part.places.end(p, queue.Grant{}, queue.Handed{}, &queue.DeadlockError{Cycle: f.Cycle})
		// It may have asked for its place again before it heard that it had lost it.
		m.tasks.Go(func() { m.giveUp(&q, false) })
	}
}

// sweepAll looks at all lines of the fleet, once this node has noted something new, and where it is its turn. It finds
// what following does not: a circle closed by somebody far behind in a line, or around notes that were lost.
func (d *detector) sweepAll(ctx context.Context) error {
	mine, err := d.m.store.Turn(ctx, "sweep", d.pace()*9/10)
	if err != nil || !mine {
		return err
	}
	d.news.Store(false)
	begin := time.Now()
	names, err := d.m.store.Contended(ctx)
	if err != nil {
		d.news.Store(true)
		return err
	}
	glances, locks, err := d.m.contended(ctx, names[:min(sweepLocks, len(names))], sweepWaiters)
	if err == nil && len(graph.Deadlocks(locks)) > 0 {
		err = d.resolve(ctx, glances, locks, sweepWaiters)
	}
	d.sweep = time.Since(begin)
	d.m.met.sweeps.Inc()
	if err != nil {
		d.news.Store(true)
	}
	return err
}
