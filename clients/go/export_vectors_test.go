package distributedlock

import "time"

// For the vectors in clients/conformance/vectors, which every SDK's tests read.

// Backoff is the delay before the next attempt.
var Backoff = backoff

// LockPath is where a lock stands in REST.
func LockPath(name string) string { return lockPath(name, "") }

// A ClockSample is a time that the service told, at some moment between Sent and Received.
type ClockSample struct {
	Sent, Received time.Duration // of the local clock
	Server         time.Time
}

// LostAt is when a grant counts as lost, by the local clock: after a wait, or as an answer at once.
func LostAt(lease, left time.Duration, atOnce bool, sent, received time.Duration, expires time.Time, samples []ClockSample) time.Duration {
	at := func(d time.Duration) time.Time { return processStart.Add(d) }
	c := NewDistributedLockClient("http://127.0.0.1:1")
	for _, s := range samples {
		c.clock.learn(s.Server, at(s.Sent), at(s.Received))
	}
	g := grant{expires: expires, ttl: left}
	if atOnce {
		c.clock.learn(g.now(), at(sent), at(received))
	} else {
		c.clock.doubt(g.now(), at(received))
	}
	l := c.newLock(&request{ttl: lease}, &g, at(sent), at(received))
	return l.lostAt().Sub(processStart)
}
