package graph_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"distributedlock/graph"
)

// ring is n owners, each of which holds a lock and waits for the next one's; the last one's wait is the newest.
func ring(n int, mark string) []string {
	out := make([]string, n)
	for i := range n {
		before := (i + n - 1) % n
		out[i] = fmt.Sprintf("L%d: %s%d%s | %s%d%s", i, letters(i), 1+i, mark, letters(before), n+1+before, mark)
	}
	return out
}

func letters(n int) string {
	return string(rune('a'+n/676%26)) + string(rune('a'+n/26%26)) + string(rune('a'+n%26))
}

// told is a deadlock in short: the victim's wait, then owner(holds>waits for) of each step.
func told(d graph.Deadlock) string {
	steps := make([]string, len(d.Cycle))
	for i, s := range d.Cycle {
		steps[i] = fmt.Sprintf("%s(%s>%s)", s.Owner.ID, s.Holds, s.WaitsFor)
	}
	return fmt.Sprintf("%s%d: %s", d.Victim.Owner.ID, d.Victim.Ticket, strings.Join(steps, " "))
}

// untrue says what in a deadlock is not so in the locks.
func untrue(locks []graph.Lock, d graph.Deadlock) string {
	by := map[string]graph.Lock{}
	for _, l := range locks {
		by[l.Name] = l
	}
	if !slices.Contains(by[d.Lock].Waiters, d.Victim) {
		return "the victim does not wait"
	}
	if len(d.Cycle) == 0 {
		return "no cycle"
	}
	if s := d.Cycle[0]; s.Owner != d.Victim.Owner || s.WaitsFor != d.Lock || !s.WaitsSince.Equal(d.Victim.Since) {
		return "the first step is not the victim's"
	}
	seen := map[graph.Owner]bool{}
	for i, s := range d.Cycle {
		if seen[s.Owner] {
			return "an owner twice"
		}
		seen[s.Owner] = true
		next := d.Cycle[(i+1)%len(d.Cycle)]
		l := by[s.WaitsFor]
		place := find(l.Waiters, s.Owner, s.WaitsSince)
		if place < 0 {
			return fmt.Sprintf("step %d does not wait for %s", i, s.WaitsFor)
		}
		if next.Holds != s.WaitsFor {
			return fmt.Sprintf("step %d waits for what the next does not hold", i)
		}
		if find(l.Holders, next.Owner, next.HeldSince) < 0 && find(l.Waiters[:place], next.Owner, next.HeldSince) < 0 {
			return fmt.Sprintf("%s is neither held by %s nor to be held by it first", l.Name, next.Owner.ID)
		}
	}
	return ""
}

func find(ps []graph.Party, o graph.Owner, since time.Time) int {
	return slices.IndexFunc(ps, func(p graph.Party) bool { return p.Owner == o && p.Since.Equal(since) })
}

