package service

import (
	"context"
	"errors"
	"time"

	"distributedlock/queue"
)

// Acquire takes the lock, waiting up to q.Wait for it, and returns how long it stood in line: 0 for a grant that came
// at once. It fills in q's ids and what the node decides. A caller that
// goes away (ctx) leaves the line at once. Errors: *queue.BusyError, *queue.FullError, *queue.LimitError,
// *queue.DeadlockError, *queue.QuarantineError, queue.ErrMismatch, ErrUnavailable, ErrUnknown, ErrDraining, ErrBusy, ctx.Err().
func (m *Manager) Acquire(ctx context.Context, q *queue.Request) (queue.Grant, time.Duration, error) {
	start := time.Now()
	m.prepare(q)
	if err := m.open(); err != nil {
		return queue.Grant{}, 0, m.failed(err)
	}
	var g queue.Grant
	var err error
	stood := false
	if q.Wait == 0 {
		g, err = m.try(ctx, q)
	} else {
		g, stood, err = m.wait(ctx, q, start)
	}
	waited := time.Duration(0)
	if stood {
		waited = time.Since(start)
	}
	if err != nil {
		return g, waited, m.failed(err)
	}
	m.counts.acquired.Add(1)
	m.met.acquired(waited)
	return g, waited, nil
}

func (m *Manager) prepare(q *queue.Request) {
	if q.ID == "" {
		q.ID, q.Known, q.Sole = queue.NewSecret(), false, q.Session == "" // a session's next connection knows it too
	}
	q.Hold = q.MaxHold
	if q.Hold == 0 && q.Session == "" {
		q.Hold = m.opts.MaxHold
	}
	q.LockID, q.RenewalToken = queue.NewSecret(), queue.NewSecret()
	q.Grace = m.opts.Grace
	q.RenewEvery = max(min(q.Lease/3, m.opts.RenewalInterval), time.Millisecond)
}

// ask runs the acquire and acts on what else it did.
func (m *Manager) ask(ctx context.Context, q *queue.Request, settle settler) (a queue.Acquired, err error) {
	err = settle(ctx, q.Name, func(repeated bool) error {
		q.Known = q.Known || repeated
		a, err = m.store.Acquire(ctx, q, m.opts.MaxQueue)
		m.apply(q.Name, a.Effects)
		return err
	})
	switch {
	case unconfirmed(err):
		err = m.undoGrant(*q, a.Grant)
	case errors.Is(err, queue.ErrQueueFull):
		err = fullError(&a)
	case err == nil && a.Word == queue.Granted && q.AutoRenew:
		m.parts[m.store.Partition(q.Name)].arm(q.RenewEvery)
	}
	return a, err
}

func fullError(a *queue.Acquired) error {
	holders, _ := a.Holders()
	return &queue.FullError{Holders: holders, Queue: a.Queue}
}

// try asks once.
func (m *Manager) try(ctx context.Context, q *queue.Request) (queue.Grant, error) {
	a, err := m.ask(ctx, q, m.settle)
	if err != nil {
		return queue.Grant{}, m.unsettled(ctx, q, err)
	}
	if a.Word == queue.Granted {
		q.Got(&a.Grant)
		return a.Grant, nil
	}
	holders, err := a.Holders()
	if err != nil {
		return queue.Grant{}, err
	}
	return queue.Grant{}, &queue.BusyError{Holders: holders, Queue: a.Queue}
}

// unsettled cancels a request that may have been granted unseen, where its client is no longer there to ask again.
func (m *Manager) unsettled(ctx context.Context, q *queue.Request, err error) error {
	if errors.Is(err, queue.ErrUnknown) && ctx.Err() != nil {
		m.Abandon(q)
		return ctx.Err()
	}
	return err
}

// wait asks, and then stands in line until something ends the wait. The place is there before the question goes out,
// as the grant may come back before the answer does.
func (m *Manager) wait(ctx context.Context, q *queue.Request, start time.Time) (g queue.Grant, stood bool, err error) {
	if m.waiting.Add(1) > int64(m.opts.MaxWaiting) {
		m.waiting.Add(-1)
		return g, false, queue.ErrBusy
	}
	defer m.waiting.Add(-1)
	ps := &m.parts[m.store.Partition(q.Name)].places
	p := ps.join(q)
	a, err := m.ask(ctx, q, m.settle)
	switch {
	case err != nil:
		if ps.leave(p) {
			err = m.unsettled(ctx, q, err)
		}
		return g, false, err
	case a.Word == queue.Granted:
		ps.end(p, a.Grant, queue.Handed{}, nil)
	default:
		ps.stand(p, &a)
		stood = true
	}
	g, err = m.stand(ctx, q, p, start)
	return g, stood, err
}

