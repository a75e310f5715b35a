package service

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"distributedlock/queue"
)

// watcher is somebody who is told of events.
type watcher struct {
	tell func(*queue.Event)
	mu   sync.Mutex
	// told is the latest occasion of a gap that it was told of, heard of a quarantine's beginning or end.
	told, heard int64
}

// Watch tells of the events of locks: of every lock that has one of the names or begins with one of the prefixes, of
// every kind, once each and in the order of each lock; of kind "quarantine", without a lock, where one begins or ends; and of
// kind "gap", without a lock, where some may have been missed: what comes after it is told after it. An event is the same for all who are told of it, one after the other,
// and must not be changed.
//
// tell is called from one goroutine for each partition, maybe before Watch returns. It must not wait: it holds up all
// watchers of the partition on this node, though nobody else. Watch returns once nothing from now on is missed. stop
// ends it, and returns when tell will not be called again; so neither tell itself may call Watch or stop, nor may they
// be called by one who holds a lock that tell takes. Errors: queue.ErrUnavailable, queue.ErrDraining, ctx.Err().
func (m *Manager) Watch(ctx context.Context, names, prefixes []string, tell func(*queue.Event)) (stop func(), err error) {
	if err := m.open(); err != nil {
		return nil, err
	}
	wanted := m.partitionsOf(names, prefixes)
	streams, err := m.watchers.hold(m, wanted)
	if err != nil {
		return nil, err
	}
	if err := m.listening(ctx, streams); err != nil {
		m.watchers.release(streams)
		return nil, err
	}
	w := &watcher{tell: tell}
	seats := make([]*seat, len(streams))
	for i, s := range streams {
		seats[i] = s.join(w, wanted[s.partition], prefixes)
	}
	var once sync.Once
	return func() {
		once.Do(func() {
			for i, s := range streams {
				s.leave(seats[i])
			}
			m.watchers.release(streams)
		})
	}, nil
}

// partitionsOf are the partitions to listen to, each with those of the names that lie in it: all where there is a
// prefix, as the locks that begin with it may lie anywhere.
func (m *Manager) partitionsOf(names, prefixes []string) map[int][]string {
	wanted := map[int][]string{}
	for _, name := range names {
		p := m.store.Partition(name)
		wanted[p] = append(wanted[p], name)
	}
	for p := range m.parts {
		if _, there := wanted[p]; !there && len(prefixes) > 0 {
			wanted[p] = nil
		}
	}
	return wanted
}

// listening returns once Redis has confirmed that it sends these partitions' events, and that the scripts tell of them.
// In this order: an event that is told before anybody listens is lost.
func (m *Manager) listening(ctx context.Context, streams []*stream) error {
	ctx, cancel := context.WithTimeoutCause(ctx, m.opts.Settle, fmt.Errorf("%w: no subscription", queue.ErrUnavailable))
	defer cancel()
	for _, s := range streams {
		select {
		case <-s.watch.Ready:
		case <-m.draining:
			return queue.ErrDraining
		case <-ctx.Done():
			return m.givenUp(ctx)
		}
	}
	stale := slices.DeleteFunc(slices.Clone(streams), (*stream).fresh)
	if len(stale) == 0 {
		return nil
	}
	err := m.renewWatched(ctx, stale)
	if err != nil && ctx.Err() != nil {
		return m.givenUp(ctx)
	}
	m.noticed(stale[0].partition, err)
	return err
}

// givenUp is why a context ended: if Redis was away while it ran out, that is the reason.
func (m *Manager) givenUp(ctx context.Context) error {
	cause := context.Cause(ctx)
	away := !m.up.Load() || !m.hub.Up()
	switch {
	case errors.Is(cause, queue.ErrUnavailable):
		return cause
	case away && errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("%w: %w", queue.ErrUnavailable, ctx.Err())
	default:
		return ctx.Err()
	}
}

// renewWatched has the scripts go on telling of these partitions' events. Where they may have stopped in between, the
// watchers are told of a gap, from now on that is: only now do they miss nothing again.
func (m *Manager) renewWatched(ctx context.Context, streams []*stream) error {
	if len(streams) == 0 {
		return nil
	}
	partitions := make([]int, len(streams))
	for i, s := range streams {
		partitions[i] = s.partition
	}
	begin := time.Now()
	marks, err := m.store.Watched(ctx, partitions)
	if err != nil {
		return err
	}
	var lapsed []*stream
	for i, s := range streams {
		if s.marked(marks[i], begin) {
			lapsed = append(lapsed, s)
		}
	}
	if len(lapsed) == 0 {
		return nil
	}
	occasion := m.hub.Occasion()
	for _, s := range lapsed {
		s.watch.Miss(occasion)
	}
	m.log.Info("events may have gone untold; their watchers are told so", zap.Int("partitions", len(lapsed)))
	return nil
}

// beatWatched is a beat's part in it. A Redis that refuses, being out of memory, is no Redis that is away.
func (m *Manager) beatWatched(ctx context.Context) error {
	if err := m.renewWatched(ctx, m.watchers.all()); err != nil && !errors.Is(err, queue.ErrRefused) {
		return err
	}
	return nil
}

// watchers are the streams of the partitions that somebody watches.
type watchers struct {
	mu      sync.Mutex
	streams map[int]*stream
	closed  bool
}

// hold has these partitions listened to until they are released as often as they were held.
func (ws *watchers) hold(m *Manager, wanted map[int][]string) ([]*stream, error) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.closed {
		return nil, queue.ErrDraining
	}
	if ws.streams == nil {
		ws.streams = map[int]*stream{}
	}
	held := make([]*stream, 0, len(wanted))
	for p := range wanted {
		s := ws.streams[p]
		if s == nil {
			s = newStream(m, p)
			ws.streams[p] = s
		}
		s.users++
		held = append(held, s)
	}
	return held, nil
}

func (ws *watchers) release(held []*stream) {
	ws.mu.Lock()
	var unwatched []*stream
	for _, s := range held {
		if s.users--; s.users == 0 && !ws.closed {
			delete(ws.streams, s.partition)
			unwatched = append(unwatched, s)
		}
	}
	ws.mu.Unlock()
	for _, s := range unwatched { // outside the lock, as they may have something left to tell
		s.end()
	}
}

func (ws *watchers) all() []*stream {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	all := make([]*stream, 0, len(ws.streams))
	for _, s := range ws.streams {
		all = append(all, s)
	}
	return all
}

// close ends all streams: nobody is told anything afterwards.
func (ws *watchers) close() {
	ws.mu.Lock()
	ws.closed = true
	ws.mu.Unlock()
	for _, s := range ws.all() {
		s.end()
	}
}
