package distributedlock

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"
	"unicode/utf8"
)

const (
	// tryPatience is how long a call that does not wait in line, or not as long, tries to reach the service.
	tryPatience = 5 * time.Second
	// waitGrace is for the service to say that a wait ran out.
	waitGrace = time.Second
)

// Acquire takes a lock for ttl, 0.1 s to the service's MAX_TIMEOUT; 0 is the service's default. It waits in line up to
// [DefaultWait], or [WithWait]. Release what it returns. Errors: [ErrHeld] where it does not wait, [ErrWaitTimeout],
// [ErrDeadlock], [ErrLimitMismatch], [ErrRequestMismatch], [ErrInvalidArgument], [ErrQueueFull], [ErrUnauthorized],
// [ErrForbidden], [ErrClosed], and [ErrUnavailable] with the last cause where the service was not reached in time.
func (c *Client) Acquire(name string, ttl time.Duration, opts ...Option) (*Lock, error) {
	q := request{name: name, ttl: ttl, wait: DefaultWait, bounded: true}
	return c.acquire(context.Background(), &q, opts)
}

// AcquireContext is [Client.Acquire] that waits until ctx is done, or [WithWait]. When ctx is done first, it returns
// its cause at once; the request leaves the line, and a grant that crosses that goes back.
func (c *Client) AcquireContext(ctx context.Context, name string, ttl time.Duration, opts ...Option) (*Lock, error) {
	q := request{name: name, ttl: ttl}
	return c.acquire(ctx, &q, opts)
}

// TryAcquire is [Client.Acquire] that never waits in line: a lock that somebody holds is [ErrHeld]. It tries for 5 s at
// most to reach the service.
func (c *Client) TryAcquire(ctx context.Context, name string, ttl time.Duration, opts ...Option) (*Lock, error) {
	q := request{name: name, ttl: ttl}
	return c.acquire(ctx, &q, append(slices.Clip(opts), WithWait(0)))
}

// Do holds the lock while fn runs: it waits for it until ctx is done, or [WithWait], with a lease of [DefaultTTL], or
// [WithTTL], that is renewed. fn's context ends with ctx, and with cause [ErrLockLost] when the lock is lost: fn should
// return then. Do returns fn's error, joined with [ErrLockLost] where the lock was lost, or why there was no lock.
func (c *Client) Do(ctx context.Context, name string, fn func(ctx context.Context) error, opts ...Option) (err error) {
	q := request{name: name, ttl: DefaultTTL, autoRenew: true}
	lock, err := c.acquire(ctx, &q, opts)
	if err != nil {
		return err
	}
	inner, cancel := context.WithCancelCause(WithOwnerContext(ctx, lock.OwnerID))
	defer cancel(ErrReleased)
	held := lock.Context()
	unhook := context.AfterFunc(held, func() { cancel(context.Cause(held)) })
	defer unhook()
	defer func() {
		if gone := lock.Release(); errors.Is(gone, ErrLockLost) && !errors.Is(err, ErrLockLost) {
			err = errors.Join(err, gone)
		} else if gone != nil {
			c.s.log.Warn("not released", "lock", name, "err", gone)
		}
	}()
	return fn(inner)
}

// nameFault says what is wrong with a lock's name that no path can carry, or that would become another's.
func nameFault(name string) error {
	switch {
	case name == "":
		return invalid("lockName", "is required")
	case name == "." || name == "..":
		return invalid("lockName", "must not be . or .., which proxies rewrite")
	case !utf8.ValidString(name):
		return invalid("lockName", "must be UTF-8")
	}
	return nil
}

// readyFor is ready for a call about a lock.
func (c *Client) readyFor(ctx context.Context, name string) error {
	if err := c.ready(ctx); err != nil {
		return err
	}
	return nameFault(name)
}

