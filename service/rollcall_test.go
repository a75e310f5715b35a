package service

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"distributedlock/queue"
	"distributedlock/queue/embedded"
)

// gate is a node's way to Redis, which can be shut.
type gate struct {
	*proxy
	shut atomic.Bool
}

// gated starts a node behind a gate.
func gated(t *testing.T, f *fleet) (*member, *gate) {
	t.Helper()
	g := &gate{proxy: newProxy(t, f, "none")}
	return f.node(g.through, func(o *queue.Options) {
		o.Redis.DialCtxFn = func(ctx context.Context, addr string, d *net.Dialer, _ *tls.Config) (net.Conn, error) {
			if g.shut.Load() {
				return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("the gate is shut")}
			}
			return d.DialContext(ctx, "tcp", addr)
		}
	}), g
}

// TestLateNodeIsWaitedFor has two nodes lose Redis for so long that both count as gone, and one of them find it again long
// before the other: the waiting requests of the late one are not passed over, whether the lock is held then or free.
func TestLateNodeIsWaitedFor(t *testing.T) {
	t.Run("held", func(t *testing.T) {
		t.Parallel()
		lateNode(t, time.Minute, false)
	})
	t.Run("one master of several", func(t *testing.T) {
		t.Parallel()
		lateNode(t, 300*time.Millisecond, false, "dl:{0}:node:*")
	})
	t.Run("free", func(t *testing.T) {
		t.Parallel()
		lateNode(t, 300*time.Millisecond, false)
	})
	t.Run("cancel", func(t *testing.T) { // which serves the line, too
		t.Parallel()
		lateNode(t, 300*time.Millisecond, true)
	})
}

func lateNode(t *testing.T, lease time.Duration, cancels bool, but ...string) {
	f := newFleet(t, embedded.TCP())
	early, first := gated(t, f)
	late, second := gated(t, f)
	begin, holder := time.Now(), request("x", "holder", lease, 0)
	if _, _, err := early.Acquire(t.Context(), holder); err != nil {
		t.Fatal(err)
	}
	got := waits(f, []*member{late, early}, "x", 4, time.Minute)
	gone, goAway := context.WithCancel(t.Context())
	defer goAway()
	left := make(chan error, 1)
	go func() {
		_, _, err := early.Acquire(gone, request("x", "goes away", time.Minute, time.Minute))
		left <- err
	}()
	f.eventually("it stands in line", 5*time.Second, func() bool { return len(early.parts[early.store.Partition("x")].places.inLine()) == 3 })
	for _, g := range []*gate{first, second} {
		g.shut.Store(true)
		g.cut()
	}
	if time.Since(begin) > lease {
		t.Skip("the machine is too slow: the lease ended before its time")
	}
	f.eventually("both nodes know that Redis is away", 10*time.Second, func() bool { return !early.up.Load() && !late.up.Load() })
	forgetNodes(f, but...)
	if lease < time.Second {
		f.eventually("the lease is over", 5*time.Second, func() bool { return time.Since(begin) > lease+50*time.Millisecond })
	}
	first.shut.Store(false)
	open := time.AfterFunc(time.Second, func() { second.shut.Store(false) }) // as late as a node may hear of a new master
	defer open.Stop()
	if cancels { // while the early one has Redis again, and waits for the late one
		defer time.AfterFunc(300*time.Millisecond, goAway).Stop()
	}
	if err := giveBack(t.Context(), early, "x", "holder", holder.LockID, 10*time.Millisecond); err != nil && lease > time.Second {
		t.Fatal(err)
	}
	expect(t, got, 4, 10*time.Second, func(a answer) {
		if err := giveBack(t.Context(), early, "x", a.client, a.LockID, 10*time.Millisecond); err != nil {
			t.Error(err)
		}
	})
	goAway()
	if err := <-left; err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestPromiseOutlivesRedis has Redis hang between a grant and its claim by the waiter's node: when it wakes, the node has
// its grant still, however quickly another one looks.
func TestPromiseOutlivesRedis(t *testing.T) {
	for _, hangs := range []time.Duration{claimTime + 200*time.Millisecond, 4500 * time.Millisecond} {
		t.Run(hangs.String(), func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, embedded.TCP())
			early := f.node()
			late, way := gated(t, f)
			holder := request("x", "holder", time.Minute, 0)
			if _, _, err := early.Acquire(t.Context(), holder); err != nil {
				t.Fatal(err)
			}
			got := waits(f, []*member{late, early}, "x", 4, time.Minute)
			way.shut.Store(true)
			way.cut()
			if _, err := early.Release(t.Context(), "x", "holder", holder.LockID); err != nil {
				t.Fatal(err)
			}
			if err := f.redis.Pause(); err != nil {
				t.Fatal(err)
			}
			way.shut.Store(false)
			time.Sleep(hangs) //nolint:forbidigo // it hangs for as long
			if err := f.redis.Resume(); err != nil {
				t.Fatal(err)
			}
			expect(t, got, 4, 10*time.Second, func(a answer) {
				if err := giveBack(t.Context(), early, "x", a.client, a.LockID, 10*time.Millisecond); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// claimTime is how long a grant waits for its node.
const claimTime = 2500 * time.Millisecond

// forgetNodes has all nodes count as gone, but where their keys match one of these.
func forgetNodes(f *fleet, but ...string) {
	f.t.Helper()
	c := f.plain()
	keys, err := f.do(c, "KEYS", "dl:{*}:node:*").AsStrSlice()
	if err != nil || len(keys) == 0 {
		f.t.Fatal(keys, err)
	}
	for _, pattern := range but {
		kept, err := f.do(c, "KEYS", pattern).AsStrSlice()
		if err != nil || len(kept) == 0 {
			f.t.Fatal(kept, err)
		}
		keys = slices.DeleteFunc(keys, func(key string) bool { return slices.Contains(kept, key) })
	}
	f.do(c, append([]string{"DEL"}, keys...)...)
}

// TestDeadNodeIsNotWaitedForLong has a node die while Redis is away: the others serve soon all the same.
func TestDeadNodeIsNotWaitedForLong(t *testing.T) {
	t.Parallel()
	f := newFleet(t, embedded.TCP())
	alive, way := gated(t, f)
	dead := f.node()
	way.shut.Store(true)
	way.cut()
	f.eventually("the node knows that Redis is away", 10*time.Second, func() bool { return !alive.up.Load() })
	dead.kill()
	forgetNodes(f)
	way.shut.Store(false)
	begin := time.Now()
	back(t, f, alive, "other")
	if took := time.Since(begin); took < rollCallTime || took > rollCallMost+2*time.Second {
		t.Errorf("served again after %s", took)
	}
}
