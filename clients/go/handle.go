package distributedlock

import (
	"encoding/json"
	"errors"
	"io"
	"time"
)

// readAll reads r to its end into buf, which grows as it must.
func readAll(r io.Reader, buf []byte) ([]byte, error) {
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if errors.Is(err, io.EOF) {
			return buf, nil
		}
		if err != nil {
			return buf, err
		}
	}
}

// handle does what a frame tells. Frames of a connection that another has followed are nothing any more.
func (c *Client) handle(n *conn, frame []byte) {
	received := time.Now()
	kind, id := head(frame)
	c.mu.Lock()
	if c.conn != n {
		c.mu.Unlock()
		return
	}
	k := c.pending[id]
	var lost *Lock
	var renewed renewal
	switch string(kind) {
	case "granted":
		c.granted(k, frame, received)
	case "released":
		if k != nil {
			c.end(k, answer{held: readHeld(frame)})
		}
	case "renewed":
		renewed = c.renewed(k, frame, received)
	case "queued":
		c.queued(k, id, frame, received)
	case "position":
		c.position(k, id, frame)
	case "error":
		lost = c.failed(k, id, frame)
	case "lost":
		lost = c.lostLock(frame)
	case "subscribed", "event", "unsubscribed":
		c.subscriptions(n, k, string(kind), frame)
	case "draining":
		n.draining = true
	}
	move := n.draining && len(c.urls) > 1
	c.mu.Unlock()
	if lost != nil {
		var l struct{ Reason string }
		_ = json.Unmarshal(frame, &l) // without a reason it is lost all the same
		lost.lose(reasonOf(l.Reason))
	}
	if renewed.call != nil {
		c.extended(renewed)
	}
	if move {
		n.kill(errDraining)
	}
}

var errDraining = errors.New("the node shuts down")

func reasonOf(reason string) string {
	switch reason {
	case "expired":
		return "its lease ran out"
	case "force_released":
		return "an admin took it"
	}
	return "the service no longer knows it"
}

// granted gives a grant to whoever asked for it, or back where nobody wants it. c.mu is held.
func (c *Client) granted(k *call, frame []byte, received time.Time) {
	var g grant
	g.read(frame)
	if k == nil || k.kind != callAcquire {
		k = c.wanting(&g)
	}
	known := c.held[g.lockID]
	_, lapsed := c.lapsed[g.lockID]
	switch {
	case k == nil && (known != nil || lapsed || c.releasing(g.lockID)): // a repeat: the same place was asked for more than once
		return
	case k == nil:
		c.giveBack(text(g.name), g.lockID)
		return
	case known != nil || k.unattended:
		if known == nil {
			c.giveBack(text(g.name), g.lockID) // before the end of the call, which may be all that Close waits for
		}
		c.end(k, answer{lock: known})
		return
	}
	if !k.queued && len(k.older) == 0 {
		c.clock.learn(g.now(), k.first, received)
	} else {
		c.clock.doubt(g.now(), received)
	}
	l := c.newLock(k.q, &g, k.first, received)
	if !k.since.IsZero() {
		l.Waited = max(l.Waited, received.Sub(k.since)) // the service counts from the last time it was asked
	}
	c.held[l.ID] = l
	c.end(k, answer{lock: l})
}

// releasing reports whether a release of a grant is under way: another, of a repeat, would only get in its way.
// c.mu is held.
func (c *Client) releasing(lockID string) bool {
	for _, k := range c.pending {
		if k.kind == callRelease && k.secret == lockID {
			return true
		}
	}
	return false
}

// wanting finds the acquire of a grant that was told under an id of an earlier connection. c.mu is held.
func (c *Client) wanting(g *grant) *call {
	name, request := text(g.name), text(g.request)
	for _, k := range c.pending {
		if k.kind == callAcquire && k.q.id == request && k.name == name {
			return k
		}
	}
	return nil
}

