package distributedlock_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	lock "distributedlock/clients/go"
)

// With a second endpoint, a wait goes on in its place when the node dies, and a lock that is renewed lives.
func TestNodeKilledWithAnother(t *testing.T) {
	t.Parallel()
	r := startRedis(t)
	a, b := r.start(t), r.start(t)
	watcher := client(t, b.url)
	holder := client(t, a.url, lock.WithEndpoints(b.url))
	kept := must[*lock.Lock](t)(holder.Acquire("x", 3*time.Second, lock.WithAutoRenew()))
	order := line(t, watcher, "x", client(t, a.url, lock.WithEndpoints(b.url)), client(t, b.url), client(t, a.url, lock.WithEndpoints(b.url)), client(t, b.url))
	a.kill()
	time.Sleep(4 * time.Second) // longer than a lease
	if err := kept.Err(); err != nil {
		t.Fatal(err)
	}
	if s := must[*lock.Status](t)(watcher.Status(t.Context(), "x")); s.FencingToken != kept.FencingToken || s.QueueLength != 4 {
		t.Fatalf("%+v", s)
	}
	if err := kept.Release(); err != nil {
		t.Fatal(err)
	}
	inOrder(t, order, 4)
}

// loss holds locks of ttl through a node, has what happen to the node while they are held, and sees that no lock's
// context outlives its lease, as another node knows it: who is not cancelled by the end is told so.
func loss(t *testing.T, rounds int, ttl time.Duration, opts []lock.Option, what func(*node)) {
	r := startRedis(t)
	judge := client(t, r.start(t).url)
	n := r.start(t)
	var done sync.WaitGroup
	begun := make(chan struct{}, rounds)
	gone := make(chan struct{})
	for i := range rounds {
		done.Go(func() {
			c := lock.NewDistributedLockClient(n.url)
			defer c.Close()
			name := fmt.Sprint("lost-", i)
			time.Sleep(time.Duration(i) * ttl / time.Duration(4*rounds))
			l, err := c.Acquire(name, ttl, opts...)
			begun <- struct{}{}
			if err != nil {
				t.Error(err)
				return
			}
			<-gone
			select {
			case <-l.Done():
			case <-time.After(ttl + 5*time.Second):
				t.Error("not cancelled at all")
				return
			}
			cancelled := time.Now()
			if !errors.Is(context.Cause(l.Context()), lock.ErrLockLost) || !errors.Is(l.Err(), lock.ErrLockLost) {
				t.Error(l.Err())
			}
			// The truth: at a moment after the cancellation, the lease has still to run.
			s, err := judge.Status(context.Background(), name)
			if asked := time.Since(cancelled); err != nil || !s.Locked || s.FencingToken != l.FencingToken {
				t.Errorf("%v after the cancellation, which came %v before ExpiresAt, the lease had ended: %+v, %v", asked, l.ExpiresAt().Sub(cancelled), s, err)
			}
		})
	}
	for range rounds {
		<-begun
	}
	what(n)
	close(gone)
	done.Wait()
}

func TestNodeKilledAlone(t *testing.T) {
	t.Parallel()
	loss(t, 100, 3*time.Second, nil, (*node).kill)
}

func TestNodeKilledAloneWhileRenewing(t *testing.T) {
	t.Parallel()
	loss(t, 100, 3*time.Second, []lock.Option{lock.WithAutoRenew()}, func(n *node) {
		time.Sleep(1500 * time.Millisecond)
		n.kill()
	})
}

func TestNodeStopped(t *testing.T) {
	t.Parallel()
	loss(t, 20, 2*time.Second, []lock.Option{lock.WithAutoRenew()}, func(n *node) {
		time.Sleep(time.Second)
		n.signal(syscall.SIGSTOP)
	})
}

// A node that stands still is left for another before the lease of what is renewed ends.
func TestNodeStoppedWithAnother(t *testing.T) {
	t.Parallel()
	r := startRedis(t)
	a, b := r.start(t), r.start(t)
	c, watcher := client(t, a.url, lock.WithEndpoints(b.url)), client(t, b.url)
	l := must[*lock.Lock](t)(c.Acquire("x", 6*time.Second, lock.WithAutoRenew()))
	a.signal(syscall.SIGSTOP)
	time.Sleep(9 * time.Second)
	if err := l.Err(); err != nil {
		t.Fatal(err)
	}
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
	free(t, watcher, "x")
}

