package distributedlock

import "time"

// SetChunk has waits asked for in parts so long, as after the service refused longer ones.
func (c *Client) SetChunk(d time.Duration) { c.chunk.Store(int64(d)) }

// Left says what the client has under way: calls, locks held, and calls that nobody waits for.
func (c *Client) Left() (calls, locks, loose int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.pending), len(c.held), c.loose
}

// TryWebSocket ends the time for which none is tried.
func (c *Client) TryWebSocket() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.restUntil = time.Time{}
}

// Connected reports whether there is a WebSocket.
func (c *Client) Connected() bool { return c.connected() }
