package service

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"distributedlock/queue"
)

const minute = time.Minute

func TestSessionTakesAndWaits(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	a, b := f.open(f.node()), f.open(f.node())
	first := a.hold("1", request("x", "a", minute, 0))
	b.ask("2", request("x", "b", minute, minute))
	f.hears(b.told, "2 queued at 1 behind 1")
	a.ask("3", request("x", "a", minute, 0))
	f.hears(a.told, "3 failed")
	var busy *queue.BusyError
	if !errors.As(a.err("3"), &busy) || busy.Queue != 1 || len(busy.Holders) != 1 || busy.TimedOut {
		t.Errorf("%v", a.err("3"))
	}
	a.free("1")
	f.hears(b.told, "2 granted")
	if b.grant("2").Token <= first.Token {
		t.Error("the token did not rise")
	}
	if b.Uses("2") {
		t.Error("a granted request is still under way")
	}
}

func TestSessionPositions(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	a, b := f.node(), f.node()
	holder, w := f.open(a), f.open(b)
	holder.hold("0", request("x", "a", minute, 0))
	for i := 1; i <= 4; i++ {
		frame := fmt.Sprint(i)
		w.ask(frame, request("x", "c"+frame, minute, minute))
		f.hears(w.told, "%s queued at %d behind 1", frame, i)
	}
	holder.free("0")
	f.hears(w.told, "1 granted")
	for i := 2; i <= 4; i++ {
		f.hears(w.told, "%d moved to %d", i, i-1)
	}
	if err := w.Cancel("2", "", func(error) {}); err != nil {
		t.Fatal(err)
	}
	f.failsWith(w, "2", queue.ErrCancelled)
	f.hears(w.told, "3 moved to 1")
	f.hears(w.told, "4 moved to 2")
	w.free("1")
	f.hears(w.told, "3 granted")
	f.hears(w.told, "4 moved to 1")
}

func TestSessionRefuses(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	s := f.open(f.node())
	s.hold("0", request("x", "a", minute, 0))
	s.ask("1", request("x", "a", minute, minute))
	if q := request("y", "a", minute, 0); s.Acquire(&queue.Request{Frame: "1", Name: q.Name, Client: "a"}) != queue.ErrInUse { //nolint:errorlint // as it is
		t.Error("the same frame twice")
	}
	f.hears(s.told, "1 queued at 1 behind 1")
	if err := s.Cancel("7", "", func(error) {}); !errors.Is(err, queue.ErrNoRequest) {
		t.Error(err)
	}
	for i := 2; i <= maxAsks; i++ {
		q := request("x", "a", minute, minute)
		q.Frame = fmt.Sprint(i)
		if err := s.Acquire(q); err != nil {
			t.Fatal(i, err)
		}
	}
	q := request("x", "a", minute, minute)
	q.Frame = "more"
	if err := s.Acquire(q); !errors.Is(err, queue.ErrBusy) {
		t.Error(err)
	}
	s.Flush()
	f.eventually("all in line", 10*time.Second, func() bool {
		st, err := s.m.Status(t.Context(), "x", 0)
		return err == nil && st.Queue == maxAsks
	})
	s.close()
	f.eventually("none in line", 10*time.Second, func() bool {
		st, err := s.m.Status(t.Context(), "x", 0)
		return err == nil && st.Queue == 0
	})
}

