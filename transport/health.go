package transport

import (
	"fmt"
	"time"

	"distributedlock/queue"
)

// health is GET /health: 200 while Redis answers, degraded where this node should get no requests all the same, or where
// nothing is granted for a while.
func (c *call) health() error {
	ctx := c.r.Context()
	h, err := c.s.locks.Health(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", queue.ErrUnavailable, err)
	}
	status := "ok"
	if h.Quarantine.Left > 0 || h.Evicts || c.s.locks.Ready(ctx) != nil {
		status = "degraded"
	}
	w := &c.out
	w.open('{')
	w.text("status", status)
	w.key("redis")
	w.open('{')
	w.text("mode", h.Mode)
	w.latency("latencyMs", h.Latency)
	w.text("role", h.Role)
	w.texts("warnings", h.Warnings)
	w.close('}')
	if q := &h.Quarantine; q.Left > 0 {
		w.key("quarantine")
		w.open('{')
		w.text("reason", q.Why)
		w.seconds("seconds", q.Left)
		w.num("partitions", int64(q.Partitions))
		w.close('}')
	}
	w.text("version", c.s.opts.Version)
	w.seconds("uptime", time.Since(c.s.opts.Started))
	w.close('}')
	return c.ok(typeJSON)
}

// live is GET /livez. It touches nothing but this process.
func (c *call) live() error { return c.say("ok") }

// ready is GET /readyz.
func (c *call) ready() error {
	if err := c.s.locks.Ready(c.r.Context()); err != nil {
		return &notReadyError{cause: err}
	}
	return c.say("ready")
}

func (c *call) say(status string) error {
	c.out.open('{')
	c.out.text("status", status)
	c.out.close('}')
	return c.ok(typeJSON)
}
