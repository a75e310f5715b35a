package service

import (
	"slices"

	"distributedlock/queue"
)

// takenByMany is the state of a grant that several calls were told of: none of them may give it back.
const takenByMany = "shared"

// The place of an ask. A place that has come to its end tells the asks that had joined it by then; one that joins
// later is told at once.

// joinAsk finds or makes the place of a request that does not wait itself. It returns what to ask Redis: from now on, the
// answer to a repeat may end the request, and write down what it got.
func (ps *places) joinAsk(a *ask) (q *queue.Request) {
	p := ps.join(a.q)
	if q = a.q; q.Known {
		own := *q
		q = &own
	}
	ps.mu.Lock()
	a.place, a.asking = p, true
	p.asks = append(p.asks, a)
	select {
	case <-p.done:
	default:
		p = nil
	}
	ps.mu.Unlock()
	if p != nil {
		a.ended(p.grant, p.err)
	}
	return q
}

// leaveAsk reports whether the request had a place, and whether it was the last that waited on it. While Redis is being
// asked for it, the request keeps its share of the place: it may yet take up the grant, and whoever gives that back must
// come after it.
func (ps *places) leaveAsk(a *ask) (joined, last bool) {
	ps.mu.Lock()
	p := a.place
	if p == nil || a.left {
		ps.mu.Unlock()
		return false, false
	}
	p.asks = slices.DeleteFunc(slices.Clone(p.asks), func(other *ask) bool { return other == a })
	if a.left = true; a.asking {
		ps.mu.Unlock()
		return true, false
	}
	a.place = nil
	ps.mu.Unlock()
	return true, ps.leave(p)
}

// askedAsk notes that Redis has answered. It returns the place that the request was the last to wait on, if it has left
// it meanwhile.
func (ps *places) askedAsk(a *ask) (gone *place) {
	ps.mu.Lock()
	p := a.place
	a.asking = false
	if p == nil || !a.left {
		ps.mu.Unlock()
		return nil
	}
	a.place = nil
	ps.mu.Unlock()
	if ps.leave(p) {
		return p
	}
	return nil
}

func (ps *places) of(a *ask) *place {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	return a.place
}

// endAsk brings a request's place to its end with a grant. One that has left by now is told all the same.
func (ps *places) endAsk(a *ask, g queue.Grant) {
	if p := ps.of(a); p != nil {
		ps.end(p, g, queue.Handed{}, nil)
	} else {
		a.ended(g, nil)
	}
}

// endedAsk reports whether a request's place has come to its end.
func (ps *places) endedAsk(a *ask) bool {
	p := ps.of(a)
	if p == nil {
		return true
	}
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// standAsk notes that a request stands in line.
func (ps *places) standAsk(a *ask, r *queue.Acquired) {
	if p := ps.of(a); p != nil {
		ps.stand(p, r)
	}
}
