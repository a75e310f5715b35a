package queue

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// changing are all calls that change something, each as one would find it work on what crowd sets up.
func changing(s *Store) map[string]func() error {
	ctx := context.Background()
	return map[string]func() error{
		"acquire": func() error { _, err := s.Acquire(ctx, ask("free", "c9"), maxLine); return err },
		"queue":   func() error { _, err := s.Acquire(ctx, ask("x", "c9", wait(time.Minute)), maxLine); return err },
		"release": func() error { _, _, err := s.Release(ctx, "y", "c1", "L-c1"); return err },
		"renew":   func() error { _, _, err := s.Renew(ctx, "x", "c1", "R-c1", time.Hour); return err },
		"cancel":  func() error { _, err := s.Cancel(ctx, ask("x", "c2"), false); return err },
		"park":    func() error { _, err := s.Cancel(ctx, ask("x", "c3"), true); return err },
		"claim":   func() error { _, err := s.Claim(ctx, 0); return err },
		"due":     func() error { _, err := s.Due(ctx, 0); return err },
		"force":   func() error { _, _, err := s.ForceRelease(ctx, "z", "why"); return err },
		"fail":    func() error { _, _, err := s.Fail(ctx, waitFor(ask("x", "c3")), "L-c3", someCycle); return err },
		"bury":    func() error { _, err := s.Bury(ctx, "x", "gone"); return err },
	}
}

// crowd makes something for each of them to change: holders, a line, a grant to claim, a lease that is over.
func crowd(w *world) {
	w.t.Helper()
	w.alive("a", "b", "gone")
	w.take("b", ask("v", "c1"))
	w.stand("a", ask("v", "c2", ids("L-v", "R-v")))
	for _, name := range []string{"x", "y", "z"} {
		w.take("b", ask(name, "c1"))
	}
	w.stand("a", ask("x", "c2"))
	w.stand("a", ask("x", "c3"))
	w.stand("gone", ask("x", "c4"))
	w.dies("gone")
	if _, _, err := w.store("b").Release(context.Background(), "v", "c1", "L-c1"); err != nil {
		w.t.Fatal(err)
	}
	w.take("b", ask("over", "c1", lease(time.Millisecond)))
	for _, s := range w.stores {
		for _, sc := range []script{s.calls, s.returns, s.renew, s.cancel, s.claim, s.due, s.force, s.bury, s.fail} {
			w.do("SCRIPT", "LOAD", sc.text)
		}
	}
}

var lives = regexp.MustCompile(`, lives \d+s`)

// settled is the state without the times that run down by themselves.
func (w *world) settled() string { return lives.ReplaceAllString(w.dump(), "") }

