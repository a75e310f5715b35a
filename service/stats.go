package service

import (
	"context"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"distributedlock/queue"
)

// counters are what the node has done since it last told the fleet.
type counters struct {
	acquired, released, expired, forced, renewed, deadlocks atomic.Int64
}

func (c *counters) fields() map[string]*atomic.Int64 {
	return map[string]*atomic.Int64{"acquired": &c.acquired, "released": &c.released, "expired": &c.expired,
		"forceReleased": &c.forced, "renewed": &c.renewed, "deadlocks": &c.deadlocks}
}

// take empties the counters.
func (c *counters) take() map[string]int64 {
	out := map[string]int64{}
	for name, v := range c.fields() {
		if n := v.Swap(0); n > 0 {
			out[name] = n
		}
	}
	return out
}

// give puts back what could not be told.
func (c *counters) give(told map[string]int64) {
	fields := c.fields()
	for name, n := range told {
		fields[name].Add(n)
	}
}

// totalsFor is how long totals are answered from memory. With a beat's delay of other nodes' counters they are at
// most 2 s old.
const totalsFor = 500 * time.Millisecond

type totalsCache struct {
	mu sync.Mutex
	at time.Time
	t  queue.Totals
	// shown are the counters as they were last answered. What is on its way to Redis is for a moment in neither place,
	// and no counter goes back.
	shown map[string]int64
}

// Totals counts over the whole fleet; at most 2 s old.
func (m *Manager) Totals(ctx context.Context) (queue.Totals, error) {
	m.totals.mu.Lock()
	defer m.totals.mu.Unlock()
	if !m.up.Load() {
		return queue.Totals{}, queue.ErrUnavailable
	}
	if m.totals.at.IsZero() || time.Since(m.totals.at) > totalsFor {
		t, err := m.store.Totals(ctx)
		if err != nil {
			return t, m.read(err)
		}
		m.totals.t, m.totals.at = t, time.Now()
	}
	t := m.totals.t
	t.Counters = maps.Clone(t.Counters)
	for name, v := range m.counts.fields() {
		t.Counters[name] = max(t.Counters[name]+v.Load(), m.totals.shown[name])
	}
	m.totals.shown = maps.Clone(t.Counters)
	return t, nil
}
