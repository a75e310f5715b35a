package graph_test

import (
	"cmp"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"gonum.org/v1/gonum/graph/simple"
	"gonum.org/v1/gonum/graph/topo"

	"distributedlock/graph"
)

var graphs = flag.Int("graphs", 100_000, "random graphs to try; 2 in 5 of them by brute force")

func count(t *testing.T, part int) int {
	t.Helper()
	if testing.Short() {
		return min(*graphs, 5000) / 5 * part
	}
	return *graphs / 5 * part
}

// written is the input as the tests write it, to try a failure again.
func written(locks []graph.Lock) string {
	var b strings.Builder
	party := func(p graph.Party) {
		fmt.Fprintf(&b, " %s%d", p.Owner.ID, p.Ticket)
		if p.Shared {
			b.WriteString("s")
		}
		if p.Explicit {
			b.WriteString("!")
		}
	}
	for _, l := range locks {
		fmt.Fprintf(&b, "\n%s*%d:", l.Name, l.Limit)
		for _, h := range l.Holders {
			party(h)
		}
		b.WriteString(" |")
		for _, w := range l.Waiters {
			party(w)
		}
	}
	return b.String()
}

func party(r *rand.Rand, n, ticket int) graph.Party {
	return graph.Party{Key: fmt.Sprintf("k%d", ticket), Owner: owner(letters(n)), Ticket: int64(ticket), Since: time.Unix(int64(ticket), 0),
		Explicit: r.IntN(2) == 0}
}

// plain is a random graph of exclusive locks with one holder each, where each owner waits at most once and is explicit
// throughout or not at all; and where each owner's wait leads to.
func plain(r *rand.Rand) ([]graph.Lock, map[string]string) {
	owners, out := 2+r.IntN(9), make([]graph.Lock, 1+r.IntN(12))
	named := make([]bool, owners)
	for i := range named {
		named[i] = r.IntN(2) == 0
	}
	holder := make([]int, len(out))
	for i := range out {
		holder[i] = r.IntN(owners)
		h := party(r, holder[i], 1+i)
		h.Explicit = named[holder[i]]
		out[i] = graph.Lock{Name: fmt.Sprintf("L%d", i), Limit: r.IntN(2), Holders: []graph.Party{h}}
	}
	to := map[string]string{}
	for n, o := range r.Perm(owners) {
		l := r.IntN(len(out))
		if r.IntN(8) == 0 || holder[l] == o && !named[o] {
			continue
		}
		w := party(r, o, len(out)+1+n)
		w.Explicit = named[o]
		out[l].Waiters = append(out[l].Waiters, w)
		to[letters(o)] = letters(holder[l])
	}
	return out, to
}

// components are the strongly connected components that have a cycle, and whether each is one that nothing leads out of.
func components(n int, edge func(from, to int) bool) (cyclic [][]int, last []bool) {
	g := simple.NewDirectedGraph()
	for i := range n {
		g.AddNode(simple.Node(i))
	}
	for i := range n {
		for j := range n {
			if i != j && edge(i, j) {
				g.SetEdge(g.NewEdge(simple.Node(i), simple.Node(j)))
			}
		}
	}
	for _, scc := range topo.TarjanSCC(g) {
		var in []int
		for _, node := range scc {
			in = append(in, int(node.ID()))
		}
		if len(in) == 1 && !edge(in[0], in[0]) {
			continue
		}
		slices.Sort(in)
		leads := false
		for _, i := range in {
			for j := range n {
				leads = leads || edge(i, j) && !slices.Contains(in, j)
			}
		}
		cyclic, last = append(cyclic, in), append(last, !leads)
	}
	return cyclic, last
}

// Where a lock has one holder and an owner one wait, a cycle is a deadlock and a deadlock a cycle.
func TestAgainstGonum(t *testing.T) {
	cycles, n := 0, count(t, 3)
	for seed := range n {
		in, to := plain(rand.New(rand.NewPCG(1, uint64(seed))))
		scc, _ := components(10, func(i, j int) bool { return to[letters(i)] == letters(j) })
		want := map[string]bool{}
		for _, units := range scc {
			for _, u := range units {
				want[letters(u)] = true
			}
		}
		cycles += len(scc)
		got := map[string]bool{}
		for _, owners := range graph.Knots(in) {
			for _, o := range owners {
				got[o.ID] = true
			}
		}
		dead := graph.Deadlocks(in)
		if fmt.Sprint(got) != fmt.Sprint(want) || len(dead) != len(scc) {
			t.Fatalf("seed %d: %s\ngot %v, %d deadlocks\nwant %v, %d", seed, written(in), got, len(dead), want, len(scc))
		}
		for _, d := range dead {
			if say := untrue(in, d); say != "" {
				t.Fatalf("seed %d: %s\n%s: %s", seed, written(in), told(d), say)
			}
			if !newestOf(in, d, scc) {
				t.Fatalf("seed %d: %s\n%s is not the whole cycle from its newest", seed, written(in), told(d))
			}
		}
	}
	if cycles < n/4 {
		t.Errorf("only %d cycles in %d graphs", cycles, n)
	}
}

// newestOf is whether the cycle is a whole component, and its victim the newest in it.
func newestOf(locks []graph.Lock, d graph.Deadlock, scc [][]int) bool {
	var in []string
	for _, s := range d.Cycle {
		in = append(in, s.Owner.ID)
	}
	slices.Sort(in)
	for _, l := range locks {
		for _, w := range l.Waiters {
			if slices.Contains(in, w.Owner.ID) && w.Ticket > d.Victim.Ticket {
				return false
			}
		}
	}
	return slices.ContainsFunc(scc, func(units []int) bool {
		var names []string
		for _, u := range units {
			names = append(names, letters(u))
		}
		return slices.Equal(names, in)
	})
}

