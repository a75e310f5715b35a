package service

import (
	"context"
	"errors"
	"time"

	"distributedlock/queue"
)

// ask is a session's request under way. No goroutine waits for it: the answer, the grant, the end of its wait and the
// client's own word each come as a call. The session's lock guards it, but for its place, which is for its partition
// to know; whoever finishes it tells the listener, or sees to what it got.
type ask struct {
	s     *Session
	q     *queue.Request
	start time.Time
	// waited is how long a resumed request had waited before.
	waited  time.Duration
	resumed bool
	// place is its place among this node's waiting requests: see [places]. asking is whether Redis is being asked, left
	// whether the request has left the place.
	place        *place
	asking, left bool

	// queued is whether it stands in line, at this position with this ticket.
	queued   bool
	position int
	ticket   int64
	timer    *time.Timer
	// over is whether it is finished, cut whether that was because its connection ended.
	over, cut bool
	// cancels are told when the request, which the client took back, is over.
	cancels []func(error)
}

// finish takes the request out of the session. s.mu is held.
func (a *ask) finish() {
	a.over = true
	if a.timer != nil {
		a.timer.Stop()
	}
	if a.s.asks[a.q.Frame] == a {
		delete(a.s.asks, a.q.Frame)
	}
	if a.resumed {
		delete(a.s.resumed, requestKey(a.q))
	}
}

// begin asks Redis. before is a resumed request that this one repeats: it leaves its place once this one shares it.
func (a *ask) begin(before *ask) {
	m, q := a.s.m, a.q
	if q.Wait > 0 {
		if m.waiting.Add(1) > int64(m.opts.MaxWaiting) {
			m.waiting.Add(-1)
			a.fail(queue.ErrBusy)
			return
		}
		q = a.places().joinAsk(a)
	}
	if before != nil {
		before.leave()
	}
	if err := m.open(); err != nil {
		a.settled(queue.Acquired{}, err)
		return
	}
	m.store.AcquireLater(q, m.opts.MaxQueue, a.answered)
}

func (a *ask) partition() *partition { return a.s.m.parts[a.s.m.store.Partition(a.q.Name)] }
func (a *ask) places() *places       { return &a.partition().places }

// request is a copy: the answer to a repeat may write down what the request got.
func (a *ask) request() queue.Request {
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	return *a.q
}

// leave gives up the request's share of its place, and reports whether nobody else waits on it.
func (a *ask) leave() (last bool) {
	if a.q.Wait == 0 {
		return true
	}
	joined, last := a.places().leaveAsk(a)
	if joined {
		a.s.m.waiting.Add(-1)
		a.partition().lines.drop(a)
	}
	return last
}

// answered is told what Redis said to the acquire.
func (a *ask) answered(r queue.Acquired, err error) {
	m := a.s.m
	m.apply(a.q.Name, r.Effects)
	if unconfirmed(err) {
		m.tasks.Go(func() {
			a.settled(r, m.undoGrant(a.request(), r.Grant))
		})
		return
	}
	if m.unsure(a.q.Name, err) {
		m.tasks.Go(func() {
			q := a.request()
			q.Known = true
			a.settled(m.ask(context.Background(), &q, m.after(err)))
		})
		return
	}
	if errors.Is(err, queue.ErrQueueFull) {
		err = fullError(&r)
	}
	if err == nil && r.Word == queue.Granted && a.q.AutoRenew {
		a.partition().arm(a.q.RenewEvery)
	}
	a.settled(r, err)
}

func (a *ask) settled(r queue.Acquired, err error) {
	defer a.asked()
	switch {
	case err != nil:
		a.fail(err)
	case r.Word == queue.Queued:
		a.stand(&r)
	case r.Word == queue.Held:
		holders, err := r.Holders()
		if err == nil {
			err = &queue.BusyError{Holders: holders, Queue: r.Queue}
		}
		a.fail(err)
	case a.q.Wait > 0:
		a.places().endAsk(a, r.Grant)
	default:
		a.ended(r.Grant, nil)
	}
}

// asked gives up what the request keeps of its place while Redis is asked.
func (a *ask) asked() {
	if a.q.Wait == 0 {
		return
	}
	if p := a.places().askedAsk(a); p != nil {
		a.s.m.tasks.Go(func() { a.giveUp(p) })
	}
}

// giveUp gives back what came of a place that all have left.
func (a *ask) giveUp(p *place) {
	if q, park, due := a.places().leftover(p); due {
		q.Left = a.q.Wait - time.Since(a.start)
		a.s.m.giveUp(&q, park)
	}
}