func TestSessionCancelsAndTires(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	m := f.node()
	s := f.open(m)
	s.hold("0", request("x", "a", minute, 0))
	s.ask("short", request("x", "b", minute, 200*time.Millisecond))
	var busy *queue.BusyError
	f.hears(s.told, "short failed")
	if !errors.As(s.err("short"), &busy) || !busy.TimedOut || len(busy.Holders) != 1 || busy.Waited < 200*time.Millisecond {
		t.Errorf("%+v", s.err("short"))
	}
	q := request("x", "b", minute, minute)
	q.ID, q.Known = "r1", true
	s.ask("1", q)
	f.hears(s.told, "1 queued at 1 behind 1")
	done := make(chan struct{})
	if err := s.Cancel("", "r1", func(error) { close(done) }); err != nil {
		t.Fatal(err)
	}
	<-done
	f.failsWith(s, "1", queue.ErrCancelled)
	if st, err := m.Status(t.Context(), "x", 10); err != nil || st.Queue != 0 {
		t.Error(st, err)
	}
	// Taken back before it was even sent.
	q = request("y", "b", minute, minute)
	q.Frame = "2"
	if err := s.Acquire(q); err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	if err := s.Cancel("2", "", func(error) { close(gone) }); err != nil {
		t.Fatal(err)
	}
	s.Flush()
	<-gone
	f.failsWith(s, "2", queue.ErrCancelled)
	f.eventually("free", 5*time.Second, func() bool {
		st, err := m.Status(t.Context(), "y", 0)
		return err == nil && !st.Locked()
	})
}

// A lock that a session held is told lost on whatever node that session is.
func TestSessionIsToldOfLosses(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	a, b := f.node(), f.node()
	s, id := f.named(a, "c")
	short := s.hold("1", request("short", "c", 300*time.Millisecond, 0))
	forced := s.hold("2", request("forced", "c", minute, 0))
	f.hears(s.told, "lost short %s expired", short.LockID)
	if _, err := b.ForceRelease(t.Context(), "forced", "why", "me"); err != nil {
		t.Fatal(err)
	}
	f.hears(s.told, "lost forced %s force_released", forced.LockID)
	moved := s.hold("3", request("moved", "c", minute, 0))
	away := s.hold("4", renewing(request("away", "c", minute, 0)))
	s.close()
	<-s.settled
	if _, err := a.ForceRelease(t.Context(), "away", "why", "me"); err != nil {
		t.Fatal(err)
	}
	again := f.back(b, "c", id)
	f.hears(again.told, "lost away %s force_released", away.LockID)
	if _, err := a.ForceRelease(t.Context(), "moved", "why", "me"); err != nil {
		t.Fatal(err)
	}
	f.hears(again.told, "lost moved %s force_released", moved.LockID)
}

// A loss that was published while the node did not hear is told once it hears again.
func TestSessionIsToldOfLossesUnheard(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	s := f.open(f.node())
	g := s.hold("1", renewing(request("x", "c", minute, 0)))
	deafen := func(o *queue.Options) {
		o.Patch = func(_, source string) string { return strings.ReplaceAll(source, ".. LOST,", ".. LOST .. 'x',") }
	}
	if _, err := f.node(deafen).ForceRelease(t.Context(), "x", "why", "me"); err != nil {
		t.Fatal(err)
	}
	f.do(f.plain(), "CLIENT", "KILL", "TYPE", "pubsub")
	f.hears(s.told, "lost x %s expired", g.LockID)
}

// TestRenewalsTravelTogether counts the scripts that renew a thousand leases: one for many of a partition and a moment.
func TestRenewalsTravelTogether(t *testing.T) {
	t.Parallel()
	const locks = 1000
	f := newFleet(t)
	n := f.node()
	s := f.open(n)
	for i := range locks {
		q := renewing(request(fmt.Sprint("lock-", i), "c", 6*time.Second, 0))
		q.Frame = q.Name
		if err := s.Acquire(q); err != nil {
			t.Fatal(err)
		}
	}
	s.Flush()
	for i := range locks {
		f.hears(s.told, "lock-%d granted", i)
	}
	before := n.met.renewals.Get()
	scripts, _ := f.scripts()
	f.eventually("renewed twice each", 20*time.Second, func() bool { return n.met.renewals.Get() >= before+2*locks })
	after, _ := f.scripts()
	t.Logf("%.0f scripts for %d renewals", after-scripts, n.met.renewals.Get()-before)
	if after-scripts > locks/2 {
		t.Error("one by one")
	}
}
