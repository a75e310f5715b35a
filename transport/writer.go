package transport

import (
	"encoding/binary"
	"errors"
	"os"
	"time"

	"github.com/gorilla/websocket"

	"distributedlock/queue"
)

// chunk is how much is gathered for one write.
const chunk = 64 << 10

// flight is a grant in what is about to be written, which it is up to a byte of it.
type flight struct {
	q   *queue.Request
	end int
}

// write writes until the connection ends, and then lets go of the session.
func (c *conn) write() {
	defer c.finish()
	beat := time.NewTicker(c.s.opts.Heartbeat)
	defer beat.Stop()
	for {
		ping := false
		select {
		case <-c.out.wake:
		case <-beat.C:
			ping = true
		}
		if !c.pump(ping) {
			return
		}
	}
}

// pump writes all there is. It reports whether there may be more later.
func (c *conn) pump(ping bool) bool {
	for {
		t := c.out.take()
		if t.none() && !ping {
			return true
		}
		if t.ending != nil && t.ending.cut {
			return false
		}
		if err := c.emit(&t, ping); err != nil {
			c.writeFailed(err)
			return false
		}
		if t.ending != nil {
			c.leave()
			return false
		}
		ping = false
	}
}

// emit gives gorilla everything, so that it leaves in few writes.
func (c *conn) emit(t *taken, ping bool) error {
	var err error
	if ping {
		err = c.ws.WriteMessage(websocket.PingMessage, nil)
	}
	if t.pinged && err == nil {
		err = c.ws.WriteMessage(websocket.PongMessage, []byte(t.pong))
	}
	err = c.emitFrames(&t.frames, err)
	if err == nil && t.ending != nil && t.ending.code != 0 {
		err = c.ws.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(t.ending.code, t.ending.text))
	}
	if err != nil && !errors.Is(err, websocket.ErrCloseSent) {
		return err
	}
	return c.send() // where gorilla has closed already, its close frame
}

// emitFrames gives gorilla the frames, as long as nothing is wrong and they are not to be given up.
func (c *conn) emitFrames(f *frames, err error) error {
	defer f.buf.free()
	b, unwritten := []byte(nil), 0
	if f.buf != nil {
		b = f.buf.b
	}
	for len(b) > 0 && err == nil {
		head := binary.BigEndian.Uint32(b)
		size := lengthBytes + int(head&^carriesGrant)
		if err = c.ws.WriteMessage(websocket.TextMessage, b[lengthBytes:size]); err != nil {
			break
		}
		if head&carriesGrant != 0 {
			c.flying = append(c.flying, flight{q: f.grants[0], end: c.net.size()})
			f.grants = f.grants[1:]
		}
		b, unwritten = b[size:], unwritten+size
		if c.net.size() < chunk && len(b) > 0 {
			continue
		}
		if err = c.send(); err != nil || c.out.wrote(unwritten) {
			break
		}
		unwritten = 0
	}
	for _, q := range f.grants {
		c.out.undelivered(q)
	}
	return err
}

// send writes what is gathered. Grants that did not leave with it surely never reached the client.
func (c *conn) send() error {
	n, err := c.net.flush()
	for _, f := range c.flying {
		if err != nil && f.end > n {
			c.out.undelivered(f.q)
		}
	}
	clear(c.flying)
	c.flying = c.flying[:0]
	return err
}

// writeFailed cuts a connection that takes nothing any more. That a write was not through in time is the client's
// slowness.
func (c *conn) writeFailed(err error) {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.cutAs(&ending{code: closeSlow, cut: true, slow: true, why: "too slow"})
		return
	}
	c.cut("the connection broke")
}
