package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"time"

	"distributedlock/queue/embedded"
)

const (
	clusterMasters = 3
	clusterSlots   = 16384
)

// cluster is a Redis Cluster of three masters with a replica each. A master that is silent for a second and a half is
// replaced.
type cluster struct {
	redis []*embedded.Server
}

// startCluster starts a cluster, and returns once all its nodes agree.
func startCluster(ctx context.Context) (*cluster, error) {
	c := &cluster{}
	if err := c.start(ctx); err != nil {
		return nil, errors.Join(err, c.stop())
	}
	return c, nil
}

func (c *cluster) start(ctx context.Context) error {
	var buses []string
	for i := range 2 * clusterMasters {
		bus, err := busPort(ctx)
		if err != nil {
			return err
		}
		s, err := embedded.Start(ctx, embedded.TCP(), embedded.RealOnly(), embedded.Args("--cluster-enabled", "yes", "--cluster-port", bus,
			"--cluster-node-timeout", "1500", "--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1"))
		if err != nil {
			return err
		}
		c.redis, buses = append(c.redis, s), append(buses, bus)
		if i >= clusterMasters {
			continue
		}
		if err := asked(s, "CLUSTER", "SET-CONFIG-EPOCH", strconv.Itoa(i+1)); err != nil {
			return err
		}
		from, to := i*clusterSlots/clusterMasters, (i+1)*clusterSlots/clusterMasters-1
		if err := asked(s, "CLUSTER", "ADDSLOTSRANGE", strconv.Itoa(from), strconv.Itoa(to)); err != nil {
			return err
		}
	}
	for i, s := range c.redis[1:] {
		host, port, _ := net.SplitHostPort(s.Addr())
		if err := asked(c.redis[0], "CLUSTER", "MEET", host, port, buses[i+1]); err != nil {
			return err
		}
	}
	for i, s := range c.redis[clusterMasters:] {
		id, err := ask(c.redis[i].Addr(), "CLUSTER", "MYID").ToString()
		if err != nil {
			return err
		}
		err = until(ctx, 20*time.Second, "a replica knows its master", func() bool { return asked(s, "CLUSTER", "REPLICATE", id) == nil })
		if err != nil {
			return err
		}
	}
	return c.steady(ctx)
}

func (c *cluster) stop() error {
	var errs []error
	for _, s := range c.redis {
		errs = append(errs, s.Stop())
	}
	return errors.Join(errs...)
}

func (c *cluster) addrs() string {
	all := make([]string, 0, len(c.redis))
	for _, s := range c.redis {
		all = append(all, s.Addr())
	}
	return strings.Join(all, ",")
}

// masters are those that take writes.
func (c *cluster) masters() (all []*embedded.Server) {
	for _, s := range c.redis {
		if role(s) == "master" {
			all = append(all, s)
		}
	}
	return all
}

// whole tells whether a node holds the cluster for whole, with all its nodes.
func whole(s *embedded.Server) bool {
	info, err := ask(s.Addr(), "CLUSTER", "INFO").ToString()
	return err == nil && strings.Contains(info, "cluster_state:ok") && strings.Contains(info, fmt.Sprintf("cluster_known_nodes:%d\r", 2*clusterMasters))
}

// steady waits until all nodes agree, and each master has a replica in step.
func (c *cluster) steady(ctx context.Context) error {
	return until(ctx, 60*time.Second, "the cluster is whole", func() bool {
		masters := 0
		for _, s := range c.redis {
			if !whole(s) {
				return false
			}
			if role(s) == "master" {
				if masters++; replicas(s) != 1 {
					return false
				}
			}
		}
		return masters == clusterMasters
	})
}

// rejoin has all that run no more come back, as replicas of those that replaced them.
func (c *cluster) rejoin(ctx context.Context) error {
	for _, s := range c.redis {
		if err := revive(ctx, s); err != nil {
			return err
		}
	}
	return c.steady(ctx)
}

// replaced waits until a cluster has three masters without this one, and those hold it for whole.
func (c *cluster) replaced(ctx context.Context, one *embedded.Server) error {
	return until(ctx, 60*time.Second, "another master", func() bool {
		n := 0
		for _, s := range c.redis {
			if s != one && role(s) == "master" && whole(s) {
				n++
			}
		}
		return n == clusterMasters
	})
}

// pickMaster is a random master of the cluster.
func (s *stage) pickMaster() (*embedded.Server, error) {
	all := s.cluster.masters()
	if len(all) == 0 {
		return nil, errors.New("the cluster has no masters")
	}
	return all[s.rnd.IntN(len(all))], nil
}

func clusterKill(ctx context.Context, s *stage) error {
	m, err := s.pickMaster()
	if err != nil {
		return err
	}
	if err := m.Kill(); err != nil {
		return err
	}
	return s.cluster.replaced(ctx, m)
}

