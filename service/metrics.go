package service

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

// Buckets, in seconds.
var (
	waitBuckets    = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300}
	handoffBuckets = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5}
	holdBuckets    = []float64{.001, .005, .01, .05, .1, .5, 1, 5, 10, 30, 60, 300, 900, 3600}
	commandBuckets = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5}
)

// Metrics are the node's own counts, as /metrics shows them. No label holds a lock's name or a client.
type Metrics struct {
	set *metrics.Set

	acquires, releases, expiries, forces, renewals, deadlocks, sweeps, resubscribes, quarantines, steps *metrics.Counter
	waits, handoffs, holds                                                                              *metrics.PrometheusHistogram
	redis                                                                                               atomic.Bool

	mu       sync.RWMutex
	commands map[string]*metrics.PrometheusHistogram
}

// NewMetrics makes them in a set; nil means a set that nobody reads.
func NewMetrics(set *metrics.Set) *Metrics {
	if set == nil {
		set = metrics.NewSet()
	}
	m := &Metrics{set: set, commands: map[string]*metrics.PrometheusHistogram{}}
	m.acquires = set.NewCounter("distributed_locks_acquired_total")
	m.releases = set.NewCounter("distributed_locks_released_total")
	m.expiries = set.NewCounter("distributed_locks_expired_total")
	m.forces = set.NewCounter("distributed_locks_force_released_total")
	m.renewals = set.NewCounter("distributed_locks_renewal_success")
	m.deadlocks = set.NewCounter("distributed_locks_deadlocks_detected")
	set.GetOrCreateCounter(`distributed_locks_acquire_failures_total{reason="deadlock"}`) // shown from the beginning, for alerts
	m.sweeps = set.NewCounter("distributed_locks_deadlock_sweeps_total")
	m.resubscribes = set.NewCounter("distributed_locks_pubsub_resubscribed_total")
	m.quarantines = set.NewCounter("distributed_locks_quarantines_total")
	m.steps = set.NewCounter("distributed_locks_redis_clock_steps_total")
	m.waits = set.NewPrometheusHistogramExt("distributed_locks_wait_time", waitBuckets)
	m.handoffs = set.NewPrometheusHistogramExt("distributed_locks_handoff_seconds", handoffBuckets)
	m.holds = set.NewPrometheusHistogramExt("distributed_locks_hold_seconds", holdBuckets)
	set.NewGauge("distributed_locks_redis_up", func() float64 {
		if m.redis.Load() {
			return 1
		}
		return 0
	})
	return m
}

// Cluster adds the gauges of what the whole fleet holds. They are not a number while Redis is away.
func (m *Metrics) Cluster(mgr *Manager) {
	gauge := func(name string, value func(active, waiting int, oldest time.Duration) float64) {
		m.set.NewGauge(name, func() float64 {
			t, err := mgr.Totals(context.Background())
			if err != nil {
				return math.NaN()
			}
			return value(t.Active, t.Waiting, t.Oldest)
		})
	}
	m.set.NewGauge("distributed_locks_quarantine_seconds", func() float64 { return mgr.store.Quarantine().Left.Seconds() })
	gauge("distributed_locks_active", func(active, _ int, _ time.Duration) float64 { return float64(active) })
	gauge("distributed_locks_waiters", func(_, waiting int, _ time.Duration) float64 { return float64(waiting) })
	gauge("distributed_locks_oldest_waiter_seconds", func(_, _ int, oldest time.Duration) float64 { return oldest.Seconds() })
}

// Command takes the time of a script: give it to the store as Observe.
func (m *Metrics) Command(script string, took time.Duration, _ error) {
	m.mu.RLock()
	h := m.commands[script]
	m.mu.RUnlock()
	if h == nil {
		m.mu.Lock()
		if h = m.commands[script]; h == nil {
			h = m.set.NewPrometheusHistogramExt(`distributed_locks_redis_command_seconds{script="`+script+`"}`, commandBuckets)
			m.commands[script] = h
		}
		m.mu.Unlock()
	}
	h.Update(took.Seconds())
}

func (m *Metrics) acquired(waited time.Duration) {
	m.acquires.Inc()
	m.waits.Update(waited.Seconds())
}

func (m *Metrics) acquireFailed(reason string) {
	m.set.GetOrCreateCounter(`distributed_locks_acquire_failures_total{reason="` + reason + `"}`).Inc()
}

func (m *Metrics) released(held time.Duration) {
	m.releases.Inc()
	m.holds.Update(held.Seconds())
}

func (m *Metrics) renewed(n int) { m.renewals.Add(n) }

func (m *Metrics) renewalFailed(err error) {
	m.set.GetOrCreateCounter(`distributed_locks_renewal_failures_total{reason="` + reasonOf(err) + `"}`).Inc()
}

func (m *Metrics) handedOver(after time.Duration) { m.handoffs.Update(after.Seconds()) }
func (m *Metrics) expired(n int)                  { m.expiries.Add(n) }
func (m *Metrics) forced(n int)                   { m.forces.Add(n) }
func (m *Metrics) deadlocked()                    { m.deadlocks.Inc() }
func (m *Metrics) resubscribed()                  { m.resubscribes.Inc() }
func (m *Metrics) quarantined()                   { m.quarantines.Inc() }
func (m *Metrics) clockStepped()                  { m.steps.Inc() }
func (m *Metrics) redisUp(up bool)                { m.redis.Store(up) }
