package service

import (
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
	for _, h := range e.Handed {
		part := m.parts[m.store.Partition(h.Name)]
		part.arm(h.TTL)
		p := part.places.get(h.LockID)
		if p == nil {
			m.Abandon(&queue.Request{Name: h.Name, LockID: h.LockID})
			continue
		}
		if p.q.AutoRenew {
			part.arm(p.q.RenewEvery)
		}
		part.places.end(p, p.q.Grant(h), h, nil)
		m.met.handedOver(max(0, m.store.Now().Sub(h.Freed)))
	}
}

// bell is the hub's: another node has granted something to a waiter here.
func (m *Manager) bell(partition int) {
	if partition >= 0 && partition < len(m.parts) {
		signal(m.parts[partition].bell)
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
