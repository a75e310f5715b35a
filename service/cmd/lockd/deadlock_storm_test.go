package main

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"sync"
	"testing"
	"time"
)

var stormFor = flag.Duration("storm", 5*time.Second, "how long the deadlock storms last")

const (
	stormClients, stormLocks = 30, 12
	// stuckFor is longer than anybody may be in a deadlock.
	stuckFor = 2 * time.Second
)

// TestDeadlockStorm has 30 clients on two nodes take 2 to 4 of 12 locks, in any order. By their own record, every
// deadlock that was reported was one, nobody was in one for long, and nothing else ever failed. Where all take them in
// one order, nothing is reported. Where it is mixed, some locks are shared at times, and some have two permits. It runs beside no other test, as it has to do with time.
func TestDeadlockStorm(t *testing.T) {
	for _, c := range []struct {
		name           string
		ordered, mixed bool
		lasts          time.Duration
	}{{"unordered", false, false, *stormFor}, {"ordered", true, false, *stormFor}, {"mixed", false, true, *stormFor / 2}} {
		t.Run(c.name, func(t *testing.T) {
			s := newStorm(t)
			s.ordered, s.mixed = c.ordered, c.mixed
			s.run(c.lasts)
			s.settle()
			s.confirm()
			if !s.mixed { // there, who waits for whom cannot be told from the record alone; but nobody waits for 30 s
				s.judge()
			}
		})
	}
}

// actor is an owner, as the service names it.
type actor struct{ client, owner string }

// span is a request, and the hold that came of it, as its client saw them. The wait was from asked to answered at most,
// the hold from answered to released at least.
type span struct {
	who                       actor
	lock                      string
	asked, answered, released time.Time
	// cycle is that of a deadlock.
	cycle []step
}

type storm struct {
	t        *testing.T
	f        *fleet
	ear      *wsClient
	ordered  bool
	mixed    bool
	seed     uint64
	mu       sync.Mutex
	spans    []*span
	waits    map[actor][]*span
	holds    map[string][]*span
	failures []*span
}

func newStorm(t *testing.T) *storm {
	t.Helper()
	s := &storm{t: t, f: newFleet(t), seed: rand.Uint64(), waits: map[actor][]*span{}, holds: map[string][]*span{}}
	s.ear = s.f.nodes[1].ear("storm-*")
	t.Logf("seed %d", s.seed)
	return s
}

// party is the i-th client. A third use REST, on both nodes, and name no owner. Of the others, every two are one
// client's, with owners of their own, and each has a session on one node.
func (s *storm) party(i int) *party {
	s.t.Helper()
	if i%3 == 0 {
		return s.f.rest(s.t, fmt.Sprint("rest", i), "")
	}
	n := s.f.nodes[i/3%2]
	p := s.f.wired(s.t, fmt.Sprint("session", i/6), fmt.Sprint("owner", i), n)
	p.f = &fleet{nodes: []*node{n}}
	q := &asked{p: p, n: n, done: make(chan struct{})}
	p.wires[n].send(q, answer{"type": "hello", "clientId": p.client})
	q.must("welcome")
	return p
}

func (s *storm) run(lasts time.Duration) {
	var all sync.WaitGroup
	parties := make([]*party, stormClients)
	for i := range parties {
		parties[i] = s.party(i)
	}
	until := time.Now().Add(lasts)
	for i, p := range parties {
		all.Go(func() {
			rng := rand.New(rand.NewPCG(s.seed, uint64(i)))
			for time.Now().Before(until) && !s.t.Failed() {
				if err := s.turn(p, rng); err != nil {
					s.t.Errorf("%s/%s: %v", p.client, p.owner, err)
				}
			}
		})
	}
	all.Wait()
}

