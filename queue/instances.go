package queue

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/redis/rueidis"
)

// clockOf is what the node knows of the clock of a partition's master.
func (s *Store) clockOf(partition int) *redisClock {
	if s.clocks != nil {
		return &s.clocks[partition]
	}
	return &s.clock
}

// reading is what a Redis's clock said to a question that went out and came back at these moments of the node's clock.
type reading struct{ micros, sent, got int64 }

// readClock asks Redis for the time: in a cluster, one for each partition.
func (s *Store) readClock(ctx context.Context) ([]reading, error) {
	sent := s.clock.at()
	if s.opts.Cluster {
		return s.readClocks(ctx, sent)
	}
	at, err := s.client.Do(ctx, s.client.B().Time().Build()).AsIntSlice()
	if err != nil || len(at) != 2 {
		return nil, readError("TIME", err)
	}
	one := reading{micros: at[0]*1e6 + at[1], sent: sent, got: s.clock.at()}
	if s.eras == nil { // see watchClock
		s.clock.learn(one.micros)
	}
	return []reading{one}, nil
}

// readClocks asks the master of each partition for the time, by a script, as TIME itself belongs to no slot.
func (s *Store) readClocks(ctx context.Context, sent int64) ([]reading, error) {
	all := make([]reading, 0, s.keys.partitions)
	cmds := make(rueidis.Commands, 0, s.keys.partitions)
	for _, base := range s.keys.bases {
		cmds = append(cmds, s.client.B().Eval().Script("return redis.call('TIME')").Numkeys(1).Key(base).Build())
	}
	for p, r := range s.client.DoMulti(ctx, cmds...) {
		at, err := r.AsIntSlice()
		if err != nil || len(at) != 2 {
			return nil, readError("TIME", err)
		}
		one := reading{micros: at[0]*1e6 + at[1], sent: sent, got: s.clock.at()}
		all = append(all, one)
		if s.eras == nil {
			s.clocks[p].learn(one.micros)
		}
		if p == 0 {
			s.clock.learn(one.micros)
		}
	}
	return all, nil
}

// watchClock sees whether a clock was set since the last beat, where the same instance as then has answered. Where a
// quarantine is wanted, it begins before the node goes by the new time.
func (s *Store) watchClock(ctx context.Context, all []reading, pulses []Pulse) error {
	for i, one := range all {
		c, moved := s.clockOf(i), pulses[i].Moved
		if by := c.step(one.micros, one.sent, one.got); by != 0 && !moved {
			if s.eras != nil {
				if err := s.withhold(ctx, i); err != nil {
					return err
				}
			}
			pulses[i].Stepped = by
		}
		c.keep(one.micros, one.sent, one.got)
		if s.eras != nil {
			c.learn(one.micros)
		}
	}
	return nil
}

// moved notes in the pulses where another instance answers than before: a client had to connect anew, perhaps within this
// very beat, or a cluster has another master for a partition.
func (s *Store) moved(ctx context.Context, pulses []Pulse) error {
	again := s.links.moved.Load()
	if !again && !s.opts.Cluster {
		return nil
	}
	if again {
		s.lanes.reconnect(ctx)
	}
	now, err := s.instancesNow(ctx)
	if err != nil && s.opts.Cluster && !again {
		return nil // the node that was asked is away, which need not be one that serves; another is asked next time
	}
	if err != nil {
		return err
	}
	s.links.moved.Store(false)
	before := *s.instances.Swap(&now)
	for p := range pulses {
		i := min(p, len(now)-1)
		// Who is the master in a cluster does not say whether it was started again.
		pulses[p].Moved = len(before) != len(now) || before[i] != now[i] || again && (s.opts.Cluster || s.opts.Embedded)
	}
	return nil
}

// instancesNow tell one life of a Redis, as a master, from all others. In a cluster they are the master of each
// partition.
func (s *Store) instancesNow(ctx context.Context) ([]string, error) {
	switch {
	case s.opts.Embedded:
		return []string{""}, nil
	case s.opts.Cluster:
		return s.masters(ctx)
	}
	info, err := s.client.Do(ctx, s.client.B().Info().Section("server", "replication").Build()).ToString()
	if err != nil {
		return nil, readError("INFO", err)
	}
	return []string{infoField(info, "run_id") + " " + infoField(info, "master_replid")}, nil
}

// masters are the ids of the nodes that serve the partitions, as some node of the cluster sees it.
func (s *Store) masters(ctx context.Context) ([]string, error) {
	ranges, err := s.client.Do(ctx, s.client.B().ClusterSlots().Build()).ToArray()
	if err != nil {
		return nil, readError("CLUSTER SLOTS", err)
	}
	ids := make([]string, s.keys.partitions)
	for i := range ranges {
		row, err := ranges[i].ToArray()
		if err != nil || len(row) < 3 {
			return nil, fmt.Errorf("CLUSTER SLOTS: %w", errReply)
		}
		first, err1 := row[0].AsInt64()
		last, err2 := row[1].AsInt64()
		node, err3 := row[2].ToArray()
		if errors.Join(err1, err2, err3) != nil || len(node) < 3 {
			return nil, fmt.Errorf("CLUSTER SLOTS: %w", errReply)
		}
		id, _ := node[2].ToString()
		for p, base := range s.keys.bases {
			probe := s.client.B().Get().Key(base).Build()
			if slot := int64(probe.Slot()); slot >= first && slot <= last {
				ids[p] = id
			}
		}
	}
	return ids, nil
}

// anyNode connects to some node of the cluster that can be reached.
func (s *Store) anyNode() (rueidis.Client, error) {
	var addrs []string
	for addr := range s.client.Nodes() {
		addrs = append(addrs, addr)
	}
	rand.Shuffle(len(addrs), func(i, j int) { addrs[i], addrs[j] = addrs[j], addrs[i] })
	err := rueidis.ErrNoAddr
	for _, addr := range addrs {
		o := s.opts
		o.Cluster, o.Redis.InitAddress, o.Redis.ForceSingleClient = false, []string{addr}, true
		c, e := Connect(o)
		if e == nil {
			return c, nil
		}
		err = e
	}
	return nil, err
}

// clusterHealth looks at all masters of the cluster that can be reached.
func (s *Store) clusterHealth(ctx context.Context, h *Health) error {
	h.Mode = "cluster"
	last := rueidis.ErrNoAddr
	reached := false
	for _, node := range s.client.Nodes() {
		info, err := node.Do(ctx, node.B().Info().Section("replication", "memory").Build()).ToString()
		if err != nil {
			last = err
			continue
		}
		if infoField(info, "role") != "master" {
			continue
		}
		reached, h.Policy = true, infoField(info, "maxmemory_policy")
		h.Evicts = h.Evicts || evicts(info)
	}
	if !reached {
		return readError("INFO", last)
	}
	return nil
}
