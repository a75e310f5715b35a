package service

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"distributedlock/queue"
)

// place is a request of this node in a line. Calls that repeat one request on one node share its place.
type place struct {
	key string
	q   queue.Request
	// calls is how many calls wait on it; guarded by its partition.
	calls int
	// done is closed once the place has come to its end: granted, or failed.
	done  chan struct{}
	grant queue.Grant
	err   error
	// shared is whether more than one call has waited on it; told, whether one of them was told of the grant; unwanted,
	// whether the client's last word was that it wants it no more.
	shared, told, unwanted bool
	// states are those in which its calls got the grant: see [queue.Grant.Taken].
	states string
	// asks are those of its calls that do not wait themselves, and are told.
	asks   []*ask
	freed  queue.Handed
	ticket int64
	// behind is an owner that it was seen to wait for, alone the grant, where that alone was in the way; noted and left are the detector's.
	behind      queue.Owner
	alone       string
	noted, left bool
}

// places are the waiting requests of this node in one partition.
type places struct {
	// detector looks for deadlocks among those that stand in line; nil where nobody does.
	detector *detector

	mu    sync.Mutex
	byKey map[string]*place
	byID  map[string]*place
}

// join finds the place of a request, or makes it. The request gets the place's ids.
func (ps *places) join(q *queue.Request) *place {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	key := ""
	if q.Known {
		key = q.Name + "\n" + q.Client + "\n" + q.ID
		if p := ps.byKey[key]; p != nil {
			p.calls++
			p.shared, p.unwanted = true, false
			q.LockID, q.RenewalToken = p.q.LockID, p.q.RenewalToken
			return p
		}
	}
	p := &place{key: key, q: *q, calls: 1, done: make(chan struct{})}
	ps.byID[q.LockID] = p
	if key != "" {
		ps.byKey[key] = p
	}
	return p
}

// leave reports whether the call was the last that waited on the place, which then is no more.
func (ps *places) leave(p *place) (last bool) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if p.calls--; p.calls > 0 {
		return false
	}
	ps.forget(p)
	return true
}

// tell notes that a call which lives was told of the grant.
func (ps *places) tell(p *place) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	p.told = true
}

// disown notes that the client wants the place no more.
func (ps *places) disown(p *place) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	p.unwanted = true
}

// leftover is the request of a place that all calls have left, and how to give up what they were told nothing of; due is
// false where there is no such thing. Its grant stays where an earlier call of the request had it: the client may know of
// it by that call's answer.
func (ps *places) leftover(p *place) (q queue.Request, park, due bool) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	q = p.q
	q.Taken = p.states
	select {
	case <-p.done:
		earlier := p.grant.LockID != p.q.LockID
		return q, !p.unwanted, p.err == nil && !p.told && !earlier
	default:
		return q, !p.unwanted, true
	}
}

// wasShared reports whether more than one call has waited on the place.
func (ps *places) wasShared(p *place) bool {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	return p.shared
}

func (ps *places) forget(p *place) {
	if ps.detector != nil && p.ticket > 0 {
		ps.detector.left(p)
	}
	delete(ps.byID, p.q.LockID)
	if p.key != "" && ps.byKey[p.key] == p {
		delete(ps.byKey, p.key)
	}
}

// end brings the place to its end, once. It reports whether that is somebody's: who leaves from now on sees what came
// of it, who has left before does not; and of a place that had come to its end before, it is the same grant.
func (ps *places) end(p *place, g queue.Grant, freed queue.Handed, err error) (live bool) {
	asks, live := ps.close(p, g, freed, err)
	for _, a := range asks {
		a.ended(g, err)
	}
	return live
}

func (ps *places) close(p *place, g queue.Grant, freed queue.Handed, err error) (asks []*ask, live bool) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	p.states += g.Taken
	select {
	case <-p.done:
		return nil, p.err == nil && p.grant.Token == g.Token
	default:
		p.grant, p.freed, p.err = g, freed, err
		if p.shared {
			p.grant.Taken = takenByMany
		}
		close(p.done)
		return p.asks, ps.byID[p.q.LockID] == p
	}
}

func (ps *places) get(lockID string) *place {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	return ps.byID[lockID]
}

// queued notes the ticket of a place, to come back with should Redis lose its data. It reports whether anybody waits
// on the place still.
func (ps *places) queued(p *place, ticket int64) (live bool) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	p.ticket = ticket
	select {
	case <-p.done:
		return false
	default:
		live = ps.byID[p.q.LockID] == p
		if live && ps.detector != nil {
			ps.detector.add(p)
		}
		return live
	}
}

// stand notes what Redis said of a place that stands in line.
func (ps *places) stand(p *place, a *queue.Acquired) {
	if ps.detector == nil {
		ps.queued(p, a.Ticket)
		return
	}
	behind, grant, own := a.Behind(&p.q)
	ps.mu.Lock()
	if p.ticket == 0 {
		p.behind, p.alone = behind, grant
	}
	ps.mu.Unlock()
	if ps.queued(p, a.Ticket) && own {
		ps.detector.hurry(p)
	}
}

// grantedSince reports whether the place came to its end with a grant made at a moment or later. One made before, of
// which Redis knew nothing at that moment, is over.
func (ps *places) grantedSince(p *place, at time.Time) bool {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	select {
	case <-p.done:
		return p.err == nil && !p.grant.Since.Before(at)
	default:
		return false
	}
}

func (ps *places) any() bool {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	return len(ps.byID) > 0
}

// standing is a place with the ticket that it had when it was looked at.
type standing struct {
	place  *place
	ticket int64
}

// inLine are the places that have a ticket and have not come to their end, in the order of their tickets.
func (ps *places) inLine() []standing {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	var out []standing
	for _, p := range ps.byID {
		select {
		case <-p.done:
		default:
			if p.ticket > 0 {
				out = append(out, standing{p, p.ticket})
			}
		}
	}
	slices.SortFunc(out, func(a, b standing) int { return cmp.Compare(a.ticket, b.ticket) })
	return out
}
