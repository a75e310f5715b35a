package distributedlock

import (
	"errors"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
)

const (
	writeTimeout = 10 * time.Second
	// While something is under way, a connection that has said nothing for pingAfter is asked for a sign of life, and is
	// given up when it has said nothing for silence.
	pingAfter = 4 * time.Second
	silence   = 8 * time.Second
)

var errSilent = errors.New("the node says nothing any more")

// conn is one WebSocket connection. The link's goroutine reads, another writes; who has something to say puts it into
// out, under the client's mutex.
type conn struct {
	c   *Client
	ws  *websocket.Conn
	net *gathered
	// out are frames to write, one behind the other; ends, where each ends.
	out   []byte
	ends  []int
	wake  chan struct{}
	dead  chan struct{}
	once  sync.Once
	cause error
	// heard is when something was last read, since processStart.
	heard     atomic.Int64
	heartbeat time.Duration
	resumed   bool
	draining  bool
	// subs are the subscriptions by the service's name.
	subs    map[string]*subscriber
	opened  time.Time
	pinging bool
	pongs   [][]byte
}

// gathered is a connection that writes go through in one piece, when they are flushed.
type gathered struct {
	net.Conn
	mu     sync.Mutex
	out    []byte
	gather bool
}

func (g *gathered) Write(b []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.gather {
		return g.Conn.Write(b)
	}
	g.out = append(g.out, b...)
	return len(b), nil
}

func (g *gathered) flush() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.out) == 0 {
		return nil
	}
	_ = g.SetWriteDeadline(time.Now().Add(writeTimeout)) // fails on a closed connection only
	_, err := g.Conn.Write(g.out)
	if g.out = g.out[:0]; cap(g.out) > 1<<20 {
		g.out = nil
	}
	return err
}

// put encodes a call for the writer. It reports false for one that is too large. c.mu is held.
func (n *conn) put(k *call) bool {
	now := time.Now()
	start := len(n.out)
	n.out = k.appendFrame(n.out, now)
	if len(n.out)-start > maxFrame {
		n.out = n.out[:start]
		return false
	}
	if k.first.IsZero() {
		k.first = now
	}
	k.sent = now
	n.ends = append(n.ends, len(n.out))
	n.signal()
	return true
}

// cancel asks for an acquire to be taken back. c.mu is held.
func (n *conn) cancel(id, target uint64) {
	n.out = appendCancel(n.out, id, target)
	n.ends = append(n.ends, len(n.out))
	n.signal()
}

func (n *conn) signal() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// kill ends the connection at once.
func (n *conn) kill(cause error) {
	n.once.Do(func() {
		n.cause = cause
		close(n.dead)
		_ = n.net.Close() // wakes the reader and the writer
	})
}

// bye closes it with a close frame.
func (n *conn) bye() {
	n.net.mu.Lock()
	n.net.gather = false
	n.net.mu.Unlock()
	_ = n.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(100*time.Millisecond))
	n.kill(ErrClosed)
}

func (n *conn) hear() { n.heard.Store(int64(time.Since(processStart))) }

// quiet is for how long nothing has been read.
func (n *conn) quiet() time.Duration { return time.Since(processStart) - time.Duration(n.heard.Load()) }

// write writes what there is, until the connection is dead.
func (n *conn) write() {
	tick := time.NewTicker(pingAfter / 2)
	defer tick.Stop()
	var out []byte
	var ends []int
	for {
		select {
		case <-n.dead:
			return
		case <-tick.C:
			n.c.sweep()
			n.watch()
			continue
		case <-n.wake:
		}
		runtime.Gosched() // whoever is about to say something more says it first: one write for all
		n.c.mu.Lock()
		out, n.out = n.out, out[:0]
		ends, n.ends = n.ends, ends[:0]
		pongs := n.pongs
		n.pongs = nil
		n.c.mu.Unlock()
		if err := n.send(out, ends, pongs); err != nil {
			n.kill(err)
			return
		}
		if cap(out) > 1<<20 {
			out = nil
		}
	}
}

func (n *conn) send(out []byte, ends []int, pongs [][]byte) error {
	for _, pong := range pongs {
		if err := n.ws.WriteMessage(websocket.PongMessage, pong); err != nil {
			return err
		}
	}
	start := 0
	for _, end := range ends {
		if err := n.ws.WriteMessage(websocket.TextMessage, out[start:end]); err != nil {
			return err
		}
		start = end
	}
	return n.net.flush()
}

// watch asks a node that says nothing for a sign of life while something depends on it.
func (n *conn) watch() {
	quiet := n.quiet()
	n.c.mu.Lock()
	busy := len(n.c.pending) > 0 || len(n.c.held) > 0
	if !busy || quiet < pingAfter {
		n.pinging = false
	} else if !n.pinging {
		n.pinging = true
		n.out = append(n.out, `{"type":"ping"}`...)
		n.ends = append(n.ends, len(n.out))
		n.signal()
		quiet = 0
	}
	n.c.mu.Unlock()
	if busy && quiet > silence {
		n.kill(errSilent)
	}
}

// alive gives the node time until the ping after the next.
func (n *conn) alive() {
	_ = n.net.SetReadDeadline(time.Now().Add(2*n.heartbeat + n.heartbeat/4)) // fails on a closed connection only
}

// read handles frames until the connection ends, and returns why.
func (n *conn) read() error {
	n.ws.SetPingHandler(func(payload string) error {
		n.hear()
		n.alive()
		n.c.mu.Lock()
		n.pongs = append(n.pongs, []byte(payload))
		n.c.mu.Unlock()
		n.signal()
		return nil
	})
	n.alive()
	buf := make([]byte, 0, 4<<10)
	for {
		frame, err := n.next(buf)
		if err != nil {
			select {
			case <-n.dead:
				return n.cause
			default:
				return err
			}
		}
		buf = frame
		n.c.handle(n, frame)
	}
}

// next reads a frame into buf, which it may replace by a larger one.
func (n *conn) next(buf []byte) ([]byte, error) {
	kind, r, err := n.ws.NextReader()
	for err == nil && kind != websocket.TextMessage {
		kind, r, err = n.ws.NextReader()
	}
	if err != nil {
		return nil, err
	}
	n.hear()
	return readAll(r, buf[:0])
}
