package service

import (
	"context"
	"errors"
	"strconv"
	"time"

	"distributedlock/queue"
)

// apply acts on what a script did beside what it was asked to do.
func (m *Manager) apply(name string, e queue.Effects) {
	if e.Expired > 0 {
		m.counts.expired.Add(int64(e.Expired))
		m.met.expired(e.Expired)
	}
	if e.Next > 0 && name != "" {
		m.parts[m.store.Partition(name)].arm(e.Next)
	}
	m.handed(e)
}

// handed brings grants to the requests that wait for them. One that nobody waits for any more goes back.
func (m *Manager) handed(e queue.Effects) {
	m.unkept(e)
	for _, h := range e.Handed {
		part := m.parts[m.store.Partition(h.Name)]
		part.arm(h.TTL)
		p := part.places.get(h.LockID)
		if p == nil {
			// Of a session's request whose connection has just ended, the place is kept.
			m.tasks.Go(func() { m.giveUp(&queue.Request{Name: h.Name, LockID: h.LockID, Left: unknownWait}, true) })
			continue
		}
		if p.q.AutoRenew {
			part.arm(p.q.RenewEvery)
		}
		part.places.end(p, p.q.Grant(h), h, nil)
		m.met.handedOver(max(0, m.store.Now().Sub(h.Freed)))
	}
}

// unkept takes back the grants to requests in line here that too few replicas have confirmed.
func (m *Manager) unkept(e queue.Effects) {
	for _, h := range e.Unkept {
		part := m.parts[m.store.Partition(h.Name)]
		p := part.places.get(h.LockID)
		if p == nil {
			m.tasks.Go(func() { m.giveUp(&queue.Request{Name: h.Name, LockID: h.LockID, Left: unknownWait}, true) })
			continue
		}
		q := p.q
		q.Left = unknownWait
		m.tasks.Go(func() {
			err := m.undoGrant(q, queue.Grant{})
			if !part.places.end(p, queue.Grant{}, queue.Handed{}, err) {
				m.giveUp(&q, false) // it has gone meanwhile: nor is its place kept
			}
		})
	}
}

// undoGrant takes back a grant that too few replicas have confirmed, unless a repeat of the request has taken it by now, and
// returns the error to tell: whether it was taken back. What the line is handed by that is waited for likewise.
func (m *Manager) undoGrant(q queue.Request, g queue.Grant) error {
	q.Taken, q.Sole = g.Taken, false
	c, err := m.store.Undo(context.Background(), &q)
	m.apply(q.Name, c.Effects)
	if err != nil {
		m.noticed(m.store.Partition(q.Name), err)
		m.undone.add(&q, false)
	}
	if err != nil || c.Word == "kept" {
		return errors.Join(queue.ErrNotReplicated, queue.ErrUnknown)
	}
	return errors.Join(queue.ErrNotReplicated, queue.ErrUnavailable)
}

// unconfirmed is whether an error means that a grant was just made which must be taken back.
func unconfirmed(err error) bool {
	return errors.Is(err, queue.ErrNotReplicated) && errors.Is(err, queue.ErrUnavailable)
}

// unknownWait is how long a request may go on waiting of which nothing is known any more.
const unknownWait = 5 * time.Minute

// giveUp takes a request out of the line or gives its grant back, with park its place kept for the grace. While Redis is
// away, or comes back, it is put off: a cancel serves the line, which must not be before all nodes are back.
func (m *Manager) giveUp(q *queue.Request, park bool) {
	if !m.up.Load() {
		m.undone.add(q, park)
		return
	}
	c, err := m.store.Cancel(context.Background(), q, park)
	m.apply(q.Name, c.Effects)
	if err != nil {
		m.noticed(m.store.Partition(q.Name), err)
		m.undone.add(q, park)
	}
}

// bell is the hub's: another node has granted something to a waiter here.
func (m *Manager) bell(partition int) {
	if partition >= 0 && partition < len(m.parts) {
		signal(m.parts[partition].bell)
	}
}

// word is the hub's: something else for this node.
func (m *Manager) word(word, about string) {
	switch word {
	case "moved":
		if p, err := strconv.Atoi(about); err == nil && p >= 0 && p < len(m.parts) {
			m.parts[p].lines.look()
		}
	case "session":
		if s := m.sessions.get(about); s != nil {
			m.tasks.Go(s.supersede)
		}
	}
}

// keyExpired is the hub's: Redis found a lock's record past its time, which the nodes should have seen first.
func (m *Manager) keyExpired(key string) {
	name, ok := m.store.LockOfKey(key)
	if !ok {
		return
	}
	p := m.parts[m.store.Partition(name)]
	if time.Since(p.begin)-time.Duration(p.looked.Load()) > 50*time.Millisecond {
		p.arm(0)
	}
}

// subscribed is the hub's: messages may have been missed until now.
func (m *Manager) subscribed(again bool) {
	if again {
		m.met.resubscribed()
	}
	for _, p := range m.parts {
		if p.places.any() {
			signal(p.bell)
		}
	}
}