// mixed is a random small case of everything: modes, limits, explicit owners or not, several waits.
func mixed(r *rand.Rand) []graph.Lock {
	owners, out := 2+r.IntN(3), make([]graph.Lock, 1+r.IntN(4))
	parties := 4 + r.IntN(6)
	named, sharing := r.IntN(4), r.IntN(3)
	some := func(ticket int) graph.Party {
		p := party(r, r.IntN(owners), ticket)
		p.Explicit = r.IntN(3) < named
		p.Shared = r.IntN(4) < sharing
		return p
	}
	tickets := r.Perm(parties) // in order but for one case in four
	if r.IntN(4) > 0 {
		slices.Sort(tickets)
	}
	for i := range out {
		out[i] = graph.Lock{Name: fmt.Sprintf("L%d", i), Limit: 1}
		if r.IntN(3) == 0 {
			out[i].Limit = 2
		}
	}
	for n, ticket := range tickets {
		l := &out[r.IntN(len(out))]
		p := some(1 + ticket)
		if n < parties/2 && beside(l, p) {
			l.Holders = append(l.Holders, p)
		} else {
			l.Waiters = append(l.Waiters, p)
		}
	}
	r.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

func beside(l *graph.Lock, p graph.Party) bool {
	for _, h := range l.Holders {
		if h.Shared != p.Shared {
			return false
		}
	}
	return len(l.Waiters) == 0 && (p.Shared || len(l.Holders) < l.Limit)
}

// fail is a wait as a victim.
type fail struct{ lock, key string }

// expected are the victims by the definition alone, from the end of the brute search: who holds what there.
func expected(b *brute, locks []graph.Lock) []fail {
	var out []fail
	for {
		end, _ := b.search(locks)
		type stuckWait struct {
			fail
			unit, lock int
			ticket     int64
		}
		var waits []stuckWait
		for l, lock := range locks {
			for _, w := range lock.Waiters {
				if u := b.unitOf(w.Key); !b.gone[w.Key] && !end.granted(b, w.Key) && b.holdsAnything(u) {
					waits = append(waits, stuckWait{fail{lock.Name, w.Key}, u, l, w.Ticket})
				}
			}
		}
		if len(waits) == 0 {
			return out
		}
		scc, last := components(len(b.units), func(i, j int) bool {
			return slices.ContainsFunc(waits, func(w stuckWait) bool { return w.unit == i && end.holds(b, locks[w.lock], j) })
		})
		var round []fail
		for i, units := range scc {
			if !last[i] {
				continue
			}
			in := slices.DeleteFunc(slices.Clone(waits), func(w stuckWait) bool { return !slices.Contains(units, w.unit) })
			round = append(round, slices.MaxFunc(in, func(x, y stuckWait) int { return cmp.Compare(x.ticket, y.ticket) }).fail)
		}
		place := func(f fail) int {
			i := slices.IndexFunc(locks, func(l graph.Lock) bool { return l.Name == f.lock })
			return slices.IndexFunc(locks[i].Waiters, func(w graph.Party) bool { return w.Key == f.key })
		}
		slices.SortFunc(round, func(x, y fail) int {
			return cmp.Or(cmp.Compare(x.lock, y.lock), cmp.Compare(place(x), place(y)))
		})
		for _, f := range round {
			b.gone[f.key] = true
		}
		out = append(out, round...)
	}
}

func TestAgainstBruteForce(t *testing.T) {
	dead, n := 0, count(t, 2)
	for seed := range n {
		in := mixed(rand.New(rand.NewPCG(2, uint64(seed))))
		say := func(format string, args ...any) {
			t.Helper()
			t.Fatalf("seed %d: %s\n%s", seed, written(in), fmt.Sprintf(format, args...))
		}
		b := newBrute(in)
		_, stuck := b.search(in)
		keys := graph.Stuck(in)
		for u := range b.units {
			if got := slices.ContainsFunc(b.units[u].waits, func(k string) bool { return keys[k] }); got != stuck[u] {
				say("%v: stuck is %v, by brute force %v", b.units[u], got, stuck[u])
			}
		}
		var got []fail
		for _, d := range graph.Deadlocks(in) {
			dead++
			end, stuck := b.search(in)
			if u := b.unitOf(d.Victim.Key); !stuck[u] || end.granted(b, d.Victim.Key) {
				say("%s is not deadlocked", told(d))
			}
			if wrong := untrue(in, d); wrong != "" {
				say("%s: %s", told(d), wrong)
			}
			if short := b.shortest(in, end, d); len(d.Cycle) != short {
				say("%s: there is one of %d", told(d), short)
			}
			b.gone[d.Victim.Key] = true
			got = append(got, fail{d.Lock, d.Victim.Key})
		}
		if _, stuck := b.search(in); slices.Contains(stuck, true) {
			say("%v are not enough: %v, %v", got, b.units, stuck)
		}
		if want := expected(newBrute(in), in); !slices.Equal(got, want) {
			say("got %v, want %v", got, want)
		}
	}
	if dead < n/10 {
		t.Errorf("only %d deadlocks in %d graphs", dead, n)
	}
	t.Logf("%d deadlocks in %d graphs", dead, n)
}
