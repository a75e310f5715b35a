package graph_test

import (
	"math"
	"slices"

	"distributedlock/graph"
)

// group is what finishes together, by key.
type group struct{ holds, waits []string }

// brute finds what can be granted by going through all states that a small case can come to.
type brute struct {
	units []group
	free  []string
	gone  map[string]bool // waits that were failed
	keys  []string
}

// world is one state: bits, by the place in keys, of what was granted and of what was given back.
type world struct{ given, back uint32 }

// newBrute sorts the parties into units, by the words of the definition.
func newBrute(locks []graph.Lock) *brute {
	b := &brute{gone: map[string]bool{}}
	type named struct {
		lock string
		graph.Party
	}
	var holds, waits []named
	for _, l := range locks {
		for _, p := range l.Holders {
			holds, b.keys = append(holds, named{l.Name, p}), append(b.keys, p.Key)
		}
		for _, p := range l.Waiters {
			waits, b.keys = append(waits, named{l.Name, p}), append(b.keys, p.Key)
		}
	}
	taken := map[string]bool{}
	done := map[graph.Owner]bool{}
	for _, w := range waits {
		var all, explicit int
		for _, o := range waits {
			if o.Owner == w.Owner {
				all++
				if o.Explicit {
					explicit++
				}
			}
		}
		switch {
		case w.Explicit && !done[w.Owner]:
			done[w.Owner] = true
			var g group
			for _, o := range waits {
				if o.Owner == w.Owner && o.Explicit {
					g.waits = append(g.waits, o.Key)
				}
			}
			for _, h := range holds {
				if h.Owner == w.Owner && h.Explicit {
					g.holds, taken[h.Key] = append(g.holds, h.Key), true
				}
			}
			b.units = append(b.units, g)
		case !w.Explicit:
			g := group{waits: []string{w.Key}}
			own := slices.ContainsFunc(holds, func(h named) bool { return h.Owner == w.Owner && h.lock == w.lock })
			for _, h := range holds {
				if all == 1 && !own && h.Owner == w.Owner && h.Ticket < w.Ticket {
					g.holds, taken[h.Key] = append(g.holds, h.Key), true
				}
			}
			b.units = append(b.units, g)
		}
	}
	for _, h := range holds {
		if !taken[h.Key] {
			b.free = append(b.free, h.Key)
		}
	}
	return b
}

func (b *brute) bit(key string) uint32 { return 1 << slices.Index(b.keys, key) }

func (b *brute) unitOf(key string) int {
	return slices.IndexFunc(b.units, func(g group) bool { return slices.Contains(g.waits, key) || slices.Contains(g.holds, key) })
}

// holdsAnything is whether a unit has more than one wait, so that it can keep something from somebody.
func (b *brute) holdsAnything(u int) bool {
	return len(b.units[u].holds) > 0 || len(b.units[u].waits) > 1
}

func (b *brute) mask(keys []string) uint32 {
	var m uint32
	for _, k := range keys {
		m |= b.bit(k)
	}
	return m
}

// plan is a lock in bits.
type plan struct {
	limit   int
	holders uint32
	line    []uint32 // without who was failed
	shared  uint32
}

