package transport

import (
	"cmp"
	"errors"

	"go.uber.org/zap"

	"distributedlock/queue"
)

// maxReason is how long the reason for a forced release may be.
const maxReason = 1 << 10

// forceRelease is DELETE /locks/{name}.
func (c *call) forceRelease() error {
	reason, err := c.reason()
	if err != nil {
		return err
	}
	holders, err := c.s.locks.ForceRelease(c.r.Context(), c.name, reason, c.who.name)
	c.logForced(reason, holders, err)
	if err != nil {
		return err
	}
	w := &c.out
	w.open('{')
	w.bool("released", true)
	w.text("lockName", c.name)
	w.holders(holders)
	w.close('}')
	return c.ok(typeJSON)
}

// reason comes in the body or, where that has none, in the query.
func (c *call) reason() (string, error) {
	if err := c.readBody(); err != nil {
		return "", err
	}
	var b forceBody
	if len(c.body) > 0 {
		decode(c.body, c.s.bodies.force, &b, &c.faults)
	}
	asked := c.query().Get("reason")
	if asked != "" {
		if fault := textFault(asked, maxReason); fault != "" {
			c.faults.add("reason", fault)
		}
	}
	return cmp.Or(b.reason, asked), c.faults.err()
}

func (c *call) logForced(reason string, holders []queue.Grant, err error) {
	if errors.Is(err, queue.ErrNotLocked) {
		return
	}
	clients := make([]string, len(holders))
	for i := range holders {
		clients[i] = holders[i].Client
	}
	c.s.log.Info("lock released by force", zap.String("lock", c.name), zap.String("by", c.who.name),
		zap.String("from", c.r.RemoteAddr), zap.String("reason", reason), zap.Strings("holders", clients),
		zap.String("xRequestId", c.id), zap.Error(err))
}
