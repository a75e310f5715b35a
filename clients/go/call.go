package distributedlock

import (
	"sync"
	"time"
)

type callKind uint8

const (
	callAcquire callKind = iota
	callRelease
	callRenew
	callSubscribe
	callUnsubscribe
)

const (
	// maxFrame is what the service takes.
	maxFrame = 64 << 10
	// defaultChunk is how long one frame asks to wait at most; a longer wait is asked for anew before it ends, which keeps
	// the place. chunkLead is how long before.
	defaultChunk = 60 * time.Second
	minChunk     = time.Second
	chunkLead    = 6 // a sixth of the chunk
)

// call is a frame that waits for its answer, over as many connections as it takes. The client's mutex guards it until
// it is answered.
type call struct {
	c    *Client
	kind callKind
	id   uint64
	// older are the ids that an acquire had before: each ask is answered.
	older []uint64
	name  string
	// secret is what a release or renew is authorized by, or the subscription's name.
	secret string
	ttl    time.Duration
	q      *request
	sub    *subscriber
	lock   *Lock // whose release or renewal it is, if any
	// waitEnd is when a bounded wait ends; asked is how long the last frame asked to wait, until when.
	waitEnd  time.Time
	asked    time.Duration
	askedEnd time.Time
	// first and sent are when it was first and last sent; queued is whether the last frame was told to wait.
	first, sent time.Time
	queued      bool
	// since is when it was first told to wait.
	since time.Time
	// unattended is whether nobody waits for the answer any more: a grant goes back.
	unattended bool

	done  chan answer
	timer *time.Timer
	// moved is told of a new place, for requests that want to know.
	moved chan struct{}
	place Place
}

// answer is how a call came out.
type answer struct {
	err     error
	lock    *Lock
	held    time.Duration
	renewal Renewal
	resent  bool
	rest    bool // nothing came of it: ask over REST
}

var calls = sync.Pool{New: func() any {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return &call{done: make(chan answer, 1), timer: t}
}}

func (c *Client) newCall(kind callKind, name, secret string) *call {
	k, ok := calls.Get().(*call)
	if !ok {
		panic("the pool has calls only")
	}
	k.c, k.kind, k.name, k.secret = c, kind, name, secret
	return k
}

// free puts a call back of which nobody knows any more.
func (k *call) free() {
	k.timer.Stop()
	*k = call{done: k.done, timer: k.timer, older: k.older[:0]}
	calls.Put(k)
}

// chunk is how long the next frame of an acquire asks to wait.
func (k *call) chunk(now time.Time) time.Duration {
	d := time.Duration(0)
	switch {
	case k.waitEnd.IsZero() && k.q.bounded:
	case k.waitEnd.IsZero():
		d = k.c.longestAsk()
	default:
		d = min(max(k.waitEnd.Sub(now), time.Millisecond), k.c.longestAsk())
	}
	k.asked, k.askedEnd = d, now.Add(d)
	return d
}

// refreshAt is when a wait must be asked for anew, zero for never.
func (k *call) refreshAt() time.Time {
	if k.kind != callAcquire || k.asked == 0 || (!k.waitEnd.IsZero() && !k.waitEnd.After(k.askedEnd)) {
		return time.Time{}
	}
	return k.askedEnd.Add(-k.asked / chunkLead)
}

// submit sends a call, now or as soon as there is a connection.
func (c *Client) submit(k *call) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.submitLocked(k)
}

func (c *Client) submitLocked(k *call) error {
	switch {
	case c.closed && !k.unattended && k.kind != callRelease:
		return ErrClosed
	case c.over:
		return ErrClosed
	}
	c.lastID++
	k.id = c.lastID
	c.pending[k.id] = k
	if k.unattended || k.kind == callRelease {
		c.loose++
	}
	if c.conn != nil {
		if !c.conn.put(k) {
			c.forget(k)
			return tooLarge(k.name)
		}
		return nil
	}
	c.startLink()
	return nil
}

// tooLarge is the error of a call whose frame is more than the service takes.
func tooLarge(name string) error {
	return &APIError{Code: "too_large", Status: 413, Title: "The frame is too large", Detail: "A request may have 64 KiB at most", LockName: name}
}

// refresh asks for the place of a waiting acquire again, with more time. c.mu is held.
func (c *Client) refresh(k *call) {
	if c.conn == nil || c.pending[k.id] != k {
		return // the next connection asks anyway
	}
	k.older = append(k.older, k.id)
	c.lastID++
	k.id = c.lastID
	c.pending[k.id] = k
	k.queued = false
	c.conn.put(k)
}

// forget takes a call out. c.mu is held.
func (c *Client) forget(k *call) {
	delete(c.pending, k.id)
	for _, id := range k.older {
		delete(c.pending, id)
	}
	if k.unattended || k.kind == callRelease {
		c.loosened()
	}
}

// loosened is told that nothing waits any more for one thing that nobody waited for. c.mu is held.
func (c *Client) loosened() {
	if c.loose--; c.loose == 0 && c.calm != nil {
		close(c.calm)
		c.calm = nil
	}
}

// end answers a call. c.mu is held.
func (c *Client) end(k *call, a answer) {
	c.forget(k)
	if k.unattended {
		k.free()
		return
	}
	a.resent = !k.first.Equal(k.sent)
	k.done <- a
}

// leave gives a call up for its caller, unless its answer is there.
func (c *Client) leave(k *call) (a answer, answered bool) {
	c.mu.Lock()
	select {
	case a = <-k.done:
		c.mu.Unlock()
		return a, true
	default:
	}
	var l *Lock
	if k.kind == callRenew {
		l = k.lock
	}
	from, ttl := k.first, k.ttl
	c.abandon(k) // and it is not ours any more
	c.mu.Unlock()
	if l != nil {
		l.unsure(from, ttl)
	}
	return answer{}, false
}

// abandon has nobody wait for a call any more. An acquire that was sent is taken back; what it is granted all the same
// goes back too. c.mu is held.
func (c *Client) abandon(k *call) {
	if k.kind != callAcquire || k.first.IsZero() {
		c.forget(k)
		return // and it is the garbage collector's: a late answer finds no call
	}
	k.unattended = true
	c.loose++
	c.takeBack(k)
}

// takeBack sends the cancels of an abandoned acquire: one for each answer that is due.
func (c *Client) takeBack(k *call) {
	if c.conn == nil {
		return // the next connection does
	}
	for _, id := range append(k.older, k.id) {
		c.lastID++
		c.conn.cancel(c.lastID, id)
	}
}

// giveBack releases a grant that nobody wants. c.mu is held.
func (c *Client) giveBack(name, lockID string) {
	if c.over {
		return
	}
	k := c.newCall(callRelease, name, lockID)
	k.unattended = true
	if err := c.submitLocked(k); err != nil {
		c.s.log.Warn("a grant that nobody wants was not given back", "lock", name, "err", err)
	}
}
