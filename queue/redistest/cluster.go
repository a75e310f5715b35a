package redistest

import (
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"distributedlock/queue/embedded"
)

// clusterSlots is how many slots a cluster has.
const clusterSlots = 16384

// Cluster is a Redis Cluster of three masters, the second of which has a replica, each a process on 127.0.0.1 that can be
// paused, killed and restarted.
type Cluster struct {
	Masters []*embedded.Server
	Replica *embedded.Server

	t testing.TB
}

// StartCluster starts a cluster that ends with the test, and returns once all its nodes agree. A master that is silent for
// a second and a half is replaced.
func StartCluster(t testing.TB, args ...string) *Cluster {
	t.Helper()
	c := &Cluster{t: t}
	start := func() *embedded.Server {
		return Start(t, embedded.TCP(), embedded.Args(append([]string{"--cluster-enabled", "yes", "--cluster-port", freePort(t),
			"--cluster-node-timeout", "1500", "--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1"}, args...)...))
	}
	for i := range 3 {
		m := start()
		c.do(m, "CLUSTER", "SET-CONFIG-EPOCH", strconv.Itoa(i+1))
		c.do(m, "CLUSTER", "ADDSLOTSRANGE", strconv.Itoa(i*clusterSlots/3), strconv.Itoa((i+1)*clusterSlots/3-1))
		c.Masters = append(c.Masters, m)
	}
	c.Replica = start()
	for _, n := range c.nodes()[1:] {
		host, port, _ := net.SplitHostPort(n.Addr())
		c.do(c.Masters[0], "CLUSTER", "MEET", host, port, c.busOf(n))
	}
	id, _ := Command(c.Masters[1], "", "CLUSTER", "MYID").ToString()
	Until(t, "the replica knows its master", 20*time.Second, func() bool {
		return Command(c.Replica, "", "CLUSTER", "REPLICATE", id).Error() == nil
	})
	c.Steady()
	return c
}

// Addrs are the masters' addresses.
func (c *Cluster) Addrs() []string {
	var all []string
	for _, m := range c.Masters {
		all = append(all, m.Addr())
	}
	return all
}

// Steady waits until all nodes know of all others, hold the cluster for whole, and the one that has a replica has it in
// step.
func (c *Cluster) Steady() {
	c.t.Helper()
	Until(c.t, "the cluster is whole", 60*time.Second, func() bool {
		for _, n := range c.nodes() {
			info, err := Command(n, "", "CLUSTER", "INFO").ToString()
			if err != nil || !strings.Contains(info, "cluster_state:ok") || !strings.Contains(info, "cluster_known_nodes:4") {
				return false
			}
		}
		for _, n := range c.nodes() {
			info, err := Command(n, "", "INFO", "replication").ToString()
			if err != nil || strings.Contains(info, "role:slave") && !strings.Contains(info, "master_link_status:up") {
				return false
			}
		}
		return true
	})
}

// Promoted waits until a node is a master and its cluster is whole.
func (c *Cluster) Promoted(n *embedded.Server) {
	c.t.Helper()
	Until(c.t, "the replica is a master", 60*time.Second, func() bool {
		info, err := Command(n, "", "INFO", "replication").ToString()
		if err != nil || !strings.Contains(info, "role:master") {
			return false
		}
		info, err = Command(n, "", "CLUSTER", "INFO").ToString()
		return err == nil && strings.Contains(info, "cluster_state:ok")
	})
}

// Move begins to move the slot of a key from one master to another, and returns what ends it.
func (c *Cluster) Move(key string, from, to *embedded.Server) (finish func()) {
	c.t.Helper()
	n, err := Command(from, "", "CLUSTER", "KEYSLOT", key).AsInt64()
	if err != nil {
		c.t.Fatal(err)
	}
	slot := strconv.FormatInt(n, 10)
	source, _ := Command(from, "", "CLUSTER", "MYID").ToString()
	target, _ := Command(to, "", "CLUSTER", "MYID").ToString()
	c.do(to, "CLUSTER", "SETSLOT", slot, "IMPORTING", source)
	c.do(from, "CLUSTER", "SETSLOT", slot, "MIGRATING", target)
	host, port, _ := net.SplitHostPort(to.Addr())
	return func() {
		c.t.Helper()
		keys, err := Command(from, "", "CLUSTER", "GETKEYSINSLOT", slot, "100000").AsStrSlice()
		if err != nil {
			c.t.Fatal(err)
		}
		for _, k := range keys {
			c.do(from, "MIGRATE", host, port, k, "0", "5000")
		}
		for _, n := range []*embedded.Server{to, from} {
			c.do(n, "CLUSTER", "SETSLOT", slot, "NODE", target)
		}
	}
}

// Do asks one node.
func (c *Cluster) Do(n *embedded.Server, args ...string) rueidis.RedisResult {
	return Command(n, "", args...)
}

func (c *Cluster) nodes() []*embedded.Server {
	all := append([]*embedded.Server(nil), c.Masters...)
	if c.Replica != nil {
		all = append(all, c.Replica)
	}
	return all
}

func (c *Cluster) do(n *embedded.Server, args ...string) {
	c.t.Helper()
	if err := Command(n, "", args...).Error(); err != nil {
		c.t.Fatalf("%v: %v", args, err)
	}
}

// freePort is a port outside the range that Linux gives to outgoing connections, where the bus would else be.
func freePort(t testing.TB) string {
	t.Helper()
	for range 50 {
		port := strconv.Itoa(20000 + rand.IntN(12000))
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", port)) //nolint:noctx // at once
		if err == nil {
			_ = l.Close()
			return port
		}
	}
	t.Fatal("no free port")
	return ""
}

// busOf is the port on which a node speaks to the others.
func (c *Cluster) busOf(n *embedded.Server) string {
	c.t.Helper()
	got, err := Command(n, "", "CONFIG", "GET", "cluster-port").AsStrMap()
	if err != nil {
		c.t.Fatal(err)
	}
	return got["cluster-port"]
}
