package queue

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"distributedlock/queue/embedded"
	"distributedlock/queue/redistest"
)

const quarantineTime = 1200 * time.Millisecond

func careful(o *Options) { o.Quarantine = quarantineTime }

// tries asks for a lock and waits for nothing.
func (w *world) tries(node string, q *Request) (Acquired, error) {
	w.t.Helper()
	return w.store(node).Acquire(context.Background(), q, maxLine)
}

// withheld asks for a lock, must be refused, and returns until when, by Redis's clock.
func (w *world) withheld(node string, q *Request) time.Time {
	w.t.Helper()
	a, err := w.tries(node, q)
	e, ok := errors.AsType[*QuarantineError](err)
	if !ok {
		w.t.Fatalf("%s: %q, %v", q.Client, a.Word, err)
	}
	if e.Left <= 0 || e.Left > quarantineTime || !errors.Is(err, ErrUnavailable) || !errors.Is(err, ErrRefused) {
		w.t.Errorf("%s: %s is left: %v", q.Client, e.Left, err)
	}
	return a.At().Add(e.Left)
}

// outlast waits until the store is out of quarantine.
func (w *world) outlast(node string) {
	w.t.Helper()
	s := w.store(node)
	w.eventually("the quarantine ends", 5*time.Second, func() bool {
		return s.lookAtEras(context.Background()) == nil && s.Quarantine().Left == 0
	})
}

func (w *world) why(node, want string) {
	w.t.Helper()
	if err := w.store(node).lookAtEras(context.Background()); err != nil {
		w.t.Fatal(err)
	}
	if q := w.store(node).Quarantine(); q.Why != want || (want != "") != (q.Left > 0) {
		w.t.Errorf("quarantine: %+v, want %q", q, want)
	}
}

// TestDataLost empties Redis: whatever comes first grants nothing, until every lease from before has run out.
func TestDataLost(t *testing.T) {
	t.Parallel()
	w := newRealTime(t)
	w.store("a", careful)
	w.store("b", careful)
	w.withheld("a", ask("x", "first")) // an empty Redis may have held anything
	w.why("b", "data_lost")
	w.outlast("a")
	for _, first := range []struct {
		name string
		q    *Request
	}{
		{"plain", ask("x", "next")},
		{"short wait", ask("x", "next", wait(quarantineTime/4))},
		{"shared", ask("x", "next", shared)},
		{"limit", ask("x", "next", limit(3))},
		{"auto renewal", ask("x", "next", autoRenew(time.Second, time.Minute))},
		{"again", ask("x", "next", known)},
	} {
		held := w.take("a", ask("x", "holder", lease(quarantineTime)))
		w.do("FLUSHALL")
		until := w.withheld("a", first.q)
		if until.Before(held.End) {
			t.Errorf("%s: it is granted before the lease ends", first.name)
		}
		if _, _, err := w.store("a").Renew(t.Context(), "x", "holder", held.RenewalToken, 0); !errors.Is(err, ErrLost) {
			t.Errorf("%s: renewal: %v", first.name, err)
		}
		w.alive("a", "b")
		w.why("b", "data_lost")
		next := ask("x", "next", wait(time.Minute))
		next.ID = "b"
		if a := w.stand("b", next); a.Next <= 0 || a.Next > quarantineTime {
			t.Errorf("%s: the line is looked at in %s", first.name, a.Next)
		}
		w.outlast("b")
		w.served("b", "next")
	}
}

// served waits until a node finds that its waiter of x has the lock, and gives it back.
func (w *world) served(node, client string) {
	w.t.Helper()
	w.eventually("the line is served", 5*time.Second, func() bool {
		r, err := w.store(node).Due(context.Background(), 0)
		if err != nil || len(r.Handed) == 0 {
			return false
		}
		if _, _, err := w.store(node).Release(context.Background(), "x", client, r.Handed[0].LockID); err != nil {
			w.t.Fatal(err)
		}
		return true
	})
}

