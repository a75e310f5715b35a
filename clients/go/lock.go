package distributedlock

import (
	"context"
	"errors"
	"maps"
	"sync"
	"sync/atomic"
	"time"
)

// The states of a lock.
const (
	held int32 = iota
	released
	lost
)

// Lock is a lock that was granted. Its methods are safe for concurrent use; its fields are not to be changed.
type Lock struct {
	// ID is what the grant is released by, RenewalToken what it is renewed by: both are secrets.
	ID, Name, ClientID, OwnerID, RequestID, RenewalToken string
	// FencingToken rises with every grant of the lock. Give it to what the lock protects, which refuses lower ones.
	FencingToken int64
	// Waited is how long the request stood in line.
	Waited time.Duration
	// AutoRenew is whether the client renews it.
	AutoRenew bool
	Metadata  map[string]any

	c       *Client
	granted time.Time
	maxHold time.Duration
	state   atomic.Int32
	// unproven is whether nothing but the request's moment was known of when the lease began.
	unproven bool
	// turn is held by the renewal under way: they come one after another.
	turn chan struct{}

	mu sync.Mutex
	// parent has the values of the acquire's context.
	parent context.Context
	ttl    time.Duration
	// ends is when the lease ends, at the earliest, endsLast at the latest; both by the local monotonic clock.
	ends, endsLast time.Time
	loss           error
	// tried is whether a release was sent; settled whether the service has answered one, or it is pointless.
	tried, settled bool
	ctx            context.Context
	cancel         context.CancelCauseFunc
	timer          *time.Timer
	renewal        *time.Timer
}

// newLock makes the lock of a grant that was asked for after first and told at received. c.mu is held.
func (c *Client) newLock(q *request, g *grant, first, received time.Time) *Lock {
	l := &Lock{
		ID: g.lockID, Name: q.name, ClientID: c.s.clientID, OwnerID: q.owner, RequestID: q.id, RenewalToken: g.token,
		FencingToken: g.fencing, Waited: g.waited, AutoRenew: q.autoRenew, Metadata: q.metadata,
		c: c, granted: received, maxHold: q.maxHold, ttl: g.ttl,
	}
	if q.ttl > 0 {
		l.ttl = q.ttl // what is left of it may be less by now
	}
	// The service read what is left of the lease after the request had been sent. Where that was long ago, its clock
	// tells more.
	l.ends, l.endsLast = first.Add(g.ttl), received.Add(g.ttl)
	t, proven := c.clock.local(g.expires, received)
	if proven && t.After(l.ends) {
		l.ends = t
	}
	l.unproven = !proven
	if l.ends.After(l.endsLast) {
		l.ends = l.endsLast
	}
	return l
}

// margin is how long before the lease's end a lock counts as lost.
func margin(ttl time.Duration) time.Duration {
	return min(max(ttl/10, 10*time.Millisecond), 500*time.Millisecond)
}

// lostAt is when the lock counts as lost. l.mu is held.
func (l *Lock) lostAt() time.Time { return l.ends.Add(-margin(l.ttl)) }

// ExpiresAt is when the lease ends, by the local monotonic clock: never later than it ends at the service. The lock
// counts as lost a little before: a tenth of the lease, at least 10 ms and at most 500 ms.
func (l *Lock) ExpiresAt() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ends
}

// Context is cancelled when the lock is no longer held: with cause [ErrLockLost] before the lease ends, or when the
// service says so; with [ErrReleased] on release. It has the values of the context that the lock was acquired with, and
// the lock's owner: what is acquired with it is the same owner's.
func (l *Lock) Context() context.Context {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ctx != nil {
		return l.ctx
	}
	parent := context.Background()
	if l.parent != nil {
		parent = context.WithoutCancel(l.parent)
	}
	l.ctx, l.cancel = context.WithCancelCause(WithOwnerContext(parent, l.OwnerID))
	switch l.state.Load() {
	case released:
		l.cancel(ErrReleased)
	case lost:
		l.cancel(l.loss)
	default:
		l.timer = time.AfterFunc(time.Until(l.lostAt()), l.check)
	}
	return l.ctx
}

// Done is closed when the lock is no longer held; [Lock.Err] says why.
func (l *Lock) Done() <-chan struct{} { return l.Context().Done() }

