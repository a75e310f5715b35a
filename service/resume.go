package service

import (
	"context"
	"maps"
	"time"

	"go.uber.org/zap"

	"distributedlock/notify"
	"distributedlock/queue"
)

// Name keeps the session in Redis under an id to come back with. Where id is that of a session of the same client
// that still lives, on whatever node, this one takes it over, and its listener is told where each of its requests
// stands. It is called once at most, before any Acquire. Errors: queue.ErrUnavailable, ErrUnknown, ErrDraining.
func (s *Session) Name(ctx context.Context, id, client string) (now string, resumed bool, err error) {
	m := s.m
	if err := m.open(); err != nil {
		return "", false, err
	}
	if id != "" {
		if resumed, err = s.take(ctx, id, client); err != nil || resumed {
			return id, resumed, err
		}
	}
	id = s.name()
	err = m.settle(ctx, id, func(bool) error { return m.store.NameSession(ctx, id, client) })
	if err == nil {
		s.named(id, client)
	}
	return id, false, err
}

// take moves a session here, and reports whether there is such a one.
func (s *Session) take(ctx context.Context, id, client string) (bool, error) {
	m := s.m
	done, err := m.sessions.turn(ctx, id)
	if err != nil {
		return false, queue.ErrUnavailable
	}
	defer done()
	if before := m.sessions.get(id); before != nil && before.whose() == client {
		if before.number > s.number { // the client has come back once more meanwhile
			s.supersede()
			return false, queue.ErrUnavailable
		}
		before.supersede()
		select {
		case <-before.settled:
		case <-ctx.Done():
			return false, queue.ErrUnavailable
		}
	}
	there := false
	err = m.settle(ctx, id, func(bool) (err error) {
		there, err = m.store.TakeSession(ctx, id, client)
		return err
	})
	if err != nil || !there {
		return false, err
	}
	s.named(id, client)
	for p := range m.parts {
		owns, err := m.resume(ctx, p, id, true)
		if err != nil {
			return false, err
		}
		for i := range owns {
			s.restore(p, &owns[i])
		}
	}
	m.store.Flush()
	return true, nil
}

func (m *Manager) resume(ctx context.Context, p int, id string, take bool) ([]queue.Own, error) {
	owns, err := m.store.Resume(ctx, p, id, take, func(e queue.Effects) { m.handed(e) })
	if err != nil {
		m.noticed(p, err)
	}
	return owns, err
}

// named registers the session under its id.
func (s *Session) named(id, client string) {
	s.mu.Lock()
	old := s.id
	s.id, s.client, s.kept = id, client, true
	s.mu.Unlock()
	s.m.sessions.drop(old, s)
	s.m.sessions.put(id, s)
}

func (s *Session) whose() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.client
}

// restore takes up something of an earlier connection.
func (s *Session) restore(p int, own *queue.Own) {
	part, q := s.m.parts[p], own.Request
	switch {
	case own.Lost != "":
		s.lost(q.Name, q.LockID, own.Lost)
	case own.Grant != nil:
		part.arm(own.Grant.TTL)
		if q.AutoRenew {
			part.arm(q.RenewEvery)
		}
		q.Taken = takenByMany // the client may know it already: it is not to be given back
		s.mu.Lock()
		s.own(p)
		if q.AutoRenew {
			s.renews(p, own.Grant)
		}
		if !s.closed {
			s.l.Granted(q, own.Grant, own.Waited)
		}
		s.mu.Unlock()
	default:
		q.Wait, q.Known, q.LockID, q.RenewalToken = own.Left, true, queue.NewSecret(), queue.NewSecret()
		a := &ask{s: s, q: q, start: time.Now(), waited: own.Waited, resumed: true}
		s.mu.Lock()
		s.own(p)
		s.add(a)
		if s.resumed == nil {
			s.resumed = map[string]*ask{}
		}
		s.resumed[requestKey(q)] = a
		s.mu.Unlock()
		a.begin(nil)
	}
}

// Close says that the connection has ended. Places and locks are kept for the grace. The listener is told nothing any
// more, and then undelivered is asked once for the grants that surely never reached the client: they are given back,
// their places kept.
func (s *Session) Close(undelivered func() []*queue.Request) {
	first := s.cut()
	lost := undelivered()
	if !first {
		return
	}
	s.m.tasks.Go(func() {
		for _, q := range lost {
			if !q.Earlier { // or the client may know of the grant by an earlier answer
				s.m.giveUp(q, true)
			}
		}
		s.settle()
	})
}

