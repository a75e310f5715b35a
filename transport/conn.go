package transport

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Close codes of our own, beside those of RFC 6455.
const (
	closeBadFrame = 4400
	closeSlow     = 4408
)

const (
	// goodbye is how long a client has to answer our close frame, and so to read what came before it.
	goodbye = 2 * time.Second
	// closeTimeout is for all that is written before a close frame; slowTimeout for what is under way to a client that
	// reads too slowly.
	closeTimeout = 10 * time.Second
	slowTimeout  = 5 * time.Second
	// maxCloseText is how long RFC 6455 lets the text of a close frame be.
	maxCloseText = 123
)

// conn is one WebSocket connection. One goroutine reads and handles frames, another writes; whoever else has something
// to tell puts it into the outbox.
type conn struct {
	s   *server
	who principal
	// id is the handshake's X-Request-Id, from the client's address; both are for the log.
	id, from string
	ws       *websocket.Conn
	net      *gathered
	out      outbox
	// life ends with the connection: it bounds what the reader waits for.
	life context.Context
	die  context.CancelFunc

	// dead guards the deadline for reading; leaving is whether it is that of the goodbye, which no pong moves.
	dead    sync.Mutex
	leaving bool

	// handling is held while a frame is handled, and guards what follows.
	handling sync.Mutex
	// over is whether the session was closed: no frame is handled any more.
	over    bool
	session Session
	// client is the clientId of the hello, greeted whether there was one; acquired whether there was an acquire.
	client            string
	greeted, acquired bool
	// asked is whether the session was asked for anything since its last Flush.
	asked   bool
	subs    map[string]*subscription
	lastSub int
	in      frame

	// flying are the grants in what is given to flush, and where in it they end. They are the writer's.
	flying []flight
}

// run serves the connection to its end.
func (c *conn) run() {
	opened := time.Now()
	c.log(zap.DebugLevel, "websocket opened")
	c.s.connected.Inc()
	written := make(chan struct{})
	go func() {
		defer close(written)
		c.write()
	}()
	raw := c.read()
	<-written
	if raw {
		c.discard()
	}
	_ = c.net.Close() // there is nobody to tell
	c.s.connected.Dec()
	end := c.out.ends()
	level := zap.DebugLevel
	if end.slow {
		c.s.slowClosed.Inc()
		level = zap.InfoLevel
	}
	c.log(level, "websocket closed", zap.String("why", end.why), zap.Int("code", end.code), zap.Duration("lasted", time.Since(opened)))
	c.s.conns.leave(c)
}

func (c *conn) log(level zapcore.Level, what string, more ...zap.Field) {
	if c.s.log.Core().Enabled(level) {
		c.s.log.Log(level, what, append(more, zap.String("by", c.who.name), zap.String("from", c.from), zap.String("xRequestId", c.id))...)
	}
}

// read reads frames until the connection ends. It reports whether the rest must be read from below the WebSocket:
// gorilla has given up on it.
func (c *conn) read() (raw bool) {
	c.alive()
	for {
		if err := c.readMessage(); err != nil {
			return c.readFailed(err)
		}
	}
}

// readMessage reads one message, and handles it unless the connection is about to end.
func (c *conn) readMessage() error {
	kind, r, err := c.ws.NextReader()
	if err != nil || c.out.ends() != nil {
		return err // what is left of a message, NextReader discards
	}
	if kind != websocket.TextMessage {
		c.close(closeBadFrame, "a frame must be text", "bad frame")
		return nil
	}
	buf := newBuffer()
	defer buf.free()
	body, err := readBounded(r, buf.b)
	buf.b = body
	switch {
	case err != nil:
		return err
	case len(body) > maxBody:
		c.tooLarge()
		return nil
	}
	if c.out.full() {
		c.flush()
		c.out.waitForRoom()
		c.alive()
	}
	c.handle(body)
	return nil
}

