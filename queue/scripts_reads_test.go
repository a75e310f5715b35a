package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"distributedlock/queue/embedded"
)

func saysStatus(waiters int) func(*world) string {
	return func(w *world) string {
		st, err := w.store("a").Status(context.Background(), "x", waiters)
		if err != nil {
			return errorName(err)
		}
		var b strings.Builder
		fmt.Fprintf(&b, "locked %t, %d in line\n%s", st.Locked(), st.Queue, sayGrants("held by", st.Holders))
		for _, q := range st.Waiters {
			fmt.Fprintf(&b, "%d. %s/%s %s%d ticket %d since %d waiting %s\n", q.Position, q.Client, q.Request, q.Mode, q.Limit, q.Ticket, q.Since.UnixMicro(), q.Waiting)
		}
		return b.String()
	}
}

func TestStatusScript(t *testing.T) {
	line := then(heldBy("c1", meta(`{"k":1}`)), queued("b", ask("x", "c2")), queued("a", ask("x", "c3", shared)))
	runCases(t, "status", []scriptCase{
		{"a free lock", nil, saysStatus(10)},
		{"a holder and its line", line, saysStatus(10)},
		{"only so many of the line", line, saysStatus(1)},
		{"none of the line", line, saysStatus(0)},
		{"several holders, in the order of their tokens", then(taken("a", ask("x", "c1", shared)), taken("b", ask("x", "c2", shared)), taken("a", ask("x", "c3", shared))), saysStatus(10)},
		{"a lease that is over is no holder, and nothing is changed", then(heldBy("c1"), queued("b", ask("x", "c2")), later(30*time.Second)), saysStatus(10)},
	})
}

func saysTotals(w *world) string {
	t, err := w.store("a").Totals(context.Background())
	if err != nil {
		return errorName(err)
	}
	return fmt.Sprintf("%d held, %d contended, %d waiting, oldest %s, counters %v, nodes %v\n", t.Active, t.Contended, t.Waiting, t.Oldest, t.Counters, t.Nodes)
}

func TestStatsScript(t *testing.T) {
	runCases(t, "stats", []scriptCase{
		{"nothing", nil, saysTotals},
		{"locks and lines", then(heldBy("c1"), taken("b", ask("y", "c1")), queued("b", ask("x", "c2")), queued("b", ask("x", "c3"))), saysTotals},
		{"a line that is gone is no contended lock", then(heldBy("c1"), func(w *world) { w.do("SADD", "dl:{0}:contended", "gone") }), saysTotals},
		{"counters and nodes", func(w *world) {
			if err := w.store("b").Join(context.Background(), `{"v":1}`); err != nil {
				w.t.Fatal(err)
			}
			w.do("HSET", "dl:{0}:stats", "acquired", "7")
		}, saysTotals},
	})
}

// TestBeat follows what a node's beat tells it.
func TestBeat(t *testing.T) {
	t.Parallel()
	w := newRealTime(t)
	a, b := w.store("a"), w.store("b")
	beat := func(s *Store, want Pulse) {
		t.Helper()
		got, _, err := s.Beat(t.Context(), map[string]int64{"acquired": 2})
		if err != nil || len(got) != 1 {
			t.Fatal(got, err)
		}
		if (got[0].Next > 0) != (want.Next > 0) {
			t.Errorf("next in %s", got[0].Next)
		}
		got[0].Next, want.Next = 0, 0
		if got[0] != want {
			t.Errorf("pulse %+v, want %+v", got[0], want)
		}
	}
	beat(a, Pulse{Missed: true})
	beat(a, Pulse{})
	if left := w.int("PTTL", "dl:{0}:node:a"); left <= 0 || left > nodeTTL.Milliseconds() {
		t.Errorf("the node counts as there for %d ms", left)
	}
	beat(b, Pulse{Missed: true})
	w.take("a", ask("x", "c1"))
	beat(a, Pulse{Next: 1, Mine: true})
	beat(b, Pulse{Next: 1})
	w.stand("b", ask("x", "c2"))
	if _, _, err := a.Release(t.Context(), "x", "c1", "L-c1"); err != nil {
		t.Fatal(err)
	}
	beat(b, Pulse{Claims: true, Next: 1, Mine: true})
	w.do("FLUSHALL")
	beat(b, Pulse{Missed: true})
	beat(a, Pulse{Missed: true})
	if n := w.int("HGET", "dl:{0}:stats", "acquired"); n != 4 {
		t.Errorf("%d acquired", n)
	}
}

