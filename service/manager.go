package service

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"distributedlock/notify"
	"distributedlock/queue"
)

// Options of a [Manager].
type Options struct {
	// RenewalInterval is the longest time between two automatic renewals of a lease.
	RenewalInterval time.Duration
	// MaxHold is how long a lock is renewed automatically where the request does not say.
	MaxHold time.Duration
	// Grace is how long a place in line is kept while nobody listens for it.
	Grace time.Duration
	// MaxQueue is the longest line a lock may have.
	MaxQueue int
	// MaxWaiting is how many requests may wait on this node at once. Default 100,000.
	MaxWaiting int
	// Deadlocks has deadlocks found and broken.
	Deadlocks bool
	// Settle is how long a call goes on asking when an answer of Redis was lost. Default 3 s.
	Settle time.Duration
	// Database is the number of the Redis database.
	Database int
	// Connect makes a Redis client for subscriptions.
	Connect func() (rueidis.Client, error)
	// About is what the node says of itself to the fleet, JSON.
	About string
	Log   *zap.Logger
	// Metrics may be nil.
	Metrics *Metrics
}

// Manager serves the locks of one node. Its methods are safe for concurrent use.
type Manager struct {
	opts  Options
	store *queue.Store
	hub   *notify.Hub
	log   *zap.Logger
	met   *Metrics

	parts    []*partition
	detector *detector // nil where deadlocks are not looked for
	waiting  atomic.Int64
	up       atomic.Bool
	calling  atomic.Bool // while a roll call goes on
	barred   atomic.Bool // whether the last beat found a quarantine
	probe    chan struct{}
	draining chan struct{}
	drain    sync.Once
	tasks    sync.WaitGroup
	undone   undoList
	sessions sessions
	watchers watchers
	life     context.Context // ends when the loops have ended
	end      context.CancelFunc
	tidying  atomic.Bool
	counts   counters
	totals   totalsCache
}

// New makes the manager of a node; [Manager.Run] starts it.
func New(store *queue.Store, opts Options) *Manager {
	if opts.MaxWaiting == 0 {
		opts.MaxWaiting = 100_000
	}
	if opts.Settle == 0 {
		opts.Settle = 3 * time.Second
	}
	opts.Grace = max(opts.Grace, time.Millisecond) // Redis keeps nothing for no time at all
	if opts.Log == nil {
		opts.Log = zap.NewNop()
	}
	if opts.Metrics == nil {
		opts.Metrics = NewMetrics(nil)
	}
	m := &Manager{opts: opts, store: store, log: opts.Log, met: opts.Metrics,
		probe: make(chan struct{}, 1), draining: make(chan struct{})}
	m.life, m.end = context.WithCancel(context.Background())
	m.up.Store(true)
	if opts.Deadlocks {
		m.detector = newDetector(m)
	}
	for p := range store.Partitions() {
		m.parts = append(m.parts, newPartition(m, p))
	}
	hub := notify.Options{
		Connect: opts.Connect, Channel: store.Channel(), Ping: store.Ring, Every: queue.Beat, Database: opts.Database,
		Bell: m.bell, Word: m.word, Subscribed: m.subscribed, Log: opts.Log,
	}
	if !store.InCluster() { // there each master tells of its own keys only, and the nodes' own timers must do
		hub.Expired = m.keyExpired
	}
	m.hub = notify.New(hub)
	return m
}

// Run serves until the context ends. Call [Manager.Drain] first for an orderly end.
func (m *Manager) Run(ctx context.Context) error {
	var g errgroup.Group
	g.Go(func() error {
		m.hub.Run(ctx)
		return nil
	})
	g.Go(func() error { return m.beat(ctx) })
	g.Go(func() error { return m.hearLosses(ctx) })
	for _, p := range m.parts {
		g.Go(func() error { return p.run(ctx) })
	}
	if m.detector != nil {
		g.Go(func() error { return m.detector.run(ctx) })
	}
	err := g.Wait()
	m.end()
	m.Drain()
	m.watchers.close()
	m.tasks.Wait()
	m.undo()
	if m.detector != nil {
		_ = m.detector.strike(context.WithoutCancel(ctx)) // what is left of it misleads nobody
	}
	if e := m.store.Leave(context.WithoutCancel(ctx)); e != nil {
		m.log.Debug("the node could not take leave of the fleet", zap.Error(e))
	}
	return err
}

// Drain turns all waiting requests away, their places kept for them to go elsewhere, and takes no new ones.
func (m *Manager) Drain() { m.drain.Do(func() { close(m.draining) }) }

// Draining reports whether the node is on its way out.
func (m *Manager) Draining() bool {
	select {
	case <-m.draining:
		return true
	default:
		return false
	}
}

// open says whether a call may go ahead: not on a node that drains, and not while Redis is known to be away, as a
// command sent now would only make its outcome unknown.
func (m *Manager) open() error {
	if m.Draining() {
		return queue.ErrDraining
	}
	if !m.up.Load() {
		return queue.ErrUnavailable
	}
	return nil
}

// noticed looks at the error of a command: if Redis did not answer, nothing more is sent until a beat comes through,
// and if the command may have run, the partition's waiting requests are looked up again, as one of them may have
// been granted unseen.
func (m *Manager) noticed(partition int, err error) {
	if errors.Is(err, queue.ErrNotReplicated) {
		return // Redis is there
	}
	unknown := errors.Is(err, queue.ErrUnknown)
	if unknown {
		m.parts[partition].doubt()
	}
	if unknown || errors.Is(err, queue.ErrUnavailable) && !errors.Is(err, queue.ErrRefused) {
		m.up.Store(false)
		select {
		case m.probe <- struct{}{}:
		default:
		}
	}
}

// settle repeats a call whose outcome is unknown until it is known, for as long as Settle. The call must be one that
// may be repeated. known reports whether an earlier attempt may have run.
func (m *Manager) settle(ctx context.Context, name string, call func(repeated bool) error) error {
	err := call(false)
	m.noticed(m.store.Partition(name), err)
	return m.resolve(ctx, name, err, call)
}

// resolve is the rest of settle, after a first attempt with this outcome.
func (m *Manager) resolve(ctx context.Context, name string, err error, call func(repeated bool) error) error {
	if !errors.Is(err, queue.ErrUnknown) {
		return err
	}
	end := time.Now().Add(m.opts.Settle)
	for time.Now().Before(end) && ctx.Err() == nil {
		if !m.up.Load() {
			m.pause(ctx, 20*time.Millisecond)
			continue
		}
		again := call(true)
		m.noticed(m.store.Partition(name), again)
		_, withheld := errors.AsType[*queue.QuarantineError](again) // so it was not granted before
		if withheld || !errors.Is(again, queue.ErrUnknown) && !errors.Is(again, queue.ErrUnavailable) {
			return again
		}
		m.pause(ctx, 20*time.Millisecond)
	}
	return err
}

func (m *Manager) pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
