package service

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"distributedlock/queue"
	"distributedlock/queue/redistest"
)

// clusterLocks is how many locks the test of a cluster's failover has.
var clusterLocks = flag.Int("cluster-locks", 1000, "how many locks are held and waited for as a master of a cluster is killed")

// inCluster has a node find its Redis in a cluster.
func inCluster(c *redistest.Cluster) func(*queue.Options) {
	return func(o *queue.Options) {
		o.Cluster, o.Redis = true, rueidis.ClientOption{InitAddress: c.Addrs()}
	}
}

// TestClusterMasterKilled kills a master of three under the waiters of many locks: its replica serves them, in their order.
func TestClusterMasterKilled(t *testing.T) {
	t.Parallel()
	s := redistest.StartCluster(t)
	f := &fleet{t: t, grace: 10 * time.Second}
	nodes := []*member{f.node(inCluster(s)), f.node(inCluster(s))}
	l := newLedger(t)
	was, is := s.Masters[1], s.Replica
	for round := range *rounds {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		c := gather(ctx, f, l, nodes, round, *clusterLocks, 1)
		l.mark()
		if err := was.Kill(); err != nil {
			t.Fatal(err)
		}
		killed := time.Now()
		c.letGo(ctx)
		c.join(ctx, fmt.Sprintf("late-%d", round))
		s.Promoted(is)
		promoted := time.Now()
		c.done.Wait()
		cancel()
		if t.Failed() {
			return
		}
		c.inOrder()
		t.Logf("%d. round: promoted after %s, all granted %s later; told to ask again %d times", round,
			promoted.Sub(killed).Round(time.Millisecond), time.Since(promoted).Round(time.Millisecond), c.told)
		if round+1 < *rounds {
			if err := was.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			s.Steady()
			was, is = is, was
		}
	}
}

// TestClusterGuards tells by the replicas that confirm a grant which locks are on the one master that has one; and as that
// master is killed, it is their grants alone that a quarantine withholds.
func TestClusterGuards(t *testing.T) {
	t.Parallel()
	const lasts = 5 * time.Second
	s := redistest.StartCluster(t)
	f := &fleet{t: t, grace: 10 * time.Second}
	confirming := f.node(inCluster(s), func(o *queue.Options) { o.Replicas = 1 })
	n := f.node(inCluster(s), func(o *queue.Options) { o.Quarantine = lasts })
	f.out(n)
	names := map[int]string{} // by partition
	for i := 0; len(names) < n.store.Partitions(); i++ {
		name := fmt.Sprint("lock-", i)
		names[n.store.Partition(name)] = name
	}
	theirs := map[int]bool{}
	for p, name := range names {
		q := request(name, "c", time.Minute, 0)
		_, _, err := confirming.Acquire(t.Context(), q)
		switch {
		case err == nil:
			theirs[p] = true
			if _, err := confirming.Release(t.Context(), name, "c", q.LockID); err != nil {
				t.Error(err)
			}
		case !takenBack(err):
			t.Errorf("%s: %v", name, err)
		default:
			f.free(n, name)
		}
	}
	if len(theirs) == 0 || len(theirs) == len(names) {
		t.Fatalf("replicas confirm for %v of %v", theirs, names)
	}
	if err := s.Masters[1].Kill(); err != nil {
		t.Fatal(err)
	}
	s.Promoted(s.Replica)
	for p, name := range names {
		q := request(name, "c", lasts, 0)
		var err error
		f.eventually("it is answered", 20*time.Second, func() bool {
			_, _, err = n.Acquire(t.Context(), q)
			_, withheld := errors.AsType[*queue.QuarantineError](err)
			return err == nil || withheld
		})
		if (err != nil) != theirs[p] {
			t.Errorf("%s, of the master that was killed %t: %v", name, theirs[p], err)
		}
	}
	if q := n.store.Quarantine(); q.Partitions != len(theirs) || q.Why != "instance_changed" {
		t.Errorf("%+v, want %d partitions", q, len(theirs))
	}
	f.out(n)
}
