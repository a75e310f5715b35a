package service

import (
	"fmt"
	"testing"
	"time"

	"distributedlock/queue"
)

// A place in line outlives its connection, on another node and on the same, and so does one whose node was killed.
func TestPlaceIsTakenUpAgain(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"other node", "same node", "killed node", "not told"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t)
			a, b := f.node(), f.node()
			holder := f.open(b)
			holder.hold("0", request("x", "holder", minute, 0))
			s, id := f.named(a, "c")
			s.ask("mine", request("x", "c", minute, minute))
			f.hears(s.told, "mine queued at 1 behind 1")
			holder.ask("next", request("x", "other", minute, minute))
			f.hears(holder.told, "next queued at 2 behind 1")
			to := b
			switch how {
			case "same node":
				s.close()
				to = a
			case "killed node":
				a.kill()
			case "other node":
				s.close()
			}
			again := f.back(to, "c", id)
			f.hears(again.told, "mine queued at 1 behind 1")
			if how == "not told" {
				f.hears(s.told, "superseded")
			}
			holder.free("0")
			f.hears(again.told, "mine granted")
			if holder.has("next granted") {
				t.Error("the next in line was granted too")
			}
			again.free("mine")
			f.hears(holder.told, "next granted")
		})
	}
}

// A client that does not come back is out of the line after the grace, and the line goes on meanwhile.
func TestPlaceIsGivenUp(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.grace = time.Second
	a, b := f.node(), f.node()
	holder := f.open(b)
	holder.hold("0", request("x", "holder", minute, 0))
	s, id := f.named(a, "c")
	s.ask("mine", request("x", "c", minute, minute))
	f.hears(s.told, "mine queued at 1 behind 1")
	holder.ask("next", request("x", "other", minute, minute))
	f.hears(holder.told, "next queued at 2 behind 1")
	s.close()
	f.hears(holder.told, "next moved to 1")
	holder.free("0")
	f.hears(holder.told, "next granted")
	f.eventually("forgotten", 10*time.Second, func() bool {
		keys, err := f.plain().Do(t.Context(), f.plain().B().Keys().Pattern("*"+id).Build()).AsStrSlice()
		return err == nil && len(keys) == 0
	})
	late := f.open(a)
	if now, resumed, err := late.Name(t.Context(), id, "c"); err != nil || resumed || now == id {
		t.Error(now, resumed, err)
	}
}

// A resumed request that its client asks for again, under another name, is answered under that name alone.
func TestResumedRequestAskedAgain(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	a, b := f.node(), f.node()
	holder := f.open(b)
	holder.hold("0", request("x", "holder", minute, 0))
	s, id := f.named(a, "c")
	mine := func() *queue.Request {
		q := request("x", "c", minute, minute)
		q.ID, q.Known = "r", true
		return q
	}
	s.ask("old", mine())
	f.hears(s.told, "old queued at 1 behind 1")
	holder.ask("next", request("x", "other", minute, minute))
	f.hears(holder.told, "next queued at 2 behind 1")
	s.close()
	again := f.back(b, "c", id)
	again.ask("new", mine())
	f.hears(again.told, "new queued at 1 behind 1")
	holder.free("0")
	f.hears(again.told, "new granted")
	if again.has("old granted") || holder.has("next granted") {
		t.Error(again.heard, holder.heard)
	}
}

// A lock that renews itself is kept over a change of connections, and is free after grace and lease without one.
func TestRenewedLockIsKept(t *testing.T) {
	t.Parallel()
	const lease = 2 * time.Second
	for _, how := range []string{"other node", "killed node", "not back"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t)
			f.grace = 2 * time.Second
			a, b := f.node(), f.node()
			watch := f.open(b)
			s, id := f.named(a, "c")
			g := s.hold("1", renewing(request("x", "c", lease, 0)))
			watch.ask("next", request("x", "other", minute, minute))
			f.hears(watch.told, "next queued at 1 behind 1")
			begin := time.Now()
			if how == "killed node" {
				a.kill()
			} else {
				s.close()
			}
			if how == "not back" {
				f.hears(watch.told, "next granted")
				if took := time.Since(begin); took < f.grace || took > f.grace+lease+5*time.Second {
					t.Errorf("free after %s, with a grace of %s and a lease of %s", took, f.grace, lease)
				}
				return
			}
			again := f.back(b, "c", id)
			f.hears(again.told, "1 granted")
			if now := again.grant("1"); now.LockID != g.LockID || now.Token != g.Token || now.RenewalToken != g.RenewalToken {
				t.Errorf("%+v, was %+v", now, g)
			}
			f.eventually("five leases", 30*time.Second, func() bool { return time.Since(begin) > f.grace+5*lease })
			if watch.has("next granted") {
				t.Fatal("the lock was lost")
			}
			again.free("1")
			f.hears(watch.told, "next granted")
		})
	}
}

