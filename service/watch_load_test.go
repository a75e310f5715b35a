package service

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"distributedlock/queue"
)

// message is an event as the scripts publish it.
func message(name string, seq int) string {
	return fmt.Sprintf("granted\n%s\n%d\n1700000000000\nclient\nowner\n%d\n", name, seq, seq)
}

// TestSlowTell has one watcher not return from a tell while more comes in than there is room for. It alone misses
// something, and is told so where it was; the node, its other partitions and the other node go on.
func TestSlowTell(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	n := f.node()
	slow := n.store.Partition("slow")
	other := f.watch(n, []string{lockIn(n, (slow+1)%n.store.Partitions(), "other")}, nil)
	hold, held := make(chan struct{}), make(chan struct{})
	var once sync.Once
	e := &ear{f: f}
	stop, err := n.Watch(t.Context(), []string{"slow"}, nil, func(event *queue.Event) {
		e.hear(event)
		once.Do(func() {
			close(held)
			<-hold
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	defer stop()

	const more = 100
	plain := f.plain()
	publish := func(from, to int) {
		t.Helper()
		var cmds rueidis.Commands
		for i := from; i <= to; i++ {
			cmds = append(cmds, plain.B().Publish().Channel(n.store.EventChannel(slow)).Message(message("slow", i)).Build())
		}
		for _, r := range plain.DoMulti(t.Context(), cmds...) {
			if err := r.Error(); err != nil {
				t.Fatal(err)
			}
		}
	}
	publish(1, 1)
	<-held
	publish(2, 1+eventRoom+more)
	n.cycle(t, "slow", "c") // the lock itself is not held up by those who watch it
	// What the other partition's watcher hears has come in on the same connection, behind all that there was no room for.
	name := lockIn(n, (slow+1)%n.store.Partitions(), "other")
	n.cycle(t, name, "c")
	other.hears("granted "+name+" by c", "released "+name+" by c")
	close(hold)
	f.eventually("the gap", 10*time.Second, func() bool { return slices.Contains(e.says(), "gap") })
	publish(20_001, 20_001)
	f.eventually("what came after", 10*time.Second, func() bool { return e.all()[len(e.all())-1].Seq == 20_001 })
	all := e.all()
	for i, event := range all[:len(all)-2] {
		if event.Seq != int64(i+1) {
			t.Fatalf("%d. event: %+v", i+1, event)
		}
	}
	if n := len(all); n != 1+eventRoom+2 || all[n-2].Kind != "gap" {
		t.Errorf("%d events, the last but one %+v", n, all[n-2])
	}
}

// visit watches one lock, or all of a prefix, for so many events, and sees that they come in order with none missing,
// and that nothing is told after it has left.
func (f *fleet) visit(n *member, name string, prefix bool, events int) {
	names, prefixes := []string{name}, []string(nil)
	if prefix {
		names, prefixes = nil, []string{name}
	}
	var left atomic.Bool
	enough := make(chan struct{})
	var heard int // only touched by tell, which is called from one goroutine: all is about one lock
	var last queue.Event
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	stop, err := n.Watch(ctx, names, prefixes, func(e *queue.Event) {
		switch {
		case left.Load():
			f.t.Errorf("%s: told %+v after it has left", name, *e)
		case e.Kind == "gap":
			f.t.Errorf("%s: a gap", name)
		case e.Seq <= last.Seq, last.Kind == "granted" && (e.Kind != "released" || e.Token != last.Token),
			last.Kind == "released" && e.Kind != "granted":
			f.t.Errorf("%s: %+v after %+v", name, *e, last)
		}
		last = *e
		if heard++; heard == events {
			close(enough)
		}
	})
	if err != nil {
		f.t.Errorf("%s: %v", name, err)
		return
	}
	if events > 0 { // else it leaves at once
		select {
		case <-enough:
		case <-ctx.Done():
			f.t.Errorf("%s: no %d events", name, events)
		}
	}
	stop()
	left.Store(true)
}

// TestWatchComeAndGo has 1,000 watch for a while each, while locks change hands without end.
func TestWatchComeAndGo(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	nodes := []*member{f.node(), f.node()}
	quit := make(chan struct{})
	var load, visitors sync.WaitGroup
	const locks = 12
	for i := range locks {
		load.Go(func() {
			for c := 0; ; c++ {
				select {
				case <-quit:
					return
				default:
					nodes[(c+i)%2].cycle(t, fmt.Sprintf("lock-%02d", i), fmt.Sprint("c", c))
				}
			}
		})
	}
	for range 50 {
		visitors.Go(func() {
			for range 20 {
				name := fmt.Sprintf("lock-%02d", rand.IntN(locks))
				f.visit(nodes[rand.IntN(2)], name, rand.IntN(3) == 0, rand.IntN(20))
			}
		})
	}
	visitors.Wait()
	close(quit)
	load.Wait()
	f.listened(map[string]int64{})
	for _, n := range nodes {
		if left := n.watchers.all(); len(left) > 0 {
			t.Errorf("%d streams are left", len(left))
		}
	}
}

// TestStream compares a stream with a plain list of who watches what, over many joins, leaves and events.
func TestStream(t *testing.T) {
	t.Parallel()
	s := &stream{now: time.Now, names: groups{}, prefixes: groups{}}
	type sitter struct {
		seat            *seat
		names, prefixes []string
		told, gaps      int
	}
	words := []string{"", "a", "aa", "ab", "aab", "aabb", "b", "ba", "bab"}
	some := func() (out []string) {
		for range rand.IntN(4) {
			out = append(out, words[rand.IntN(len(words))])
		}
		return out
	}
	var sitters []*sitter
	for i := range 20_000 {
		switch what := rand.IntN(6); {
		case what < 2 || len(sitters) == 0:
			at := &sitter{names: some(), prefixes: some()}
			tell := func(e *queue.Event) {
				if e.Kind == "gap" {
					at.gaps++
				} else {
					at.told++
				}
			}
			at.seat = s.join(&watcher{tell: tell}, at.names, at.prefixes)
			sitters = append(sitters, at)
		case what < 4:
			j := rand.IntN(len(sitters))
			s.leave(sitters[j].seat)
			sitters = slices.Delete(sitters, j, j+1)
		case what == 4:
			s.missed(int64(i / 2))
			s.missed(int64(i / 2)) // the same occasion once more
		default:
			name := words[1+rand.IntN(len(words)-1)]
			before := make([]int, len(sitters))
			for j, at := range sitters {
				before[j] = at.told
			}
			s.dispatch(message(name, i))
			for j, at := range sitters {
				want := before[j]
				if slices.Contains(at.names, name) || slices.ContainsFunc(at.prefixes, func(p string) bool { return strings.HasPrefix(name, p) }) {
					want++
				}
				if at.told != want {
					t.Fatalf("%s: one with %q and %q was told %d times", name, at.names, at.prefixes, at.told-before[j])
				}
			}
		}
	}
	for _, at := range sitters {
		s.leave(at.seat)
	}
	if len(s.all.entries)+len(s.names)+len(s.prefixes)+len(s.lengths) > 0 {
		t.Errorf("left behind: %v, %v, %v, %v", s.all, s.names, s.prefixes, s.lengths)
	}
}

// TestStreamGaps: a gap of one occasion is told once, one of a later occasion or of none always, and a message that
// cannot be read is a gap for those it is for.
func TestStreamGaps(t *testing.T) {
	t.Parallel()
	one, other := &stream{now: time.Now, names: groups{}, prefixes: groups{}}, &stream{now: time.Now, names: groups{}, prefixes: groups{}}
	told := 0
	w := &watcher{tell: func(e *queue.Event) {
		if e.Kind != "gap" || e.At.IsZero() {
			t.Errorf("told %+v", e)
		}
		told++
	}}
	one.join(w, []string{"x"}, nil)
	other.join(w, []string{"y"}, nil)
	for i, c := range []struct {
		do   func()
		want int
	}{
		{func() { one.missed(3) }, 1},
		{func() { other.missed(3) }, 0},
		{func() { other.missed(2) }, 0},
		{func() { other.missed(0) }, 1},
		{func() { one.missed(0) }, 1},
		{func() { one.missed(4) }, 1},
		{func() { one.dispatch("granted\nx\nrubbish") }, 1},
		{func() { one.dispatch("granted\ny\nrubbish") }, 0},
		{func() { one.dispatch("rubbish") }, 0},
	} {
		before := told
		if c.do(); told-before != c.want {
			t.Errorf("%d: told %d times", i, told-before)
		}
	}
}

// BenchmarkDispatch times an event for 5,000 who watch its prefix, and for nobody among 5,000 who watch other locks.
func BenchmarkDispatch(b *testing.B) {
	const watching = 5000
	text := message("app/orders/17", 1)
	run := func(names, prefixes func(i int) []string) func(*testing.B) {
		return func(b *testing.B) {
			s := &stream{now: time.Now, names: groups{}, prefixes: groups{}}
			told := 0
			for i := range watching {
				s.join(&watcher{tell: func(*queue.Event) { told++ }}, names(i), prefixes(i))
			}
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				s.dispatch(text)
			}
			b.ReportMetric(float64(told)/float64(b.N), "told/op")
		}
	}
	none := func(int) []string { return nil }
	b.Run("one prefix", run(none, func(int) []string { return []string{"app/"} }))
	b.Run("other names", run(func(i int) []string { return []string{fmt.Sprint("app/orders/other", i)} }, none))
	b.Run("other prefixes", run(none, func(i int) []string { return []string{fmt.Sprint("other/", i)} }))
}