// TestAnotherLife restarts Redis with all it had: nothing is granted, what is held is renewed, released and found again, and
// the line is served in order after it. No node has looked before the first command comes.
func TestAnotherLife(t *testing.T) {
	t.Parallel()
	w := newRealTime(t, embedded.Args("--appendonly", "yes", "--appendfsync", "always"))
	w.store("a", careful)
	w.outlast("a")
	w.alive("a")
	x := ask("x", "holder", lease(time.Minute))
	w.take("a", x)
	kept := w.take("a", ask("y", "keeper", lease(time.Minute), known))
	lines := []string{}
	for i := range 3 {
		q := ask("x", fmt.Sprint("w", i), wait(time.Minute))
		lines = append(lines, q.LockID)
		w.stand("a", q)
	}
	if err := w.redis.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := w.redis.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	// A connection that broke is found broken by the first command on it, whose outcome is unknown.
	s := w.store("a")
	s.lanes.reconnect(t.Context())
	w.withheld("a", ask("z", "new"))
	if again := w.take("a", ask("y", "keeper", lease(time.Minute), known)); again.LockID != kept.LockID {
		t.Errorf("asked again: %s, had %s", again.LockID, kept.LockID)
	}
	if _, _, err := s.Renew(t.Context(), "y", "keeper", kept.RenewalToken, 0); err != nil {
		_, _, err = s.Renew(t.Context(), "y", "keeper", kept.RenewalToken, 0)
		if err != nil {
			t.Errorf("renewal: %v", err)
		}
	}
	_, e, err := s.Release(t.Context(), "x", "holder", x.LockID)
	if err != nil || len(e.Handed) > 0 || e.Queue != 3 || e.Next > quarantineTime {
		t.Errorf("released: %+v, %v", e, err)
	}
	w.why("a", "instance_changed")
	w.withheld("a", ask("x", "new"))
	w.outlast("a")
	for i := range 3 {
		r, err := s.Due(t.Context(), 0)
		if i > 0 {
			r.Effects = e
		}
		if err != nil || len(r.Handed) != 1 || r.Handed[0].LockID != lines[i] {
			t.Fatalf("%d. in line: %+v, %v", i, r.Handed, err)
		}
		if _, e, err = s.Release(t.Context(), "x", fmt.Sprint("w", i), lines[i]); err != nil {
			t.Fatal(err)
		}
	}
}

// TestScriptsFlushed has Redis forget the scripts alone, which costs nothing.
func TestScriptsFlushed(t *testing.T) {
	t.Parallel()
	w := newRealTime(t)
	s := w.store("a", careful)
	w.outlast("a")
	w.do("SCRIPT", "FLUSH")
	g := w.take("a", ask("x", "c"))
	w.do("SCRIPT", "FLUSH")
	if _, _, err := s.Renew(t.Context(), "x", "c", g.RenewalToken, 0); err != nil {
		t.Error(err)
	}
	w.why("a", "")
}

// TestClockSteppedForward sets the clock of the scripts on, by more than a command may be late: the first call to come finds
// it before anything is granted.
func TestClockSteppedForward(t *testing.T) {
	t.Parallel()
	w := newWorld(t, embedded.RealOnly())
	w.do("SET", "test:clock", fmt.Sprint(time.Now().UnixMicro()))
	s := w.store("a", careful)
	w.do("SET", "test:clock", fmt.Sprint(time.Now().Add(quarantineTime+10*time.Millisecond).UnixMicro()))
	if err := s.lookAtEras(t.Context()); err != nil || s.Quarantine().Left > 0 {
		t.Fatal(s.Quarantine(), err)
	}
	w.take("a", ask("x", "holder", lease(time.Second)))
	w.do("SET", "test:clock", fmt.Sprint(time.Now().Add(time.Minute).UnixMicro()))
	w.withheld("a", ask("x", "next"))
	w.why("a", "clock_stepped")
}

