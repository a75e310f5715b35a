package distributedlock

import (
	"context"
	"errors"
	"time"
)

const (
	// pollChunk is how long one REST call waits: proxies cut off what is silent for a minute.
	pollChunk = 20 * time.Second
	// pollLead is how long before its end the next call takes the place over.
	pollLead = 4 * time.Second
)

// polled is how a poll came out.
type polled struct {
	number int
	grant
	err  error
	sent time.Time
	at   time.Time
}

// poll is ask over REST. A wait is several calls, each of which takes the place over from the one before.
func (c *Client) poll(ctx context.Context, w *waiting) (*Lock, error) {
	if !c.begin() {
		return nil, ErrClosed
	}
	defer c.tasks.Done()
	polls, cancel := context.WithCancel(context.WithoutCancel(ctx))
	p := &poller{c: c, w: w, ctx: polls, answers: make(chan polled, 4), first: time.Now()}
	got, err := p.run(ctx)
	cancel()
	p.settle(got)
	if got == nil {
		return nil, err
	}
	c.mu.Lock()
	l := c.newLock(w.q, &got.grant, p.first, got.at)
	if p.last > 1 {
		l.Waited = max(l.Waited, got.at.Sub(p.first)) // the service counts from the last time it was asked
	}
	if c.closed {
		c.mu.Unlock()
		l.letGo()
		return nil, ErrClosed
	}
	c.held[l.ID] = l
	c.mu.Unlock()
	return l, nil
}

type poller struct {
	c       *Client
	w       *waiting
	ctx     context.Context
	answers chan polled
	first   time.Time
	// last is the number of the last poll, flying how many have no answer.
	last, flying int
}

// run polls until there is a grant, an error, or no reason to wait any more.
func (p *poller) run(ctx context.Context) (*polled, error) {
	next := time.NewTimer(0)
	defer next.Stop()
	var end <-chan time.Time
	if !p.w.until.IsZero() {
		t := time.NewTimer(time.Until(p.w.until))
		defer t.Stop()
		end = t.C
	}
	for {
		select {
		case <-next.C:
			if chunk, more := p.start(); more {
				next.Reset(chunk - min(pollLead, chunk/4))
			}
		case a := <-p.answers:
			p.flying--
			switch {
			case a.err == nil:
				return &a, nil
			case a.number < p.last && errors.Is(a.err, ErrWaitTimeout): // its place was taken over
			default:
				return nil, a.err
			}
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-p.c.closing:
			return nil, ErrClosed
		case <-end:
			return nil, unavailable(p.c.lastCause())
		}
	}
}

// start begins the next poll. more is whether another has to follow it.
func (p *poller) start() (chunk time.Duration, more bool) {
	chunk, more = min(pollChunk, p.c.longestAsk()), true
	if q := p.w.q; q.bounded && q.wait == 0 {
		chunk, more = 0, false
	} else if q.bounded {
		left := max(time.Until(p.w.end), time.Millisecond)
		chunk, more = min(chunk, left), left > chunk
	}
	p.last++
	p.flying++
	number, answers := p.last, p.answers
	p.c.tasks.Go(func() {
		sent := time.Now()
		g, err := p.c.post(p.ctx, p.w.q.name, "acquire", p.w.q.appendAcquire(p.c.body(), chunk), chunk)
		answers <- polled{number, g, err, sent, time.Now()}
	})
	return chunk, more
}

// settle sees to the polls that have no answer: what they were granted goes back. got is the grant that is kept.
func (p *poller) settle(got *polled) {
	if p.flying == 0 {
		return
	}
	c, flying := p.c, p.flying
	c.mu.Lock()
	c.loose++
	c.mu.Unlock()
	c.tasks.Go(func() {
		defer func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.loosened()
		}()
		ctx, cancel := context.WithTimeout(c.life, 2*closePatience)
		defer cancel()
		for range flying {
			if a := <-p.answers; a.err == nil && (got == nil || a.lockID != got.lockID) {
				_, _, _ = c.releaseREST(ctx, p.w.q.name, a.lockID) // or its lease runs out
				return
			}
		}
		if got != nil {
			return
		}
		// An answer may have been lost: the same request is told of its grant again.
		if g, err := c.post(ctx, p.w.q.name, "acquire", p.w.q.appendAcquire(c.body(), 0), 0); err == nil {
			_, _, _ = c.releaseREST(ctx, p.w.q.name, g.lockID) // likewise
		}
	})
}
