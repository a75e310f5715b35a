package graph

import (
	"cmp"
	"slices"
)

// With limits, shared locks and lines, a circle of edges alone is no deadlock, as any one of several holders may
// finish. So the graph is reduced first: whoever can finish does, and hands on what it holds; who is left when nobody
// can is stuck. (R. C. Holt, "Some Deadlock Properties of Computer Systems", ACM Computing Surveys 4:3, 1972.) As a
// move that can be made stays possible until it is made, the order of the moves does not matter.

// none is the unit of what belongs to none: a hold that can be given back at any time, or a wait that needs nothing
// but its grant to finish and keeps nothing from anybody meanwhile but a place in the line.
const none = -1

// unit is what finishes together: its holds are given back once all its waits have been granted.
type unit struct {
	owner Owner
	holds []spot
	// waits are places, in the order of the locks' names.
	waits []int
	// open is how many of the waits have been neither granted nor withdrawn.
	open int
}

// spot is a holder: the lock, and which one of its holders.
type spot struct{ lock, at int }

// place is a waiter: its lock, its unit, and what became of it.
type place struct {
	*Party
	lock, unit int
	state      state
}

type state byte

const (
	waiting state = iota
	granted
	withdrawn
)

// line is a lock: what is held of it, and the part of all places that is its line, up to end; those before head have
// been granted or withdrawn.
type line struct {
	*Lock
	// units are of the holders, one each.
	units             []int
	start, head, end  int
	shared, exclusive int
}

// picture is all locks by name, with what has been given back and handed on so far.
type picture struct {
	lines  []line
	places []place
	units  []unit
	// todo are the locks whose head may fit.
	todo []int
}

func newPicture(locks []Lock) *picture {
	p := &picture{lines: make([]line, len(locks)), todo: make([]int, len(locks))}
	total := 0
	for i := range locks {
		p.lines[i].Lock = &locks[i]
		p.todo[i] = i
		total += len(locks[i].Waiters)
	}
	slices.SortFunc(p.lines, func(a, b line) int { return cmp.Compare(a.Name, b.Name) })
	p.places = make([]place, 0, total)
	who := newCensus(p.lines)
	for l := range p.lines {
		who.holders(p, l)
	}
	for l := range p.lines {
		who.waiters(p, l)
	}
	return p
}

// fits is whether the lock can be granted beside what is held of it.
func (l *line) fits(w *Party) bool {
	if w.Shared {
		return l.exclusive == 0
	}
	return l.shared == 0 && l.exclusive < max(l.Limit, 1)
}

// hold counts a grant, or with -1 one given back.
func (l *line) hold(p *Party, n int) {
	if p.Shared {
		l.shared += n
	} else {
		l.exclusive += n
	}
}

// reduce lets everything finish that can. Its cost is linear in what it moves.
func (p *picture) reduce() {
	for len(p.todo) > 0 {
		l := p.todo[len(p.todo)-1]
		p.todo = p.todo[:len(p.todo)-1]
		p.advance(&p.lines[l])
	}
}

// advance grants the lock to its line as far as it goes.
func (p *picture) advance(l *line) {
	for ; l.head < l.end; l.head++ {
		w := &p.places[l.head]
		if w.state == withdrawn {
			continue
		}
		if !l.fits(w.Party) {
			return
		}
		w.state = granted
		if w.unit != none {
			l.hold(w.Party, 1)
			p.settle(w.unit)
		}
	}
}

// settle notes that a unit has one wait less; after its last, it gives back all it holds.
func (p *picture) settle(n int) {
	u := &p.units[n]
	u.open--
	if u.open > 0 {
		return
	}
	for _, s := range u.holds {
		p.giveBack(s.lock, &p.lines[s.lock].Holders[s.at])
	}
	for _, at := range u.waits {
		if w := &p.places[at]; w.state == granted {
			p.giveBack(w.lock, w.Party)
		}
	}
}

func (p *picture) giveBack(lock int, h *Party) {
	p.lines[lock].hold(h, -1)
	p.todo = append(p.todo, lock)
}

// withdraw takes a stuck wait of a unit away.
func (p *picture) withdraw(at int) {
	w := &p.places[at]
	w.state = withdrawn
	p.todo = append(p.todo, w.lock)
	p.settle(w.unit)
}

// stuck is whether a unit has a wait that was never granted.
func (p *picture) stuck(unit int) bool { return unit != none && p.units[unit].open > 0 }