// turn takes some locks, one by one, and gives them all back. A victim gives back what it has by then.
func (s *storm) turn(p *party, rng *rand.Rand) error {
	locks := rng.Perm(stormLocks)[:2+rng.IntN(3)]
	if s.ordered {
		slices.Sort(locks)
	}
	var held []*span
	var grants []*asked
	defer s.record(&held)
	for _, lock := range locks {
		n := p.f.nodes[rng.IntN(len(p.f.nodes))]
		terms := []any{"timeout", 30, "waitTimeout", 30}
		if s.mixed && lock < stormLocks/3 && rng.IntN(2) == 0 {
			terms = append(terms, "mode", "shared")
		} else if s.mixed && lock >= stormLocks*2/3 {
			terms = append(terms, "limit", 2)
		}
		q := p.ask(n, fmt.Sprintf("storm-%02d", lock), terms...)
		if !q.comes(40 * time.Second) {
			return errors.New("no answer to an acquire")
		}
		x := &span{who: actor{p.client, p.ownerID()}, lock: q.lock, asked: q.sent, answered: q.ended}
		held = append(held, x)
		if q.word == "deadlock" {
			x.cycle = cycleOf(s.t, q.answer["cycle"])
			break
		}
		if q.word != "granted" {
			return fmt.Errorf("%s: %s %v", q.lock, q.word, q.answer)
		}
		grants = append(grants, q)
		time.Sleep(time.Duration(rng.Int64N(int64(20*time.Millisecond) / int64(len(locks))))) // it works
	}
	for i, q := range grants {
		held[i].released = time.Now()
		r := p.give(q.n, q.answer)
		if !r.comes(patience) {
			return errors.New("no answer to a release")
		}
		if r.word != "released" {
			return fmt.Errorf("release of %s: %s %v", q.lock, r.word, r.answer)
		}
	}
	return nil
}

func (s *storm) record(spans *[]*span) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range *spans {
		s.spans = append(s.spans, x)
		s.waits[x.who] = append(s.waits[x.who], x)
		if x.cycle == nil {
			s.holds[x.lock] = append(s.holds[x.lock], x)
		} else {
			s.failures = append(s.failures, x)
		}
	}
}

// settle sees that each deadlock was counted, told and logged once, and brings the record in order.
func (s *storm) settle() {
	t, want := s.t, float64(len(s.failures))
	var got [3]float64
	eventually(t, "counted and logged once each", patience, func() bool {
		got = s.f.nodes[0].reports()
		for i, n := range s.f.nodes[1].reports() {
			got[i] += n
		}
		return got == [3]float64{want, want, want}
	})
	eventually(t, "told once each", patience, func() bool {
		return s.ear.count(frame{"event": "deadlock"}) == len(s.failures) && s.ear.count(frame{"event": "dequeued"}) == len(s.failures)
	})
	if s.ear.has(frame{"event": "gap"}) {
		t.Error("events were lost")
	}
	if (len(s.failures) == 0) != s.ordered {
		t.Errorf("%d deadlocks", len(s.failures))
	}
	for _, spans := range s.holds {
		slices.SortFunc(spans, func(a, b *span) int { return a.answered.Compare(b.answered) })
	}
	for i := range stormLocks {
		if st := s.f.nodes[0].call(200, "GET", fmt.Sprintf("/locks/storm-%02d/status", i), ""); st["locked"] != false || st.num("queueLength") != 0 {
			t.Errorf("%v", st)
		}
	}
}

// confirm holds every report against the record: each in the cycle had what it is said to have, and waited for what it
// is said to wait for, all of them together at the moment of the report. Indeed nobody in a circle can be granted
// anything before the victim, which has been told by then, gives something back. Where it is mixed, somebody may have
// been in the line behind the victim, so that all of them together did shortly before the report.
func (s *storm) confirm() {
	var took []time.Duration
	for _, x := range s.failures {
		closed, opened := x.asked, x.answered
		if x.cycle[0].Client != x.who.client || x.cycle[0].Owner != x.who.owner || x.cycle[0].WaitsFor != x.lock {
			s.t.Errorf("the first step is not the victim's: %s, %+v", x, x.cycle)
		}
		for i, st := range x.cycle {
			if st.WaitsFor != x.cycle[(i+1)%len(x.cycle)].Holds {
				s.t.Errorf("no circle: %+v", x.cycle)
			}
			wait := s.waiting(actor{st.Client, st.Owner}, x.answered)
			if s.mixed {
				wait = s.waitOf(st, x.answered)
			}
			if wait == nil || wait.lock != st.WaitsFor {
				s.t.Errorf("step %d did not wait at %s, when the victim was told: %+v; it did:%s", i, x.answered, x.cycle, s.around(st, x.answered))
				continue
			}
			if wait.asked.After(closed) {
				closed = wait.asked
			}
			if wait.answered.Before(opened) {
				opened = wait.answered
			}
			hold := s.held(wait, st.Holds)
			if hold == nil {
				s.t.Errorf("step %d did not hold %s: %+v; it did:%s", i, st.Holds, x.cycle, s.around(st, x.answered))
				continue
			}
			if off(st.HeldSince, hold.asked, hold.answered) || off(st.WaitingSince, wait.asked, x.answered) {
				s.t.Errorf("step %d, %+v: held since %s to %s, waits since %s", i, st, hold.asked, hold.answered, wait.asked)
			}
		}
		if closed.After(opened) {
			s.t.Errorf("they never waited together: %+v", x.cycle)
		}
		took = append(took, x.answered.Sub(closed))
	}
	waits := make([]time.Duration, 0, len(s.spans))
	for _, x := range s.spans {
		waits = append(waits, x.answered.Sub(x.asked))
	}
	s.t.Logf("%d requests: %s; %d deadlocks, broken after %s", len(waits), quantiles(waits), len(took), quantiles(took))
}

