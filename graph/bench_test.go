package graph_test

import (
	"fmt"
	"testing"

	"distributedlock/graph"
)

func BenchmarkDeadlocks(b *testing.B) {
	for _, shape := range []struct {
		name string
		of   func(n int) []graph.Lock
	}{
		{"unrelated", unrelated}, {"crowd", crowd}, {"cycle", cycle}, {"pairs", pairs}, {"upgraders", upgraders},
	} {
		sizes := []int{100, 1000, 10_000}
		if shape.name == "upgraders" {
			sizes = []int{10, 100, 1000} // each is a victim, one at a time
		}
		for _, n := range sizes {
			b.Run(fmt.Sprintf("%s/%d", shape.name, n), func(b *testing.B) {
				in := shape.of(n)
				parties := waits(in)
				for _, l := range in {
					parties += len(l.Holders)
				}
				b.ReportAllocs()
				for b.Loop() {
					graph.Deadlocks(in)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(parties), "ns/party")
			})
		}
	}
}

func numbered(kind string, n, ticket int, shared, explicit bool) graph.Party {
	return graph.Party{Key: fmt.Sprint(kind, ticket), Owner: owner(fmt.Sprint(n)), Ticket: int64(ticket), Shared: shared, Explicit: explicit}
}

// unrelated is n waiters, each for a lock of its own.
func unrelated(n int) []graph.Lock {
	out := make([]graph.Lock, n)
	for i := range out {
		out[i] = graph.Lock{Name: fmt.Sprint("L", i), Limit: 1, Holders: []graph.Party{numbered("h", i, i, false, false)},
			Waiters: []graph.Party{numbered("w", n+i, n+i, false, false)}}
	}
	return out
}

// crowd is one lock with n waiters and n/10 shared holders, each of which waits for what the newest of the waiters holds.
func crowd(n int) []graph.Lock {
	l, m := graph.Lock{Name: "L", Limit: 1}, graph.Lock{Name: "M", Limit: 1}
	for i := range n / 10 {
		l.Holders = append(l.Holders, numbered("h", i, 1+i, true, false))
		m.Waiters = append(m.Waiters, numbered("v", i, 3*n+i, false, false))
	}
	m.Holders = append(m.Holders, numbered("h", 2*n-1, 0, false, false))
	for i := range n {
		l.Waiters = append(l.Waiters, numbered("w", n+i, 4*n+i, i%2 == 0, false))
	}
	return []graph.Lock{l, m}
}

// cycle is one of n.
func cycle(n int) []graph.Lock {
	out := make([]graph.Lock, n)
	for i := range out {
		out[i] = graph.Lock{Name: fmt.Sprint("L", i), Limit: 1, Holders: []graph.Party{numbered("h", i, i, false, false)},
			Waiters: []graph.Party{numbered("w", (i+1)%n, n+i, false, false)}}
	}
	return out
}

// pairs are n/2 cycles of two.
func pairs(n int) []graph.Lock {
	out := make([]graph.Lock, n)
	for i := range out {
		out[i] = graph.Lock{Name: fmt.Sprint("L", i), Limit: 1, Holders: []graph.Party{numbered("h", i, i, false, false)},
			Waiters: []graph.Party{numbered("w", i^1, n+i, false, false)}}
	}
	return out
}

// upgraders are n that hold a lock shared and all want it alone.
func upgraders(n int) []graph.Lock {
	l := graph.Lock{Name: "L", Limit: 1}
	for i := range n {
		l.Holders = append(l.Holders, numbered("h", i, i, true, true))
		l.Waiters = append(l.Waiters, numbered("w", i, n+i, false, true))
	}
	return []graph.Lock{l}
}
