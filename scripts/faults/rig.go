package main

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"

	distributedlock "distributedlock/clients/go"
	"distributedlock/queue/embedded"
)

// setup is what a fault needs to happen to.
type setup struct {
	// fleet is whether there is a master with replicas and Sentinels, cluster whether there is a Redis Cluster, rather than one
	// Redis with a proxy for each node.
	fleet, cluster bool
	nodes          int
	// args are the one Redis's, settings the nodes'.
	args, settings []string
}

// rig is some nodes on a Redis, and proxies between: all of them to be hurt.
type rig struct {
	setup
	dir   string
	nodes []*node
	// redis is the one Redis, links the proxies of the nodes to it.
	redis   *embedded.Server
	links   []*proxy
	fleet   *fleet
	cluster *cluster
	// doors are the proxies before the nodes, a row for each client.
	doors [][]*proxy
}

// clients is how many doors each node has.
const clients = 6

func newRig(ctx context.Context, binary string, s setup) (*rig, error) {
	dir, err := os.MkdirTemp("", "faults-")
	if err != nil {
		return nil, err
	}
	r := &rig{setup: s, dir: dir}
	if err := r.start(ctx, binary); err != nil {
		return nil, errors.Join(err, r.end())
	}
	return r, nil
}

func (r *rig) start(ctx context.Context, binary string) error {
	if err := r.startRedis(ctx); err != nil {
		return err
	}
	for range r.setup.nodes {
		if err := r.addNode(ctx, binary); err != nil {
			return err
		}
	}
	if err := r.awaitGrants(ctx); err != nil {
		return err
	}
	for range clients {
		var row []*proxy
		for _, n := range r.nodes {
			door, err := newProxy(ctx, n.addr, false)
			if err != nil {
				return err
			}
			row = append(row, door)
		}
		r.doors = append(r.doors, row)
	}
	return nil
}

func (r *rig) startRedis(ctx context.Context) (err error) {
	if r.setup.fleet {
		r.fleet, err = startFleet(ctx)
		return err
	}
	if r.setup.cluster {
		r.cluster, err = startCluster(ctx)
		return err
	}
	data := filepath.Join(r.dir, "redis")
	if err := os.Mkdir(data, 0o700); err != nil {
		return err
	}
	r.redis, err = embedded.Start(ctx, embedded.TCP(), embedded.RealOnly(), embedded.Dir(data), embedded.Args(r.args...))
	return err
}

// awaitGrants waits until locks are granted: with FAILOVER_QUARANTINE, a new store begins with one.
func (r *rig) awaitGrants(ctx context.Context) error {
	c := distributedlock.NewDistributedLockClient("http://" + r.nodes[0].addr)
	defer func() { _ = c.Close() }() // it is nil
	l, err := c.AcquireContext(ctx, "first", leaseTime, distributedlock.WithWait(2*orphanTime))
	if err != nil {
		return err
	}
	return l.Release()
}

func (r *rig) addNode(ctx context.Context, binary string) error {
	var settings []string
	switch {
	case r.fleet != nil:
		settings = []string{"REDIS_SENTINELS=" + r.fleet.addrs(), "REDIS_MASTER_NAME=" + masterName}
	case r.cluster != nil:
		settings = []string{"REDIS_CLUSTER=" + r.cluster.addrs()}
	default:
		link, err := newProxy(ctx, r.redis.Addr(), true)
		if err != nil {
			return err
		}
		r.links = append(r.links, link)
		host, port, _ := net.SplitHostPort(link.addr())
		settings = []string{"REDIS_HOST=" + host, "REDIS_PORT=" + port}
	}
	n, err := newNode(ctx, binary, r.dir, append(settings, r.settings...)...)
	if n != nil && n.cmd != nil {
		r.nodes = append(r.nodes, n)
	}
	return err
}

// master is the Redis that takes writes.
func (r *rig) master() (*embedded.Server, error) {
	if r.fleet == nil {
		return r.redis, nil
	}
	if m := r.fleet.master(); m != nil {
		return m, nil
	}
	return nil, errors.New("the Sentinels name no master")
}

// mend makes everything whole again: between two rounds.
func (r *rig) mend(ctx context.Context) error {
	for _, row := range r.doors {
		for _, d := range row {
			d.set(pass, 0)
		}
	}
	for _, l := range r.links {
		l.set(pass, 0)
	}
	if err := r.mendRedis(ctx); err != nil {
		return err
	}
	for _, n := range r.nodes {
		if !n.running() {
			if err := n.start(ctx); err != nil {
				return err
			}
		}
		if err := n.awaitReady(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (r *rig) mendRedis(ctx context.Context) error {
	switch {
	case r.fleet != nil:
		return r.fleet.rejoin(ctx)
	case r.cluster != nil:
		return r.cluster.rejoin(ctx)
	}
	return revive(ctx, r.redis)
}

func (r *rig) end() error {
	for _, row := range r.doors {
		for _, d := range row {
			d.end()
		}
	}
	for _, n := range r.nodes {
		n.kill()
	}
	for _, l := range r.links {
		l.end()
	}
	var errs []error
	if r.fleet != nil {
		errs = append(errs, r.fleet.stop())
	}
	if r.cluster != nil {
		errs = append(errs, r.cluster.stop())
	}
	if r.redis != nil {
		errs = append(errs, r.redis.Kill(), r.redis.Stop())
	}
	return errors.Join(append(errs, os.RemoveAll(r.dir))...)
}
