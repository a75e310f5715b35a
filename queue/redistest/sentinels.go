package redistest

import (
	"fmt"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"distributedlock/queue/embedded"
)

// SentinelOptions say how a master, its replicas and the Sentinels over them are set up. The zero value is a master, two
// replicas and three Sentinels without passwords, where a master that is silent for a second is replaced.
type SentinelOptions struct {
	// DownAfter is how long a silent master is borne. Default 1 s.
	DownAfter time.Duration
	// MinReplicas and MaxLag are the master's min-replicas-to-write and min-replicas-max-lag (in seconds).
	MinReplicas, MaxLag int
	// Password and SentinelPassword are what Redis and the Sentinels ask for.
	Password, SentinelPassword string
	// Args are more arguments of each Redis.
	Args []string
}

// Sentinels is a master, its replicas and the Sentinels over them, each a process on 127.0.0.1 that can be paused,
// killed and restarted.
type Sentinels struct {
	// Name is what the Sentinels call the master.
	Name string
	// Redis are the master of the start and its replicas; which of them is the master later, Master tells.
	Redis     []*embedded.Server
	Sentinels []*embedded.Server

	t    testing.TB
	opts SentinelOptions
}

// StartSentinels starts a fleet that ends with the test, and returns once everybody knows of everybody.
func StartSentinels(t testing.TB, o SentinelOptions) *Sentinels {
	t.Helper()
	if o.DownAfter == 0 {
		o.DownAfter = time.Second
	}
	s := &Sentinels{Name: "mymaster", t: t, opts: o}
	args := append([]string{"--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1",
		"--min-replicas-to-write", strconv.Itoa(o.MinReplicas), "--min-replicas-max-lag", strconv.Itoa(o.MaxLag)}, o.Args...)
	if o.Password != "" {
		args = append(args, "--requirepass", o.Password, "--masterauth", o.Password)
	}
	s.Redis = append(s.Redis, Start(t, embedded.TCP(), embedded.Args(args...)))
	host, port, _ := net.SplitHostPort(s.Redis[0].Addr())
	for range 2 {
		s.Redis = append(s.Redis, Start(t, embedded.TCP(), embedded.Args(append(args, "--replicaof", host+" "+port)...)))
	}
	Until(s.t, "the replicas are there", 20*time.Second, func() bool { return s.replicas(s.Redis[0]) == 2 })
	for range 3 {
		config := fmt.Sprintf("sentinel monitor %[1]s %[2]s %[3]s 2\nsentinel down-after-milliseconds %[1]s %[4]d\n"+
			"sentinel failover-timeout %[1]s 2000\nsentinel parallel-syncs %[1]s 2\n", s.Name, host, port, o.DownAfter.Milliseconds())
		if o.Password != "" {
			config += fmt.Sprintf("sentinel auth-pass %s %s\n", s.Name, o.Password)
		}
		if o.SentinelPassword != "" {
			config += fmt.Sprintf("requirepass %s\nsentinel sentinel-pass %[1]s\n", o.SentinelPassword)
		}
		s.Sentinels = append(s.Sentinels, Start(t, embedded.TCP(), embedded.Config(config), embedded.Args("--sentinel")))
	}
	s.Steady()
	return s
}

// Addrs are the Sentinels' addresses.
func (s *Sentinels) Addrs() []string {
	var all []string
	for _, one := range s.Sentinels {
		all = append(all, one.Addr())
	}
	return all
}

// Steady waits until the Sentinels agree on a master that is there, and two replicas of it are in step.
func (s *Sentinels) Steady() {
	s.t.Helper()
	Until(s.t, "all know of all", 60*time.Second, func() bool {
		master := s.Master()
		for _, one := range s.Sentinels {
			about, err := s.Command(one, "SENTINEL", "MASTER", s.Name).AsStrMap()
			if err != nil || about["num-other-sentinels"] != "2" || about["num-slaves"] != "2" || about["flags"] != "master" {
				return false
			}
		}
		return master != nil && s.replicas(master) == 2
	})
}

// Master is the Redis that all Sentinels that answer name, nil where they do not agree.
func (s *Sentinels) Master() *embedded.Server {
	named := map[string]bool{}
	for _, one := range s.Sentinels {
		addr, err := s.Command(one, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", s.Name).AsStrSlice()
		if err == nil && len(addr) == 2 {
			named[net.JoinHostPort(addr[0], addr[1])] = true
		}
	}
	if len(named) != 1 {
		return nil
	}
	for _, r := range s.Redis {
		if named[r.Addr()] {
			return r
		}
	}
	return nil
}

// Promoted waits until the Sentinels name another master than one, and returns it.
func (s *Sentinels) Promoted(before *embedded.Server) (now *embedded.Server) {
	s.t.Helper()
	Until(s.t, "another master", 60*time.Second, func() bool {
		now = s.Master()
		return now != nil && now != before
	})
	return now
}

// Rejoin has a Redis that was killed come back as a replica of the master, as a supervisor that restarts it and the
// Sentinels would within some 10 s.
func (s *Sentinels) Rejoin(r *embedded.Server) {
	s.t.Helper()
	master := s.Master()
	if master == nil || master == r {
		s.t.Fatal("there is no other master to follow")
	}
	if err := r.Restart(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	host, port, _ := net.SplitHostPort(master.Addr())
	if err := s.Do(r, "REPLICAOF", host, port).Error(); err != nil {
		s.t.Fatal(err)
	}
	s.Steady()
}

// Do asks one Redis of the fleet.
func (s *Sentinels) Do(r *embedded.Server, args ...string) rueidis.RedisResult {
	return Command(r, s.opts.Password, args...)
}

// Command asks one of the Sentinels.
func (s *Sentinels) Command(one *embedded.Server, args ...string) rueidis.RedisResult {
	return Command(one, s.opts.SentinelPassword, args...)
}

func (s *Sentinels) replicas(master *embedded.Server) int {
	role, err := s.Do(master, "ROLE").ToArray()
	if err != nil || len(role) != 3 {
		return 0
	}
	if kind, _ := role[0].ToString(); kind != "master" {
		return 0
	}
	them, _ := role[2].ToArray()
	return len(them)
}
