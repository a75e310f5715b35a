package queue

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// model is what a lock promises, without Redis: who holds it, who stands in line, whose place is kept, which nodes
// are there. Moments are milliseconds since the epoch of the tests.
type model struct {
	now     int64
	last    int64 // the last ticket or token, microseconds
	limit   int
	holders []held
	line    []waiting
	parked  map[string]waiting // by request
	there   map[string]bool

	// Of the call under way: who calls, who therefore is there, and whether anything came free or moved.
	me           string
	freed, moved bool
	// slept is whether the one that calls does not count as there: then it judges nobody, as Redis may have been away.
	slept bool
}

type held struct {
	waiting
	token, since int64 // microseconds
	ends         int64
	claimed      bool
	kept         bool // a repeat of the request has taken it
}

type waiting struct {
	q        *Request
	node     string
	lockID   string
	ticket   int64
	deadline int64
}

func newModel(limit int) *model {
	return &model{limit: limit, parked: map[string]waiting{}, there: map[string]bool{"a": true, "b": true, "c": true}}
}

func (m *model) micros() int64 { return epoch + m.now*1000 }

func (m *model) draw() int64 {
	m.last = max(m.micros(), m.last+1)
	return m.last
}

// begin starts a call: leases that are over end. A grant that its node never claimed goes back to its place, put
// aside, and the node counts as gone.
func (m *model) begin(me string) {
	m.me, m.freed, m.moved, m.slept = me, false, false, !m.there[me]
	for i := range m.holders {
		if h := &m.holders[i]; m.slept && !h.claimed && h.ends <= m.now {
			h.ends = m.now + claim.Milliseconds()
		}
	}
	for _, h := range slices.Clone(m.holders) {
		if h.ends > m.now {
			continue
		}
		if !h.claimed {
			m.parked[h.q.ID] = h.waiting
			m.there[h.node] = false
		}
		m.drop(h.lockID)
	}
}

func (m *model) drop(lockID string) {
	m.holders = slices.DeleteFunc(m.holders, func(h held) bool { return h.lockID == lockID })
	m.freed = true
}

// end serves the line if the call has made room, or has moved it.
func (m *model) end() {
	if m.freed || m.moved {
		m.serve()
	}
}

func (m *model) full() bool {
	return len(m.holders) > 0 && m.holders[0].q.Mode == Exclusive && len(m.holders) >= m.limit
}

func (m *model) fits(q *Request) bool {
	if len(m.holders) == 0 {
		return true
	}
	if q.Mode == Shared || m.holders[0].q.Mode == Shared {
		return q.Mode == m.holders[0].q.Mode
	}
	return len(m.holders) < m.limit
}

// serve grants in order, to those somebody listens for.
func (m *model) serve() {
	for len(m.line) > 0 && !m.full() {
		w := m.line[0]
		listens := m.there[w.node] || w.node == m.me || m.slept
		switch {
		case w.deadline <= m.now:
		case !listens:
			m.parked[w.q.ID] = w
		case !m.fits(w.q):
			return
		default:
			m.grant(w)
		}
		m.line = m.line[1:]
		m.moved = true
	}
}

func (m *model) grant(w waiting) {
	h := held{waiting: w, token: m.draw(), since: m.micros(), ends: m.now + w.q.Lease.Milliseconds(), claimed: w.node == m.me}
	if !h.claimed {
		h.ends = m.now + claim.Milliseconds()
	}
	m.holders = append(m.holders, h)
}

func (m *model) enter(w waiting) {
	m.line = append(m.line, w)
	slices.SortFunc(m.line, func(a, b waiting) int { return cmp.Compare(a.ticket, b.ticket) })
}

// find is the live grant of a request; asking for it again takes it, where it is not claimed, and keeps it.
func (m *model) find(id string) *held {
	for i := range m.holders {
		h := &m.holders[i]
		if h.q.ID == id {
			if !h.claimed {
				h.claimed, h.since, h.ends = true, m.micros(), m.now+h.q.Lease.Milliseconds()
			}
			h.kept = true
			return h
		}
	}
	return nil
}