// TestClockWatch tells steps of a clock from answers that were long on their way.
func TestClockWatch(t *testing.T) {
	t.Parallel()
	const ms = 1000
	c := redisClock{start: time.Now()}
	type read struct{ micros, sent, got int64 }
	see := func(r read) time.Duration {
		by := c.step(r.micros, r.sent, r.got)
		c.keep(r.micros, r.sent, r.got)
		return by
	}
	base := int64(1_700_000_000_000_000)
	for i, one := range []struct {
		read
		want time.Duration
	}{
		{read{base, 0, 2 * ms}, 0},
		{read{base + 1000*ms, 1000 * ms, 1001 * ms}, 0},
		{read{base + 2000*ms, 2000 * ms, 3900 * ms}, 0},                                  // the answer was slow
		{read{base + 5900*ms, 4000 * ms, 5901 * ms}, 0},                                  // the question was slow
		{read{base + 6150*ms, 6100 * ms, 6101 * ms}, 0},                                  // less than is told of
		{read{base + 7000*ms + 250*ms, 7000 * ms, 7001 * ms}, 199 * time.Millisecond},    // forward, for sure by this
		{read{base + 8000*ms + 251*ms, 8000 * ms, 8001 * ms}, 0},                         // and from there on
		{read{base + 9000*ms - 5000*ms, 9000 * ms, 9100 * ms}, -5250 * time.Millisecond}, // back
		{read{base + 10000*ms - 5000*ms, 10000 * ms, 10001 * ms}, 0},
	} {
		if got := see(one.read); (got - one.want).Abs() > 3*time.Millisecond {
			t.Errorf("%d. answer: a step of %s, want %s", i, got, one.want)
		}
	}
	c.forget()
	if by := see(read{base, 20000 * ms, 20001 * ms}); by != 0 {
		t.Errorf("another instance: a step of %s", by)
	}
}

// TestThereAndBack moves a store from a master to its replica, and back again to the first, which still knows the scripts of its
// former time as a master: either way the first command to come is refused.
func TestThereAndBack(t *testing.T) {
	t.Parallel()
	first := redistest.Start(t, embedded.TCP(), embedded.Args("--repl-diskless-sync-delay", "0"))
	second := redistest.Start(t, embedded.TCP(), embedded.Args("--repl-diskless-sync-delay", "0"))
	follow := func(replica, master *embedded.Server) {
		host, port, _ := net.SplitHostPort(master.Addr())
		if err := redistest.Command(replica, "", "REPLICAOF", host, port).Error(); err != nil {
			t.Fatal(err)
		}
		redistest.Until(t, "the replica is in step", 20*time.Second, func() bool {
			info, _ := redistest.Command(replica, "", "INFO", "replication").ToString()
			mine, _ := redistest.Command(master, "", "INFO", "replication").ToString()
			return infoField(info, "master_link_status") == "up" &&
				infoField(info, "slave_repl_offset") == infoField(mine, "master_repl_offset")
		})
	}
	var at atomic.Pointer[string]
	addr := first.Addr()
	at.Store(&addr)
	o := At("tcp", "either")
	o.DialCtxFn = func(ctx context.Context, _ string, d *net.Dialer, _ *tls.Config) (net.Conn, error) {
		return d.DialContext(ctx, "tcp", *at.Load())
	}
	s, err := Open(t.Context(), Options{Redis: o, Node: "a", Partitions: 1, Quarantine: quarantineTime})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	w := &world{t: t, stores: map[string]*Store{"a": s}}
	w.outlast("a")
	w.take("a", ask("x", "holder"))
	follow(second, first)
	for i, from := range []*embedded.Server{first, second} {
		to := []*embedded.Server{second, first}[i]
		if err := redistest.Command(to, "", "REPLICAOF", "NO", "ONE").Error(); err != nil {
			t.Fatal(err)
		}
		addr := to.Addr()
		at.Store(&addr)
		s.links.cut("")
		s.lanes.reconnect(t.Context())
		w.withheld("a", ask(fmt.Sprint("new-", i), "c"))
		_, _ = s.Health(t.Context()) // finds the other connection broken
		w.why("a", "instance_changed")
		w.outlast("a")
		w.take("a", ask(fmt.Sprint("new-", i), "c"))
		follow(from, to)
	}
}
