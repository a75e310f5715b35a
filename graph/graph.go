// Package graph is the wait-for graph of locks: who waits for whom, and who waits in a circle. It is pure: locks,
// their holders and their lines go in, edges and deadlocks come out.
package graph

import "time"

// Owner is who holds or waits.
type Owner struct{ Client, ID string }

// Party is a holder of a lock or a request in its line.
type Party struct {
	// Key tells one grant or request from all others.
	Key   string
	Owner Owner
	// Explicit is whether the client named the owner: only then is a wait on one's own lock more than contention.
	Explicit bool
	// Shared is whether it goes with other shared ones.
	Shared bool
	// Ticket rises with time, over all locks: a holder's fencing token, a waiter's ticket.
	Ticket int64
	// Since is when it was granted or began to wait.
	Since time.Time
}

// Lock is one lock as it stands.
type Lock struct {
	Name string
	// Limit is how many may hold it at once where they are not shared; less than 1 is taken as 1.
	Limit   int
	Holders []Party
	// Waiters are in the order of the line.
	Waiters []Party
}

// Edge is a waiter and one of those it waits for.
type Edge struct {
	Waiter, Holder Owner
	Lock           string
	// Since is when the waiter began to wait.
	Since time.Time
}

// Edges are from every waiter to every holder of the lock it waits for, except to its own owner unless both are
// explicit; one to an owner that holds several permits. They are at most limit, in the order of the locks; cut says whether there were more.
func Edges(locks []Lock, limit int) (edges []Edge, cut bool) {
	for _, l := range locks {
		holders := unique(l.Holders)
		for _, w := range l.Waiters {
			for _, h := range holders {
				if w.Owner == h.Owner && (!w.Explicit || !h.Explicit) {
					continue
				}
				if len(edges) >= limit {
					return edges, true
				}
				edges = append(edges, Edge{Waiter: w.Owner, Holder: h.Owner, Lock: l.Name, Since: w.Since})
			}
		}
	}
	return edges, false
}

// unique are the first of each owner; one that named itself counts apart.
func unique(holders []Party) []Party {
	type key struct {
		o        Owner
		explicit bool
	}
	seen := make(map[key]bool, len(holders))
	out := make([]Party, 0, len(holders))
	for _, h := range holders {
		if k := (key{h.Owner, h.Explicit}); !seen[k] {
			seen[k] = true
			out = append(out, h)
		}
	}
	return out
}

// Stable is the part of a that stands in b too: the same locks by name, and in them the same holders and waiters by
// key, all as they are in a. If b was read after a, then everything in it stood at the instant between the readings.
func Stable(a, b []Lock) []Lock {
	later := make(map[string]*Lock, len(b))
	for i := range b {
		later[b[i].Name] = &b[i]
	}
	var out []Lock
	for _, l := range a {
		if is, ok := later[l.Name]; ok {
			l.Holders, l.Waiters = both(l.Holders, is.Holders), both(l.Waiters, is.Waiters)
			out = append(out, l)
		}
	}
	return out
}

// both are those of a that are in b too.
func both(a, b []Party) []Party {
	if len(a) == 0 {
		return a
	}
	in := make(map[string]bool, len(b))
	for i := range b {
		in[b[i].Key] = true
	}
	out := make([]Party, 0, len(a))
	for _, p := range a {
		if in[p.Key] {
			out = append(out, p)
		}
	}
	return out
}
