package service

import (
	"context"
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
