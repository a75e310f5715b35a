package distributedlock

import (
	"context"
	"errors"
	"net"
	"time"
)

// answerPatience is how long a node may say nothing to what it answers at once, before it is taken for dead.
const answerPatience = 5 * time.Second

// wait waits for a call's answer: until ctx is done or, where it is not zero, until then; a connection that says
// nothing for the patience is given up. An error is about the waiting; the call is then given up, and taken back.
func (c *Client) wait(ctx context.Context, k *call, until time.Time, patience time.Duration) (answer, error) {
	for {
		k.timer.Reset(time.Until(c.nextLook(k, until, patience)))
		select {
		case a := <-k.done:
			k.free()
			return a, nil
		case <-ctx.Done():
			return c.stop(k, context.Cause(ctx))
		case <-k.moved:
			c.mu.Lock()
			place := k.place
			c.mu.Unlock()
			k.q.onQueued(place)
		case <-k.timer.C:
			now := time.Now()
			if !until.IsZero() && !now.Before(until) {
				return c.stop(k, unavailable(c.lastCause()))
			}
			c.look(k, now, patience)
		}
	}
}

// stop gives a call up, unless its answer is there.
func (c *Client) stop(k *call, why error) (answer, error) {
	k.timer.Stop()
	if a, answered := c.leave(k); answered {
		k.free()
		return a, nil
	}
	return answer{}, why
}

// nextLook is when something is to be done about a call that has no answer.
func (c *Client) nextLook(k *call, until time.Time, patience time.Duration) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if k.kind == callAcquire && k.sent.IsZero() { // it is asked for only as there is a connection
		patience = min(patience, c.longestAsk()/2)
	}
	next := time.Now().Add(patience)
	if at := k.refreshAt(); !at.IsZero() && at.Before(next) {
		next = at
	}
	if !until.IsZero() && until.Before(next) {
		next = until
	}
	return next
}

// look asks again for a wait that is about to end, and gives up a connection that does not answer.
func (c *Client) look(k *call, now time.Time, patience time.Duration) {
	c.mu.Lock()
	n := c.conn
	dead := n != nil && !k.queued && !k.sent.IsZero() && n.quiet() >= patience && now.Sub(k.sent) >= patience
	if at := k.refreshAt(); !at.IsZero() && !now.Before(at) {
		c.refresh(k)
	}
	if n == nil {
		c.startLink()
	}
	c.mu.Unlock()
	if dead {
		n.kill(errSilent)
	}
}

func (c *Client) lastCause() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cause
}

// retryable reports whether asking again may help, without anybody doing anything.
func retryable(err error) bool {
	if err == nil || errors.Is(err, ErrClosed) || errors.Is(err, context.Canceled) {
		return false
	}
	if e, ok := errors.AsType[*APIError](err); ok {
		switch e.Code {
		case codeUnknown, codeDraining, codeUnavailable, codeRateLimited, codeInternal:
			return true
		}
		return false
	}
	var broken net.Error
	return errors.Is(err, ErrUnavailable) || errors.Is(err, errNoWebSocket) || errors.As(err, &broken)
}

// whyStopped is why trying ended: ctx, the client's end, or the time for it.
func whyStopped(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return ErrClosed
}
