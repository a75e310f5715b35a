package main

import (
	"context"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"
)

// fault is one kind of harm. To add one, add it to the table.
type fault struct {
	name, about string
	on          setup
	// loses is whether acknowledged grants may be forgotten by it: what the README says under Limits.
	loses bool
	// kept is whether the nodes are set up so that no lock is held twice even then, strict so that nobody is passed either.
	kept, strict bool
	// settle is how long the promises give the service after the harm itself is over, beyond the 3 s in which a live waiter
	// at the head has the lock.
	settle time.Duration
	// strike does the harm, and returns when it is over.
	strike func(ctx context.Context, s *stage) error
}

// stage is what a fault strikes.
type stage struct {
	*rig
	rnd *rand.Rand
	// hurt are the nodes that the others may take for gone meanwhile: their waiting requests are passed over.
	hurt map[int]bool
	// strikes is how often the fault struck, 0 for once.
	strikes int
}

// pick is a random node, which is hurt.
func (s *stage) pick() (int, *node) {
	i := s.rnd.IntN(len(s.nodes))
	s.hurt[i] = true
	return i, s.nodes[i]
}

func (s *stage) pause(ctx context.Context, from, to time.Duration) {
	pause(ctx, between(s.rnd, from, to))
}

// command has the Redis that takes writes do something.
func (s *stage) command(args ...string) error {
	m, err := s.master()
	if err != nil {
		return err
	}
	return ask(m.Addr(), args...).Error()
}

var (
	three    = setup{nodes: 3}
	everysec = setup{nodes: 2, args: []string{"--appendonly", "yes", "--appendfsync", "everysec"}}
	always   = setup{nodes: 2, args: []string{"--appendonly", "yes", "--appendfsync", "always"}}
	two      = setup{nodes: 2}
	watched  = setup{nodes: 2, fleet: true}

	clustered = setup{nodes: 2, cluster: true}

	// With the quarantine, no lock is granted for the longest lease after a loss.
	quarantine     = []string{"FAILOVER_QUARANTINE=on", "MAX_TIMEOUT=3", "DEFAULT_TIMEOUT=3"}
	careful        = setup{nodes: 2, settings: quarantine}
	carefulWatched = setup{nodes: 2, fleet: true, settings: quarantine}

	// No grant is told of before a replica has it: the Sentinels promote the one that has most where the master is dead; and
	// any, by hand, so that both must have it.
	confirmed    = setup{nodes: 2, fleet: true, settings: []string{"REDIS_WAIT_REPLICAS=1"}}
	confirmedAll = setup{nodes: 2, fleet: true, settings: []string{"REDIS_WAIT_REPLICAS=2"}}
)

// skipped is how long the waiting requests of a node that died may hold up others beyond 3 s: they are skipped within 5.
const skipped = 2 * time.Second

// quarantined is how long nothing is granted with the quarantine on, and how late a node may notice.
const quarantined = 5 * time.Second