func (w *world) scriptsRun() int64 {
	w.t.Helper()
	info, err := w.do("INFO", "commandstats").ToString()
	if err != nil {
		w.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(infoField(info, "cmdstat_evalsha"), "calls=")
	n, _, _ := strings.Cut(rest, ",")
	return numbers([]string{n})[0]
}

// TestWokenRedisRefusesOldCommands stops Redis while calls are on their way, for longer than the calls may take. When
// it wakes it finds them in its sockets, and must not carry them out.
func TestWokenRedisRefusesOldCommands(t *testing.T) {
	t.Parallel()
	w := newRealTime(t)
	crowd(w)
	calls := map[string]func() error{}
	for name := range changing(nil) { // a connection for each call, or one that gets no answer holds up the rest
		s := w.store("a-"+name, func(o *Options) { o.Node, o.CommandTimeout = "a", 400*time.Millisecond })
		if _, err := s.Status(t.Context(), "x", 0); err != nil {
			t.Fatal(err)
		}
		calls[name] = changing(s)[name]
	}
	before, ran := w.settled(), w.scriptsRun()
	if err := w.redis.Pause(); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for name, call := range calls {
		wg.Go(func() {
			if err := call(); !errors.Is(err, ErrUnknown) {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	wg.Wait()
	past := time.NewTimer(200 * time.Millisecond) // well past the last moment of each
	<-past.C
	if err := w.redis.Resume(); err != nil {
		t.Fatal(err)
	}
	w.eventually("the old commands were looked at", 5*time.Second, func() bool { return w.scriptsRun() >= ran+int64(len(calls)) })
	if after := w.settled(); after != before {
		t.Errorf("something was done:\n%s", differ(before, after))
	}
}

// TestBriefPauseDelays is the other side: what is carried out in time takes effect, however late its answer.
func TestBriefPauseDelays(t *testing.T) {
	t.Parallel()
	w := newRealTime(t)
	crowd(w)
	s := w.store("a")
	before := w.settled()
	w.do("CLIENT", "PAUSE", "200", "ALL")
	for name, call := range changing(s) {
		if err := call(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if w.settled() == before {
		t.Error("nothing was done")
	}
}

// TestFullMemory has Redis refuse to grow: no lock is given, none is half given, and all that frees goes on.
func TestFullMemory(t *testing.T) {
	t.Parallel()
	w := newRealTime(t)
	crowd(w)
	s := w.store("a")
	before := w.settled()
	w.do("CONFIG", "SET", "maxmemory", "1")
	calls := changing(s)
	for _, name := range []string{"acquire", "queue"} {
		if err := calls[name](); !errors.Is(err, ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
		delete(calls, name)
	}
	if after := w.settled(); after != before {
		t.Errorf("a refused acquire left something:\n%s", differ(before, after))
	}
	for name, call := range calls {
		if err := call(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if st, err := s.Status(t.Context(), "y", 0); err != nil || st.Locked() {
		t.Errorf("released: %v, locked %t", err, st.Locked())
	}
	if st, err := s.Status(t.Context(), "x", 10); err != nil || st.Queue != 0 {
		t.Errorf("cancelled, parked and buried: %v, %d in line", err, st.Queue)
	}
	w.do("CONFIG", "SET", "maxmemory", "0")
	if err := changing(s)["acquire"](); err != nil {
		t.Errorf("after there is room again: %v", err)
	}
}

// TestForgottenScripts has Redis forget all scripts, as a promoted replica has: each call works all the same.
func TestForgottenScripts(t *testing.T) {
	t.Parallel()
	w := newRealTime(t)
	crowd(w)
	for name, call := range changing(w.store("a")) {
		w.do("SCRIPT", "FLUSH")
		if err := call(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestTokensRise takes Redis's data and sets its clock back, alone and together.
func TestTokensRise(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.store("a")
	last := int64(0)
	step := func(what string) {
		t.Helper()
		g := w.take("a", ask("x", "c1"))
		if g.Token <= last {
			t.Errorf("%s: token %d after %d", what, g.Token, last)
		}
		last = g.Token
		if st, err := s.Status(t.Context(), "x", 0); err != nil || len(st.Holders) != 1 || st.Holders[0].Token != g.Token {
			t.Errorf("%s: the record says %v, %v, not token %d", what, st.Holders, err, g.Token)
		}
		if _, _, err := s.Release(t.Context(), "x", "c1", "L-c1"); err != nil {
			t.Fatal(err)
		}
	}
	step("at first")
	step("in the same microsecond")
	w.clock(-time.Hour)
	step("clock an hour back")
	w.do("FLUSHALL")
	w.clock(0)
	step("data lost, clock an hour back")
	w.do("FLUSHALL")
	w.clock(2 * time.Hour)
	step("data lost")
}

// TestLongTokens draws tokens one by one just below 2^53, where a number that passes a float too often loses digits.
func TestLongTokens(t *testing.T) {
	t.Parallel()
	w := newRealTime(t)
	s := w.store("a")
	const high = 1<<53 - 200
	s.remember(high)
	s.remember(5) // never lower
	var queuedAt []int64
	first := w.take("a", ask("x", "c0"))
	if first.Token != high+1 {
		t.Fatalf("token %d, want %d", first.Token, int64(high+1))
	}
	for i := range 50 {
		a := w.stand("a", ask("x", string(rune('A'+i))))
		if want := int64(high + 2 + i); a.Ticket != want {
			t.Fatalf("ticket %d, want %d", a.Ticket, want)
		}
		queuedAt = append(queuedAt, a.Ticket)
	}
	st, err := w.store("b").Status(t.Context(), "x", 100)
	if err != nil || len(st.Waiters) != 50 {
		t.Fatal(len(st.Waiters), err)
	}
	var read []int64
	for _, q := range st.Waiters {
		read = append(read, q.Ticket)
	}
	if !slices.Equal(read, queuedAt) {
		t.Errorf("tickets %v read as %v", queuedAt, read)
	}
	if _, e, err := s.Release(t.Context(), "x", "c0", "L-c0"); err != nil || len(e.Handed) != 1 || e.Handed[0].Token != high+52 {
		t.Errorf("handed over: %+v, %v", e.Handed, err)
	}
}

// TestLongDeadLine puts more dead requests before a live one than one call looks at: the note brings the rest.
func TestLongDeadLine(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.alive("a", "gone")
	w.take("a", ask("x", "c0"))
	for i := range 2*batch + 10 {
		if _, err := w.store("gone").Acquire(t.Context(), ask("x", string(rune('A'+i)), wait(time.Hour)), 1000); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.store("a").Acquire(t.Context(), ask("x", "live", wait(time.Hour)), 1000); err != nil {
		t.Fatal(err)
	}
	w.dies("gone")
	_, e, err := w.store("a").Release(t.Context(), "x", "c0", "L-c0")
	if err != nil || e.Queue != batch+11 || len(e.Handed) != 0 {
		t.Fatalf("%+v, %v", e, err)
	}
	var handed []Handed
	looks := 0
	for ; len(handed) == 0 && looks < 5; looks++ {
		r, err := w.store("a").Due(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		handed = r.Handed
	}
	if len(handed) != 1 || handed[0].LockID != "L-live" || looks != 2 {
		t.Fatalf("after %d looks: %+v", looks, handed)
	}
	if got := pages(t, w.store("a"), "", 10); !slices.Equal(got, []string{"x"}) {
		t.Errorf("the lock granted at last is not listed: %v", got)
	}
	if tot, err := w.store("a").Totals(t.Context()); err != nil || tot.Active != 1 {
		t.Errorf("%d locks held, %v", tot.Active, err)
	}
}

// TestManyLeasesOver ends more leases at once than one call takes: each call does its share and says when to go on.
func TestManyLeasesOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const locks = 2*batch + 10
	for i := range locks {
		w.take("a", ask(strings.Repeat("x", i+1), "c", lease(time.Second)))
	}
	w.clock(2 * time.Second)
	for _, want := range []int{batch, batch, 10, 0} {
		r, err := w.store("b").Due(t.Context(), 0)
		if err != nil || r.Expired != want {
			t.Fatalf("%d ended, want %d; %v", r.Expired, want, err)
		}
		if more := r.Next > 0 && r.Next <= time.Millisecond; more != (want == batch) {
			t.Errorf("after %d the next look is in %s", want, r.Next)
		}
	}
}
