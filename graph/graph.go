// Package graph is the wait-for graph of locks: who waits for whom, and who waits in a circle. It is pure: locks,
// their holders and their lines go in, edges and cycles come out.
//
// With limits and shared locks, a circle of edges alone is no deadlock, as any one of several holders may finish. So
// the graph is reduced first: whoever can finish does, and hands on what it holds; who is left when nobody can is
// stuck. (R. C. Holt, "Some Deadlock Properties of Computer Systems", ACM Computing Surveys 4:3, 1972.)
package graph

import (
	"cmp"
	"slices"
	"time"
)

// Owner is who holds or waits.
type Owner struct{ Client, ID string }

// Party is a holder of a lock or a request in its line.
type Party struct {
	Owner Owner
	// Explicit is whether the client named the owner: only then is a wait on one's own lock more than contention.
	Explicit bool
	// Shared is whether it goes with other shared ones.
	Shared bool
	// Since is when it began to wait.
	Since time.Time
}

// Lock is one lock as it stands.
type Lock struct {
	Name string
	// Limit is how many may hold it at once where they are not shared; at least 1.
	Limit   int
	Holders []Party
	// Waiters are in the order of the line.
	Waiters []Party
}

// Edge is a waiter and one of those it waits for.
type Edge struct {
	Waiter, Holder Owner
	Lock           string
	Since          time.Time
}

// Step is one in a cycle: it holds one lock and waits for another, which the next step holds.
type Step struct {
	Owner           Owner
	Holds, WaitsFor string
}

// Edges are from every waiter to every holder of the lock it waits for. A wait on one's own lock is one only where
// the owner is explicit.
func Edges(locks []Lock) []Edge {
	var out []Edge
	for _, l := range locks {
		for _, w := range l.Waiters {
			for _, h := range l.Holders {
				if w.Owner != h.Owner || w.Explicit && h.Explicit {
					out = append(out, Edge{Waiter: w.Owner, Holder: h.Owner, Lock: l.Name, Since: w.Since})
				}
			}
		}
	}
	return out
}

// Cycles are the deadlocks: for each knot of owners that wait for each other and of whom none can finish, one
// shortest cycle through its first owner. The order is the same for the same locks.
func Cycles(locks []Lock) [][]Step {
	stuck := reduce(locks)
	next := map[Owner][]Edge{}
	for _, e := range Edges(locks) {
		if stuck[e.Waiter] && stuck[e.Holder] {
			next[e.Waiter] = append(next[e.Waiter], e)
		}
	}
	owners := make([]Owner, 0, len(next))
	for o := range next {
		owners = append(owners, o)
	}
	slices.SortFunc(owners, compare)
	var out [][]Step
	seen := map[Owner]bool{}
	for _, o := range owners {
		if seen[o] {
			continue
		}
		path := shortest(o, next)
		known := slices.ContainsFunc(path, func(e Edge) bool { return seen[e.Waiter] })
		for _, e := range path {
			seen[e.Waiter] = true
		}
		if len(path) > 0 && !known {
			out = append(out, steps(path))
		}
	}
	return out
}

func compare(a, b Owner) int { return cmp.Or(cmp.Compare(a.Client, b.Client), cmp.Compare(a.ID, b.ID)) }

// steps tells what each on the way holds: the lock that the one before it waits for.
func steps(path []Edge) []Step {
	out := make([]Step, len(path))
	for i, e := range path {
		before := path[(i+len(path)-1)%len(path)]
		out[i] = Step{Owner: e.Waiter, Holds: before.Lock, WaitsFor: e.Lock}
	}
	return out
}

// shortest is the shortest way from an owner back to itself, nil for none.
func shortest(from Owner, next map[Owner][]Edge) []Edge {
	came := map[Owner]Edge{}
	line := []Owner{from}
	for len(line) > 0 {
		at := line[0]
		line = line[1:]
		for _, e := range next[at] {
			if e.Holder == from {
				path := []Edge{e}
				for at != from {
					path = append(path, came[at])
					at = came[at].Waiter
				}
				slices.Reverse(path)
				return path
			}
			if _, been := came[e.Holder]; !been {
				came[e.Holder] = e
				line = append(line, e.Holder)
			}
		}
	}
	return nil
}

// reduce lets everybody finish who can, and returns those who cannot.
func reduce(locks []Lock) map[Owner]bool {
	waits := map[Owner]int{}
	state := make([]Lock, len(locks))
	for i, l := range locks {
		state[i] = Lock{Limit: max(l.Limit, 1), Holders: slices.Clone(l.Holders), Waiters: l.Waiters}
		for _, w := range l.Waiters {
			waits[w.Owner]++
		}
	}
	for changed := true; changed; {
		changed = false
		for i := range state {
			l := &state[i]
			held := len(l.Holders)
			l.Holders = slices.DeleteFunc(l.Holders, func(h Party) bool { return waits[h.Owner] == 0 })
			changed = changed || len(l.Holders) != held
			for len(l.Waiters) > 0 && fits(l, l.Waiters[0]) {
				w := l.Waiters[0]
				l.Holders, l.Waiters = append(l.Holders, w), l.Waiters[1:]
				waits[w.Owner]--
				changed = true
			}
		}
	}
	stuck := map[Owner]bool{}
	for o, n := range waits {
		if n > 0 {
			stuck[o] = true
		}
	}
	return stuck
}

func fits(l *Lock, w Party) bool {
	if len(l.Holders) == 0 {
		return true
	}
	if w.Shared != l.Holders[0].Shared {
		return false
	}
	return w.Shared || len(l.Holders) < l.Limit
}