// faults is the table of all faults.
var faults = []fault{
	{name: "node-kill", about: "kill -9 of a node, which comes back", on: three, settle: skipped, strike: nodeKill},
	{name: "node-term", about: "SIGTERM of a node, which comes back", on: three, settle: skipped, strike: nodeTerm},
	{name: "node-stop", about: "SIGSTOP of a node for up to 7 s", on: three, strike: nodeStop},
	{name: "redis-kill", about: "kill -9 of Redis and a restart, `appendfsync always`", on: always, strike: redisKill},
	{name: "redis-kill-everysec", about: "the same with `appendfsync everysec`", on: everysec, loses: true, strike: redisKill},
	{name: "redis-empty", about: "kill -9 of a Redis without persistence, and a restart", on: two, loses: true, strike: redisKill},
	{name: "redis-stop", about: "SIGSTOP of Redis for up to 6 s", on: two, strike: redisStop},
	{name: "flushall", about: "FLUSHALL", on: two, loses: true, strike: commands([]string{"FLUSHALL"})},
	{name: "script-flush", about: "SCRIPT FLUSH", on: two, strike: commands([]string{"SCRIPT", "FLUSH"})},
	{name: "client-kill", about: "CLIENT KILL TYPE normal", on: two, strike: commands([]string{"CLIENT", "KILL", "TYPE", "normal"})},
	{name: "pubsub-kill", about: "CLIENT KILL TYPE pubsub", on: two, strike: commands([]string{"CLIENT", "KILL", "TYPE", "pubsub"})},
	{name: "pubsub-drop", about: "no message of pub/sub arrives for up to 5 s", on: two, strike: links(all, deaf, time.Second, 5*time.Second)},
	{name: "maxmemory", about: "Redis at its `maxmemory` for up to 3 s", on: two, strike: maxMemory},
	{name: "config", about: "CONFIG SET: no keyspace notifications, `hz` 1, a slow log of everything", on: two, strike: config},
	{name: "failover-kill", about: "kill -9 of the master under Sentinels", on: watched, loses: true, strike: failoverKill},
	{name: "failover-stop", about: "SIGSTOP of the master, SIGCONT after the promotion", on: watched, loses: true, strike: failoverStop},
	{name: "failover-hand", about: "SENTINEL FAILOVER", on: watched, loses: true, strike: failoverHand},
	{name: "master-empty", about: "FLUSHALL, kill -9 and restart of the master before the Sentinels replace it", on: watched, loses: true, strike: emptyRestart},
	{name: "failover-kill-replicas", about: "kill -9 of the master, `REDIS_WAIT_REPLICAS=1`", on: confirmed, loses: true, kept: true, strike: failoverKill},
	{name: "failover-stop-replicas", about: "SIGSTOP of the master, `REDIS_WAIT_REPLICAS=1`", on: confirmed, loses: true, kept: true, strike: failoverStop},
	{name: "failover-hand-replicas", about: "SENTINEL FAILOVER, `REDIS_WAIT_REPLICAS=2`, both there are", on: confirmedAll, loses: true, kept: true, strike: failoverHandAll},
	{name: "flushall-quarantine", about: "FLUSHALL, `FAILOVER_QUARANTINE=on`", on: careful, loses: true, kept: true, strict: true, settle: quarantined, strike: commands([]string{"FLUSHALL"})},
	{name: "redis-empty-quarantine", about: "kill -9 of a Redis without persistence, and a restart, `FAILOVER_QUARANTINE=on`", on: careful, loses: true, kept: true, strict: true, settle: quarantined, strike: redisKill},
	{name: "failover-kill-quarantine", about: "kill -9 of the master, `FAILOVER_QUARANTINE=on`", on: carefulWatched, loses: true, kept: true, strict: true, settle: quarantined, strike: failoverKill},
	{name: "failover-hand-quarantine", about: "SENTINEL FAILOVER, `FAILOVER_QUARANTINE=on`", on: carefulWatched, loses: true, kept: true, strict: true, settle: quarantined, strike: failoverHand},
	{name: "sentinels-down", about: "all Sentinels killed, and back", on: watched, strike: sentinelsDown},
	{name: "cluster-kill", about: "kill -9 of a master of a Cluster", on: clustered, loses: true, strike: clusterKill},
	{name: "cluster-stop", about: "SIGSTOP of a master of a Cluster, SIGCONT after the promotion", on: clustered, loses: true, strike: clusterStop},
	{name: "cluster-hand", about: "CLUSTER FAILOVER", on: clustered, strike: clusterHand},
	{name: "cluster-move", about: "slots of a Cluster move to another master", on: clustered, strike: clusterMove},
	{name: "drop", about: "Redis's answers to a node are lost for up to 2 s", on: two, strike: links(one, drop, 100*time.Millisecond, 2*time.Second)},
	{name: "blackhole", about: "nothing passes between a node and Redis for up to 6 s", on: two, strike: links(one, hole, time.Second, 6*time.Second)},
	{name: "delay", about: "Redis is 10 to 100 ms away for 2 s", on: two, strike: links(all, delay, time.Second, 2*time.Second)},
	{name: "slow-clients", about: "half of the clients read 10 kB a second for 3 s", on: two, strike: doors(slow)},
	{name: "client-hole", about: "nothing passes between half of the clients and the nodes for 3 s", on: two, strike: doors(hole)},
	{name: "client-cut", about: "the connections of half of the clients break", on: two, strike: cutClients},
}

func nodeKill(ctx context.Context, s *stage) error {
	_, n := s.pick()
	n.kill()
	s.pause(ctx, 0, time.Second)
	return n.start(ctx)
}

func nodeTerm(ctx context.Context, s *stage) error {
	_, n := s.pick()
	if err := n.term(); err != nil {
		return err
	}
	return n.start(ctx)
}

func nodeStop(ctx context.Context, s *stage) error {
	_, n := s.pick()
	if err := n.signal(sigStop); err != nil {
		return err
	}
	s.pause(ctx, 500*time.Millisecond, 7*time.Second)
	return n.signal(sigCont)
}

func redisKill(ctx context.Context, s *stage) error {
	if err := s.redis.Kill(); err != nil {
		return err
	}
	s.pause(ctx, 0, 1500*time.Millisecond)
	return s.redis.Restart(ctx)
}

func redisStop(ctx context.Context, s *stage) error {
	if err := s.redis.Pause(); err != nil {
		return err
	}
	s.pause(ctx, 500*time.Millisecond, 6*time.Second)
	return s.redis.Resume()
}

