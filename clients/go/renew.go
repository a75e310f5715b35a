package distributedlock

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// renewal is a new lease: of ttl, from after from, told at received.
type renewal struct {
	call           *call
	id             uint64
	lock           *Lock
	from, received time.Time
	ttl            time.Duration
	expires        time.Time // by the service's clock
	fencing        int64
}

// extend takes a new lease.
func (l *Lock) extend(r renewal) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state.Load() != held {
		return
	}
	l.ttl, l.ends, l.endsLast = r.ttl, r.from.Add(r.ttl), r.received.Add(r.ttl)
	if l.timer != nil {
		l.timer.Reset(time.Until(l.lostAt()))
	}
}

// unsure notes that the lease may have been renewed from then on, or not: with one that is shorter, it may end sooner.
func (l *Lock) unsure(from time.Time, ttl time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ends := from.Add(ttl)
	if from.IsZero() || ttl == 0 || !ends.Before(l.ends) {
		return
	}
	l.ends = ends
	if l.timer != nil && l.state.Load() == held {
		l.timer.Reset(time.Until(l.lostAt()))
	}
}

// Renew gives the lock a new lease from now on; ttl 0 is the lease's own length. It tries until ctx is done or the
// lock is lost. Errors: [ErrLockLost], [ErrReleased], [ErrInvalidArgument], [ErrUnavailable] with the last cause.
func (l *Lock) Renew(ctx context.Context, ttl time.Duration) error {
	turn := l.turns()
	select {
	case turn <- struct{}{}:
		defer func() { <-turn }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	for attempt := 0; ; attempt++ {
		if err := l.Err(); err != nil {
			return err
		}
		err := l.renewOnce(ctx, ttl)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, ErrLockLost), errors.Is(err, ErrNotOwner):
			l.lose("the service no longer knows it")
			return l.Err()
		case !retryable(err):
			return err
		}
		l.mu.Lock()
		left := time.Until(l.lostAt())
		l.mu.Unlock()
		if !l.c.pause(ctx, min(backoff(attempt, 0), max(left, 0))) {
			return whyStopped(ctx)
		}
	}
}

// turns is made when it is first needed.
func (l *Lock) turns() chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.turn == nil {
		l.turn = make(chan struct{}, 1)
	}
	return l.turn
}

// renewOnce renews over what there is.
func (l *Lock) renewOnce(ctx context.Context, ttl time.Duration) error {
	if l.c.noWebSocket() {
		from := time.Now()
		l.mu.Lock()
		until := l.lostAt()
		l.mu.Unlock()
		ctx, cancel := context.WithDeadline(ctx, until)
		defer cancel()
		g, err := l.c.renewREST(ctx, l.Name, l.RenewalToken, ttl)
		if err == nil {
			l.extend(renewal{lock: l, from: from, received: time.Now(), ttl: g.ttl})
		} else if retryable(err) {
			l.unsure(from, ttl)
		}
		return err
	}
	k := l.c.newCall(callRenew, l.Name, l.RenewalToken)
	k.lock, k.ttl = l, ttl
	l.mu.Lock()
	if l.state.Load() != held {
		l.mu.Unlock()
		return ErrReleased
	}
	until, patience := l.lostAt(), l.c.renewPatience(l.ttl)
	err := l.c.submit(k) // under the lock's mutex: no renewal is sent after its release
	l.mu.Unlock()
	if err != nil {
		return err
	}
	if ttl == 0 {
		again := time.AfterFunc(l.askAgainAfter(), l.askAgain)
		defer again.Stop()
	}
	a, err := l.c.wait(ctx, k, until, patience)
	switch {
	case err != nil:
		return err
	case a.rest:
		return errNoWebSocket
	}
	return a.err
}

// askAgainAfter is how long a renewal may go without an answer before another one is sent after it.
func (l *Lock) askAgainAfter() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return max(l.ttl/6, 100*time.Millisecond)
}

// askAgain sends a renewal after one that has no answer yet: the one that is answered first counts.
func (l *Lock) askAgain() {
	l.c.mu.Lock()
	defer l.c.mu.Unlock()
	l.c.s.log.Debug("a renewal has no answer yet, asking again", "lock", l.Name)
	l.c.probe(l)
}

// renewPatience is how long a node may say nothing while a renewal waits for it. Where there is another to go to, it is
// so short that the renewal comes in time there.
func (c *Client) renewPatience(ttl time.Duration) time.Duration {
	if len(c.urls) > 1 {
		return min(max(ttl/4, 500*time.Millisecond), answerPatience)
	}
	return min(max(ttl/2, time.Second), answerPatience)
}

// keep has the lock renewed until it ends.
func (l *Lock) keep() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state.Load() == held {
		soon := max(time.Until(l.lostAt())/2, 0) // where little is left of the lease
		l.renewal = time.AfterFunc(min(renewIn(l.ttl), soon), l.renewNow)
	}
}

// renewIn is when to renew a lease: after a third of it, a little more or less, so that many do not come at once.
func renewIn(ttl time.Duration) time.Duration {
	third := ttl / 3
	return third - time.Duration(rand.Int64N(int64(third/10)+1)) //nolint:gosec // no secret
}

func (l *Lock) renewNow() {
	if !l.c.begin() {
		return
	}
	defer l.c.tasks.Done()
	if l.maxHold > 0 && time.Since(l.granted) >= l.maxHold {
		return // the lease runs out
	}
	err := l.Renew(l.c.life, 0)
	switch {
	case err == nil:
		l.keep()
	case l.Err() != nil, errors.Is(err, ErrClosed):
	default: // a refusal that is none of the lock's: what can be done is to try again as long as the lease lives
		l.c.s.log.Warn("a renewal failed", "lock", l.Name, "err", err)
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.state.Load() == held {
			l.renewal = time.AfterFunc(renewIn(l.ttl)/2, l.renewNow)
		}
	}
}

// Renew gives a grant a new lease by what [Lock.RenewalToken] was; ttl 0 is the lease's own length. Errors:
// [ErrLockLost], [ErrNotOwner], [ErrInvalidArgument], [ErrUnavailable].
func (c *Client) Renew(ctx context.Context, name, renewalToken string, ttl time.Duration) (Renewal, error) {
	if err := c.readyFor(ctx, name); err != nil {
		return Renewal{}, err
	}
	if !c.connected() {
		g, err := c.renewREST(ctx, name, renewalToken, ttl)
		return g.renewal(), err
	}
	k := c.newCall(callRenew, name, renewalToken)
	k.ttl = ttl
	if err := c.submit(k); err != nil {
		return Renewal{}, err
	}
	a, err := c.wait(ctx, k, time.Now().Add(c.s.httpTimeout), answerPatience)
	if err == nil {
		err = a.err
	}
	if a.rest || retryable(err) {
		g, err := c.renewREST(ctx, name, renewalToken, ttl)
		return g.renewal(), err
	}
	if err != nil {
		return Renewal{}, err
	}
	return a.renewal, nil
}

func (g *grant) renewal() Renewal {
	return Renewal{ExpiresAt: g.expires, TTL: g.ttl, FencingToken: g.fencing}
}