// stand tells that the request waits, unless the grant came before this answer.
func (a *ask) stand(r *queue.Acquired) {
	s := a.s
	a.places().standAsk(a, r)
	s.mu.Lock()
	switch {
	case a.over:
		cut := a.cut
		s.mu.Unlock()
		if cut {
			s.m.tasks.Go(a.giveBack)
		}
		return
	case len(a.cancels) > 0:
		a.finish()
		s.mu.Unlock()
		s.m.tasks.Go(a.withdraw)
		return
	}
	a.queued, a.position, a.ticket = true, r.Position, r.Ticket
	s.own(s.m.store.Partition(a.q.Name))
	a.timer = time.AfterFunc(a.q.Wait-time.Since(a.start), a.tired)
	if holders, err := r.Holders(); err == nil {
		s.l.Queued(a.q, r.Position, holders)
	}
	s.mu.Unlock()
	if r.Position > 1 {
		a.partition().lines.add(a)
	}
}

// ended is told that the request was granted, or failed while it waited.
func (a *ask) ended(g queue.Grant, err error) {
	s := a.s
	s.mu.Lock()
	if a.over {
		cut := a.cut
		s.mu.Unlock()
		if cut {
			s.m.tasks.Go(a.giveBack)
		}
		return
	}
	a.finish()
	if err == nil {
		a.q.Got(&g)
	}
	if len(a.cancels) > 0 && (err != nil || !a.q.Earlier) {
		s.mu.Unlock()
		s.m.tasks.Go(a.withdraw)
		return
	}
	// A grant that an earlier call of the request had may be known to the client, which then relies on it, or it may not:
	// it is told of it, whatever it took back, and gives it back itself.
	if err != nil {
		s.l.Failed(a.q, s.m.failed(err))
	} else {
		if p := a.places().of(a); p != nil {
			a.places().tell(p)
		}
		a.granted(&g)
	}
	s.mu.Unlock()
	a.leave()
	for _, done := range a.cancels {
		done(queue.ErrNoRequest)
	}
}

// granted tells of the grant. s.mu is held.
func (a *ask) granted(g *queue.Grant) {
	s, waited := a.s, a.waited
	if a.queued {
		waited += time.Since(a.start)
	}
	if a.q.AutoRenew {
		s.renews(s.m.store.Partition(a.q.Name), g)
	}
	s.m.counts.acquired.Add(1)
	s.m.met.acquired(waited)
	a.q.Left = max(a.q.Wait-time.Since(a.start), time.Second)
	s.l.Granted(a.q, g, waited)
}

// fail ends a request that came to nothing.
func (a *ask) fail(err error) {
	s := a.s
	s.mu.Lock()
	over := a.over
	if !over {
		a.finish()
		if len(a.cancels) > 0 {
			err = queue.ErrCancelled
		}
		s.l.Failed(a.q, s.m.failed(err))
	}
	s.mu.Unlock()
	last := a.leave()
	if last && over && a.cut && errors.Is(err, queue.ErrUnknown) {
		s.m.Abandon(a.q)
	}
	for _, done := range a.cancels {
		done(nil)
	}
}

// tired ends a wait that ran out. A grant that came in this very moment counts.
func (a *ask) tired() {
	s := a.s
	s.mu.Lock()
	if a.over || a.places().endedAsk(a) {
		s.mu.Unlock()
		return
	}
	a.finish()
	s.mu.Unlock()
	if p := a.places().of(a); p != nil {
		a.places().disown(p)
	}
	s.m.tasks.Go(func() {
		err := s.m.tired(context.Background(), a.q, a.start.Add(-a.waited), a.leave())
		s.tell(func() { s.l.Failed(a.q, s.m.failed(err)) })
	})
}

// withdraw takes a finished request out of the line, or gives its grant back, as its client took it back.
func (a *ask) withdraw() {
	s := a.s
	p := a.places().of(a)
	if p != nil {
		a.places().disown(p)
	}
	if last := a.leave(); last && p != nil {
		a.giveUp(p)
	} else if last {
		s.m.giveUp(a.q, false)
	}
	s.tell(func() { s.l.Failed(a.q, s.m.failed(queue.ErrCancelled)) })
	for _, done := range a.cancels {
		done(nil)
	}
}

// giveBack puts aside what came of a request whose connection had ended: its place is kept for the grace.
func (a *ask) giveBack() {
	p := a.places().of(a)
	if last := a.leave(); last && p != nil {
		a.giveUp(p)
	} else if last {
		a.s.m.giveUp(a.q, true)
	}
}

// moved tells a new position.
func (a *ask) moved(position int) {
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	if !a.over && position != a.position {
		a.position = position
		a.s.l.Moved(a.q, position)
	}
}

func requestKey(q *queue.Request) string { return q.Name + "\n" + q.Client + "\n" + q.ID }