// ready reports why a call cannot be made.
func (c *Client) ready(ctx context.Context) error {
	switch {
	case c.bad != nil:
		return c.bad
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	select {
	case <-c.closing:
		return ErrClosed
	default:
		return nil
	}
}

// prepare completes a request.
func (c *Client) prepare(ctx context.Context, q *request, opts []Option) error {
	for _, o := range opts {
		o(q)
	}
	if err := c.readyFor(ctx, q.name); err != nil {
		return err
	}
	if q.owner == "" {
		q.owner = ownerOf(ctx)
	}
	if q.owner == "" {
		q.owner = newID()
	}
	if q.id == "" {
		q.id = newID()
	}
	if q.metadata != nil {
		b, err := json.Marshal(q.metadata)
		if err != nil {
			return invalid("metadata", "cannot be JSON: "+err.Error())
		}
		q.meta = b
	}
	if !utf8.ValidString(q.owner) || !utf8.ValidString(q.id) {
		return invalid("ownerId and requestId", "must be UTF-8")
	}
	return nil
}

// acquire asks until there is an answer that asking again cannot change.
func (c *Client) acquire(ctx context.Context, q *request, opts []Option) (*Lock, error) {
	if err := c.prepare(ctx, q, opts); err != nil {
		return nil, err
	}
	w := waiting{q: q}
	if q.bounded {
		w.begin = time.Now()
		w.end = w.begin.Add(q.wait)
		w.until = w.begin.Add(max(q.wait+waitGrace, tryPatience))
	}
	for attempt := 0; ; attempt++ {
		lock, err := c.ask(ctx, &w)
		if err == nil {
			return c.hand(ctx, lock)
		}
		err = w.judge(c, err)
		if w.final || ctx.Err() != nil {
			if ctx.Err() != nil && !isRefusal(err) {
				err = context.Cause(ctx)
			}
			return nil, err
		}
		if w.anew {
			attempt, w.anew = -1, false
			continue
		}
		d := backoff(attempt, min(retryAfter(err), time.Second))
		if !w.until.IsZero() {
			d = min(d, time.Until(w.until))
		}
		if !c.pause(ctx, d) {
			return nil, whyStopped(ctx)
		}
		if !w.until.IsZero() && !time.Now().Before(w.until) {
			return nil, unavailable(err)
		}
	}
}

// hand gives a lock to its caller, who may have lost patience meanwhile.
func (c *Client) hand(ctx context.Context, l *Lock) (*Lock, error) {
	l.mu.Lock()
	if l.parent == nil {
		l.parent = ctx
	}
	unclear := l.unproven && l.endsLast.Sub(l.ends) > margin(l.ttl)
	l.unproven = false
	l.mu.Unlock()
	if ctx.Err() != nil {
		l.letGo()
		return nil, context.Cause(ctx)
	}
	if unclear {
		// When it was granted cannot be told well enough: a new lease begins after now.
		if err := l.Renew(ctx, 0); err != nil {
			l.letGo()
			return nil, err
		}
	}
	if l.AutoRenew {
		l.Context() // with it, the loss is noticed and told whoever looks
		l.keep()
	}
	return l, nil
}

// waiting is an acquire under way, over all its tries.
type waiting struct {
	q *request
	// begin and end are of the wait in line, where it is bounded; until is when to give up.
	begin, end, until time.Time
	// final is whether there is nothing to be gained by asking again; anew, whether to ask at once.
	final, anew bool
}

// judge says what an error means for asking again.
func (w *waiting) judge(c *Client, err error) error {
	var e *APIError
	switch {
	case errors.Is(err, errNoWebSocket):
		w.anew = true // over REST, from now on
	case errors.Is(err, ErrWaitTimeout):
		if w.q.bounded && time.Until(w.end) < 20*time.Millisecond {
			w.final = true
			if errors.As(err, &e) {
				e.WaitTime = time.Since(w.begin)
			}
			return err
		}
		w.anew = true // only a part of the wait has ended
	case errors.As(err, &e) && e.Code == codeInvalid && e.about("waitTimeout") && c.shorten():
		w.anew = true
	case !retryable(err), errors.Is(err, ErrClosed):
		w.final = true
	case !w.until.IsZero() && !time.Now().Before(w.until):
		w.final = true
		return unavailable(err)
	}
	return err
}

func (e *APIError) about(field string) bool {
	return len(e.Fields) == 1 && e.Fields[0].Field == field
}

// isRefusal reports whether an error is the service's word, not the lack of one.
func isRefusal(err error) bool {
	e, ok := errors.AsType[*APIError](err)
	return ok && !retryable(e)
}

// ask asks once, over what there is.
func (c *Client) ask(ctx context.Context, w *waiting) (*Lock, error) {
	if c.noWebSocket() {
		return c.poll(ctx, w)
	}
	k := c.newCall(callAcquire, w.q.name, "")
	k.q = w.q
	if w.q.bounded && w.q.wait > 0 {
		k.waitEnd = w.end
	}
	if w.q.onQueued != nil {
		k.moved = make(chan struct{}, 1)
	}
	if err := c.submit(k); err != nil {
		return nil, err
	}
	a, err := c.wait(ctx, k, w.until, answerPatience)
	switch {
	case err != nil:
		return nil, err
	case a.rest:
		return nil, errNoWebSocket
	}
	return a.lock, a.err
}
