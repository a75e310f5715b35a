package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestDeadlockCycles closes circles over two nodes. The last request fails, with the circle in its answer, and everybody
// else gets on. It is counted, told and logged once each.
func TestDeadlockCycles(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	ears := []*wsClient{f.nodes[0].ear("circle-*"), f.nodes[1].ear("circle-*")}
	sizes := []int{2, 3, 10, 100}
	failed := map[*node]float64{}
	for _, size := range sizes {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			r := newRing(t, f, size)
			victim := r.close(t)
			failed[victim.n]++
			r.told(t, ears, victim)
			r.finish(t)
		})
	}
	once := func() {
		t.Helper()
		for _, n := range f.nodes {
			want := [3]float64{failed[n], failed[n], failed[n]}
			eventually(t, fmt.Sprint("counted and logged once each, ", want), patience, func() bool { return n.reports() == want })
			eventually(t, "in the totals", patience, func() bool {
				return n.call(200, http.MethodGet, "/locks/stats", "").num("deadlocksDetected") == float64(len(sizes))
			})
		}
	}
	once()
	time.Sleep(sweepsBy) // another sweep finds nothing
	once()
	for i, ear := range ears {
		if ear.count(frame{"event": "deadlock"}) != len(sizes) || ear.count(frame{"event": "dequeued"}) != len(sizes) {
			t.Errorf("heard on node %d: %v", i, ear.all())
		}
	}
}

// ring is clients each of which holds a lock and asks for that of the next. Half of them use REST, half the WebSocket;
// each holds on one node and waits on the other; a third of them name their owners.
type ring struct {
	f     *fleet
	who   []*party
	holds []*asked
	waits []*asked
}

func newRing(t *testing.T, f *fleet, size int) *ring {
	t.Helper()
	r := &ring{f: f, who: make([]*party, size), holds: make([]*asked, size), waits: make([]*asked, size)}
	for i := range size {
		owner := ""
		if i%3 == 0 {
			owner = fmt.Sprint("thread-", i)
		}
		r.who[i] = f.either(t, i%2 == 1, fmt.Sprintf("ring%d-client%d", size, i), owner)
		r.holds[i] = r.who[i].ask(f.nodes[i/2%2], r.lock(i))
	}
	for _, q := range r.holds {
		q.must("granted")
	}
	return r
}

func (r *ring) lock(i int) string { return fmt.Sprintf("circle-%d-%d", len(r.who), i%len(r.who)) }

// wait has a client ask for the lock of the next, on the node where it does not hold its own.
func (r *ring) wait(i int) *asked {
	r.waits[i] = r.who[i].ask(r.f.nodes[1-i/2%2], r.lock(i+1))
	return r.waits[i]
}

// close has all ask, one of them last.
func (r *ring) close(t *testing.T) (victim *asked) {
	t.Helper()
	n := len(r.who)
	for i := range n - 1 {
		r.wait(i)
	}
	for i := range n - 1 {
		r.f.line(t, r.lock(i+1), 1)
	}
	victim = r.wait(n - 1)
	links := make([]link, n)
	for i := range n {
		at := (n - 1 + i) % n
		links[i] = link{r.holds[at], r.waits[at]}
	}
	victim.broken(links...)
	t.Logf("broken after %s", victim.ended.Sub(victim.sent))
	for i := range n - 1 {
		if r.waits[i].over() {
			t.Errorf("%s: %s %v", r.who[i].client, r.waits[i].word, r.waits[i].answer)
		}
	}
	for _, s := range cycleOf(t, victim.answer["cycle"])[1:] {
		if s.WaitingSince.After(victim.sent.Add(clockSlack)) {
			t.Errorf("%+v waits for longer than the last, which asked at %s", s, victim.sent)
		}
	}
	return victim
}

// told sees what events and log tell of it.
func (r *ring) told(t *testing.T, ears []*wsClient, victim *asked) {
	t.Helper()
	p, cycle := victim.p, fmt.Sprint(victim.answer["cycle"])
	for _, ear := range ears {
		told := frame{"event": "deadlock", "lockName": victim.lock, "clientId": p.client, "ownerId": p.ownerID()}
		if e := ear.get(told); fmt.Sprint(e["cycle"]) != cycle {
			t.Errorf("%v, want the cycle %s", e, cycle)
		}
		left := frame{"event": "dequeued", "reason": "deadlock", "lockName": victim.lock, "clientId": p.client, "ownerId": p.ownerID()}
		if left, told := ear.get(left), ear.get(told); left.num("seq") <= told.num("seq") {
			t.Errorf("%v came before %v", left, told)
		}
	}
	var lines []answer
	eventually(t, "logged", patience, func() bool {
		lines = nil
		for _, n := range r.f.nodes {
			for _, line := range n.logged() {
				if line.str("lock") == victim.lock {
					lines = append(lines, line)
				}
			}
		}
		return len(lines) > 0
	})
	if len(lines) != 1 || !strings.EqualFold(lines[0].str("level"), "warn") {
		t.Fatalf("logged %v", lines)
	}
	steps := cycleOf(t, lines[0]["cycle"])
	for i, s := range cycleOf(t, victim.answer["cycle"]) {
		if i >= len(steps) || steps[i].Client != s.Client || steps[i].Owner != s.Owner || steps[i].Holds != s.Holds || steps[i].WaitsFor != s.WaitsFor {
			t.Fatalf("logged %v", lines)
		}
	}
}