func TestDeadlocks(t *testing.T) {
	for _, c := range []struct {
		name  string
		locks []string
		want  []string
	}{
		{name: "nobody"},
		{name: "a lock that nobody waits for, and a wait that nobody stands in the way of", locks: []string{"L: a1", "M: | b2"}},
		{name: "a chain", locks: []string{"L: a1 | b3", "M: b2 | c4"}},
		{name: "two", locks: []string{"L: a1 | b4", "M: b2 | a3"}, want: []string{"b4: b(M>L) a(L>M)"}},
		{name: "two, explicit", locks: []string{"L: a1! | b3!", "M: b2! | a4!"}, want: []string{"a4: a(L>M) b(M>L)"}},
		{name: "three", locks: []string{"L: a1 | c5", "M: b2 | a6", "N: c3 | b4"}, want: []string{"a6: a(L>M) b(M>N) c(N>L)"}},
		{name: "the newest ticket, not the last in the line", locks: []string{"L: a1 | b3", "M: b2 | a9 z4"},
			want: []string{"a9: a(L>M) b(M>L)"}},
		{name: "equal tickets: the first lock", locks: []string{"M: b2 | a3", "L: a1 | b3"}, want: []string{"b3: b(M>L) a(L>M)"}},
		{name: "equal tickets for one lock: the first key", locks: []string{"L: a1s! b2s! | b3! a3!"},
			want: []string{"a3: a(L>L)", "b3: b(L>L)"}},
		{name: "oneself, explicit", locks: []string{"L: a1! | a2!"}, want: []string{"a2: a(L>L)"}},
		{name: "oneself, implicit", locks: []string{"L: a1 | a2"}},
		{name: "oneself, explicit wait for an implicit hold", locks: []string{"L: a1 | a2!"}},
		{name: "oneself, implicit wait for an explicit hold", locks: []string{"L: a1! | a2"}},
		{name: "oneself, the other permit comes free", locks: []string{"L*2: a1! b2 | a3!"}},
		{name: "oneself, both permits", locks: []string{"L*2: a1! a2! | a3!"}, want: []string{"a3: a(L>L)"}},
		{name: "from shared to exclusive", locks: []string{"L: a1s! b2s! | a3! b4!"},
			want: []string{"b4: b(L>L)", "a3: a(L>L)"}},
		{name: "explicit waits, implicit holds", locks: []string{"L: a1 | b3!", "M: b2 | a4!"}},
		{name: "implicit waits, explicit holds", locks: []string{"L: a1! | b3", "M: b2! | a4"}, want: []string{"a4: a(L>M) b(M>L)"}},
		{name: "explicit on one side", locks: []string{"L: a1! | b3", "M: b2 | a4!"}, want: []string{"a4: a(L>M) b(M>L)"}},
		{name: "an implicit owner with two waits", locks: []string{"L: a1 | b4", "M: b2 | a3", "N: x5 | a6"}},
		{name: "an implicit owner with two waits, one of them explicit", locks: []string{"L: a1 | b4", "M: b2 | a3", "N: x5 | a6!"}},
		{name: "an explicit owner with an implicit wait beside", locks: []string{"L: a1! | b4", "M: b2 | a3!", "N: x5 | a6"},
			want: []string{"b4: b(M>L) a(L>M)"}},
		{name: "an implicit hold newer than the wait", locks: []string{"L: a5 | b6", "M: b2 | a3"}},
		{name: "an implicit wait for a lock of its own", locks: []string{"L: a1 | b4", "M*2: b2 a3 | a5"}},
		{name: "one permit comes free", locks: []string{"L*2: a1 x2 | b5", "M: b3 | a4"}},
		{name: "a permit is free", locks: []string{"L*2: a1 | b5", "M: b3 | a4"}},
		{name: "all permits are in the cycle", locks: []string{"L*2: a1 c2 | b6", "M: b3 | a4 c5"}, want: []string{"b6: b(M>L) a(L>M)"}},
		{name: "a permit is with another cycle", locks: []string{"L*2: a1 c2 | b9", "M: b3 | a8", "N: c4 | d6", "O: d5 | c7"},
			want: []string{"c7: c(N>O) d(O>N)"}},
		{name: "limit 1 is meant by 0", locks: []string{"L*0: a1 | b4", "M*0: b2 | a3"}, want: []string{"b4: b(M>L) a(L>M)"}},
		{name: "readers beside each other", locks: []string{"L: a1s | b4s", "M: b2 | a3"}},
		{name: "readers and a writer", locks: []string{"L: a1s c2s | b5", "M: b3 | a4"}, want: []string{"b5: b(M>L) a(L>M)"}},
		{name: "a reader behind a writer", locks: []string{"L: a1s | w3 b4s", "X: b2 | a5"}, want: []string{"a5: a(L>X) b(X>L)"}},
		{name: "a reader behind a writer, newest", locks: []string{"L: a1s | w3 b5s", "X: b2 | a4"}, want: []string{"b5: b(X>L) a(L>X)"}},
		{name: "two cycles", locks: []string{"P: c5 | d8", "Q: d6 | c7", "L: a1 | b4", "M: b2 | a3"},
			want: []string{"b4: b(M>L) a(L>M)", "d8: d(Q>P) c(P>Q)"}},
		{name: "two cycles over one wait", locks: []string{"L: a1s b2s | c6", "M: c3 | a4 b5"}, want: []string{"c6: c(M>L) a(L>M)"}},
		{name: "two cycles over one wait, the first owner not the oldest", locks: []string{"L: b1s a2s | c6", "M: c3 | b4 a5"},
			want: []string{"c6: c(M>L) a(L>M)"}},
		{name: "two cycles over one hold", locks: []string{"L: a1! | b4 c5", "M: b2 | a6!", "N: c3 | a7!"},
			want: []string{"a7: a(L>N) c(N>L)", "a6: a(L>M) b(M>L)"}},
		{name: "the shorter way", locks: []string{"L: a1! | c9", "M: b2! d3! | a4!", "N: c5! | b6!", "O: c7! | d8! a10!"},
			want: []string{"a10: a(L>O) c(O>L)", "c9: c(N>L) a(L>M) b(M>N)"}},
		{name: "behind a cycle", locks: []string{"L: a1 | b4 y9", "M: b2 | a3 z8", "Z: z6 | x10"}, want: []string{"b4: b(M>L) a(L>M)"}},
		{name: "a cycle behind a cycle", locks: []string{"L: a1! | b4 c9", "M: b2 | a3!", "N: c5 | a8!"},
			want: []string{"c9: c(N>L) a(L>N)", "b4: b(M>L) a(L>M)"}},
		{name: "through an earlier waiter with two waits", locks: []string{"L: x1 | u4! v5", "M: v2 | u6!"},
			want: []string{"u6: u(L>M) v(M>L)"}},
		{name: "an earlier waiter with two waits that goes with the later", locks: []string{"L: x1 | u4s! v5s", "M: v2 | u6!"}},
		{name: "two waits in two lines, crosswise", locks: []string{"L: x1 | u3! v4!", "M: y2 | v5! u6!"},
			want: []string{"u6: u(L>M) v(M>L)"}},
		{name: "two waits in one line", locks: []string{"L: x1 | u2! u3!"}, want: []string{"u3: u(L>L)"}},
		{name: "two waits in one line with two permits", locks: []string{"L*2: x1 | u2! u3!"}},
		{name: "waits that go together, behind a cycle", locks: []string{"L: a1 | b4 u5s! v6s!", "N: b2 | a3", "M: v7! | u8!"},
			want: []string{"b4: b(N>L) a(L>N)"}},
		{name: "waits that go together, between two in a cycle", locks: []string{"L: a1 | u4s! x5s", "M: x2 | u9!", "K: x3 | a6"},
			want: []string{"a6: a(L>K) x(K>L)"}},
		{name: "a wait behind the victim", locks: []string{"L: a1s | w5! b6s", "M: b3 | a4", "W: w2!"}, want: []string{"b6: b(M>L) a(L>M)"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := locks(t, c.locks...)
			var got []string
			for _, d := range graph.Deadlocks(in) {
				got = append(got, told(d))
				if say := untrue(in, d); say != "" {
					t.Errorf("%s: %s", told(d), say)
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

func TestRings(t *testing.T) {
	for _, n := range []int{2, 3, 10, 100} {
		for _, mark := range []string{"", "!"} {
			in := locks(t, ring(n, mark)...)
			got := graph.Deadlocks(in)
			if len(got) != 1 || got[0].Victim.Owner != owner(letters(n-1)) || len(got[0].Cycle) != n {
				t.Fatalf("%d%s: got %v", n, mark, got)
			}
			if say := untrue(in, got[0]); say != "" {
				t.Errorf("%d%s: %s", n, mark, say)
			}
			for i, s := range got[0].Cycle {
				at := (n - 1 + i) % n
				want := graph.Step{Owner: owner(letters(at)), Holds: fmt.Sprintf("L%d", at), HeldSince: time.Unix(int64(1+at), 0),
					WaitsFor: fmt.Sprintf("L%d", (at+1)%n), WaitsSince: time.Unix(int64(n+1+at), 0)}
				if s != want {
					t.Errorf("%d%s: step %d is %v, want %v", n, mark, i, s, want)
				}
			}
		}
	}
}