// A grant that never reached its client is given back, and its place kept.
func TestUndeliveredGrant(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	a, b := f.node(), f.node()
	holder := f.open(b)
	holder.hold("0", request("x", "holder", minute, 0))
	s, id := f.named(a, "c")
	s.ask("mine", request("x", "c", minute, minute))
	f.hears(s.told, "mine queued at 1 behind 1")
	holder.ask("next", request("x", "other", minute, minute))
	f.hears(holder.told, "next queued at 2 behind 1")
	holder.free("0")
	f.hears(s.told, "mine granted")
	s.Close(func() []*queue.Request { return []*queue.Request{s.asked["mine"]} })
	f.hears(holder.told, "next granted")
	again := f.back(b, "c", id)
	f.hears(again.told, "mine queued at 1 behind 1")
	holder.free("next")
	f.hears(again.told, "mine granted")
}

// Many requests of one session in one partition and in all are found again, and in order.
func TestManyAreResumed(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	a, b := f.node(), f.node()
	holder := f.open(b)
	s, id := f.named(a, "c")
	const locks = 300
	for i := range locks {
		name := fmt.Sprint("lock-", i)
		holder.hold(name, request(name, "holder", minute, 0))
		s.ask(name, request(name, "c", minute, minute))
		s.ask("own-"+name, renewing(request("own-"+name, "c", minute, 0)))
	}
	for i := range locks {
		f.hears(s.told, "lock-%d queued at 1 behind 1", i)
		f.hears(s.told, "own-lock-%d granted", i)
	}
	s.close()
	again := f.back(b, "c", id)
	for i := range locks {
		f.hears(again.told, "lock-%d queued at 1 behind 1", i)
		f.hears(again.told, "own-lock-%d granted", i)
	}
	for i := range locks {
		holder.free(fmt.Sprint("lock-", i))
		f.hears(again.told, "lock-%d granted", i)
	}
}

// After Redis lost everything, a session that is connected is there again, with its places.
func TestSessionOutlivesDataLoss(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	a, b := f.node(), f.node()
	holder := f.open(b)
	holder.hold("0", request("x", "holder", minute, 0))
	s, id := f.named(a, "c")
	s.ask("mine", request("x", "c", minute, minute))
	f.hears(s.told, "mine queued at 1 behind 1")
	f.do(f.plain(), "FLUSHALL")
	f.hears(s.told, "mine granted")
	f.stays(a, "x")
	s.free("mine")
	f.eventually("written down again", 5*time.Second, func() bool {
		n, err := f.plain().Do(t.Context(), f.plain().B().Keys().Pattern("*:home:"+id).Build()).AsStrSlice()
		return err == nil && len(n) == 1
	})
	s.close()
	f.back(b, "c", id)
}

// Without any grace, a place is gone with its connection.
func TestNoGrace(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.grace = 0
	a, b := f.node(), f.node()
	holder := f.open(b)
	holder.hold("0", request("x", "holder", minute, 0))
	s, id := f.named(a, "c")
	s.ask("mine", request("x", "c", minute, minute))
	f.hears(s.told, "mine queued at 1 behind 1")
	holder.ask("next", request("x", "other", minute, minute))
	f.hears(holder.told, "next queued at 2 behind 1")
	s.close()
	<-s.settled
	holder.free("0")
	f.hears(holder.told, "next granted")
	late := f.open(b)
	f.eventually("forgotten", 5*time.Second, func() bool {
		there, err := b.store.TakeSession(t.Context(), id, "c")
		return err == nil && !there
	})
	late.close()
}

// A node that gives back late what its connection could not deliver takes nothing from the session that went on elsewhere.
func TestLateGiveBackTakesNothing(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	a, b := f.node(), f.node()
	s, id := f.named(a, "c")
	s.hold("1", renewing(request("x", "c", minute, 0)))
	again := f.back(b, "c", id)
	f.hears(again.told, "1 granted")
	a.giveUp(s.asked["1"], true)
	a.giveUp(s.asked["1"], false)
	f.stays(b, "x")
	again.free("1")
}

// A grant that an earlier connection was told of, and that is told again over one that breaks, is not given back: its
// client may know of it by the first.
func TestUndeliveredRepeat(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	a, b := f.node(), f.node()
	s, id := f.named(a, "c")
	first := request("x", "c", minute, minute)
	first.ID, first.Known = "R", true
	s.ask("1", first)
	f.hears(s.told, "1 granted")
	token := s.grant("1").Token
	s.close()
	again := f.back(b, "c", id)
	repeat := request("x", "c", minute, minute)
	repeat.ID, repeat.Known = "R", true
	again.ask("2", repeat)
	f.hears(again.told, "2 granted")
	if got := again.grant("2"); got.Token != token || !repeat.Earlier {
		t.Fatalf("%+v, earlier %t", got, repeat.Earlier)
	}
	again.Close(func() []*queue.Request { return []*queue.Request{again.asked["2"]} })
	third := f.back(a, "c", id)
	more := request("x", "c", minute, minute)
	more.ID, more.Known = "R", true
	third.ask("3", more)
	f.hears(third.told, "3 granted")
	if got := third.grant("3").Token; got != token {
		t.Fatalf("token %d, was %d: it was given back in between", got, token)
	}
	// Over REST likewise: the answer to a repeat that does not come through takes nothing away.
	rest := request("x", "c", minute, minute)
	rest.ID, rest.Known = "R", true
	if g := f.held(a, rest); g.Token != token {
		t.Fatal(g.Token)
	}
	a.Abandon(rest)
	other := request("x", "d", minute, 0)
	if _, _, err := b.Acquire(t.Context(), other); err == nil {
		t.Fatal("another holds it too")
	}
}
