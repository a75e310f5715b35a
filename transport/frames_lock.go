package transport

import (
	"errors"
	"time"

	"distributedlock/queue"
)

// acquire asks the session for a lock. What comes of it, the session tells.
func (c *conn) acquire(f *frame) error {
	b := newAcquire(&c.s.opts)
	decodeMembers(f.body, c.s.bodies.frames.acquire, b, &f.faults)
	c.ownClient(&b.Client, f)
	q := b.request(&f.faults)
	f.name = q.Name
	if !f.faults.has("requestId") {
		f.requestID = q.ID
	}
	if err := c.mayDo(f); err != nil {
		return err
	}
	q.Frame = f.id
	c.acquired, c.asked = true, true
	err := c.session.Acquire(q)
	if err == nil {
		return nil // and the request is the session's
	}
	f.requestID = q.ID
	if errors.Is(err, queue.ErrInUse) {
		return f.inUse()
	}
	return err
}

// ownClient fills in the clientId of the hello where the frame has none.
func (c *conn) ownClient(into *string, f *frame) {
	if *into != "" || f.faults.has("clientId") {
		return
	}
	if c.client == "" {
		f.faults.add("clientId", "is required, here or in a hello")
		return
	}
	*into = c.client
}

// mayDo tells all that is wrong with a frame, or that its lock is none of the principal's.
func (c *conn) mayDo(f *frame) error {
	if err := f.faults.err(); err != nil {
		return err
	}
	if !c.who.mayUse(f.name) {
		return errForbidden
	}
	return nil
}

func (c *conn) release(f *frame) error {
	var b releaseBody
	decodeMembers(f.body, c.s.bodies.frames.release, &b, &f.faults)
	c.ownClient(&b.client, f)
	f.name = b.name
	if err := c.mayDo(f); err != nil {
		return err
	}
	about := f.subject(c.s)
	c.asked = true
	c.session.Release(b.name, b.client, b.lockID, func(held time.Duration, err error) {
		if err != nil {
			c.fail(about, err)
			return
		}
		if w := c.out.answer("released", about.id); w != nil {
			w.released(about.name, b.lockID, held)
			c.out.send(nil)
		}
	})
	return nil
}

func (c *conn) renew(f *frame) error {
	var b renewBody
	decodeMembers(f.body, c.s.bodies.frames.renew, &b, &f.faults)
	c.ownClient(&b.client, f)
	f.name = b.name
	if err := c.mayDo(f); err != nil {
		return err
	}
	about := f.subject(c.s)
	c.asked = true
	c.session.Renew(b.name, b.client, b.token, b.lease, func(g queue.Grant, err error) {
		if err != nil {
			c.fail(about, err)
			return
		}
		if w := c.out.answer("renewed", about.id); w != nil {
			w.renewed(about.name, &g)
			c.out.send(nil)
		}
	})
	return nil
}

type cancelBody struct{ target, requestID string }

func (c *conn) cancel(f *frame) error {
	var b cancelBody
	decodeMembers(f.body, c.s.bodies.frames.cancel, &b, &f.faults)
	if len(f.faults) == 0 && (b.target == "") == (b.requestID == "") {
		f.faults.add("target", "or requestId is required, and not both")
	}
	if err := f.faults.err(); err != nil {
		return err
	}
	about := f.subject(c.s)
	c.asked = true
	return c.session.Cancel(b.target, b.requestID, func(err error) {
		if err != nil {
			c.fail(about, err)
			return
		}
		if c.out.answer("cancelled", about.id) != nil {
			c.out.send(nil)
		}
	})
}

// ping is answered at once: the client wants to know how far away we are.
func (c *conn) ping(f *frame) error {
	decodeMembers(f.body, c.s.bodies.frames.ping, &struct{}{}, &f.faults)
	if err := f.faults.err(); err != nil {
		return err
	}
	if c.out.answer("pong", f.id) != nil {
		c.out.send(nil)
	}
	return nil
}