// TestFleet has nodes join, fall silent, be found dead, be forgotten, and take leave.
func TestFleet(t *testing.T) {
	t.Parallel()
	w := newRealTime(t)
	a, b, c := w.store("a"), w.store("b"), w.store("c")
	for _, s := range []*Store{a, b, c} {
		if err := s.Join(t.Context(), s.Node()); err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.Beat(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
	}
	dead := func(want ...string) {
		t.Helper()
		if got, err := a.Dead(t.Context()); err != nil || !slices.Equal(got, want) {
			t.Errorf("dead %v, %v, want %v", got, err, want)
		}
	}
	dead()
	w.dies("b")
	dead("b")
	if err := a.Forget(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	dead()
	if err := c.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	dead()
	if tot, err := a.Totals(t.Context()); err != nil || len(tot.Nodes) != 1 || tot.Nodes["a"] != "a" {
		t.Errorf("nodes %v, %v", tot.Nodes, err)
	}
}

// pages lists all locks of a prefix, a page at a time.
func pages(t *testing.T, s *Store, prefix string, size int) (names []string) {
	t.Helper()
	after := ""
	for page := 0; ; page++ {
		locks, next, err := s.List(context.Background(), prefix, after, size)
		if err != nil {
			t.Fatal(err)
		}
		if len(locks) > size || page > 1000 {
			t.Fatalf("page %d has %d locks, at most %d were asked for; next is after %q", page, len(locks), size, next)
		}
		for _, l := range locks {
			names = append(names, l.Name)
		}
		if next == "" {
			return names
		}
		after = next
	}
}

// TestList lists locks with awkward names by every prefix of theirs, on both kinds of Redis.
func TestList(t *testing.T) {
	t.Parallel()
	for kind, opt := range map[string]embedded.Option{"redis-server": embedded.RealOnly(), "miniredis": embedded.InProcess()} {
		t.Run(kind, func(t *testing.T) {
			w := newWorld(t, opt)
			s := w.store("a", func(o *Options) { o.Prefix, o.Partitions = "list", 3 })
			names := []string{"a", "a/b", "a:b", "ab", "a b", "a{0}:b", "a}", "b", "lock:a", "names", "[a", "(a", "-", "+", "*", "a*",
				"ä", "日本", "日", "a\U0010ffff", "a\U0010ffffz", "%2F", "a%2Fb", "stats", `a"b`, `a\b`, "A", "0", strings.Repeat("n", 512)}
			if !w.redis.Real() { // the stand-in takes the range from "(+" for one from "(-"
				names = slices.DeleteFunc(names, func(n string) bool { return n == "-" || n == "+" })
			}
			slices.Sort(names)
			for i, n := range names {
				if a, err := s.Acquire(t.Context(), ask(n, fmt.Sprint(i)), 1); err != nil || a.Word != Granted {
					t.Fatal(n, a.Word, err)
				}
			}
			prefixes := map[string]bool{"": true, "nothing": true}
			for _, n := range names[:len(names)-1] {
				for i := range n {
					prefixes[n[:i]] = true
				}
				prefixes[n] = true
			}
			for p := range prefixes {
				var want []string
				for _, n := range names {
					if strings.HasPrefix(n, p) {
						want = append(want, n)
					}
				}
				for _, size := range []int{1, 3, 100} {
					if got := pages(t, s, p, size); !slices.Equal(got, want) {
						t.Errorf("prefix %q by %d: %q, want %q", p, size, got, want)
					}
				}
			}
		})
	}
}

// TestListWhileLocksChange lists again and again while other locks come and go around those that stay.
func TestListWhileLocksChange(t *testing.T) {
	t.Parallel()
	w := newRealTime(t)
	s := w.store("a", func(o *Options) { o.Prefix, o.Partitions = "list", 4 })
	var steady []string
	for i := range 60 {
		n := fmt.Sprintf("lock-%03d", i*5)
		steady = append(steady, n)
		if _, err := s.Acquire(t.Context(), ask(n, "steady", lease(time.Hour)), 1); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	for g := range 4 {
		wg.Go(func() {
			for i := g; ctx.Err() == nil; i += 7 {
				n := fmt.Sprintf("lock-%03d", i%300)
				if i%300%5 == 0 {
					continue
				}
				client := fmt.Sprint("churn", g)
				if a, err := s.Acquire(ctx, ask(n, client, ids(NewSecret(), NewSecret())), 1); err == nil && a.Word == Granted {
					if _, _, err := s.Release(ctx, n, client, a.Grant.LockID); err != nil && !errors.Is(err, ErrLost) {
						t.Error(err)
					}
				}
			}
		})
	}
	for round := range 40 {
		got := pages(t, s, "lock-", 1+round%13)
		if !slices.IsSorted(got) {
			t.Fatalf("out of order: %v", got)
		}
		seen := map[string]int{}
		for _, n := range got {
			seen[n]++
		}
		for _, n := range steady {
			if seen[n] != 1 {
				t.Fatalf("%s is listed %d times", n, seen[n])
			}
		}
	}
}
