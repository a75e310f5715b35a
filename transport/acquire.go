package transport

import (
	"net/http"
	"time"

	"distributedlock/queue"
)

// acquire is POST /locks/{name}/acquire. A grant that the client cannot have got is given back.
func (c *call) acquire() error {
	q, err := c.acquireRequest()
	if err != nil {
		return err
	}
	ctx := c.r.Context()
	g, waited, err := c.s.locks.Acquire(ctx, q)
	c.acquireID = q.ID
	if err != nil {
		return err
	}
	if ctx.Err() != nil || (waited > 0 && hungUp(ctx)) {
		c.s.locks.Abandon(q)
		return errGone
	}
	if waited > 0 {
		_ = http.NewResponseController(c.w).SetWriteDeadline(time.Now().Add(grantTimeout))
	}
	c.out.granted(&g, waited)
	if err := c.deliver(); err != nil {
		c.s.locks.Abandon(q)
		return errGone
	}
	return nil
}

// acquireRequest reads the body. All that is wrong with the request is told at once.
func (c *call) acquireRequest() (*queue.Request, error) {
	if err := c.readBody(); err != nil {
		return nil, err
	}
	b := newAcquire(&c.s.opts)
	b.Name = c.name
	decode(c.body, c.s.bodies.acquire, b, &c.faults)
	c.readRequestID(&b.Request)
	return b.request(&c.faults), c.faults.err()
}

// newAcquire is an acquire with nothing said.
func newAcquire(o *Options) *acquireBody {
	return &acquireBody{Request: queue.Request{Lease: o.DefaultTimeout, Mode: queue.Exclusive, Limit: 1}}
}

// request is what a body that was read asks for.
func (b *acquireBody) request(f *faults) *queue.Request {
	q := &b.Request
	if q.Mode == queue.Shared && b.limited {
		f.add("limit", "goes with mode exclusive only")
	}
	if !q.Explicit {
		q.Owner = q.Client
	}
	q.Known = q.ID != ""
	return q
}

// readRequestID takes the Idempotency-Key where the body has no requestId, and keeps a good one for problems.
func (c *call) readRequestID(q *queue.Request) {
	if key := c.r.Header.Get(idempotencyKey); q.ID == "" && key != "" && !c.faults.has("requestId") {
		if fault := textFault(key, maxText); fault != "" {
			c.faults.add(idempotencyKey, fault)
			return
		}
		q.ID = key
	}
	if !c.faults.has("requestId") {
		c.acquireID = q.ID
	}
}

// granted is the answer to an acquire, and the only one that carries the grant's capabilities.
func (w *jsonWriter) granted(g *queue.Grant, waited time.Duration) {
	w.open('{')
	w.grant(g, waited)
	w.close('}')
}

func (w *jsonWriter) grant(g *queue.Grant, waited time.Duration) {
	w.bool("acquired", true)
	w.text("lockId", g.LockID)
	w.text("lockName", g.Name)
	w.text("clientId", g.Client)
	w.text("ownerId", g.Owner)
	w.text("requestId", g.Request)
	w.time("expiresAt", g.End)
	w.millis("ttlMs", g.TTL)
	w.num("fencingToken", g.Token)
	w.text("renewalToken", g.RenewalToken)
	w.seconds("waitTime", waited)
	w.bool("autoRenew", g.AutoRenew)
	w.raw("metadata", g.Metadata)
}
