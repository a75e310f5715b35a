package graph

import (
	"reflect"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func owner(id string) Owner { return Owner{Client: id, ID: id} }

func parties(ids ...string) []Party {
	out := make([]Party, len(ids))
	for i, id := range ids {
		out[i] = Party{Owner: owner(id)}
	}
	return out
}

func lock(name string, limit int, holders, waiters []Party) Lock {
	return Lock{Name: name, Limit: limit, Holders: holders, Waiters: waiters}
}

func shared(ps []Party) []Party {
	for i := range ps {
		ps[i].Shared = true
	}
	return ps
}

func explicit(ps []Party) []Party {
	for i := range ps {
		ps[i].Explicit = true
	}
	return ps
}

func TestCycles(t *testing.T) {
	for _, c := range []struct {
		name  string
		locks []Lock
		want  [][]Step
	}{
		{name: "nobody"},
		{name: "a chain is no cycle", locks: []Lock{
			lock("1", 1, parties("a"), parties("b")), lock("2", 1, parties("b"), parties("c"))}},
		{name: "two", locks: []Lock{
			lock("1", 1, parties("a"), parties("b")), lock("2", 1, parties("b"), parties("a"))},
			want: [][]Step{{{owner("a"), "1", "2"}, {owner("b"), "2", "1"}}}},
		{name: "three, and one behind them", locks: []Lock{
			lock("1", 1, parties("a"), parties("b", "z")), lock("2", 1, parties("b"), parties("c")), lock("3", 1, parties("c"), parties("a"))},
			want: [][]Step{{{owner("a"), "1", "3"}, {owner("c"), "3", "2"}, {owner("b"), "2", "1"}}}},
		{name: "two apart", locks: []Lock{
			lock("1", 1, parties("a"), parties("b")), lock("2", 1, parties("b"), parties("a")),
			lock("3", 1, parties("c"), parties("d")), lock("4", 1, parties("d"), parties("c"))},
			want: [][]Step{{{owner("a"), "1", "2"}, {owner("b"), "2", "1"}}, {{owner("c"), "3", "4"}, {owner("d"), "4", "3"}}}},
		{name: "one of two permits will come free", locks: []Lock{
			lock("1", 2, parties("a", "x"), parties("b")), lock("2", 1, parties("b"), parties("a"))}},
		{name: "both permits are in the circle", locks: []Lock{
			lock("1", 2, parties("a", "c"), parties("b")), lock("2", 1, parties("b"), parties("a", "c"))},
			want: [][]Step{{{owner("a"), "1", "2"}, {owner("b"), "2", "1"}}}},
		{name: "readers and a writer", locks: []Lock{
			lock("1", 1, shared(parties("a", "c")), parties("b")), lock("2", 1, parties("b"), parties("a"))},
			want: [][]Step{{{owner("a"), "1", "2"}, {owner("b"), "2", "1"}}}},
		{name: "one's own lock, unnamed owner", locks: []Lock{lock("1", 1, parties("a"), parties("a"))}},
		{name: "one's own lock, named owner", locks: []Lock{lock("1", 1, explicit(parties("a")), explicit(parties("a")))},
			want: [][]Step{{{owner("a"), "1", "1"}}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Cycles(c.locks); !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %v\nwant %v", got, c.want)
			}
		})
	}
}

func TestEdges(t *testing.T) {
	got := Edges([]Lock{lock("1", 2, parties("a", "b"), parties("c", "a"))})
	want := []Edge{{Waiter: owner("c"), Holder: owner("a"), Lock: "1"}, {Waiter: owner("c"), Holder: owner("b"), Lock: "1"},
		{Waiter: owner("a"), Holder: owner("b"), Lock: "1"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v", got)
	}
}
