package distributedlock

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"github.com/gorilla/websocket"
)

// restFor is how long the client goes without a WebSocket after none could be had.
const restFor = time.Minute

// settledAfter is how long a connection must have lived for the next one to be tried without a pause.
const settledAfter = 2 * time.Second

// mostShortLived is how many connections that were made, and soon ended, lengthen the pause before the next.
const mostShortLived = 4

// startLink sees to a connection, unless somebody does. c.mu is held.
func (c *Client) startLink() {
	if c.linking || c.over || c.conn != nil || c.noWebSocketLocked(time.Now()) {
		return
	}
	c.linking = true
	c.tasks.Go(c.link)
}

// noWebSocketLocked reports whether calls go over REST for now. c.mu is held.
func (c *Client) noWebSocketLocked(now time.Time) bool {
	return c.s.noWebSocket || (c.conn == nil && now.Before(c.restUntil))
}

func (c *Client) noWebSocket() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.noWebSocketLocked(time.Now())
}

func (c *Client) connected() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.conn != nil
}

// link keeps a connection for as long as anything depends on it.
func (c *Client) link() {
	failures, refusals := 0, 0
	for c.wanted() {
		c.sweep()
		n, err := c.connect()
		if err == nil {
			err = c.serve(n)
			if c.ended(n, err) {
				failures = 0
			}
			refusals = 0
			if failures++; failures == 1 {
				continue
			}
			failures = min(failures, mostShortLived) // it is there, after all
		} else {
			failures++
			if errors.Is(err, errNoWebSocket) {
				refusals++
			}
			if c.refused(err, refusals) {
				return
			}
		}
		// All endpoints have their turn before the pauses grow.
		if !c.pauseLink(backoff((failures-1)/len(c.urls), retryAfter(err))) {
			break
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.linking = false
	if c.wantedLocked() { // by somebody who came meanwhile
		c.startLink()
	}
}

// pauseLink waits, less where the client ends.
func (c *Client) pauseLink(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-c.life.Done():
		return false
	}
}

// wanted reports whether anything depends on a connection.
func (c *Client) wanted() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wantedLocked()
}

func (c *Client) wantedLocked() bool {
	return !c.over && (len(c.pending) > 0 || len(c.held) > 0 || len(c.subs) > 0)
}

// sweep finds the locks whose time has come and that nobody looks after.
func (c *Client) sweep() {
	c.mu.Lock()
	locks := make([]*Lock, 0, len(c.held))
	for _, l := range c.held {
		locks = append(locks, l)
	}
	c.mu.Unlock()
	for _, l := range locks {
		l.check()
	}
}

// serve reads and writes until the connection ends, and returns why.
func (c *Client) serve(n *conn) error {
	c.tasks.Go(n.write)
	err := n.read()
	n.kill(err)
	return err
}

func closeCode(err error) int {
	if e, ok := errors.AsType[*websocket.CloseError](err); ok {
		return e.Code
	}
	return 0
}

// ended notes the end of a connection, and where to go next. It reports whether that was an end to be expected, after
// which the next connection need not wait.
func (c *Client) ended(n *conn, err error) (calmly bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn == n {
		c.conn = nil
	}
	if c.over {
		return false
	}
	c.cause = err
	c.endpoint = (c.endpoint + 1) % len(c.urls)
	code := closeCode(err)
	switch code {
	case websocket.CloseNormalClosure: // the session went on elsewhere: two would take it from each other for ever
		c.session = ""
	case websocket.CloseMessageTooBig, 4400: // sent again, it would end the next connection too
		for _, k := range c.pending {
			if !k.first.IsZero() {
				c.end(k, answer{err: &APIError{Code: codeInvalid, Status: 400, Title: "The service refused a frame", Detail: err.Error(), LockName: k.name}})
			}
		}
	}
	c.s.log.Warn("connection to the lock service ended", "why", err, "code", code, "next", c.urls[c.endpoint].Host)
	return time.Since(n.opened) > settledAfter || n.draining || code == websocket.CloseGoingAway
}

