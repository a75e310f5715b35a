package transport

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"distributedlock/queue"
)

const (
	// drainGrace is how long clients have to come to an end by themselves.
	drainGrace = time.Second
	// cutGrace is for a connection that was cut to be gone.
	cutGrace = 5 * time.Second
)

// connections are the WebSockets that are open, and the handshakes under way.
type connections struct {
	most int

	mu       sync.Mutex
	open     map[*conn]struct{}
	reserved int
	draining bool
	// empty are closed when there are none.
	empty []chan struct{}
}

// reserve makes room for one more. Every reserve is followed by a leave, with an enter between where the handshake
// succeeds.
func (s *connections) reserve() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.draining:
		return queue.ErrDraining
	case s.reserved+len(s.open) >= s.most:
		return errConnections
	}
	s.reserved++
	return nil
}

// enter adds a connection. It reports whether that is too late, for a drain has begun.
func (s *connections) enter(c *conn) (draining bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = map[*conn]struct{}{}
	}
	s.reserved--
	s.open[c] = struct{}{}
	return s.draining
}

// leave takes out a connection that is over, or, for nil, a handshake that failed.
func (s *connections) leave(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c == nil {
		s.reserved--
	} else {
		delete(s.open, c)
	}
	s.tellEmpty()
}

func (s *connections) tellEmpty() {
	if s.reserved+len(s.open) > 0 {
		return
	}
	for _, ch := range s.empty {
		close(ch)
	}
	s.empty = nil
}

// refuse lets no more in. It returns those that are there, and what is closed when all are gone.
func (s *connections) refuse() ([]*conn, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draining = true
	gone := make(chan struct{})
	s.empty = append(s.empty, gone)
	s.tellEmpty()
	return slices.Collect(maps.Keys(s.open)), gone
}

// all are those that are there now.
func (s *connections) all() []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.open))
}

// Drain ends the WebSockets and lets no new ones in: it tells the clients, gives them a second, in which requests under
// way are answered and locks can be released, and closes with 1001. It returns when all are gone; those that are not when
// ctx ends are cut off. Have the lock manager drain first: it is what refuses new requests.
func (h *Handler) Drain(ctx context.Context) {
	conns, gone := h.s.conns.refuse()
	for _, c := range conns {
		c.sayDraining()
	}
	if within(ctx, gone, drainGrace) {
		return
	}
	for _, c := range h.s.conns.all() {
		c.closeAway()
	}
	select {
	case <-gone:
	case <-ctx.Done():
		h.Close()
	}
}

// Close cuts all WebSockets off and lets no new ones in.
func (h *Handler) Close() {
	_, gone := h.s.conns.refuse()
	for _, c := range h.s.conns.all() {
		c.cut("closed by the server")
	}
	within(context.Background(), gone, cutGrace)
}

// within waits for a channel, for a time at most, and reports whether it was closed.
func within(ctx context.Context, ch <-chan struct{}, most time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	select {
	case <-ch:
		return true
	case <-ctx.Done():
		return false
	}
}

func (c *conn) sayDraining() {
	if c.out.answer("draining", "") != nil {
		c.out.send(nil)
	}
}

func (c *conn) closeAway() {
	c.close(websocket.CloseGoingAway, "the node is shutting down", "draining")
}

// drained ends a connection whose handshake was under way as the drain began.
func (c *conn) drained() {
	c.sayDraining()
	c.closeAway()
}