// supersede ends the session's connection here, as it goes on over another.
func (s *Session) supersede() {
	s.mu.Lock()
	if !s.closed {
		s.l.Superseded()
	}
	s.mu.Unlock()
	if s.cut() {
		s.settle()
	}
}

// cut takes the session's requests out of its connection's hands. It reports false where that has happened before.
func (s *Session) cut() bool {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return false
	}
	s.closed = true
	var waiting []*ask
	for _, a := range s.asks {
		a.finish()
		a.cut = true
		if a.queued {
			waiting = append(waiting, a)
		}
	}
	s.mu.Unlock()
	for _, a := range waiting {
		if !a.leave() {
			a.partition().doubt() // another call waits on the place, which is put aside with the session's
		}
	}
	return true
}

// settle puts aside what the session has in Redis, again until that is done.
func (s *Session) settle() {
	defer close(s.settled)
	m := s.m
	s.mu.Lock()
	id, kept, owns := s.id, s.kept, s.owns
	s.mu.Unlock()
	defer m.sessions.drop(id, s)
	for p := range owns {
		m.insist(p, func(ctx context.Context) error {
			return m.store.Detach(ctx, p, id, m.opts.Grace, func(e queue.Effects) { m.handed(e) })
		})
	}
	if kept {
		m.insist(m.store.HomeOf(id), func(ctx context.Context) error { return m.store.LeaveSession(ctx, id, m.opts.Grace) })
	}
}

// insist makes a call until Redis answers it, or the node ends.
func (m *Manager) insist(p int, call func(context.Context) error) {
	for {
		if m.up.Load() || m.life.Err() != nil {
			err := call(context.Background())
			if err == nil || m.life.Err() != nil {
				return
			}
			m.noticed(p, err)
		}
		m.pause(m.life, 200*time.Millisecond)
	}
}

// recheck looks up what the sessions of this node have in a partition, after the node may have been thought gone there
// or something may have been lost unseen.
func (p *partition) recheck(ctx context.Context) {
	m := p.m
	for _, s := range m.sessions.all() {
		s.mu.Lock()
		_, owns := s.owns[p.number]
		id, client, kept, closed := s.id, s.client, s.kept, s.closed
		before := maps.Clone(s.renewed) // before Redis is asked: what is granted meanwhile is not in its answer
		s.mu.Unlock()
		if closed || ctx.Err() != nil {
			continue
		}
		if kept && m.store.HomeOf(id) == p.number {
			here, err := m.store.KeepSession(ctx, id, client)
			if err != nil {
				m.noticed(p.number, err)
				return
			}
			if !here {
				m.tasks.Go(s.supersede)
				continue
			}
		}
		if !owns {
			continue
		}
		found, err := m.resume(ctx, p.number, id, false)
		if err != nil {
			return
		}
		s.compare(p.number, before, found)
	}
}

// compare tells of the locks that renewed themselves for the session in a partition and are not there any more.
func (s *Session) compare(partition int, before map[string]string, found []queue.Own) {
	for i := range found {
		if q := found[i].Request; found[i].Lost != "" {
			s.lost(q.Name, q.LockID, found[i].Lost)
		} else if found[i].Grant != nil {
			delete(before, found[i].Grant.LockID)
		}
	}
	for lockID, name := range before {
		if s.m.store.Partition(name) == partition && s.holds(lockID) {
			s.lost(name, lockID, "expired") // or forced: what told so was missed
		}
	}
}

// hearLosses tells the sessions of this node of the locks that they lost.
func (m *Manager) hearLosses(ctx context.Context) error {
	w := m.hub.Watch(m.store.LostChannel(), 8192)
	defer w.Close()
	var messages []notify.Message
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.Wake:
		}
		messages = w.Take(messages)
		for _, message := range messages {
			if message.Gap { // losses may have gone unheard
				for _, p := range m.parts {
					if m.sessions.any() {
						p.doubt()
					}
				}
				continue
			}
			id, lockID, why, name, ok := queue.ParseLoss(message.Text)
			if s := m.sessions.get(id); ok && s != nil {
				s.lost(name, lockID, why)
			}
		}
	}
}

// orphan has the sessions of a dead node live on for their grace.
func (m *Manager) orphan(ctx context.Context, node string) error {
	for p := range m.parts {
		if err := m.store.Orphan(ctx, p, node, m.opts.Grace); err != nil {
			m.noticed(p, err)
			return err
		}
	}
	m.log.Info("the sessions of a dead node live on for their grace", zap.String("node", node))
	return nil
}
