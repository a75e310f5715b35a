package service

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"distributedlock/queue"
)

// Release ends a grant and hands the lock on. Errors: queue.ErrLost, ErrNotOwner, ErrUnavailable, ErrUnknown.
func (m *Manager) Release(ctx context.Context, name, client, lockID string) (heldFor time.Duration, err error) {
	if !m.up.Load() {
		return 0, queue.ErrUnavailable
	}
	return m.release(ctx, name, client, lockID, m.settle)
}

// settler is how a call is settled: [Manager.settle], or what [Manager.after] makes.
type settler func(ctx context.Context, name string, call func(repeated bool) error) error

// after settles a call whose first attempt had this outcome.
func (m *Manager) after(err error) settler {
	return func(ctx context.Context, name string, call func(repeated bool) error) error {
		return m.resolve(ctx, name, err, call)
	}
}

func (m *Manager) release(ctx context.Context, name, client, lockID string, settle settler) (heldFor time.Duration, err error) {
	err = settle(ctx, name, func(repeated bool) error {
		var e queue.Effects
		var err error
		heldFor, e, err = m.store.Release(ctx, name, client, lockID)
		m.apply(name, e)
		if repeated && errors.Is(err, queue.ErrLost) {
			return nil // the attempt whose answer was lost did it
		}
		return err
	})
	if err == nil {
		m.counts.released.Add(1)
		m.met.released(heldFor)
	}
	return heldFor, err
}

// Renew gives a grant a new end, lease 0 meaning its own lease again. Errors as for Release.
func (m *Manager) Renew(ctx context.Context, name, client, renewalToken string, lease time.Duration) (g queue.Grant, err error) {
	if !m.up.Load() {
		return g, queue.ErrUnavailable
	}
	return m.renew(ctx, name, client, renewalToken, lease, m.settle)
}

func (m *Manager) renew(ctx context.Context, name, client, renewalToken string, lease time.Duration, settle settler) (g queue.Grant, err error) {
	err = settle(ctx, name, func(bool) error {
		var e queue.Effects
		var err error
		g, e, err = m.store.Renew(ctx, name, client, renewalToken, lease)
		m.apply(name, e)
		return err
	})
	if err != nil {
		m.met.renewalFailed(err)
		return g, err
	}
	m.counts.renewed.Add(1)
	m.met.renewed(1)
	return g, nil
}

// ForceRelease takes a lock from its holders, whoever they are, and logs who did it and why.
func (m *Manager) ForceRelease(ctx context.Context, name, reason, by string) (lost []queue.Grant, err error) {
	if !m.up.Load() {
		return nil, queue.ErrUnavailable
	}
	err = m.settle(ctx, name, func(bool) error {
		var e queue.Effects
		var err error
		lost, e, err = m.store.ForceRelease(ctx, name, reason)
		m.apply(name, e)
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, g := range lost {
		m.log.Warn("lock released by force", zap.String("lock", name), zap.String("by", by), zap.String("reason", reason),
			zap.String("client", g.Client), zap.String("owner", g.Owner), zap.Int64("token", g.Token))
	}
	m.counts.forced.Add(int64(len(lost)))
	m.met.forced(len(lost))
	return lost, nil
}

// Status tells who holds a lock and who waits, the first so many.
func (m *Manager) Status(ctx context.Context, name string, waiters int) (queue.Status, error) {
	if !m.up.Load() {
		return queue.Status{}, queue.ErrUnavailable
	}
	st, err := m.store.Status(ctx, name, waiters)
	return st, m.read(err)
}

// List pages through the locks held: see [queue.Store.List].
func (m *Manager) List(ctx context.Context, prefix, after string, limit int) ([]queue.Status, string, error) {
	if !m.up.Load() {
		return nil, "", queue.ErrUnavailable
	}
	locks, next, err := m.store.List(ctx, prefix, after, limit)
	return locks, next, m.read(err)
}

// Now is Redis's time, as far as this node can tell without asking.
func (m *Manager) Now() time.Time { return m.store.Now() }

// Health asks Redis how it is, and how it is set up.
func (m *Manager) Health(ctx context.Context) (queue.Health, error) {
	h, err := m.store.Health(ctx)
	if err != nil {
		return h, err
	}
	h.Quarantine = m.store.Quarantine()
	h.Warnings, err = m.store.Advice(ctx)
	return h, err
}

// ErrEvicts says that Redis may throw locks away when memory runs short.
var ErrEvicts = errors.New("redis may evict lock keys: set maxmemory-policy to noeviction")

// Ready reports why the node should get no requests, nil where it should.
func (m *Manager) Ready(ctx context.Context) error {
	if err := m.open(); err != nil {
		return err
	}
	if !m.hub.Up() {
		return errors.New("not subscribed to redis yet")
	}
	h, err := m.store.Health(ctx)
	if err != nil {
		return err
	}
	if h.Evicts {
		return ErrEvicts
	}
	return nil
}

// read turns an unknown outcome of a read, which changes nothing, into Redis being away.
func (m *Manager) read(err error) error {
	if errors.Is(err, queue.ErrUnknown) {
		m.up.Store(false)
		signal(m.probe)
		return errors.Join(queue.ErrUnavailable, err)
	}
	return err
}