// commands are run one to three times, a moment apart.
func commands(all ...[]string) func(ctx context.Context, s *stage) error {
	return func(ctx context.Context, s *stage) error {
		s.strikes = 1 + s.rnd.IntN(3)
		for i := range s.strikes {
			if i > 0 {
				s.pause(ctx, 0, 200*time.Millisecond)
			}
			for _, args := range all {
				if err := s.command(args...); err != nil {
					return err
				}
			}
		}
		return nil
	}
}

func maxMemory(ctx context.Context, s *stage) error {
	n, err := used(s.redis)
	if err != nil {
		return err
	}
	if err := s.command("CONFIG", "SET", "maxmemory", strconv.Itoa(n/2)); err != nil {
		return err
	}
	s.pause(ctx, 500*time.Millisecond, 3*time.Second)
	return s.command("CONFIG", "SET", "maxmemory", "0")
}

func config(ctx context.Context, s *stage) error {
	err := s.command("CONFIG", "SET", "notify-keyspace-events", "", "hz", "1", "slowlog-log-slower-than", "0")
	if err != nil {
		return err
	}
	s.pause(ctx, 500*time.Millisecond, 2*time.Second)
	return s.command("CONFIG", "SET", "hz", "10", "slowlog-log-slower-than", "10000")
}

func failoverKill(ctx context.Context, s *stage) error {
	m, err := s.master()
	if err != nil {
		return err
	}
	if err := m.Kill(); err != nil {
		return err
	}
	return s.fleet.promoted(ctx, m)
}

func failoverStop(ctx context.Context, s *stage) error {
	m, err := s.master()
	if err != nil {
		return err
	}
	if err := m.Pause(); err != nil {
		return err
	}
	if err := s.fleet.promoted(ctx, m); err != nil {
		return err
	}
	s.pause(ctx, 0, time.Second)
	if err := m.Resume(); err != nil {
		return err
	}
	return until(ctx, 60*time.Second, "the old master is a replica", func() bool { return role(m) == "slave" })
}

func failoverHand(ctx context.Context, s *stage) error {
	m, err := s.master()
	if err != nil {
		return err
	}
	asked := time.Time{}
	return until(ctx, 60*time.Second, "another master", func() bool {
		if time.Since(asked) > 8*time.Second { // again, where the Sentinels gave it up: soon after another failover, they may
			asked = time.Now()
			if ask(s.fleet.sentinels[0].Addr(), "SENTINEL", "FAILOVER", masterName).Error() != nil {
				asked = asked.Add(-7 * time.Second)
			}
		}
		now := s.fleet.master()
		return now != nil && now != m && role(now) == "master"
	})
}

// failoverHandAll is over when the new master has both replicas: until then, nothing is confirmed.
func failoverHandAll(ctx context.Context, s *stage) error {
	if err := failoverHand(ctx, s); err != nil {
		return err
	}
	return until(ctx, 60*time.Second, "two replicas", func() bool {
		m := s.fleet.master()
		return m != nil && replicas(m) == 2
	})
}

func sentinelsDown(ctx context.Context, s *stage) error {
	for _, one := range s.fleet.sentinels {
		if err := one.Kill(); err != nil {
			return err
		}
	}
	s.pause(ctx, time.Second, 3*time.Second)
	for _, one := range s.fleet.sentinels {
		if err := one.Restart(ctx); err != nil {
			return err
		}
	}
	return nil
}

// one and all choose the nodes whose ways to Redis are hurt.
const (
	one = false
	all = true
)

// links hurts the ways between nodes and Redis. A node that cannot reach Redis is taken for gone by the others.
func links(every bool, m mode, from, to time.Duration) func(ctx context.Context, s *stage) error {
	return func(ctx context.Context, s *stage) error {
		hit := s.links
		if !every {
			i, _ := s.pick()
			hit = s.links[i : i+1]
		}
		lag := between(s.rnd, 10*time.Millisecond, 100*time.Millisecond)
		for _, l := range hit {
			l.set(m, lag)
		}
		s.pause(ctx, from, to)
		for _, l := range hit {
			l.set(pass, 0)
		}
		return nil
	}
}

// doors hurts the ways of half of the clients to the nodes.
func doors(m mode) func(ctx context.Context, s *stage) error {
	return func(ctx context.Context, s *stage) error {
		hit := slices.Concat(s.doors[:len(s.doors)/2]...)
		for _, d := range hit {
			d.set(m, 0)
		}
		pause(ctx, 3*time.Second)
		for _, d := range hit {
			d.set(pass, 0)
		}
		return nil
	}
}

func cutClients(ctx context.Context, s *stage) error {
	for range 1 + s.rnd.IntN(3) {
		for _, d := range slices.Concat(s.doors[:len(s.doors)/2]...) {
			d.cut()
		}
		s.pause(ctx, 0, 300*time.Millisecond)
	}
	return nil
}
