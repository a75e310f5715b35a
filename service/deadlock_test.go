package service

import (
	"context"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"testing"
	"time"

	"distributedlock/graph"
	"distributedlock/queue"
)

func TestDeadlockOverTwoNodes(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	a, b := f.node(), f.node()
	x, y := f.held(a, request("x", "c1", time.Minute, 0)), f.held(b, request("y", "c2", time.Minute, 0))
	first := request("y", "c1", time.Minute, time.Minute)
	waits := f.ask(b, first, 1)
	cycle := f.failed(f.ask(a, request("x", "c2", time.Minute, time.Minute), 0))
	if got := shape(cycle); got != "c2/c2 y>x c1/c1 x>y" {
		t.Error(got)
	}
	if !cycle[0].HeldSince.Equal(y.Since) || !cycle[1].HeldSince.Equal(x.Since) || cycle[0].WaitingSince.Before(cycle[1].WaitingSince) {
		t.Errorf("since when: %+v", cycle)
	}
	f.waits(b, first, waits)
	f.released(a, y)
	if o := <-waits; o.err != nil {
		t.Error(o.err)
	}
	if n := a.met.deadlocks.Get() + b.met.deadlocks.Get(); n != 1 {
		t.Errorf("%d counted", n)
	}
}

func TestOwnerInItsOwnWay(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	a, b := f.node(), f.node()
	f.held(a, named("x", "c", "task", 0))
	if got := shape(f.failed(f.ask(b, named("x", "c", "task", time.Minute), 0))); got != "c/task x>x" {
		t.Error(got)
	}
	// Another task of the same client is another owner, and a client that names none is ordinary contention.
	other, unnamed := named("x", "c", "task-2", time.Minute), request("x", "c", time.Minute, time.Minute)
	c1 := f.ask(a, other, 1)
	c2 := f.ask(b, unnamed, 2)
	f.looked(2, a, b)
	f.waits(a, other, c1)
	f.waits(b, unnamed, c2)
}

// TestReaderBehindWriter: the reader would go with the readers that hold the lock, but for the writer before it.
func TestReaderBehindWriter(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	a, b := f.node(), f.node()
	reader := func(name, client string, wait time.Duration) *queue.Request {
		q := request(name, client, time.Minute, wait)
		q.Mode = queue.Shared
		return q
	}
	f.held(a, reader("l", "A", 0))
	f.held(b, request("x", "B", time.Minute, 0))
	writer, behind := request("l", "W", time.Minute, time.Minute), reader("l", "B", time.Minute)
	c1, c2 := f.ask(a, writer, 1), f.ask(b, behind, 2)
	if got := shape(f.failed(f.ask(a, request("x", "A", time.Minute, time.Minute), 0))); got != "A/A l>x B/B x>l" {
		t.Error(got)
	}
	f.waits(a, writer, c1)
	f.waits(b, behind, c2)
}

// TestPermitThatComesBack: somebody outside the circle holds a permit, and can give it back.
func TestPermitThatComesBack(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	a, b := f.node(), f.node()
	permit := func(client string, wait time.Duration) *queue.Request {
		q := request("s", client, time.Minute, wait)
		q.Limit = 2
		return q
	}
	f.held(a, permit("A", 0))
	f.held(b, permit("C", 0))
	f.held(b, request("m", "B", time.Minute, 0))
	f.held(a, request("n", "B", time.Minute, 0))
	forPermit, forM := permit("B", time.Minute), request("m", "A", time.Minute, time.Minute)
	c1, c2 := f.ask(a, forPermit, 1), f.ask(b, forM, 1)
	f.looked(2, a, b)
	f.waits(a, forPermit, c1)
	f.waits(b, forM, c2)
	// Once it waits for the circle itself, it cannot.
	if got := shape(f.failed(f.ask(b, request("n", "C", time.Minute, time.Minute), 0))); got != "C/C s>n B/B n>s" {
		t.Error(got)
	}
	f.waits(a, forPermit, c1)
	f.waits(b, forM, c2)
}

// TestSweepFindsWhatFollowingDoesNot: the circle runs through an owner that waits for two locks, far behind in a line.
func TestSweepFindsWhatFollowingDoesNot(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	a, b := f.node(), f.node()
	f.held(a, request("l", "H", time.Minute, 0))
	f.held(a, request("m", "R", time.Minute, 0))
	for i := range lookHeads + 2 {
		f.ask(a, request("l", "crowd-"+strconv.Itoa(i), time.Minute, time.Minute), i+1)
	}
	twice := named("l", "W", "w", time.Minute)
	c1 := f.ask(a, twice, lookHeads+3)
	also := named("m", "W", "w", time.Minute)
	c2 := f.ask(a, also, 1)
	got := shape(f.failed(f.ask(b, request("l", "R", time.Minute, time.Minute), 0)))
	if got != "R/R m>l W/w l>m" {
		t.Error(got)
	}
	f.waits(a, twice, c1)
	f.waits(a, also, c2)
}

