package transport

import "context"

type helloBody struct{ client, session string }

// hello names the session, and takes it up again where it was named before. What becomes of its requests meanwhile is
// told after the welcome.
func (c *conn) hello(f *frame) error {
	var b helloBody
	decodeMembers(f.body, c.s.bodies.frames.hello, &b, &f.faults)
	if c.greeted || c.acquired {
		f.faults.add("type", "hello comes once on a connection, and before any acquire")
	}
	if err := f.faults.err(); err != nil {
		return err
	}
	ctx, cancel := c.waiting()
	defer cancel()
	c.out.hold()
	now, resumed, err := c.session.Name(ctx, b.session, b.client)
	c.alive()
	if err != nil {
		// A session is named once at most: the client's next try gets another one.
		c.session.Close(c.out.forget)
		c.session = c.s.locks.Open(c)
		return err
	}
	c.greeted, c.client = true, b.client
	if w := c.out.answer("welcome", f.id); w != nil {
		w.text("session", now)
		w.seconds("heartbeat", c.s.opts.Heartbeat)
		w.text("node", c.s.opts.Node)
		w.bool("resumed", resumed)
		w.time("time", c.s.locks.Now())
		c.out.send(nil)
	}
	c.out.unhold()
	return nil
}

// waiting prepares for something that the reader must wait for: what was asked before goes first.
func (c *conn) waiting() (context.Context, context.CancelFunc) {
	c.flushAsked()
	return context.WithTimeout(c.life, readerPatience)
}
