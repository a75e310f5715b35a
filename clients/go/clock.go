package distributedlock

import "time"

const (
	// clockDrift is how far two clocks may part, by the second: 200 ppm is twice what is usual for bad ones.
	clockDrift = 200e-6
	// clockRounding is for the milliseconds that the service's times are cut to.
	clockRounding = 2 * time.Millisecond
)

// processStart is where local moments are counted from: they are of the monotonic clock.
var processStart = time.Now()

// clock bounds how far the service's clock is ahead of the local one. Only the upper bound counts: by it a lease ends,
// here, no later than it does there. The zero clock knows nothing.
type clock struct {
	ahead time.Duration // at most, since processStart
	at    time.Time     // when that was learnt
	known bool
}

func localNanos(t time.Time) time.Duration { return t.Sub(processStart) }

// bound is the upper bound now: the older it is, the farther the clocks may have parted.
func (c *clock) bound(now time.Time) time.Duration {
	return c.ahead + time.Duration(float64(now.Sub(c.at))*clockDrift)
}

// learn takes in a time that the service told: it was read at some moment between sent and received.
func (c *clock) learn(server, sent, received time.Time) {
	most := time.Duration(server.UnixNano()) - localNanos(sent) + clockRounding
	least := time.Duration(server.UnixNano()) - localNanos(received)
	if bound := c.bound(received); !c.known || most < bound || least > bound { // the last: the clock was set forward
		c.ahead, c.at, c.known = most, received, true
	}
}

// doubt takes in a time that the service told at an unknown moment before received. Where that cannot be, its clock was
// set forward, and what was known is worth nothing.
func (c *clock) doubt(server, received time.Time) {
	if c.known && time.Duration(server.UnixNano())-localNanos(received) > c.bound(received) {
		c.known = false
	}
}

// local is the earliest local moment that a moment of the service's clock may be.
func (c *clock) local(server, now time.Time) (t time.Time, ok bool) {
	if !c.known {
		return time.Time{}, false
	}
	return processStart.Add(time.Duration(server.UnixNano()) - c.bound(now)), true
}