// readBounded reads a message, but of one that is too large only so much as to know it.
func readBounded(r io.Reader, buf []byte) ([]byte, error) {
	buf = buf[:0]
	for {
		if len(buf) == cap(buf) {
			buf = slices.Grow(buf, 1)
		}
		n, err := r.Read(buf[len(buf):min(cap(buf), maxBody+1)])
		buf = buf[:len(buf)+n]
		if errors.Is(err, io.EOF) {
			return buf, nil
		}
		if err != nil || len(buf) > maxBody {
			return buf, err
		}
	}
}

// readFailed ends the connection for a reason to read no more. It reports whether there may be more to read all the same.
func (c *conn) readFailed(err error) (raw bool) {
	closed, isClose := errors.AsType[*websocket.CloseError](err)
	broken, isNet := errors.AsType[net.Error](err)
	switch {
	case errors.Is(err, websocket.ErrReadLimit):
		c.tooLarge()
		return true
	case isClose && closed.Code != websocket.CloseAbnormalClosure:
		// A client that closes takes nothing any more: grants that it did not get are given back.
		c.out.end(&ending{code: closed.Code, why: "closed by the client", dropped: true})
		c.net.hurry(slowTimeout)
		return false
	case isNet && broken.Timeout():
		c.cut("no pong")
	case isNet, isClose, errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed):
		c.cut("the connection broke")
	default: // a breach of RFC 6455, for which gorilla has put a close frame into c.net
		c.out.end(&ending{why: err.Error(), dropped: true})
		c.net.hurry(slowTimeout)
		return true
	}
	return false
}

// close ends the connection once what is queued is written.
func (c *conn) close(code int, text, why string) {
	if len(text) > maxCloseText {
		text = text[:maxCloseText-len("…")]
		for !utf8.ValidString(text) {
			text = text[:len(text)-1]
		}
		text += "…"
	}
	if c.out.end(&ending{code: code, text: text, why: why}) {
		c.net.hurry(closeTimeout)
	}
}

// cut ends the connection at once.
func (c *conn) cut(why string) { c.cutAs(&ending{cut: true, why: why}) }

func (c *conn) cutAs(e *ending) {
	if c.out.end(e) {
		c.die()
		_ = c.net.Close() // wakes the reader and the writer
	}
}

func (c *conn) tooLarge() {
	c.fail(subject{route: c.s.noFrame}, errTooLarge)
	c.close(websocket.CloseMessageTooBig, "a frame may have 64 KiB at most", "frame too large")
}

// alive gives the client time until the pong after the next has to be there.
func (c *conn) alive() {
	c.dead.Lock()
	defer c.dead.Unlock()
	if !c.leaving {
		beat := c.s.opts.Heartbeat
		_ = c.net.SetReadDeadline(time.Now().Add(2*beat + beat/8)) // fails on a closed connection only
	}
}

// leave gives the client time to answer the close frame.
func (c *conn) leave() {
	c.dead.Lock()
	defer c.dead.Unlock()
	c.leaving = true
	_ = c.net.SetReadDeadline(time.Now().Add(goodbye)) // fails on a closed connection only
}

// discard reads what the client still sends, so that it can read what we sent: a connection closed with something
// unread is reset.
func (c *conn) discard() { _, _ = io.Copy(io.Discard, c.net.Conn) }

// flush sends what was asked of the session. The reader calls it before it waits for more.
func (c *conn) flush() {
	c.handling.Lock()
	defer c.handling.Unlock()
	c.flushAsked()
}

func (c *conn) flushAsked() {
	if c.asked && !c.over {
		c.asked = false
		c.session.Flush()
	}
}

// finish lets go of the session and the subscriptions. Whatever a client asked for in its last words is still sent.
func (c *conn) finish() {
	c.die()
	c.handling.Lock()
	defer c.handling.Unlock()
	c.flushAsked()
	c.over = true
	for _, sub := range c.subs {
		sub.stop()
	}
	c.subs = nil
	c.session.Close(c.out.losses)
}