// search goes through all states. It returns the last one, of which there can be only one, and which units are never
// granted all their waits in any.
func (b *brute) search(locks []graph.Lock) (world, []bool) {
	var plans []plan
	for _, l := range locks {
		p := plan{limit: max(l.Limit, 1)}
		for _, h := range l.Holders {
			p.holders |= b.bit(h.Key)
			if h.Shared {
				p.shared |= b.bit(h.Key)
			}
		}
		for _, w := range l.Waiters {
			if !b.gone[w.Key] {
				p.line = append(p.line, b.bit(w.Key))
			}
			if w.Shared {
				p.shared |= b.bit(w.Key)
			}
		}
		plans = append(plans, p)
	}
	waits, alls := make([]uint32, len(b.units)), make([]uint32, len(b.units))
	for u, g := range b.units {
		left := slices.DeleteFunc(slices.Clone(g.waits), func(k string) bool { return b.gone[k] })
		waits[u] = b.mask(left)
		alls[u] = waits[u] | b.mask(g.holds)
	}
	stuck := make([]bool, len(b.units))
	for u := range stuck {
		stuck[u] = true
	}
	seen := map[world]bool{{}: true}
	todo, ends := []world{{}}, []world{}
	free := b.mask(b.free)
	for len(todo) > 0 {
		s := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		end := true
		to := func(n world) {
			end = false
			if !seen[n] {
				seen[n] = true
				todo = append(todo, n)
			}
		}
		for m := free &^ s.back; m != 0; m &= m - 1 {
			to(world{s.given, s.back | m&-m})
		}
		for u := range waits {
			if s.given&waits[u] == waits[u] {
				stuck[u] = false
				if s.back&alls[u] != alls[u] {
					to(world{s.given, s.back | alls[u]})
				}
			}
		}
		for i := range plans {
			if w := plans[i].next(s); w != 0 {
				to(world{s.given | w, s.back})
			}
		}
		if end {
			ends = append(ends, s)
		}
	}
	if len(ends) != 1 {
		panic("the order of moves matters")
	}
	return ends[0], stuck
}

// next is the head of the line if it fits, else 0.
func (p *plan) next(s world) uint32 {
	held := p.holders
	var head uint32
	for _, w := range p.line {
		if s.given&w == 0 {
			head = w
			break
		}
		held |= w
	}
	held &^= s.back
	if head&p.shared != 0 {
		if held&^p.shared == 0 {
			return head
		}
		return 0
	}
	n := 0
	for m := held; m != 0; m &= m - 1 {
		n++
	}
	if held&p.shared == 0 && n < p.limit {
		return head
	}
	return 0
}

func (s world) granted(b *brute, key string) bool { return s.given&b.bit(key) != 0 }

// holds is whether a unit holds the lock in that state.
func (s world) holds(b *brute, l graph.Lock, unit int) bool {
	mine := b.mask(b.units[unit].holds) | b.mask(b.units[unit].waits)&s.given
	var of uint32
	for _, p := range append(slices.Clone(l.Holders), l.Waiters...) {
		of |= b.bit(p.Key)
	}
	return mine&of&^s.back != 0
}

// shortest is the length of a shortest cycle through the victim's wait, over the holders in the input if there is one.
func (b *brute) shortest(locks []graph.Lock, s world, d graph.Deadlock) int {
	held := make([]graph.Lock, len(locks))
	for i, l := range locks {
		held[i] = graph.Lock{Name: l.Name, Holders: l.Holders}
	}
	if n := b.length(locks, held, s, d); n < math.MaxInt {
		return n
	}
	return b.length(locks, locks, s, d)
}

func (b *brute) length(locks, holders []graph.Lock, s world, d graph.Deadlock) int {
	// far is how many steps from the victim's wait each unit is.
	far := make([]int, len(b.units))
	for u := range far {
		far[u] = math.MaxInt
	}
	near := func(lock, steps int) bool {
		changed := false
		for u := range b.units {
			if steps < far[u] && s.holds(b, holders[lock], u) {
				far[u], changed = steps, true
			}
		}
		return changed
	}
	near(slices.IndexFunc(locks, func(l graph.Lock) bool { return l.Name == d.Lock }), 1)
	home := b.unitOf(d.Victim.Key)
	for changed := true; changed; {
		changed = false
		for l := range locks {
			for _, w := range locks[l].Waiters {
				u := b.unitOf(w.Key)
				if !b.gone[w.Key] && !s.granted(b, w.Key) && far[u] < math.MaxInt && u != home && near(l, far[u]+1) {
					changed = true
				}
			}
		}
	}
	return far[home]
}
