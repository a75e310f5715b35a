package transport

import (
	"time"

	"distributedlock/queue"
)

// release is POST /locks/{name}/release.
func (c *call) release() error {
	var b releaseBody
	if err := readInto(c, c.s.bodies.release, &b); err != nil {
		return err
	}
	held, err := c.s.locks.Release(c.r.Context(), c.name, b.client, b.lockID)
	if err != nil {
		return err
	}
	w := &c.out
	w.open('{')
	w.released(c.name, b.lockID, held)
	w.close('}')
	return c.ok(typeJSON)
}

// renew is POST /locks/{name}/renew.
func (c *call) renew() error {
	var b renewBody
	if err := readInto(c, c.s.bodies.renew, &b); err != nil {
		return err
	}
	g, err := c.s.locks.Renew(c.r.Context(), c.name, b.client, b.token, b.lease)
	if err != nil {
		return err
	}
	w := &c.out
	w.open('{')
	w.renewed(c.name, &g)
	w.close('}')
	return c.ok(typeJSON)
}

func (w *jsonWriter) released(name, lockID string, held time.Duration) {
	w.bool("released", true)
	w.text("lockName", name)
	w.text("lockId", lockID)
	w.seconds("heldFor", held)
}

func (w *jsonWriter) renewed(name string, g *queue.Grant) {
	w.bool("renewed", true)
	w.text("lockName", name)
	w.time("expiresAt", g.End)
	w.millis("ttlMs", g.TTL)
	w.num("fencingToken", g.Token)
}

// readInto reads a body and reports all that is wrong with the request.
func readInto[T any](c *call, fields []field[T], into *T) error {
	if err := c.readBody(); err != nil {
		return err
	}
	decode(c.body, fields, into, &c.faults)
	return c.faults.err()
}