// TestNotesLost: the sweep finds a deadlock whose notes Redis lost.
func TestNotesLost(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	a, b := f.node(), f.node()
	plain := f.plain()
	f.held(a, request("x", "c1", time.Minute, 0))
	f.held(a, request("y", "c2", time.Minute, 0))
	f.ask(a, request("y", "c1", time.Minute, time.Minute), 1)
	keys := func() []string {
		all, err := f.do(plain, "KEYS", "dl:*:waits").AsStrSlice()
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	f.eventually("it is noted", 5*time.Second, func() bool { return len(keys()) > 0 })
	f.do(plain, append([]string{"DEL"}, keys()...)...)
	f.failed(f.ask(b, request("x", "c2", time.Minute, time.Minute), 0))
}

// TestNotesAreStruck: nothing is left of requests that are over, granted, tired or gone.
func TestNotesAreStruck(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	a, b := f.node(), f.node()
	plain := f.plain()
	g := f.held(a, request("x", "c1", time.Minute, 0))
	next := f.ask(b, request("x", "c2", time.Minute, time.Minute), 1)
	tired := f.ask(b, request("x", "c3", time.Minute, 300*time.Millisecond), 2)
	f.ask(b, request("x", "c4", time.Minute, time.Minute), 3)
	count := func() int64 { return f.noted(plain, a) }
	f.eventually("three are noted", 5*time.Second, func() bool { return count() == 3 })
	if o := <-tired; o.err == nil {
		t.Error("granted")
	}
	f.released(a, g)
	<-next
	f.eventually("one is left", 10*time.Second, func() bool { return count() == 1 })
	b.kill()
	f.eventually("a dead node's are struck", 20*time.Second, func() bool { return count() == 0 })
}

// TestOwnerThatWaitsAgain: its last wait, which is over, is struck before the next is noted, or it would seem to wait
// twice. Others' notes stay until there are more to strike.
func TestOwnerThatWaitsAgain(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.blind = true
	a := f.node()
	plain := f.plain()
	d := newDetector(a.Manager)
	d.swept = time.Now()
	for i, c := range []struct {
		client string
		notes  int64
	}{{"c1", 1}, {"c1", 1}, {"c2", 2}, {"c3", 3}, {"c2", 1}} {
		d.cleared = time.Now().Add(time.Hour) // strikeAfter is not over
		p := &place{q: *request("x", c.client, time.Minute, time.Minute)}
		p.q.ID = strconv.Itoa(i) // another request
		d.fresh = []ripening{{p, time.Now()}}
		if err := d.look(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := f.noted(plain, a); n != c.notes {
			t.Errorf("%s waits: %d notes, want %d", c.client, n, c.notes)
		}
		d.left(p)
	}
}

// TestFirstReadingIsNotEnough: what was read once, and is no more, fails nobody.
func TestFirstReadingIsNotEnough(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.blind = true
	a := f.node()
	f.held(a, request("x", "c1", time.Minute, 0))
	y := f.held(a, request("y", "c2", time.Minute, 0))
	f.ask(a, request("y", "c1", time.Minute, time.Minute), 1)
	last := request("x", "c2", time.Minute, time.Minute)
	c := f.ask(a, last, 1)
	d := newDetector(a.Manager)
	glances, before, err := a.contended(t.Context(), []string{"x", "y"}, 10)
	if err != nil || len(graph.Deadlocks(before)) != 1 {
		t.Fatal(before, err)
	}
	// In between, a holder gives back, and the same owner gets the lock again: it looks the same, and is another grant.
	f.released(a, y)
	f.eventually("c1 holds y", 5*time.Second, func() bool {
		st, err := a.Status(context.Background(), "y", 0)
		return err == nil && st.Locked() && st.Holders[0].Client == "c1"
	})
	if err := d.resolve(t.Context(), glances, before, 10); err != nil {
		t.Fatal(err)
	}
	f.waits(a, last, c)
}

// TestOneBreaksAtATime: while it is another node's turn nobody is failed, and afterwards it goes on.
func TestOneBreaksAtATime(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	a, b := f.node(), f.node()
	if mine, err := b.store.Turn(t.Context(), "break", time.Minute); err != nil || !mine {
		t.Fatal(mine, err)
	}
	f.held(a, named("x", "c", "task", 0))
	q := named("x", "c", "task", time.Minute)
	c := f.ask(a, q, 1)
	plain := f.plain()
	f.eventually("it was looked at", 5*time.Second, func() bool { return f.noted(plain, a) == 1 })
	glances, before, err := a.contended(t.Context(), []string{"x"}, 10)
	if err != nil {
		t.Fatal(err)
	}
	if len(graph.Deadlocks(before)) != 1 {
		t.Fatal("it was broken out of turn: ", before)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := newDetector(a.Manager).resolve(ctx, glances, before, 10); err == nil {
		t.Error("it was broken out of turn")
	}
	f.waits(a, q, c)
	if err := b.store.EndTurn(t.Context(), "break"); err != nil {
		t.Fatal(err)
	}
	f.failed(c)
}

// TestFollowingSeesWhatAFullReadingSees: from random states, what is found around the waiting requests is what a reading
// of everything finds.
func TestFollowingSeesWhatAFullReadingSees(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.blind = true
	a := f.node()
	plain := f.plain()
	found := 0
	for seed := range uint64(150) {
		f.do(plain, "FLUSHALL")
		all := f.random(t, a, rand.New(rand.NewPCG(seed, 7)))
		full, cut, err := a.WaitFor(t.Context())
		if err != nil || cut {
			t.Fatal(cut, err)
		}
		_, near, err := a.around(t.Context(), all)
		if err != nil {
			t.Fatal(err)
		}
		want, got := graph.Deadlocks(full), graph.Deadlocks(near)
		if !reflect.DeepEqual(want, got) {
			t.Fatalf("seed %d: found %+v, want %+v\nfull %+v\nnear %+v", seed, got, want, full, near)
		}
		found += len(want)
		// From the newest alone, the deadlocks that it is stuck in are found too.
		for _, dead := range want {
			i := slices.IndexFunc(all, func(w queue.Noted) bool {
				return w.Name == dead.Lock && graph.Owner(w.Owner) == dead.Victim.Owner
			})
			_, near, err := a.around(t.Context(), all[i:i+1])
			if err != nil || !slices.ContainsFunc(graph.Deadlocks(near), func(d graph.Deadlock) bool { return d.Victim == dead.Victim }) {
				t.Fatalf("seed %d: %+v is not found from its victim: %+v %v", seed, dead, near, err)
			}
		}
	}
	if found < 50 {
		t.Errorf("only %d deadlocks in all", found)
	} else {
		t.Logf("%d deadlocks", found)
	}
}

// random puts holders and waiting requests into Redis, and notes the waits.
func (f *fleet) random(t *testing.T, a *member, r *rand.Rand) (waits []queue.Noted) {
	t.Helper()
	modes := map[string]int{}
	for range 16 {
		name := "l" + strconv.Itoa(r.IntN(5))
		q := request(name, "c"+strconv.Itoa(r.IntN(6)), time.Minute, time.Minute)
		if r.IntN(3) > 0 {
			q.Owner, q.Explicit = "o", true
		}
		if modes[name] == 0 {
			modes[name] = 1 + r.IntN(3)
		}
		switch modes[name] {
		case 2:
			q.Limit = 2
		case 3:
			if r.IntN(2) == 0 {
				q.Mode = queue.Shared
			}
		}
		a.prepare(q)
		got, err := a.store.Acquire(t.Context(), q, 100)
		if err != nil {
			t.Fatal(err)
		}
		if got.Word == queue.Queued {
			behind, grant, _ := got.Behind(q)
			waits = append(waits, queue.Noted{Wait: waitOf(q), Behind: behind, Grant: grant})
		}
	}
	if err := a.store.NoteWaits(t.Context(), waits); err != nil {
		t.Fatal(err)
	}
	return waits
}

// TestUrgentWhileRedisIsAway: what is urgent is not tried again and again without a pause.
func TestUrgentWhileRedisIsAway(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.blind = true
	a := f.node()
	d := newDetector(a.Manager)
	d.hurry(&place{q: *named("x", "c", "task", time.Minute)})
	if wait := d.due(time.Now().Add(time.Hour)); wait > 0 {
		t.Fatalf("an urgent place waits %s", wait)
	}
	rested := time.Now().Add(d.rest(queue.ErrUnavailable, time.Now()))
	if wait := d.due(rested); wait < retryAfter/2 {
		t.Errorf("the next look comes after %s", wait)
	}
}
