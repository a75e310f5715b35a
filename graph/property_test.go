package graph_test

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"distributedlock/graph"
)

// anything is a list of locks that need not make sense: equal tickets, tickets out of order, mixed modes, too many holders.
func anything(t *rapid.T) []graph.Lock {
	n := 0
	party := rapid.Custom(func(t *rapid.T) graph.Party {
		n++
		at := rapid.IntRange(0, 12).Draw(t, "ticket")
		return graph.Party{Key: fmt.Sprint("k", n), Owner: owner(letters(rapid.IntRange(0, 5).Draw(t, "owner"))), Ticket: int64(at),
			Explicit: rapid.Bool().Draw(t, "explicit"), Shared: rapid.Bool().Draw(t, "shared"), Since: time.Unix(int64(n), 0)}
	})
	lock := rapid.Custom(func(t *rapid.T) graph.Lock {
		n++
		return graph.Lock{Name: fmt.Sprint("L", n), Limit: rapid.IntRange(-1, 3).Draw(t, "limit"),
			Holders: rapid.SliceOfN(party, 0, 3).Draw(t, "holders"), Waiters: rapid.SliceOfN(party, 0, 4).Draw(t, "waiters")}
	})
	return rapid.SliceOfN(lock, 0, 6).Draw(t, "locks")
}

func copied(locks []graph.Lock) []graph.Lock {
	out := slices.Clone(locks)
	for i := range out {
		out[i].Holders, out[i].Waiters = slices.Clone(out[i].Holders), slices.Clone(out[i].Waiters)
	}
	return out
}

// equal is DeepEqual, except that no list and an empty list are the same.
func equal(a, b []graph.Lock) bool {
	return slices.EqualFunc(a, b, func(x, y graph.Lock) bool {
		return x.Name == y.Name && x.Limit == y.Limit && slices.Equal(x.Holders, y.Holders) && slices.Equal(x.Waiters, y.Waiters)
	})
}

func TestAnything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := anything(t)
		before := copied(in)
		got := graph.Deadlocks(in)
		if !equal(in, before) {
			t.Fatal("the input was modified")
		}
		if again := graph.Deadlocks(rapid.Permutation(in).Draw(t, "order")); !reflect.DeepEqual(again, got) {
			t.Fatalf("in another order: %v, not %v", again, got)
		}
		for _, d := range got {
			if say := untrue(in, d); say != "" {
				t.Fatalf("%s: %s", told(d), say)
			}
		}
		if left := graph.Deadlocks(without(in, got)); len(got) > 0 && len(left) >= waits(in) {
			t.Fatal("no wait was taken away")
		}
		limit := rapid.IntRange(0, 20).Draw(t, "limit")
		all, cut := graph.Edges(in, 1000)
		some, more := graph.Edges(in, limit)
		if cut || len(some) != min(limit, len(all)) || more != (len(all) > limit) || !slices.Equal(some, all[:len(some)]) {
			t.Fatalf("%d of %v are %v, and more: %v", limit, all, some, more)
		}
	})
}

func waits(locks []graph.Lock) int {
	n := 0
	for _, l := range locks {
		n += len(l.Waiters)
	}
	return n
}

func without(locks []graph.Lock, dead []graph.Deadlock) []graph.Lock {
	out := copied(locks)
	for i := range out {
		out[i].Waiters = slices.DeleteFunc(out[i].Waiters, func(w graph.Party) bool {
			return slices.ContainsFunc(dead, func(d graph.Deadlock) bool { return d.Victim.Key == w.Key })
		})
	}
	return out
}

func TestStableProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := anything(t)
		if got := graph.Stable(a, a); !equal(got, a) {
			t.Fatalf("of itself: %v", got)
		}
		b := copied(rapid.Permutation(a).Draw(t, "order"))
		drop := func(graph.Party) bool { return rapid.Bool().Draw(t, "gone") }
		for i := range b {
			b[i].Holders, b[i].Waiters = slices.DeleteFunc(b[i].Holders, drop), slices.DeleteFunc(b[i].Waiters, drop)
		}
		was, is := copied(a), copied(b)
		got := graph.Stable(a, b)
		if !equal(a, was) || !equal(b, is) {
			t.Fatal("the input was modified")
		}
		slices.SortFunc(b, func(x, y graph.Lock) int { return place(a, x.Name) - place(a, y.Name) })
		if !equal(got, b) {
			t.Fatalf("got %v, want %v", got, b)
		}
		if !equal(graph.Stable(b, a), b) {
			t.Fatal("what came after is in it too")
		}
	})
}

func place(locks []graph.Lock, name string) int {
	return slices.IndexFunc(locks, func(l graph.Lock) bool { return l.Name == name })
}
