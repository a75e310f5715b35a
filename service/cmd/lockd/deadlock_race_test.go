package main

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// circleOfTwo is a client that has one lock and waits for a second, which another has, who is about to ask for the first.
type circleOfTwo struct {
	f            *fleet
	member, last *party
	first        *asked // what the member has
	second       *asked // what the last one has
	waits        *asked // the member
	closes       *asked // the last one
	closed       chan struct{}
}

// newCircle has the member wait on the first node and the last one be on the second. more is of the member's requests.
func newCircle(t *testing.T, f *fleet, name string, member, last *party, more ...any) *circleOfTwo {
	t.Helper()
	c := &circleOfTwo{f: f, member: member, last: last, closed: make(chan struct{})}
	c.second = last.keep(f.nodes[1], name+"-second")
	c.first = member.keep(f.nodes[0], name+"-first", more...)
	c.waits = member.stand(f.nodes[0], name+"-second", 1, more...)
	return c
}

// close has the last one ask.
func (c *circleOfTwo) close(more ...any) *asked {
	c.closes = c.last.ask(c.f.nodes[1], c.first.lock, more...)
	return c.closes
}

// free sees that nobody has or wants either lock, by and by.
func (c *circleOfTwo) free(t *testing.T) {
	t.Helper()
	for _, lock := range []string{c.first.lock, c.second.lock} {
		eventually(t, lock+" is free", patience, func() bool {
			_, a, err := c.f.nodes[0].try("GET", "/locks/"+lock+"/status", "")
			return err == nil && a["locked"] == false && a.num("queueLength") == 0
		})
	}
}

// moment is some time about when a deadlock is broken.
func moment() time.Duration { return time.Duration(rand.Int64N(int64(60 * time.Millisecond))) }

// TestDeadlockVictimLeaves has the victim be cancelled, or run out of time, at the very moment it may be failed. Either
// comes of it, and the other one gets on.
func TestDeadlockVictimLeaves(t *testing.T) {
	t.Parallel()
	const rounds = 12
	f := newFleet(t)
	ear := f.nodes[0].ear("*")
	words := map[string]int{}
	for name, c := range map[string]struct {
		wired bool
		word  string
		leave func(*circleOfTwo)
	}{
		"frame":  {true, "cancelled", func(c *circleOfTwo) { c.close(); time.Sleep(moment()); c.last.cancel(c.closes) }},
		"call":   {false, "gone", func(c *circleOfTwo) { c.close(); time.Sleep(moment()); c.closes.cancel() }},
		"time":   {false, "wait_timeout", func(c *circleOfTwo) { c.close("waitTimeout", (moment() + time.Millisecond).Seconds()) }},
		"wstime": {true, "wait_timeout", func(c *circleOfTwo) { c.close("waitTimeout", (moment() + time.Millisecond).Seconds()) }},
	} {
		t.Run(name, func(t *testing.T) {
			member, last := f.either(t, !c.wired, "member", ""), f.either(t, c.wired, "last", "thread")
			for i := range rounds {
				x := newCircle(t, f, fmt.Sprint(name, i), member, last)
				c.leave(x)
				x.closes.within(soon)
				if words[x.closes.word]++; x.closes.word != c.word && x.closes.word != "deadlock" {
					t.Errorf("%s %v", x.closes.word, x.closes.answer)
				}
				f.line(t, x.first.lock, 0)
				if x.waits.over() {
					t.Errorf("%s %v", x.waits.word, x.waits.answer)
				}
				last.release(f.nodes[1], x.second.answer)
				member.release(f.nodes[0], x.waits.must("granted"), x.first.answer)
				x.free(t)
			}
		})
	}
	told := 0
	eventually(t, "each left the line once", patience, func() bool {
		told = ear.count(frame{"event": "deadlock"})
		left := ear.count(frame{"event": "dequeued"})
		atOnce := 4*rounds - left // gone before they stood in line
		return 0 <= atOnce && atOnce <= words["gone"] && float64(told) == f.detected()
	})
	t.Logf("%v; %d deadlocks told", words, told)
	if told < words["deadlock"] || told != ear.count(frame{"event": "dequeued", "reason": "deadlock"}) {
		t.Errorf("%d deadlocks, %d told: %v", words["deadlock"], told, ear.all())
	}
}

// cancel sends a cancel for a request over the WebSocket.
func (p *party) cancel(q *asked) {
	c := &asked{p: p, n: q.n, lock: q.lock, done: make(chan struct{}), sent: time.Now()}
	p.wires[q.n].send(c, answer{"type": "cancel", "target": q.id})
}