// A grant that was long on its way: the deadline is the lease's all the same.
func TestLateGrant(t *testing.T) {
	t.Parallel()
	n := shared(t)
	for _, auto := range []bool{false, true} {
		p := startProxy(t, n.addr)
		name, c, judge := name(t), client(t, p.url), client(t, n.url)
		holder := must[*lock.Lock](t)(judge.Acquire(name, 30*time.Second))
		var opts []lock.Option
		if auto {
			opts = append(opts, lock.WithAutoRenew())
		}
		got := make(chan *lock.Lock, 1)
		go func() {
			l, err := c.Acquire(name, 4*time.Second, opts...)
			if err != nil {
				t.Error(err)
			}
			got <- l
		}()
		queue(t, judge, name, 1)
		time.Sleep(time.Second)
		p.late.Store(int64(2 * time.Second))
		if err := holder.Release(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "granted", 5*time.Second, func() bool {
			return must[*lock.Status](t)(judge.Status(t.Context(), name)).FencingToken > holder.FencingToken
		})
		s := must[*lock.Status](t)(judge.Status(t.Context(), name))
		ends := time.Now().Add(time.Duration(s.Holders[0].TTLMs) * time.Millisecond)
		l := <-got
		if l == nil {
			return
		}
		if !auto && l.ExpiresAt().After(ends.Add(10*time.Millisecond)) {
			t.Fatalf("ExpiresAt is %v after the lease's end", l.ExpiresAt().Sub(ends))
		}
		if auto {
			p.late.Store(0)
			time.Sleep(time.Until(ends.Add(time.Second)))
			if err := l.Err(); err != nil {
				t.Fatal(err)
			}
			if err := l.Release(); err != nil {
				t.Fatal(err)
			}
			continue
		}
		<-l.Done()
		if !time.Now().Before(ends) {
			t.Fatal("cancelled after the lease's end")
		}
		if !errors.Is(l.Err(), lock.ErrLockLost) {
			t.Fatal(l.Err())
		}
	}
}

// SIGTERM: the client goes to the next node at once; waits keep their places, locks live.
func TestDrain(t *testing.T) {
	t.Parallel()
	r := startRedis(t)
	a, b := r.start(t), r.start(t)
	watcher := client(t, b.url)
	c := client(t, a.url, lock.WithEndpoints(b.url))
	kept := must[*lock.Lock](t)(c.Acquire("kept", 2*time.Second, lock.WithAutoRenew()))
	holder := must[*lock.Lock](t)(c.Acquire("x", 30*time.Second))
	order := line(t, watcher, "x", c, client(t, b.url))
	a.signal(syscall.SIGTERM)
	begin := time.Now()
	l, err := c.Acquire("new", time.Second)
	if err != nil || time.Since(begin) > 3*time.Second {
		t.Fatal(time.Since(begin), err)
	}
	_ = l.Release()
	time.Sleep(3 * time.Second)
	if err := errors.Join(kept.Err(), holder.Err(), holder.Release()); err != nil {
		t.Fatal(err)
	}
	inOrder(t, order, 2)
	if err := kept.Release(); err != nil {
		t.Fatal(err)
	}
}

func TestDeadEndpoints(t *testing.T) {
	t.Parallel()
	n := shared(t)
	dead := "http://127.0.0.1:" + freePort(t)
	for _, opts := range [][]lock.ClientOption{nil, {lock.WithoutWebSocket()}} {
		c := client(t, dead, append(opts, lock.WithEndpoints(dead, n.url))...)
		l, err := c.TryAcquire(t.Context(), name(t), time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Release(); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Stats(t.Context()); err != nil {
			t.Fatal(err)
		}
		lost := client(t, dead, opts...)
		begin := time.Now()
		if _, err := lost.AcquireContext(within(t, 300*time.Millisecond), "x", time.Second); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		_, err = lost.TryAcquire(t.Context(), "x", time.Second)
		if d := time.Since(begin); !errors.Is(err, lock.ErrUnavailable) || !strings.Contains(err.Error(), "refused") || d > 7*time.Second || d < 4*time.Second {
			t.Fatal(d, err)
		}
		if _, err := lost.Status(t.Context(), "x"); !errors.Is(err, lock.ErrUnavailable) {
			t.Fatal(err)
		}
	}
}

func TestTokens(t *testing.T) {
	t.Parallel()
	n := startRedis(t).start(t, "CLIENT_TOKEN=secret")
	for _, opts := range [][]lock.ClientOption{{}, {lock.WithoutWebSocket()}} {
		wrong := client(t, n.url, append(opts, lock.WithToken("wrong"))...)
		if _, err := wrong.Acquire("x", time.Second); !errors.Is(err, lock.ErrUnauthorized) {
			t.Fatal(err)
		}
		right := client(t, n.url, append(opts, lock.WithToken("secret"))...)
		l := must[*lock.Lock](t)(right.Acquire("x", time.Second))
		if err := l.Release(); err != nil {
			t.Fatal(err)
		}
		if _, err := right.ForceRelease(t.Context(), "x", ""); !errors.Is(err, lock.ErrForbidden) {
			t.Fatal(err)
		}
	}
}