// off is whether a time is not in between.
func off(at, from, to time.Time) bool {
	return at.Before(from.Add(-clockSlack)) || at.After(to.Add(clockSlack))
}

func quantiles(d []time.Duration) string {
	if len(d) == 0 {
		return "none"
	}
	slices.Sort(d)
	return fmt.Sprintf("p50 %s, p99 %s, most %s", d[len(d)/2], d[len(d)*99/100], d[len(d)-1])
}

// waiting is the wait of an owner at a moment, nil for none. A wait that ends in that moment counts.
func (s *storm) waiting(who actor, at time.Time) *span {
	spans := s.waits[who] // one after the other
	i := sort.Search(len(spans), func(i int) bool { return !spans[i].answered.Before(at) })
	if i == len(spans) || spans[i].asked.After(at) {
		return nil
	}
	return spans[i]
}

// waitOf is the wait that a step tells of, if it was shortly before a moment: the last, as its owner may have been a
// victim just before.
func (s *storm) waitOf(st step, at time.Time) *span {
	for _, x := range slices.Backward(s.waits[actor{st.Client, st.Owner}]) {
		if x.lock == st.WaitsFor && x.asked.Before(at) && x.answered.After(at.Add(-500*time.Millisecond)) && !off(st.WaitingSince, x.asked, x.answered) {
			return x
		}
	}
	return nil
}

// held is the hold that an owner had while it waited.
func (s *storm) held(wait *span, lock string) *span {
	for _, x := range s.holds[lock] {
		if x.who == wait.who && !x.answered.After(wait.asked) && !x.released.Before(wait.answered) {
			return x
		}
	}
	return nil
}

// around is what somebody in a cycle did about that time.
func (s *storm) around(st step, at time.Time) (out string) {
	for _, x := range s.waits[actor{st.Client, st.Owner}] {
		if x.answered.After(at.Add(-time.Second)) && x.asked.Before(at.Add(time.Second)) {
			out += "\n" + x.String()
		}
	}
	return out
}

func (x *span) String() string {
	const clock = "05.000"
	if x.cycle != nil {
		return fmt.Sprintf("%v waited for %s from %s to %s, and was failed", x.who, x.lock, x.asked.Format(clock), x.answered.Format(clock))
	}
	return fmt.Sprintf("%v waited for %s from %s to %s, and held it until %s", x.who, x.lock, x.asked.Format(clock), x.answered.Format(clock), x.released.Format(clock))
}

// judge looks at each wait that was long, at many moments of it: whether it was in a circle of waits that stood for
// long.
func (s *storm) judge() {
	long := 0
	for _, x := range s.spans {
		if x.answered.Sub(x.asked) <= stuckFor {
			continue
		}
		long++
		for at := x.asked; at.Before(x.answered); at = at.Add(50 * time.Millisecond) {
			if circle, stood := s.circle(x, at); stood > stuckFor {
				s.t.Errorf("a deadlock stood for %s: %s", stood, circle)
				break
			}
		}
	}
	s.t.Logf("%d waits of more than %s", long, stuckFor)
}

// circle is the one that a wait is in at a moment, if it is in one, and how long that stood. As each in it keeps what it
// has while it waits, it stood from the beginning of the last wait to the end of the first.
func (s *storm) circle(x *span, at time.Time) (circle []*span, stood time.Duration) {
	from, to := x.asked, x.answered
	for next := x; len(circle) < stormClients; {
		circle = append(circle, next)
		if next.asked.After(from) {
			from = next.asked
		}
		if next.answered.Before(to) {
			to = next.answered
		}
		spans := s.holds[next.lock] // one after the other
		i := sort.Search(len(spans), func(i int) bool { return !spans[i].released.Before(at) })
		if i == len(spans) || spans[i].answered.After(at) {
			return nil, 0
		}
		if next = s.waiting(spans[i].who, at); next == x {
			return circle, to.Sub(from)
		} else if next == nil {
			return nil, 0
		}
	}
	return nil, 0
}