func clusterStop(ctx context.Context, s *stage) error {
	m, err := s.pickMaster()
	if err != nil {
		return err
	}
	if err := m.Pause(); err != nil {
		return err
	}
	if err := s.cluster.replaced(ctx, m); err != nil {
		return err
	}
	s.pause(ctx, 0, time.Second)
	if err := m.Resume(); err != nil {
		return err
	}
	return until(ctx, 60*time.Second, "the old master is a replica", func() bool { return role(m) == "slave" })
}

// clusterHand has a replica take its master's place, which waits until the replica has all that it has.
func clusterHand(ctx context.Context, s *stage) error {
	m, err := s.pickMaster()
	if err != nil {
		return err
	}
	id, err := ask(m.Addr(), "CLUSTER", "MYID").ToString()
	if err != nil {
		return err
	}
	for _, r := range s.cluster.redis {
		about, err := ask(r.Addr(), "CLUSTER", "NODES").ToString()
		if err != nil {
			return err
		}
		for line := range strings.Lines(about) { // ID ADDRESS FLAGS MASTER …
			if f := strings.Fields(line); len(f) > 3 && strings.Contains(f[2], "myself") && f[3] == id {
				if err := asked(r, "CLUSTER", "FAILOVER"); err != nil {
					return err
				}
				return s.cluster.replaced(ctx, m)
			}
		}
	}
	return errors.New("the master has no replica")
}

// clusterMove moves the slots of some partitions to another master.
func clusterMove(ctx context.Context, s *stage) error {
	all := s.cluster.masters()
	for range 1 + s.rnd.IntN(3) {
		slot, err := ask(all[0].Addr(), "CLUSTER", "KEYSLOT", fmt.Sprintf("dl:{%d}:", s.rnd.IntN(8))).AsInt64()
		if err != nil {
			return err
		}
		if err := moveSlot(ctx, s, all, slot); err != nil {
			return err
		}
	}
	return nil
}

func moveSlot(ctx context.Context, s *stage, all []*embedded.Server, slot int64) error {
	i, err := ownerOf(all, slot)
	if err != nil {
		return err
	}
	from, to := all[i], all[(i+1+s.rnd.IntN(len(all)-1))%len(all)]
	source, _ := ask(from.Addr(), "CLUSTER", "MYID").ToString()
	target, _ := ask(to.Addr(), "CLUSTER", "MYID").ToString()
	number := strconv.FormatInt(slot, 10)
	if err := errors.Join(asked(to, "CLUSTER", "SETSLOT", number, "IMPORTING", source),
		asked(from, "CLUSTER", "SETSLOT", number, "MIGRATING", target)); err != nil {
		return err
	}
	host, port, _ := net.SplitHostPort(to.Addr())
	for {
		s.pause(ctx, 0, 100*time.Millisecond)
		keys, err := ask(from.Addr(), "CLUSTER", "GETKEYSINSLOT", number, "20").AsStrSlice()
		if err != nil {
			return err
		}
		if len(keys) == 0 {
			break
		}
		if err := asked(from, append([]string{"MIGRATE", host, port, "", "0", "5000", "KEYS"}, keys...)...); err != nil {
			return err
		}
	}
	return errors.Join(asked(to, "CLUSTER", "SETSLOT", number, "NODE", target), asked(from, "CLUSTER", "SETSLOT", number, "NODE", target))
}

// ownerOf is which of the masters has a slot.
func ownerOf(all []*embedded.Server, slot int64) (int, error) {
	slots, err := ask(all[0].Addr(), "CLUSTER", "SLOTS").ToArray()
	if err != nil {
		return 0, err
	}
	for _, one := range slots { // FROM TO [HOST PORT …] …
		row, err := one.ToArray()
		if err != nil || len(row) < 3 {
			return 0, errors.New("CLUSTER SLOTS is not understood")
		}
		first, _ := row[0].AsInt64()
		last, _ := row[1].AsInt64()
		where, _ := row[2].ToArray()
		if slot < first || slot > last || len(where) < 2 {
			continue
		}
		port, _ := where[1].AsInt64()
		for i, m := range all {
			if strings.HasSuffix(m.Addr(), ":"+strconv.FormatInt(port, 10)) {
				return i, nil
			}
		}
	}
	return 0, fmt.Errorf("no master has slot %d", slot)
}

func asked(s *embedded.Server, args ...string) error {
	if err := ask(s.Addr(), args...).Error(); err != nil {
		return fmt.Errorf("%s: %w", strings.Join(args[:2], " "), err)
	}
	return nil
}

// busPort is a free port outside the range that Linux gives to outgoing connections, where the cluster's bus would else be.
func busPort(ctx context.Context) (string, error) {
	for range 50 {
		port := strconv.Itoa(20000 + rand.IntN(12000)) //nolint:gosec // no secret
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", port))
		if err == nil {
			return port, l.Close()
		}
	}
	return "", errors.New("no free port")
}
