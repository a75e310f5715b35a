package service

import (
	"context"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"distributedlock/queue"
)

// beat shows the node to the fleet, finds what messages did not tell, and notices whether Redis is there.
func (m *Manager) beat(ctx context.Context) error {
	for {
		pause := queue.Beat
		if err := m.once(ctx); err != nil && ctx.Err() == nil {
			if m.up.Swap(false) {
				m.log.Warn("redis does not answer; waiting requests wait on, others are refused", zap.Error(err))
			}
			pause = queue.Beat / 8
		}
		m.met.redisUp(m.up.Load())
		t := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-t.C:
		case <-m.probe:
			t.Stop()
		}
	}
}

func (m *Manager) once(ctx context.Context) error {
	counts := m.counts.take()
	pulses, told, err := m.store.Beat(ctx, counts)
	if !told {
		m.counts.give(counts)
	}
	if err != nil {
		return err
	}
	m.stepped(pulses)
	m.quarantined()
	called := !m.up.Load() && slices.ContainsFunc(pulses, func(p queue.Pulse) bool { return p.Missed || p.Moved && m.store.FailsOver() })
	if called {
		m.rollCall(ctx, pulses)
	}
	if !m.up.Swap(true) {
		m.log.Info("redis answers")
		for _, p := range m.parts {
			p.lines.look() // what moved meanwhile was not heard
		}
	}
	if err := m.beatWatched(ctx); err != nil {
		return err
	}
	joined := false
	for i, pulse := range pulses {
		p := m.parts[i]
		if pulse.Missed && !joined {
			joined = true
			if err := m.store.Join(ctx, m.opts.About); err != nil {
				return err
			}
		}
		if !called {
			p.heed(pulse)
		}
		if pulse.Claims || p.doubted.Load() {
			signal(p.bell)
		}
		if pulse.Next > 0 {
			p.follow(pulse.Next, pulse.Mine)
		}
	}
	dead, err := m.store.Dead(ctx)
	if err != nil {
		return err
	}
	m.tidy(ctx, dead)
	return nil
}

// stepped tells that Redis's clock was set: leases end early by as much as it was set forward.
func (m *Manager) stepped(pulses []queue.Pulse) {
	var most time.Duration
	for _, pulse := range pulses {
		if pulse.Stepped.Abs() > most.Abs() {
			most = pulse.Stepped
		}
	}
	if most != 0 {
		m.met.clockStepped()
		m.log.Warn("redis's clock was set; leases end earlier or later by that", zap.Duration("forward", most))
	}
}

// quarantined tells of the beginning and the end of a quarantine.
func (m *Manager) quarantined() {
	q := m.store.Quarantine()
	if is := q.Left > 0; m.barred.Swap(is) == is {
		return
	}
	e, occasion := &queue.Event{Kind: "quarantine", At: m.store.Now(), Reason: q.Why, Left: q.Left}, m.hub.Occasion()
	for _, s := range m.watchers.all() {
		s.announce(e, occasion)
	}
	if q.Left == 0 {
		m.log.Info("the quarantine is over; locks are granted again")
		return
	}
	m.met.quarantined()
	m.log.Warn("quarantine: no lock is granted until all leases have run out that redis may have forgotten",
		zap.String("why", q.Why), zap.Duration("left", q.Left), zap.Int("partitions", q.Partitions))
}

// rollCallTime is how long a roll call goes on once all nodes have shown themselves, for them to show their waiting requests.
// For rollCallMost at most, a node that has not shown itself is waited for: it may hear of a new master a second later than
// others, as the driver does in a cluster.
const (
	rollCallTime = queue.Beat / 4
	rollCallMost = 2 * time.Second
)

// rollCall has the node show itself and its waiting requests to a Redis that was away for so long that all nodes count as gone,
// or that is another instance and may have missed the latest of them, before it does anything else: the first node to
// come back would else pass over the waiting requests of the others. Asking for a place again serves the line, too, so that
// all wait for the others first.
func (m *Manager) rollCall(ctx context.Context, pulses []queue.Pulse) {
	wait := rollCallTime / 8
	for end := time.Now().Add(rollCallMost); ctx.Err() == nil && time.Now().Before(end); wait = min(2*wait, rollCallTime/2) {
		if all, err := m.store.Muster(ctx); err == nil && all {
			break
		}
		m.pause(ctx, wait)
	}
	m.calling.Store(true)
	defer m.calling.Store(false)
	for i, pulse := range pulses {
		if m.parts[i].heed(pulse) {
			signal(m.parts[i].bell)
		}
	}
	m.pause(ctx, rollCallTime)
}

// heed has the partition's waiting requests look up their places if something may have happened to them unseen. It
// reports whether it has.
func (p *partition) heed(pulse queue.Pulse) bool {
	if (pulse.Missed || pulse.Moved) && (p.places.any() || p.m.sessions.any()) {
		p.doubted.Store(true)
		return true
	}
	return false
}

// tidy does what may take longer than a beat, beside the beats and once at a time.
func (m *Manager) tidy(ctx context.Context, dead []string) {
	if len(dead) == 0 && m.undone.empty() || !m.tidying.CompareAndSwap(false, true) {
		return
	}
	m.tasks.Go(func() {
		defer m.tidying.Store(false)
		m.undo()
		if err := m.bury(ctx, dead); err != nil && ctx.Err() == nil {
			m.log.Warn("a dead node's requests are not all put aside yet", zap.Error(err))
		}
	})
}

// bury clears the lines of nodes that died.
func (m *Manager) bury(ctx context.Context, dead []string) error {
	for _, node := range dead {
		m.log.Warn("a node is gone; its waiting requests are put aside", zap.String("node", node))
		for p := range m.parts {
			names, err := m.store.ContendedNames(ctx, p)
			if err != nil {
				return err
			}
			for _, name := range names {
				e, err := m.store.Bury(ctx, name, node)
				m.apply(name, e)
				if err != nil {
					m.noticed(p, err)
					return err
				}
			}
		}
		if err := m.orphan(ctx, node); err != nil {
			return err
		}
		if err := m.store.StrikeNode(ctx, node); err != nil {
			return err
		}
		if err := m.store.Forget(ctx, node); err != nil {
			return err
		}
	}
	return nil
}

// undoList holds the requests that must still be given up, as Redis was away when they ended.
type undoList struct {
	mu   sync.Mutex
	list []undone
}

type undone struct {
	q    *queue.Request
	park bool
}

func (u *undoList) add(q *queue.Request, park bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.list = append(u.list, undone{q, park})
}

func (u *undoList) empty() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.list) == 0
}

func (u *undoList) take() []undone {
	u.mu.Lock()
	defer u.mu.Unlock()
	list := u.list
	u.list = nil
	return list
}

// undo gives up what could not be given up before. What fails again comes back onto the list.
func (m *Manager) undo() {
	for _, u := range m.undone.take() {
		m.giveUp(u.q, u.park)
	}
}