// Err is nil while the lock is held, and then [ErrLockLost], with the reason, or [ErrReleased].
func (l *Lock) Err() error {
	l.check()
	switch l.state.Load() {
	case held:
		return nil
	case released:
		return ErrReleased
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.loss
}

// check finds the lock lost when its time has come.
func (l *Lock) check() {
	if l.state.Load() != held {
		return
	}
	l.mu.Lock()
	left := time.Until(l.lostAt())
	if left <= 0 {
		l.mu.Unlock()
		l.lose("its lease ended and was not renewed")
		return
	}
	if l.timer != nil {
		l.timer.Reset(left)
	}
	l.mu.Unlock()
}

// lose ends the lock for a reason. The first end counts.
func (l *Lock) lose(reason string) {
	l.mu.Lock()
	gone := l.state.CompareAndSwap(held, lost)
	if gone {
		l.loss = &lossError{l.Name, reason}
		l.stop(l.loss)
	}
	end := l.endsLast
	l.mu.Unlock()
	if gone {
		l.c.lapse(l, end)
		l.c.s.log.Warn("lock lost", "lock", l.Name, "fencingToken", l.FencingToken, "why", reason)
	}
}

// stop ends the lock's timers and context. l.mu is held.
func (l *Lock) stop(cause error) {
	if l.timer != nil {
		l.timer.Stop()
	}
	if l.renewal != nil {
		l.renewal.Stop()
	}
	if l.cancel != nil {
		l.cancel(cause)
	}
}

// lapse forgets a lock that was lost, but for its id: the service may tell of the grant once more while the lease lasts, and
// it is not to be given back before its end, which somebody may rely on.
func (c *Client) lapse(l *Lock, end time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.tidied) > time.Second {
		c.tidied = now
		maps.DeleteFunc(c.lapsed, func(_ string, end time.Time) bool { return now.After(end) })
	}
	c.lapsed[l.ID] = end
	c.out(l)
}

// drop forgets a lock.
func (c *Client) drop(l *Lock) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out(l)
}

// out is drop where c.mu is held.
func (c *Client) out(l *Lock) {
	if c.held[l.ID] == l {
		delete(c.held, l.ID)
	}
}

// Release gives the lock back, waiting up to 5 s for the service to say so. It is idempotent: after a release it is
// nil again. It is [ErrLockLost] where the lock was lost before, and [ErrUnavailable] where the service could not be
// told: the lease then runs out.
func (l *Lock) Release() error { return l.release(context.Background(), releasePatience) }

// ReleaseContext is [Lock.Release], waiting until ctx is done or the lease has surely ended.
func (l *Lock) ReleaseContext(ctx context.Context) error { return l.release(ctx, 0) }

const releasePatience = 5 * time.Second

func (l *Lock) release(ctx context.Context, patience time.Duration) error {
	l.check()
	l.mu.Lock()
	switch {
	case l.state.Load() == lost:
		err := l.loss
		late := !l.settled
		l.settled = true
		l.mu.Unlock()
		if late { // the lease may live a little longer: the next in line need not wait for its end
			l.c.releaseLater(l)
		}
		return err
	case l.settled:
		l.mu.Unlock()
		return nil
	}
	if l.state.CompareAndSwap(held, released) {
		l.stop(ErrReleased)
	}
	again, end := l.tried, l.endsLast
	l.tried = true
	l.mu.Unlock()
	l.c.drop(l)
	if patience > 0 {
		if until := time.Now().Add(patience); until.Before(end) {
			end = until
		}
	}
	_, resent, err := l.c.releaseUntil(ctx, l.Name, l.ID, end)
	return l.settle(err, again || resent)
}

// settle notes how a release came out. A grant that is gone on the second try was released by the first.
func (l *Lock) settle(err error, again bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	gone := errors.Is(err, ErrLockLost)
	switch {
	case err == nil, gone && again, l.settled, time.Now().After(l.endsLast):
		l.settled = true // in the last case, nobody holds anything by this grant any more
		return nil
	case gone:
		l.settled, l.loss = true, err
		l.state.Store(lost)
	}
	return err // where it is no answer, another try may do it
}

// letGo releases the lock for a client that closes.
func (l *Lock) letGo() {
	l.mu.Lock()
	if l.state.CompareAndSwap(held, released) {
		l.stop(ErrReleased)
	}
	if l.settled {
		l.mu.Unlock()
		return
	}
	l.settled = true
	l.mu.Unlock()
	l.c.drop(l)
	l.c.releaseLater(l)
}
