package main

import (
	"bufio"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"distributedlock/queue"
)

// TestDeadlockManyWaits has an owner wait for two locks at once: it stands before another in the line of the first, who
// holds the second. Though neither waits for what the other holds yet, they will, when the first comes free.
func TestDeadlockManyWaits(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	a, b := f.nodes[0], f.nodes[1]
	for _, ahead := range []int{0, 20} { // more than are looked at first
		for _, last := range []string{"the one behind", "the one before"} {
			t.Run(fmt.Sprintf("%d ahead, %s asks last", ahead, last), func(t *testing.T) {
				name := fmt.Sprintf("%d-%d-", ahead, len(last))
				holder, many, other := f.rest(t, "holder", ""), f.wired(t, "many", "thread"), f.wired(t, "other", "")
				if last == "the one behind" {
					other = f.rest(t, "other", "thread")
				}
				held := holder.hold(a, name+"first")
				has := other.keep(b, name+"second")
				crowd := make([]*asked, ahead)
				for i := range crowd {
					crowd[i] = f.rest(t, fmt.Sprint("ahead", i), "").stand(a, name+"first", i+1)
				}
				before := many.stand(a, name+"first", ahead+1)
				var wants, behind *asked // for the second, and behind the other for the first
				if last == "the one behind" {
					wants = many.stand(b, name+"second", 1)
					behind = other.ask(a, name+"first")
					manyBroken(t, behind, link{has, behind}, link{before, wants})
				} else {
					behind = other.stand(a, name+"first", ahead+2)
					wants = many.ask(b, name+"second")
					manyBroken(t, wants, link{before, wants}, link{has, behind})
				}
				holder.release(b, held)
				for _, q := range crowd {
					q.p.release(b, q.must("granted"))
				}
				if last == "the one behind" {
					other.release(b, has.answer)
					many.release(a, wants.must("granted"), before.must("granted"))
				} else {
					many.release(a, before.must("granted"))
					other.release(b, behind.must("granted"), has.answer)
				}
			})
		}
	}
}

// manyBroken waits longer, as a sweep may be needed.
func manyBroken(t *testing.T, victim *asked, want ...link) {
	t.Helper()
	victim.within(6 * time.Second)
	victim.broken(want...)
	t.Logf("broken after %s", victim.ended.Sub(victim.sent))
}

// TestDeadlockNodeKilled has a client in a chain come back on another node, as its own was killed. Then the circle is
// closed.
func TestDeadlockNodeKilled(t *testing.T) {
	t.Parallel()
	for _, renewed := range []bool{false, true} {
		t.Run(fmt.Sprint("autoRenew ", renewed), func(t *testing.T) {
			f := newFleet(t)
			dying, b := f.nodes[0], f.nodes[1]
			f.nodes = f.nodes[1:]
			last := f.rest(t, "last", "")
			second := last.keep(b, "second")
			c, session := dying.named("member")
			member := f.rest(t, "member", "")
			first := &asked{p: member, lock: "first", sent: time.Now()}
			grant := c.hold("first", "first", "timeout", 60, "autoRenew", renewed)
			waits := &asked{p: member, lock: "second", sent: time.Now()}
			c.stand("second", "second", 1, "timeout", 60)
			time.Sleep(sweepsBy / 5) // its wait is noted by then
			dying.kill()
			again := b.back("member", session)
			again.get(frame{"type": "queued", "id": "second", "position": 1})
			if renewed { // the document says when it is told of
				again.get(frame{"type": "granted", "id": "first", "lockId": grant["lockId"]})
			}
			closes := last.ask(b, "first")
			closes.broken(link{second, closes}, link{first, waits})
			t.Logf("broken after %s", closes.ended.Sub(closes.sent))
			last.release(b, second.answer)
			again.release(again.get(frame{"type": "granted", "id": "second"}))
			again.release(grant)
			if got := b.reports(); got != [3]float64{1, 1, 1} {
				t.Errorf("%v", got)
			}
		})
	}
}

// TestDeadlockQuiet counts Redis's commands while requests wait and nothing happens.
func TestDeadlockQuiet(t *testing.T) {
	t.Parallel()
	const locks, quiet = 20, 4 * queue.Beat
	f := newFleet(t)
	holder := f.rest(t, "holder", "")
	count := f.commands(t)
	rate, waiting := map[int]float64{}, 0
	party := f.wired(t, "many", "")
	for _, n := range []int{10, 300} {
		for ; waiting < n; waiting++ {
			lock := fmt.Sprint("still-", waiting%locks)
			if waiting < locks {
				holder.hold(f.nodes[0], lock)
			}
			party.ask(f.nodes[waiting%2], lock, "ownerId", fmt.Sprint("thread-", waiting))
		}
		for i := range min(n, locks) {
			f.line(t, fmt.Sprint("still-", i), n/min(n, locks))
		}
		time.Sleep(4 * time.Second) // by then all have been looked at
		before, begin := count(), time.Now()
		time.Sleep(quiet) // what is measured is this quiet
		rate[n] = float64(count()-before) / time.Since(begin).Seconds()
	}
	t.Logf("commands a second: %v", rate)
	// One beat and one look at the tickets more of either node may fall into the time.
	if more := 2 * 2 * 23 / quiet.Seconds(); rate[300] > rate[10]+more {
		t.Errorf("commands a second: %v", rate)
	}
}

// commands counts what Redis was told to do.
func (f *fleet) commands(t *testing.T) func() int {
	t.Helper()
	conn, err := net.Dial("tcp", f.redis.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	lines := bufio.NewReader(conn)
	return func() (n int) {
		t.Helper()
		_ = conn.SetDeadline(time.Now().Add(patience))
		if _, err := fmt.Fprint(conn, "INFO stats\r\nPING\r\n"); err != nil {
			t.Fatal(err)
		}
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			line = strings.TrimSpace(line)
			if v, ok := strings.CutPrefix(line, "total_commands_processed:"); ok {
				n, _ = strconv.Atoi(v)
			}
			if line == "+PONG" {
				return n
			}
		}
	}
}