// acquire is the answer in words to a request by node me: q is what it asks, new or again.
func (m *model) acquire(me string, q *Request, lockID string, wait time.Duration) string {
	m.begin(me)
	defer m.end()
	w := waiting{q: q, node: me, lockID: lockID, deadline: m.now + wait.Milliseconds()}
	if h := m.find(q.ID); h != nil {
		return fmt.Sprintf("granted %s %d", h.lockID, h.token)
	}
	if old, there := m.parked[q.ID]; there {
		w.ticket = old.ticket
	}
	for _, old := range m.line {
		if old.q.ID == q.ID {
			w.ticket = old.ticket
		}
	}
	if w.ticket > 0 && wait > 0 {
		delete(m.parked, q.ID)
		m.line = slices.DeleteFunc(m.line, func(old waiting) bool { return old.q.ID == q.ID })
		m.enter(w)
	}
	if len(m.line) > 0 && !m.full() {
		m.serve()
	}
	for _, h := range m.holders {
		if h.lockID == lockID {
			return fmt.Sprintf("granted %s %d", lockID, h.token)
		}
	}
	if w.ticket > 0 && wait == 0 {
		if h := m.find(q.ID); h != nil {
			return fmt.Sprintf("granted %s %d", h.lockID, h.token)
		}
	}
	if (w.ticket == 0 || wait == 0) && len(m.line) == 0 && m.fits(q) {
		delete(m.parked, q.ID)
		w.ticket = 0
		m.grant(w)
		return fmt.Sprintf("granted %s %d", lockID, m.last)
	}
	if wait == 0 {
		return "held"
	}
	if w.ticket == 0 {
		w.ticket = m.draw()
		m.enter(w)
	}
	return fmt.Sprintf("queued %d", w.ticket)
}

func (m *model) release(me, client, lockID string) string {
	m.begin(me)
	defer m.end()
	for _, h := range m.holders {
		if h.lockID != lockID || !h.claimed {
			continue
		}
		if h.q.Client != client {
			return ErrNotOwner.Error()
		}
		m.drop(lockID)
		return "released"
	}
	return ErrLost.Error()
}

func (m *model) renew(me, client, lockID string, lease time.Duration) string {
	m.begin(me)
	defer m.end()
	for i := range m.holders {
		h := &m.holders[i]
		if h.lockID != lockID || !h.claimed {
			continue
		}
		if h.q.Client != client {
			return ErrNotOwner.Error()
		}
		h.ends = m.now + cmp.Or(lease, h.q.Lease).Milliseconds()
		return "renewed"
	}
	return ErrLost.Error()
}

func (m *model) cancel(me string, q *Request, lockID string, park bool) string {
	m.begin(me)
	defer m.end()
	for _, h := range m.holders {
		if h.lockID == lockID {
			if h.kept {
				return "kept"
			}
			if park && !h.claimed {
				m.parked[h.q.ID] = h.waiting
			}
			m.drop(lockID)
			return "returned"
		}
	}
	for i, w := range m.line {
		if w.q.ID != q.ID {
			continue
		}
		if w.lockID != lockID {
			return "none"
		}
		if park {
			m.parked[q.ID] = w
		}
		m.line = slices.Delete(m.line, i, i+1)
		m.moved = true
		return "left"
	}
	if !park && m.parked[q.ID].lockID == lockID {
		delete(m.parked, q.ID)
	}
	return "none"
}

// claim takes what waits for the node: the leases begin.
func (m *model) claim(me string) {
	if !slices.ContainsFunc(m.holders, func(h held) bool { return !h.claimed && h.node == me }) {
		return
	}
	m.begin(me)
	for i := range m.holders {
		if h := &m.holders[i]; !h.claimed && h.node == me {
			h.claimed, h.since, h.ends = true, m.micros(), m.now+h.q.Lease.Milliseconds()
		}
	}
	m.end()
}

// due ends what is over.
func (m *model) due(me string) {
	if slices.ContainsFunc(m.holders, func(h held) bool { return h.ends <= m.now }) {
		m.begin(me)
		m.end()
	}
}

func (m *model) force(me string) string {
	m.begin(me)
	defer m.end()
	n := 0
	for _, h := range slices.Clone(m.holders) {
		if h.claimed {
			m.drop(h.lockID)
			n++
		}
	}
	return fmt.Sprintf("%d forced", n)
}

func (m *model) bury(me, node string) {
	if m.there[node] {
		return
	}
	m.begin(me)
	m.line = slices.DeleteFunc(m.line, func(w waiting) bool {
		if w.node == node {
			m.parked[w.q.ID], m.moved = w, true
		}
		return w.node == node
	})
	m.end()
}

// state is what anybody can see of the lock.
func (m *model) state() string {
	s := ""
	hs := slices.SortedFunc(slices.Values(m.holders), func(a, b held) int { return cmp.Compare(a.token, b.token) })
	for _, h := range hs {
		if h.ends > m.now {
			s += fmt.Sprintf("%s holds by %s with %d until %d\n", h.q.ID, h.lockID, h.token, epoch/1000+h.ends)
		}
	}
	for _, w := range m.line {
		s += fmt.Sprintf("%s waits with %d\n", w.q.ID, w.ticket)
	}
	return s
}
