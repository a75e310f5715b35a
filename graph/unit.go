package graph

// tally is what an owner waits for.
type tally struct {
	// waits are all, explicit those of them that are.
	waits, explicit int
	// lock and ticket are of the last of them.
	lock   int
	ticket int64
	// own is whether the owner itself holds the lock.
	own  bool
	unit int
}

// census are the owners that wait for something, and what of theirs belongs together.
//
// An explicit owner does one thing at a time: its explicit waits and holds are one unit. A client that names no owner
// may have many threads, so there a hold belongs to a wait only if they look like one thread's: the owner has no other
// wait, does not hold what it waits for, and had the hold before it began to wait.
type census map[Owner]*tally

func newCensus(lines []line) census {
	c := census{}
	for l := range lines {
		for i := range lines[l].Waiters {
			w := &lines[l].Waiters[i]
			t := c[w.Owner]
			if t == nil {
				t = &tally{unit: none}
				c[w.Owner] = t
			}
			t.waits++
			t.lock, t.ticket = l, w.Ticket
			if w.Explicit {
				t.explicit++
			}
		}
	}
	for l := range lines {
		for i := range lines[l].Holders {
			if t := c[lines[l].Holders[i].Owner]; t != nil && t.lock == l {
				t.own = true
			}
		}
	}
	return c
}

// keeps is whether a hold is given back only after what its owner waits for.
func (t *tally) keeps(h *Party) bool {
	if t.explicit > 0 {
		return h.Explicit
	}
	return t.waits == 1 && !t.own && h.Ticket < t.ticket
}

// join is the unit of a party of that owner, a new one where it has none yet.
func (t *tally) join(p *picture, o Owner) *unit {
	if t.unit == none {
		t.unit = len(p.units)
		p.units = append(p.units, unit{owner: o})
	}
	return &p.units[t.unit]
}

// holders puts the holders of a lock into their units.
func (c census) holders(p *picture, lock int) {
	l := &p.lines[lock]
	l.units = make([]int, len(l.Holders))
	for i := range l.Holders {
		h := &l.Holders[i]
		l.units[i] = none
		if t := c[h.Owner]; t != nil && t.keeps(h) {
			u := t.join(p, h.Owner)
			u.holds = append(u.holds, spot{lock, i})
			l.units[i] = t.unit
			l.hold(h, 1)
		}
	}
}

// waiters puts the line of a lock into its units. A wait with nothing beside it is in none, though its owner be
// explicit.
func (c census) waiters(p *picture, lock int) {
	l := &p.lines[lock]
	l.start, l.head = len(p.places), len(p.places)
	for i := range l.Waiters {
		w := &l.Waiters[i]
		t := c[w.Owner]
		at := place{Party: w, lock: lock, unit: none}
		if w.Explicit && t.explicit > 1 || t.unit != none && (w.Explicit || t.explicit == 0) {
			u := t.join(p, w.Owner)
			u.waits = append(u.waits, len(p.places))
			u.open++
			at.unit = t.unit
		}
		p.places = append(p.places, at)
	}
	l.end = len(p.places)
}
