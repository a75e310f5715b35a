package service

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"distributedlock/queue"
)

// maxAsks is how many requests a session may have under way at once.
const maxAsks = 4096

// Listener is told what becomes of a session's requests. The calls come from any goroutine, those about one request in
// order and one at a time; they must not wait and must not call the session.
type Listener interface {
	// Queued: the request waits, at a position from 1, for these and those before it.
	Queued(q *queue.Request, position int, holders []queue.Grant)
	// Moved: its position is now this.
	Moved(q *queue.Request, position int)
	// Granted ends a request. waited is 0 where it did not have to.
	Granted(q *queue.Request, g *queue.Grant, waited time.Duration)
	// Failed ends a request, with an error as of [Manager.Acquire], or queue.ErrCancelled.
	Failed(q *queue.Request, err error)
	// Lost: a lock that the session held is no more, as its lease "expired" or it was "force_released".
	Lost(name, lockID, reason string)
	// Superseded: the session goes on over another connection.
	Superseded()
}

// Session is a client's connection, or several one after the other. What it waits for, and what renews itself for it,
// lives for the grace after its connection ended. Its methods are safe for concurrent use.
type Session struct {
	m *Manager
	l Listener
	// number is higher than that of every session opened before it on this node.
	number int64

	// mu is held while the listener is told something, so that it is told in order.
	mu     sync.Mutex
	id     string
	client string
	// kept is whether it is written down in Redis.
	kept   bool
	closed bool
	// asks are the requests under way by frame; resumed, those of an earlier connection among them, by name, client and
	// id: a client may ask for them again.
	asks    map[string]*ask
	resumed map[string]*ask
	// owns are the partitions where the session may have something noted; renewed, the locks that renew themselves for
	// it, by lockId: their holder would never ask after them.
	owns    map[int]struct{}
	renewed map[string]string
	// settled is closed once all that a closed session had is put aside.
	settled chan struct{}
}

// Open makes the session of a new connection. It is in this node's memory alone until it is named.
func (m *Manager) Open(l Listener) *Session {
	s := &Session{m: m, l: l, id: queue.NewSecret(), number: m.sessions.opened.Add(1), settled: make(chan struct{})}
	m.sessions.put(s.id, s)
	return s
}

// Acquire asks for a lock; the listener is told what comes of it, maybe before Acquire returns. Errors, for what was
// not even begun: queue.ErrInUse, ErrBusy.
func (s *Session) Acquire(q *queue.Request) error {
	q.Session = s.name()
	s.m.prepare(q)
	a := &ask{s: s, q: q, start: time.Now()}
	s.mu.Lock()
	switch {
	case s.closed:
		s.mu.Unlock()
		return nil
	case s.asks[q.Frame] != nil:
		s.mu.Unlock()
		return queue.ErrInUse
	case len(s.asks) >= maxAsks:
		s.mu.Unlock()
		return queue.ErrBusy
	}
	before := s.add(a)
	s.mu.Unlock()
	a.begin(before)
	return nil
}

// add takes a request in, and out a resumed one that it repeats. s.mu is held.
func (s *Session) add(a *ask) (before *ask) {
	if a.q.Known {
		if before = s.resumed[requestKey(a.q)]; before != nil {
			before.finish()
		}
	}
	if s.asks == nil {
		s.asks = map[string]*ask{}
	}
	s.asks[a.q.Frame] = a
	return before
}

// Uses reports whether a request with this frame is under way.
func (s *Session) Uses(frame string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asks[frame] != nil
}

// Cancel ends a request by its frame or, where that is "", by its requestId. done is told when it is over, after the
// listener was told Failed with queue.ErrCancelled; or, with queue.ErrNoRequest, after it was told of a grant that an
// earlier call of the request had.
func (s *Session) Cancel(frame, requestID string, done func(error)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.asks[frame]
	if frame == "" {
		for _, other := range s.asks {
			if other.q.ID == requestID {
				a = other
			}
		}
	}
	if a == nil {
		return queue.ErrNoRequest
	}
	a.cancels = append(a.cancels, done)
	if a.queued {
		a.finish()
		s.m.tasks.Go(a.withdraw)
	}
	return nil
}

