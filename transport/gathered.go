package transport

import (
	"net"
	"sync"
	"time"
)

const (
	// writeTimeout is for one write to a WebSocket's client.
	writeTimeout = 10 * time.Second
	// socketBuffer bounds what the kernel holds for a client that does not read.
	socketBuffer = 256 << 10
	// largestKept is how large a buffer may be that waits to be used again.
	largestKept = 64 << 10
)

// buffer is memory that connections use by turns, so that one with nothing to say or hear has none.
type buffer struct{ b jsonWriter }

var buffers = sync.Pool{New: func() any { return &buffer{b: make(jsonWriter, 0, 2048)} }}

func newBuffer() *buffer {
	b, _ := buffers.Get().(*buffer) // the pool holds nothing else
	return b
}

func (b *buffer) free() {
	if b == nil || cap(b.b) > largestKept {
		return
	}
	b.b = b.b[:0]
	buffers.Put(b)
}

// gathered is a connection whose writes only fill a buffer. flush sends it: many frames then cost one system call.
// What is written goes out through flush alone, which one goroutine calls.
type gathered struct {
	net.Conn
	// waits, where set, is called before each read that may wait.
	waits func()

	mu  sync.Mutex
	buf *buffer
	// latest, where set, is when the last write must be through.
	latest time.Time
}

func (g *gathered) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.buf == nil {
		g.buf = newBuffer()
	}
	g.buf.b = append(g.buf.b, p...)
	return len(p), nil
}

func (g *gathered) Read(p []byte) (int, error) {
	if g.waits != nil {
		g.waits()
	}
	return g.Conn.Read(p)
}

// SetWriteDeadline does nothing: flush sets its own.
func (*gathered) SetWriteDeadline(time.Time) error { return nil }

// SetDeadline sets the one for reading.
func (g *gathered) SetDeadline(t time.Time) error { return g.SetReadDeadline(t) }

// size is how much waits for flush.
func (g *gathered) size() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.buf == nil {
		return 0
	}
	return len(g.buf.b)
}

// flush sends what was gathered, in one write. n is how much of it left where that failed.
func (g *gathered) flush() (n int, err error) {
	g.mu.Lock()
	buf := g.buf
	g.buf = nil
	if buf == nil {
		g.mu.Unlock()
		return 0, nil
	}
	deadline := time.Now().Add(writeTimeout)
	if !g.latest.IsZero() && g.latest.Before(deadline) {
		deadline = g.latest
	}
	err = g.Conn.SetWriteDeadline(deadline)
	g.mu.Unlock()
	if err == nil {
		n, err = g.Conn.Write(buf.b)
	}
	buf.free()
	return n, err
}

// hurry bounds the write under way and all that follow, together.
func (g *gathered) hurry(within time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if latest := time.Now().Add(within); g.latest.IsZero() || latest.Before(g.latest) {
		g.latest = latest
		_ = g.Conn.SetWriteDeadline(latest) // fails on a closed connection only
	}
}

// boundBuffer bounds the kernel's memory for what is written, so that a slow reader is noticed.
func boundBuffer(conn net.Conn) {
	if over, ok := conn.(interface{ NetConn() net.Conn }); ok { // TLS
		conn = over.NetConn()
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetWriteBuffer(socketBuffer) // the kernel's own bound is as good
	}
}
