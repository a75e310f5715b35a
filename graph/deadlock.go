package graph

import (
	"cmp"
	"slices"
	"time"
)

// Step is one in a cycle: it holds one lock and waits for another, which the next step holds; the last waits for what
// the first holds.
//
// Where a cycle closes only once somebody else has finished, a step may have its place in the line instead of the
// lock: it will be granted the lock before the one that waits for it, and will keep it. HeldSince is then since when it
// has that place.
type Step struct {
	Owner      Owner
	Holds      string
	HeldSince  time.Time
	WaitsFor   string
	WaitsSince time.Time
}

// Deadlock is a cycle of which nobody can finish, and who is to be failed so that the others can.
type Deadlock struct {
	// Lock is what the victim waits for.
	Lock string
	// Victim is the waiter to fail.
	Victim Party
	// Cycle is a shortest one through the victim, whose own step is the first.
	Cycle []Step
}

// Deadlocks are the waits to fail so that everybody else can finish: in each set of units that wait for each other, the
// newest wait, then again what of it is still stuck. Who merely waits behind a cycle is never a victim. The order is the
// same for the same locks in any order. The cost is linear in the parties, and again for each further victim in a row.
func Deadlocks(locks []Lock) []Deadlock {
	p := newPicture(locks)
	p.reduce()
	var out []Deadlock
	for {
		victims := p.victims()
		if len(victims) == 0 {
			return out
		}
		for _, v := range victims {
			w := &p.places[v]
			out = append(out, Deadlock{Lock: p.lines[w.lock].Name, Victim: *w.Party, Cycle: p.cycle(v)})
		}
		for _, v := range victims {
			p.withdraw(v)
		}
		p.reduce()
	}
}

// victims are the newest waits, one of each knot, by lock.
func (p *picture) victims() []int {
	var out []int
	for _, units := range p.knots() {
		out = append(out, p.newest(units))
	}
	slices.Sort(out)
	return out
}

// newest is the newest wait of the units of a knot. As nothing leads out of a knot, all their waits lie on cycles.
func (p *picture) newest(units []int) int {
	best := none
	for _, u := range units {
		for _, at := range p.units[u].waits {
			if p.places[at].state == waiting && (best == none || p.newer(at, best)) {
				best = at
			}
		}
	}
	return best
}

func (p *picture) newer(a, b int) bool {
	x, y := &p.places[a], &p.places[b]
	return cmp.Or(cmp.Compare(y.Ticket, x.Ticket), cmp.Compare(x.lock, y.lock), cmp.Compare(x.Key, y.Key)) < 0
}

// way is how a search came to a unit: from a wait for a lock that it holds, and since when it does.
type way struct {
	unit, from int
	since      time.Time
}

// cycle is a shortest one through a wait, over holders only if there is one.
func (p *picture) cycle(victim int) []Step {
	if c := p.shortest(victim, false); c != nil {
		return c
	}
	return p.shortest(victim, true)
}

// shortest is a shortest cycle through a wait, nil for none; lines is whether those count that hold a lock only after
// the reduction. It searches by breadth, and goes to the units that hold a lock only from the first that waits for it.
func (p *picture) shortest(victim int, lines bool) []Step {
	home := p.places[victim].unit
	came, locks := map[int]way{}, map[int]bool{}
	for next := []int{victim}; len(next) > 0; next = next[1:] {
		lock := p.places[next[0]].lock
		if locks[lock] {
			continue
		}
		locks[lock] = true
		for _, w := range p.blockers(next[0], lines) {
			if _, been := came[w.unit]; been {
				continue
			}
			came[w.unit] = w
			if w.unit == home {
				return p.steps(victim, came)
			}
			for _, at := range p.units[w.unit].waits {
				if p.places[at].state == waiting {
					next = append(next, at)
				}
			}
		}
	}
	return nil
}

// blockers are the stuck units that hold the lock of a wait, by owner, the oldest hold first; after them, for lines,
// those that hold it only after the reduction.
func (p *picture) blockers(at int, lines bool) []way {
	l := &p.lines[p.places[at].lock]
	held := make([]int, 0, len(l.Holders))
	for i, u := range l.units {
		if p.stuck(u) {
			held = append(held, i)
		}
	}
	slices.SortFunc(held, func(a, b int) int {
		x, y := &l.Holders[a], &l.Holders[b]
		return cmp.Or(compare(x.Owner, y.Owner), cmp.Compare(x.Ticket, y.Ticket), cmp.Compare(x.Key, y.Key))
	})
	out := make([]way, 0, len(held))
	for _, i := range held {
		out = append(out, way{unit: l.units[i], from: at, since: l.Holders[i].Since})
	}
	for i := l.start; lines && i < l.head; i++ {
		if w := &p.places[i]; w.state == granted && p.stuck(w.unit) {
			out = append(out, way{unit: w.unit, from: at, since: w.Since})
		}
	}
	return out
}

// steps goes back along the ways from the victim's unit to itself.
func (p *picture) steps(victim int, came map[int]way) []Step {
	var out []Step
	for at := victim; ; {
		w := &p.places[at]
		by := came[w.unit]
		out = append(out, Step{Owner: p.units[w.unit].owner, Holds: p.lines[p.places[by.from].lock].Name, HeldSince: by.since,
			WaitsFor: p.lines[w.lock].Name, WaitsSince: w.Since})
		if at = by.from; at == victim {
			slices.Reverse(out[1:])
			return out
		}
	}
}

func compare(a, b Owner) int { return cmp.Or(cmp.Compare(a.Client, b.Client), cmp.Compare(a.ID, b.ID)) }
