package transport

import (
	"time"

	"github.com/gorilla/websocket"

	"distributedlock/queue"
)

// What a session tells its connection, each from any goroutine, becomes a frame right there.
var _ Listener = (*conn)(nil)

// Queued is a queued frame.
func (c *conn) Queued(q *queue.Request, position int, holders []queue.Grant) {
	if w := c.out.tell("queued", q.Frame); w != nil {
		w.text("lockName", q.Name)
		w.text("requestId", q.ID)
		w.num("position", int64(position))
		w.holders(holders)
		c.out.send(nil)
	}
}

// Moved is a position frame.
func (c *conn) Moved(q *queue.Request, position int) {
	if w := c.out.tell("position", q.Frame); w != nil {
		w.text("lockName", q.Name)
		w.text("requestId", q.ID)
		w.num("position", int64(position))
		c.out.send(nil)
	}
}

// Granted is a granted frame. Where none goes out any more, the grant is given back at the end.
func (c *conn) Granted(q *queue.Request, g *queue.Grant, waited time.Duration) {
	w := c.out.tell("granted", q.Frame)
	if w == nil {
		c.out.undelivered(q)
		return
	}
	w.grant(g, waited)
	c.out.send(q)
}

// Failed is an error frame.
func (c *conn) Failed(q *queue.Request, err error) {
	tail := c.problem(subject{route: c.s.frames["acquire"].route, name: q.Name, requestID: q.ID}, err)
	defer tail.free()
	if w := c.out.tell("error", q.Frame); w != nil {
		*w = append(*w, tail.b...)
		c.out.send(nil)
	}
}

// Lost is a lost frame.
func (c *conn) Lost(name, lockID, reason string) {
	if w := c.out.tell("lost", ""); w != nil {
		w.text("lockName", name)
		w.text("lockId", lockID)
		w.text("reason", reason)
		c.out.send(nil)
	}
}

// Superseded ends the connection.
func (c *conn) Superseded() {
	e := &ending{code: websocket.CloseNormalClosure, text: "the session goes on over another connection", why: "superseded", superseded: true}
	if c.out.end(e) {
		c.net.hurry(closeTimeout)
	}
}