// stand waits in line.
func (m *Manager) stand(ctx context.Context, q *queue.Request, p *place, start time.Time) (queue.Grant, error) {
	ps := &m.parts[m.store.Partition(q.Name)].places
	select {
	case <-p.done: // granted at once, the usual case
	default:
		timer := time.NewTimer(q.Wait - time.Since(start))
		defer timer.Stop()
		select {
		case <-p.done:
		case <-ctx.Done():
		case <-timer.C:
		case <-m.draining:
		}
	}
	if ctx.Err() != nil {
		m.gone(p)
		return queue.Grant{}, ctx.Err()
	}
	select {
	case <-p.done:
		ps.tell(p)
		ps.leave(p)
		if p.err != nil {
			return queue.Grant{}, p.err
		}
		q.Got(&p.grant)
		if ps.wasShared(p) {
			q.Taken = takenByMany
		}
		return p.grant, nil
	default:
	}
	if m.Draining() {
		return queue.Grant{}, m.away(q, ps.leave(p))
	}
	ps.disown(p)
	return queue.Grant{}, m.tired(ctx, q, start, ps.leave(p))
}

// gone has a call leave a place whose client is there no more: what nobody was told of goes back, in the background.
func (m *Manager) gone(p *place) {
	ps := &m.parts[m.store.Partition(p.q.Name)].places
	if !ps.leave(p) {
		return
	}
	if q, _, due := ps.leftover(p); due {
		m.tasks.Go(func() { m.giveUp(&q, false) })
	}
}

// away leaves the line of a draining node, the place kept.
func (m *Manager) away(q *queue.Request, last bool) error {
	if last {
		m.giveUp(q, true)
	}
	return queue.ErrDraining
}

// tired ends a wait that ran out. A grant that came in this very moment is given back: the client was promised an
// answer by now.
func (m *Manager) tired(ctx context.Context, q *queue.Request, start time.Time, last bool) error {
	busy := &queue.BusyError{TimedOut: true}
	if last && !m.up.Load() {
		m.undone.add(q, false)
	} else if last {
		c, err := m.store.Cancel(ctx, q, false)
		m.apply(q.Name, c.Effects)
		if err != nil {
			m.noticed(m.store.Partition(q.Name), err)
			m.undone.add(q, false)
		}
		busy.Holders, busy.Queue = c.Holders, c.Queue
	} else if st, err := m.store.Status(ctx, q.Name, 0); err == nil {
		busy.Holders, busy.Queue = st.Holders, st.Queue
	}
	busy.Waited = time.Since(start)
	return busy
}

// Abandon takes a request out of the line or gives its grant back, in the background, and again until Redis says
// that it is done. A grant that a repeat of the request has taken stays, and so does one that an earlier call of it had:
// the client may know of it.
func (m *Manager) Abandon(q *queue.Request) {
	if q.Earlier {
		return
	}
	gone := *q
	m.tasks.Go(func() { m.giveUp(&gone, false) })
}

// failed counts a failure by its reason.
func (m *Manager) failed(err error) error {
	m.met.acquireFailed(reasonOf(err))
	return err
}

func reasonOf(err error) string {
	var busy *queue.BusyError
	var limit *queue.LimitError
	var deadlock *queue.DeadlockError
	var withheld *queue.QuarantineError
	switch {
	case errors.As(err, &withheld):
		return "quarantine"
	case errors.Is(err, queue.ErrNotReplicated):
		return "not_replicated"
	case errors.As(err, &busy) && busy.TimedOut:
		return "wait_timeout"
	case errors.As(err, &busy):
		return "lock_held"
	case errors.As(err, &deadlock):
		return "deadlock"
	case errors.As(err, &limit):
		return "limit_mismatch"
	case errors.Is(err, queue.ErrQueueFull):
		return "queue_full"
	case errors.Is(err, queue.ErrMismatch):
		return "request_mismatch"
	case errors.Is(err, queue.ErrDraining):
		return "draining"
	case errors.Is(err, queue.ErrBusy):
		return "rate_limited"
	case errors.Is(err, queue.ErrUnknown):
		return "outcome_unknown"
	case errors.Is(err, queue.ErrLost):
		return "lock_lost"
	case errors.Is(err, queue.ErrNotOwner):
		return "not_owner"
	case errors.Is(err, context.Canceled):
		return "client_gone"
	}
	return "unavailable"
}