// queued notes that a request waits. c.mu is held.
func (c *Client) queued(k *call, id uint64, frame []byte, received time.Time) {
	if k == nil || k.kind != callAcquire || k.id != id {
		return
	}
	k.queued = true
	if k.since.IsZero() {
		k.since = received
	}
	if k.moved == nil {
		return
	}
	var place Place
	if json.Unmarshal(frame, &place) != nil {
		return
	}
	if len(place.Holders) > 0 && len(k.older) == 0 {
		h := &place.Holders[0]
		c.clock.learn(h.ExpiresAt.Add(-time.Duration(h.TTLMs)*time.Millisecond), k.sent, received)
	}
	k.moveTo(place)
}

func (c *Client) position(k *call, id uint64, frame []byte) {
	if k == nil || k.moved == nil || k.id != id {
		return
	}
	for m := (members{rest: frame}); m.next(); {
		if string(m.key) == "position" {
			k.moveTo(Place{Position: int(number(m.value)), Holders: k.place.Holders})
		}
	}
}

// moveTo tells of a place that is another. c.mu is held.
func (k *call) moveTo(place Place) {
	if k.place.Position == place.Position {
		return
	}
	k.place = place
	select {
	case k.moved <- struct{}{}:
	default:
	}
}

// failed ends a call with an error, unless the error is that of an ask which a later one has followed. It returns the
// lock that is lost by it. c.mu is held.
func (c *Client) failed(k *call, id uint64, frame []byte) (lost *Lock) {
	if k == nil {
		return nil // of a cancel, or of what is over
	}
	e := readError(frame, 0)
	e.LockName = k.name
	if k.id != id && (e.Code == codeTimeout || e.Code == "cancelled" || k.unattended) {
		k.dropOlder(id)
		delete(c.pending, id)
		return nil
	}
	if k.unattended && (k.kind == callRelease || k.kind == callSubscribe) && c.again(k, e) {
		return nil
	}
	lock, kind := k.lock, k.kind
	if kind == callSubscribe {
		k.sub.end(e)
	}
	c.end(k, answer{err: e})
	if kind == callRenew && (errors.Is(e, ErrLockLost) || errors.Is(e, ErrNotOwner)) {
		return lock
	}
	return nil
}

func (k *call) dropOlder(id uint64) {
	for i, other := range k.older {
		if other == id {
			k.older = append(k.older[:i], k.older[i+1:]...)
			return
		}
	}
}

// again repeats a call that nobody waits for, a little later, where that may help. c.mu is held.
func (c *Client) again(k *call, e *APIError) bool {
	if !retryable(e) || time.Since(k.first) > time.Minute {
		return false
	}
	id := k.id
	time.AfterFunc(backoff(2, min(e.RetryAfter, time.Second)), func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.conn != nil && c.pending[id] == k {
			c.conn.put(k)
		}
	})
	return true
}

// lostLock finds the lock that a lost frame is about. c.mu is held.
func (c *Client) lostLock(frame []byte) *Lock {
	var g grant
	g.read(frame)
	return c.held[g.lockID]
}

// renewed reads a renewal. c.mu is held.
func (c *Client) renewed(k *call, frame []byte, received time.Time) (r renewal) {
	if k == nil || k.kind != callRenew {
		return r
	}
	var g grant
	g.read(frame)
	c.clock.learn(g.now(), k.first, received)
	return renewal{call: k, id: k.id, lock: k.lock, from: k.sent, received: received, ttl: g.ttl, expires: g.expires, fencing: g.fencing}
}

// extended ends a renewal: the lock knows of it before the caller does.
func (c *Client) extended(r renewal) {
	if r.lock != nil {
		r.lock.extend(r)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pending[r.id] == r.call {
		c.end(r.call, answer{renewal: Renewal{ExpiresAt: r.expires, TTL: r.ttl, FencingToken: r.fencing}})
	}
}
