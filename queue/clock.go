package queue

import (
	"sync"
	"sync/atomic"
	"time"
)

// stepLeast is the least step of Redis's clock that is told of. What keeps clocks in step slews what is less than 128 ms
// and steps what is more; and what is told here has happened for sure, as no time that a command took on its way counts.
// https://www.ntp.org/documentation/4.2.8-series/ntpd/
const stepLeast = 100 * time.Millisecond

// redisClock is what the node knows of Redis's clock: Redis's microseconds at a moment of the node's monotonic one.
type redisClock struct {
	start  time.Time
	offset atomic.Int64

	mu sync.Mutex
	// known is whether Redis was asked before; low and high are between which offsets its clock then was.
	known     bool
	low, high int64
}

// at is a moment of the node's monotonic clock, in microseconds.
func (c *redisClock) at() int64 { return time.Since(c.start).Microseconds() }

func (c *redisClock) learn(micros int64) { c.offset.Store(micros - c.at()) }

// now is Redis's time in microseconds, as far as the node can tell.
func (c *redisClock) now() int64 { return c.offset.Load() + c.at() }

// step is how far Redis's clock has certainly been set, forward or back, since it was last asked: it said micros to a question
// that went out and came back at these moments of the node's clock. It is 0 for less than stepLeast.
func (c *redisClock) step(micros, sent, got int64) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	var by time.Duration
	switch low, high := micros-got, micros-sent; {
	case !c.known:
	case low > c.high:
		by = time.Duration(low-c.high) * time.Microsecond
	case high < c.low:
		by = time.Duration(high-c.low) * time.Microsecond
	}
	if by.Abs() < stepLeast {
		return 0
	}
	return by
}

// keep notes what Redis said to a question: the next step is told from here.
func (c *redisClock) keep(micros, sent, got int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known, c.low, c.high = true, micros-got, micros-sent
}

// forget has the next answer be the first: another instance has another clock.
func (c *redisClock) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known = false
}
