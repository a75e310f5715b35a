package distributedlock

import (
	"context"
	"time"
)

// Release gives a grant back by what [Lock.ID] was, for programs that keep it, and says how long it was held. Errors:
// [ErrLockLost] where it is gone, [ErrNotOwner], [ErrUnavailable].
func (c *Client) Release(ctx context.Context, name, lockID string) (heldFor time.Duration, err error) {
	if err := c.readyFor(ctx, name); err != nil {
		return 0, err
	}
	if !c.connected() {
		heldFor, _, err = c.releaseREST(ctx, name, lockID)
		return heldFor, err
	}
	heldFor, _, err = c.releaseUntil(ctx, name, lockID, time.Now().Add(c.s.httpTimeout))
	return heldFor, err
}

// releaseUntil releases until then, over whatever connections it takes. resent is whether an earlier try may have done
// it.
func (c *Client) releaseUntil(ctx context.Context, name, lockID string, until time.Time) (heldFor time.Duration, resent bool, err error) {
	for attempt := 0; ; attempt++ {
		var again bool
		heldFor, again, err = c.releaseOnce(ctx, name, lockID, until)
		resent = resent || again
		if err == nil || ctx.Err() != nil || !retryable(err) {
			return heldFor, resent, err
		}
		if !time.Now().Before(until) {
			return 0, resent, unavailable(err)
		}
		resent = true // whatever it said, it may have been done
		t := time.NewTimer(min(backoff(attempt, retryAfter(err)), time.Until(until)))
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return 0, resent, context.Cause(ctx)
		}
	}
}

func (c *Client) releaseOnce(ctx context.Context, name, lockID string, until time.Time) (heldFor time.Duration, resent bool, err error) {
	if c.noWebSocket() {
		ctx, cancel := context.WithDeadline(ctx, until)
		defer cancel()
		return c.releaseREST(ctx, name, lockID)
	}
	k := c.newCall(callRelease, name, lockID)
	if err := c.submit(k); err != nil {
		return 0, false, err
	}
	a, err := c.wait(ctx, k, until, answerPatience)
	switch {
	case err != nil:
		return 0, true, err
	case a.rest:
		return 0, a.resent, errNoWebSocket
	}
	return a.held, a.resent, a.err
}

// releaseLater releases a lock, and nobody waits for it.
func (c *Client) releaseLater(l *Lock) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.noWebSocketLocked(time.Now()) {
		if c.over {
			return
		}
		c.loose++
		c.tasks.Go(func() {
			_, _, err := c.releaseREST(c.life, l.Name, l.ID)
			c.mu.Lock()
			defer c.mu.Unlock()
			c.loosened()
			if err != nil {
				c.s.log.Warn("not released", "lock", l.Name, "err", err)
			}
		})
		return
	}
	c.giveBack(l.Name, l.ID)
}
