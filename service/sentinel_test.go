package service

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"distributedlock/queue"
	"distributedlock/queue/redistest"
)

// behind has a node find its Redis by Sentinels.
func behind(s *redistest.Sentinels) func(*queue.Options) {
	return func(o *queue.Options) {
		o.Redis = rueidis.ClientOption{InitAddress: s.Addrs(), Sentinel: rueidis.SentinelOption{MasterSet: s.Name}}
	}
}

// TestMasterKilled kills the master under 100 waiters: its replica serves them, in their order.
func TestMasterKilled(t *testing.T) {
	t.Parallel()
	s := redistest.StartSentinels(t, redistest.SentinelOptions{DownAfter: 4 * time.Second})
	f := &fleet{t: t, grace: 10 * time.Second}
	nodes := []*member{f.node(behind(s)), f.node(behind(s))}
	l := newLedger(t)
	for round := range *rounds {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		was := s.Master()
		c := gather(ctx, f, l, nodes, round, 10, 10)
		l.mark()
		if err := was.Kill(); err != nil {
			t.Fatal(err)
		}
		killed := time.Now()
		c.letGo(ctx)
		c.join(ctx, fmt.Sprintf("late-%d", round))
		s.Promoted(was)
		promoted := time.Now()
		c.done.Wait()
		cancel()
		if t.Failed() {
			return
		}
		c.inOrder()
		if wait := l.firstGrant().Sub(promoted); wait > 5*time.Second {
			t.Errorf("%d. round: the first grant came %s after the promotion", round, wait)
		}
		t.Logf("%d. round: promoted after %s, first grant %s, all %s later; told to ask again %d times", round,
			promoted.Sub(killed).Round(time.Millisecond), l.firstGrant().Sub(promoted).Round(time.Millisecond),
			time.Since(promoted).Round(time.Millisecond), c.told)
		if round+1 < *rounds {
			s.Rejoin(was)
		}
	}
}

// TestMasterSleeps stops the master until it is replaced, and has it go on, with a node that clings to it and would grant
// what the new one has granted: the settings that the README asks for keep the old one from it.
func TestMasterSleeps(t *testing.T) {
	t.Parallel()
	s := redistest.StartSentinels(t, redistest.SentinelOptions{DownAfter: 3 * time.Second, MinReplicas: 1, MaxLag: 2})
	f := &fleet{t: t, grace: 10 * time.Second}
	nodes := []*member{f.node(behind(s)), f.node(behind(s))}
	l := newLedger(t)
	for round := range *rounds {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		was := s.Master()
		clings := f.node(func(o *queue.Options) { o.Redis = queue.At("tcp", was.Addr()) })
		if err := was.Pause(); err != nil {
			t.Fatal(err)
		}
		s.Promoted(was)
		// Free as the old master went to sleep, held by the new one's word as it wakes.
		c := gather(ctx, f, l, nodes, round, 10, 1)
		stop, tries := cling(ctx, l, clings, c.names)
		f.eventually("the old master is asked too", 10*time.Second, func() bool { return tries.Load() > 100 })
		if err := was.Resume(); err != nil {
			t.Fatal(err)
		}
		redistest.Until(t, "the old master is a replica", 30*time.Second, func() bool {
			role, err := s.Do(was, "ROLE").ToArray()
			if err != nil || len(role) == 0 {
				return false
			}
			what, _ := role[0].ToString()
			return what == "slave"
		})
		stop()
		clings.kill()
		c.letGo(ctx)
		c.done.Wait()
		cancel()
		if t.Failed() {
			return
		}
		t.Logf("%d. round: the old master was asked %d times", round, tries.Load())
		s.Steady()
	}
}

// cling has clients of a node go on trying to take locks, until stop is called.
func cling(ctx context.Context, l *ledger, n *member, names []string) (stop func(), tries *atomic.Int64) {
	ctx, cancel := context.WithCancel(ctx)
	var done sync.WaitGroup
	tries = new(atomic.Int64)
	for _, name := range names {
		done.Go(func() {
			for ctx.Err() == nil {
				q := request(name, "clings", time.Minute, 0)
				if g, _, err := n.Acquire(ctx, q); err == nil {
					l.grant(name, q.Client, g.Token)
					return
				}
				tries.Add(1)
				n.pause(ctx, 20*time.Millisecond)
			}
		})
	}
	return func() {
		cancel()
		done.Wait()
	}, tries
}