// refused notes that there was no connection, and reports whether to stop trying.
func (c *Client) refused(err error, refusals int) (stop bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return false
	}
	c.cause = err
	c.s.log.Warn("no connection to the lock service", "endpoint", c.urls[c.endpoint].Host, "why", err)
	c.endpoint = (c.endpoint + 1) % len(c.urls)
	fatal := isRefusal(err) // of the token, or of the clientId: it will be the same next time
	switch {
	case fatal:
		c.endAll(answer{err: err})
	case refusals >= len(c.urls):
		c.restUntil = time.Now().Add(restFor)
		c.endAll(answer{rest: true})
	default:
		return false
	}
	c.linking = false
	return true
}

// endAll answers every call. What nobody waits for goes over REST. c.mu is held.
func (c *Client) endAll(a answer) {
	for _, k := range c.pending {
		if a.rest && k.unattended && k.kind == callRelease {
			name, secret := k.name, k.secret
			c.loose++
			c.tasks.Go(func() {
				_, _, err := c.releaseREST(c.life, name, secret)
				c.mu.Lock()
				defer c.mu.Unlock()
				c.loosened()
				if err != nil {
					c.s.log.Warn("not given back", "lock", name, "err", err)
				}
			})
		}
		c.end(k, a)
	}
	for s := range c.subs {
		s.end(cmp.Or(a.err, errNoWebSocket))
	}
}

// install makes a connection the client's: everything under way is asked again over it. c.mu is held.
func (c *Client) install(n *conn) {
	c.conn = n
	under := make([]*call, 0, len(c.pending))
	for id, k := range c.pending {
		if id == k.id {
			under = append(under, k)
		}
	}
	slices.SortFunc(under, func(a, b *call) int { return cmp.Compare(a.id, b.id) })
	for _, k := range under {
		c.resend(n, k)
	}
	if !n.resumed { // nobody tells of what became of the locks: a renewal does
		for _, l := range c.held {
			c.probe(l)
		}
	}
	for s := range c.subs {
		s.again()
		c.subscribe(s)
	}
}

// resend sends a call over a new connection. c.mu is held.
func (c *Client) resend(n *conn, k *call) {
	switch {
	case k.kind == callSubscribe, k.kind == callUnsubscribe:
		c.forget(k) // they are the old connection's
		return
	case k.kind == callRenew && k.lock != nil && k.lock.state.Load() != held:
		c.end(k, answer{err: ErrReleased})
		return
	case k.kind == callAcquire && !k.first.IsZero():
		// Under a new id: the service may hold the old one still. The same requestId keeps the place.
		c.forgetIDs(k)
		c.lastID++
		k.id, k.queued = c.lastID, false
		c.pending[k.id] = k
	}
	if !n.put(k) {
		c.end(k, answer{err: tooLarge(k.name)})
		return
	}
	if k.kind == callAcquire && k.unattended {
		c.takeBack(k)
	}
}

// forgetIDs takes out all ids of a call that goes on under another. c.mu is held.
func (c *Client) forgetIDs(k *call) {
	delete(c.pending, k.id)
	for _, id := range k.older {
		delete(c.pending, id)
	}
	k.older = k.older[:0]
}

// probe asks whether a lock is still held, with a renewal that nobody waits for. c.mu is held.
func (c *Client) probe(l *Lock) {
	if l.state.Load() != held {
		return
	}
	k := c.newCall(callRenew, l.Name, l.RenewalToken)
	k.lock, k.unattended = l, true
	_ = c.submitLocked(k) // fails on a closed client only, which holds nothing
}

// retryAfter is how long the service asked to wait.
func retryAfter(err error) time.Duration {
	if e, ok := errors.AsType[*APIError](err); ok {
		return e.RetryAfter
	}
	return 0
}