// finish has the victim give back what it holds, and then each in turn what it has, until all are through.
func (r *ring) finish(t *testing.T) {
	t.Helper()
	n := len(r.who)
	r.who[n-1].release(r.f.nodes[0], r.holds[n-1].answer)
	for i := n - 2; i >= 0; i-- {
		r.who[i].release(r.f.nodes[i%2], r.waits[i].must("granted"), r.holds[i].answer)
	}
	for i := range n {
		if st := r.f.nodes[0].call(200, http.MethodGet, "/locks/"+r.lock(i)+"/status", ""); st["locked"] != false || st.num("queueLength") != 0 {
			t.Errorf("%v", st)
		}
	}
}

// TestDeadlockSelf has owners wait for what they hold themselves. It is a deadlock if they named themselves; otherwise
// they may be several threads, which only wait.
func TestDeadlockSelf(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	ear := f.nodes[1].ear("mine-*")
	cases := 0
	for _, wired := range []bool{false, true} {
		for _, other := range []int{0, 1} {
			for _, owner := range []string{"thread", "client"} { // the second as the client is called
				cases++
				t.Run(fmt.Sprintf("wired %v, node %d, %s", wired, other, owner), func(t *testing.T) {
					p := f.either(t, wired, "client", owner)
					lock := fmt.Sprintf("self-%v-%d-%s", wired, other, owner)
					held := p.keep(f.nodes[0], lock)
					q := p.ask(f.nodes[other], lock)
					q.broken(link{held, q})
					t.Logf("broken after %s", q.ended.Sub(q.sent))
					p.release(f.nodes[0], held.answer)
					p.release(f.nodes[0], p.hold(f.nodes[other], lock))
				})
			}
		}
	}
	type turn struct {
		holder, waiter *party
		held           answer
		q              *asked
	}
	var turns []turn
	for i, c := range []struct{ holds, waits string }{{"", ""}, {"client", ""}, {"", "client"}, {"one", "two"}, {"one", ""}} {
		for _, wired := range []bool{false, true} {
			lock := fmt.Sprintf("mine-%d-%v", i, wired)
			x := turn{holder: f.either(t, wired, "client", c.holds), waiter: f.either(t, wired, "client", c.waits)}
			x.held = x.holder.hold(f.nodes[0], lock)
			x.q = x.waiter.stand(f.nodes[i%2], lock, 1)
			turns = append(turns, x)
		}
	}
	var waiting []*asked
	for _, x := range turns {
		waiting = append(waiting, x.q)
	}
	f.quiet(t, ear, waiting...)
	for _, x := range turns {
		x.holder.release(f.nodes[1], x.held)
		x.waiter.release(f.nodes[1], x.q.must("granted"))
	}
	if got := f.detected(); got != float64(cases) {
		t.Errorf("%v deadlocks counted, want %d", got, cases)
	}
}

// TestDeadlockShared has a circle run through a shared lock that another stands before in the line.
func TestDeadlockShared(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	a, b := f.nodes[0], f.nodes[1]
	for _, wired := range []bool{false, true} {
		t.Run(fmt.Sprint("wired ", wired), func(t *testing.T) {
			l, x := fmt.Sprint("l-", wired), fmt.Sprint("x-", wired)
			reader, writer, behind := f.either(t, wired, "reader", ""), f.either(t, !wired, "writer", ""), f.either(t, wired, "behind", "thread")
			held := reader.keep(a, l, "mode", "shared")
			other := behind.keep(b, x)
			writes := writer.stand(a, l, 1)
			reads := behind.stand(b, l, 2, "mode", "shared")
			q := reader.ask(b, x)
			q.broken(link{held, q}, link{other, reads})
			reader.release(a, held.answer)
			writer.release(b, writes.must("granted"))
			behind.release(a, reads.must("granted"), other.answer)
		})
	}
}

// TestDeadlockLimit has two hold a semaphore that a third waits for. There is a deadlock only when both are stuck.
func TestDeadlockLimit(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	ear := f.nodes[0].ear("s-free*")
	for _, stuck := range []bool{false, true} {
		t.Run(fmt.Sprint("stuck ", stuck), func(t *testing.T) {
			a, b := f.nodes[0], f.nodes[1]
			s, m, n := "s-free", "m-free", "n-free"
			if stuck {
				s, m, n = "s-stuck", "m-stuck", "n-stuck"
			}
			first, second, third := f.rest(t, "first", ""), f.wired(t, "second", "thread"), f.wired(t, "third", "")
			heldFirst := first.hold(a, s, "limit", 2)
			heldThird := third.keep(b, s, "limit", 2)
			heldM, heldN := second.keep(a, m), second.keep(b, n)
			waitS := second.stand(b, s, 1, "limit", 2)
			waitM := first.stand(b, m, 1)
			if !stuck {
				f.quiet(t, ear, waitS, waitM)
				third.release(a, heldThird.answer)
			} else {
				waitN := third.ask(a, n)
				waitN.broken(link{heldThird, waitN}, link{heldN, waitS})
				if waitS.over() || waitM.over() {
					t.Errorf("%s, %s", waitS.word, waitM.word)
				}
				third.release(a, heldThird.answer)
			}
			second.release(a, waitS.must("granted"), heldM.answer, heldN.answer)
			first.release(a, waitM.must("granted"), heldFirst)
		})
	}
	if got := f.detected(); got != 1 {
		t.Errorf("%v deadlocks counted", got)
	}
}