// Release ends a grant; done is told how, from any goroutine, and must not wait. As for [Manager.Release].
func (s *Session) Release(name, client, lockID string, done func(heldFor time.Duration, err error)) {
	m := s.m
	if !m.up.Load() {
		done(0, queue.ErrUnavailable)
		return
	}
	m.store.ReleaseLater(name, client, lockID, func(held time.Duration, e queue.Effects, err error) {
		defer m.apply(name, e) // last, as what is woken last runs first, and the next holder waits the longest
		if m.unsure(name, err) {
			m.tasks.Go(func() { done(m.release(context.Background(), name, client, lockID, m.after(err))) })
			return
		}
		if err == nil {
			m.counts.released.Add(1)
			m.met.released(held)
		}
		s.letGo(lockID)
		done(held, err)
	})
}

// Renew gives a grant a new end; done is told how, as for Release.
func (s *Session) Renew(name, client, renewalToken string, lease time.Duration, done func(g queue.Grant, err error)) {
	m := s.m
	if !m.up.Load() {
		done(queue.Grant{}, queue.ErrUnavailable)
		return
	}
	m.store.RenewLater(name, client, renewalToken, lease, func(g queue.Grant, e queue.Effects, err error) {
		m.apply(name, e)
		if m.unsure(name, err) {
			m.tasks.Go(func() { done(m.renew(context.Background(), name, client, renewalToken, lease, m.after(err))) })
			return
		}
		if err != nil {
			m.met.renewalFailed(err)
		} else {
			m.counts.renewed.Add(1)
			m.met.renewed(1)
		}
		done(g, err)
	})
}

// Flush sends to Redis what was asked since the last Flush.
func (s *Session) Flush() { s.m.store.Flush() }

func (s *Session) name() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.id
}

// tell calls the listener, unless the connection has ended.
func (s *Session) tell(what func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		what()
	}
}

// lost tells of a lock that the session held.
func (s *Session) lost(name, lockID, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.renewed, lockID)
	if !s.closed {
		s.l.Lost(name, lockID, why)
	}
}

func (s *Session) holds(lockID string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.renewed[lockID] != ""
}

func (s *Session) letGo(lockID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.renewed, lockID)
}

// renews notes a lock that renews itself for the session. s.mu is held.
func (s *Session) renews(partition int, g *queue.Grant) {
	s.own(partition)
	if s.renewed == nil {
		s.renewed = map[string]string{}
	}
	s.renewed[g.LockID] = g.Name
}

// own notes that the session has something in a partition. s.mu is held.
func (s *Session) own(partition int) {
	if s.owns == nil {
		s.owns = map[int]struct{}{}
	}
	s.owns[partition] = struct{}{}
}

// unsure notices the error of a command, and reports whether it may have run all the same.
func (m *Manager) unsure(name string, err error) bool {
	if err == nil {
		return false
	}
	m.noticed(m.store.Partition(name), err)
	return errors.Is(err, queue.ErrUnknown)
}

// sessions are those of this node, by id.
type sessions struct {
	opened atomic.Int64

	mu   sync.Mutex
	byID map[string]*Session
	// turns has an entry for each session that is being taken over, which ends with that.
	turns map[string]chan struct{}
}

// turn has sessions of one id taken over one after the other: a client whose connections break one by one may have
// several that ask for its session at once. Call done.
func (t *sessions) turn(ctx context.Context, id string) (done func(), err error) {
	for {
		t.mu.Lock()
		other := t.turns[id]
		if other == nil {
			break
		}
		t.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	defer t.mu.Unlock()
	if t.turns == nil {
		t.turns = map[string]chan struct{}{}
	}
	mine := make(chan struct{})
	t.turns[id] = mine
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.turns, id)
		close(mine)
	}, nil
}

func (t *sessions) put(id string, s *Session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byID == nil {
		t.byID = map[string]*Session{}
	}
	t.byID[id] = s
}

func (t *sessions) get(id string) *Session {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.byID[id]
}

// drop forgets a session, unless another has its id by now.
func (t *sessions) drop(id string, s *Session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byID[id] == s {
		delete(t.byID, id)
	}
}

func (t *sessions) any() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.byID) > 0
}

func (t *sessions) all() []*Session {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Collect(maps.Values(t.byID))
}