// TestDeadlockMemberGone has a client that is in the circle go away just when it is closed. Whether it is broken or the
// gone client's lease ends, the others get on.
func TestDeadlockMemberGone(t *testing.T) {
	t.Parallel()
	const rounds = 8
	f := newFleet(t, "SESSION_GRACE=1")
	for _, wired := range []bool{false, true} {
		t.Run(fmt.Sprint("wired ", wired), func(t *testing.T) {
			words := map[string]int{}
			circles, behind := make([]*circleOfTwo, rounds), make([]*asked, rounds)
			for i := range circles {
				member, last := f.either(t, wired, fmt.Sprint("member", i), ""), f.either(t, i%2 == 0, fmt.Sprint("last", i), "")
				circles[i] = newCircle(t, f, fmt.Sprint("gone-", wired, i), member, last, "timeout", 1)
				behind[i] = f.either(t, i%2 == 1, "behind", "").stand(f.nodes[i%2], circles[i].second.lock, 2)
				circles[i].close()
				f.posts.Go(func() {
					time.Sleep(moment())
					if wired {
						member.wires[f.nodes[0]].c.cut()
					} else {
						circles[i].waits.cancel()
					}
				})
			}
			for i, c := range circles {
				c.closes.within(patience)
				switch words[c.closes.word]++; c.closes.word {
				case "granted":
					c.last.release(f.nodes[1], c.closes.answer, c.second.answer)
				case "deadlock":
					c.closes.broken(link{c.second, c.closes}, link{c.first, c.waits})
					c.last.release(f.nodes[1], c.second.answer)
				default:
					t.Errorf("%s %v", c.closes.word, c.closes.answer)
				}
				behind[i].p.release(f.nodes[0], behind[i].must("granted"))
				c.free(t)
			}
			t.Logf("%v", words)
		})
	}
}

// TestDeadlockLeaseEnds has the lease of one in the circle end just when it is closed. Once it has ended there is no
// circle, and nothing is reported.
func TestDeadlockLeaseEnds(t *testing.T) {
	t.Parallel()
	const rounds, lease = 24, 1500 * time.Millisecond
	f := newFleet(t)
	ear := f.nodes[1].ear("*")
	words, late := map[string]int{}, 0
	circles := make([]*circleOfTwo, rounds)
	for i := range circles {
		member, last := f.either(t, i%2 == 0, fmt.Sprint("member", i), ""), f.either(t, i%4 < 2, fmt.Sprint("last", i), "thread")
		c := newCircle(t, f, fmt.Sprint("ends-", i), member, last, "timeout", lease.Seconds())
		circles[i] = c
		f.posts.Go(func() {
			time.Sleep(time.Until(c.first.ended) + lease + 2*moment() - 70*time.Millisecond)
			c.close()
			close(c.closed)
		})
	}
	for _, c := range circles {
		<-c.closed
		c.closes.within(soon)
		words[c.closes.word]++
		over := c.closes.sent.After(c.first.ended.Add(lease + clockSlack))
		if over {
			late++
		}
		switch {
		case c.closes.word == "granted":
		case c.closes.word == "deadlock" && !over:
			c.closes.broken(link{c.second, c.closes}, link{c.first, c.waits})
		default:
			t.Errorf("%s after the lease's end, %s %v", c.closes.sent.Sub(c.first.ended.Add(lease)), c.closes.word, c.closes.answer)
		}
	}
	t.Logf("%v; %d asked when it was over", words, late)
	time.Sleep(sweepsBy) // whatever is told after it
	if got := ear.count(frame{"event": "deadlock"}); got != words["deadlock"] || f.detected() != float64(got) {
		t.Errorf("%d deadlocks told, %v counted, %d answered", got, f.detected(), words["deadlock"])
	}
	for _, c := range circles {
		if c.closes.word == "granted" {
			c.last.release(f.nodes[0], c.closes.answer)
		}
		c.last.release(f.nodes[0], c.second.answer)
		c.member.release(f.nodes[1], c.waits.must("granted"))
		c.free(t)
	}
}

// TestDeadlockLeaseHandsOver has a lease end that was part of a chain: its lock is another's now, who is in no circle.
func TestDeadlockLeaseHandsOver(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	ear := f.nodes[0].ear("*")
	member, last, next := f.rest(t, "member", ""), f.wired(t, "last", "thread"), f.wired(t, "next", "")
	second := last.keep(f.nodes[1], "second")
	member.keep(f.nodes[0], "first", "timeout", 0.5)
	waits := member.stand(f.nodes[0], "second", 1)
	heir := next.stand(f.nodes[1], "first", 1)
	has := heir.must("granted")
	closes := last.stand(f.nodes[1], "first", 1)
	f.quiet(t, ear, waits, closes)
	next.release(f.nodes[0], has)
	last.release(f.nodes[0], closes.must("granted"), second.answer)
	member.release(f.nodes[1], waits.must("granted"))
	if got := f.detected(); got != 0 {
		t.Errorf("%v deadlocks counted", got)
	}
}
