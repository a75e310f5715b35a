package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"distributedlock/queue/embedded"
)

// ask puts one question to a Redis or a Sentinel, over a connection of its own.
func ask(addr string, args ...string) rueidis.RedisResult {
	o := rueidis.ClientOption{InitAddress: []string{addr}, ForceSingleClient: true, DisableRetry: true, DisableCache: true,
		PipelineMultiplex: -1, ConnWriteTimeout: time.Second}
	o.Dialer.Timeout = time.Second
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	c, err := rueidis.NewClient(o)
	if err != nil {
		return rueidis.NewErrorResult(err)
	}
	defer c.Close()
	return c.Do(ctx, c.B().Arbitrary(args...).Build())
}

// fleet is a master, two replicas and three Sentinels over them. The kit of the tests does the same, but needs a test
// to run in.
type fleet struct {
	redis, sentinels []*embedded.Server
}

const masterName = "mymaster"

// startFleet starts a fleet with the settings that the README asks for, and returns once everybody knows of everybody.
func startFleet(ctx context.Context) (*fleet, error) {
	f := &fleet{}
	if err := f.start(ctx); err != nil {
		return nil, errors.Join(err, f.stop())
	}
	return f, nil
}

func (f *fleet) start(ctx context.Context) error {
	args := []string{"--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1", "--min-replicas-to-write", "1",
		"--min-replicas-max-lag", "2", "--appendonly", "yes", "--appendfsync", "everysec"}
	if err := f.add(ctx, &f.redis, embedded.Args(args...)); err != nil {
		return err
	}
	host, port, _ := net.SplitHostPort(f.redis[0].Addr())
	for i := range 2 {
		if err := f.add(ctx, &f.redis, embedded.Args(args...)); err != nil {
			return err
		}
		// Not by an argument, which it would go by again as it is restarted, whatever it has been promoted to meanwhile.
		if err := ask(f.redis[i+1].Addr(), "REPLICAOF", host, port).Error(); err != nil {
			return err
		}
	}
	if err := until(ctx, 20*time.Second, "the replicas are there", func() bool { return replicas(f.redis[0]) == 2 }); err != nil {
		return err
	}
	for range 3 {
		// A master is replaced after 3 s of silence, which is more than min-replicas-max-lag.
		config := fmt.Sprintf("sentinel monitor %[1]s %[2]s %[3]s 2\nsentinel down-after-milliseconds %[1]s 3000\n"+
			"sentinel failover-timeout %[1]s 2000\nsentinel parallel-syncs %[1]s 2\n", masterName, host, port)
		if err := f.add(ctx, &f.sentinels, embedded.Config(config), embedded.Args("--sentinel")); err != nil {
			return err
		}
	}
	return f.steady(ctx)
}

func (f *fleet) add(ctx context.Context, to *[]*embedded.Server, opts ...embedded.Option) error {
	s, err := embedded.Start(ctx, append(opts, embedded.TCP(), embedded.RealOnly())...)
	if err == nil {
		*to = append(*to, s)
	}
	return err
}

func (f *fleet) stop() error {
	var errs []error
	for _, s := range append(f.sentinels, f.redis...) {
		errs = append(errs, s.Stop())
	}
	return errors.Join(errs...)
}

func (f *fleet) addrs() string {
	all := make([]string, 0, len(f.sentinels))
	for _, s := range f.sentinels {
		all = append(all, s.Addr())
	}
	return strings.Join(all, ",")
}

// steady waits until the Sentinels agree on a master that is there, and two replicas of it are in step.
func (f *fleet) steady(ctx context.Context) error {
	return until(ctx, 60*time.Second, "all Sentinels know of all", func() bool {
		for _, s := range f.sentinels {
			about, err := ask(s.Addr(), "SENTINEL", "MASTER", masterName).AsStrMap()
			if err != nil || about["num-other-sentinels"] != "2" || about["num-slaves"] != "2" || about["flags"] != "master" {
				return false
			}
		}
		master := f.master()
		return master != nil && replicas(master) == 2
	})
}

// master is the Redis that all Sentinels that answer name, nil where they do not agree.
func (f *fleet) master() *embedded.Server {
	named := ""
	for _, s := range f.sentinels {
		addr, err := ask(s.Addr(), "SENTINEL", "GET-MASTER-ADDR-BY-NAME", masterName).AsStrSlice()
		if err != nil || len(addr) != 2 {
			continue
		}
		if at := net.JoinHostPort(addr[0], addr[1]); named == "" || named == at {
			named = at
		} else {
			return nil
		}
	}
	for _, r := range f.redis {
		if r.Addr() == named {
			return r
		}
	}
	return nil
}

// promoted waits until the Sentinels name another master than one.
func (f *fleet) promoted(ctx context.Context, before *embedded.Server) error {
	return until(ctx, 60*time.Second, "another master", func() bool {
		now := f.master()
		return now != nil && now != before && role(now) == "master"
	})
}

// rejoin has all that run no more come back, as replicas of the master, as a supervisor and the Sentinels would within
// some 10 s.
func (f *fleet) rejoin(ctx context.Context) error {
	for _, s := range f.sentinels {
		if err := revive(ctx, s); err != nil {
			return err
		}
	}
	var master *embedded.Server
	err := until(ctx, 60*time.Second, "the Sentinels agree", func() bool {
		master = f.master()
		return master != nil
	})
	if err != nil {
		return err
	}
	host, port, _ := net.SplitHostPort(master.Addr())
	for _, r := range f.redis {
		if err := revive(ctx, r); err != nil {
			return err
		}
		if r != master && role(r) == "master" {
			if err := ask(r.Addr(), "REPLICAOF", host, port).Error(); err != nil {
				return err
			}
		}
	}
	return f.steady(ctx)
}

func revive(ctx context.Context, s *embedded.Server) error {
	select {
	case <-s.Done():
		return s.Restart(ctx)
	default:
		return nil
	}
}

func role(r *embedded.Server) string {
	all, err := ask(r.Addr(), "ROLE").ToArray()
	if err != nil || len(all) == 0 {
		return ""
	}
	what, _ := all[0].ToString()
	return what
}

func replicas(r *embedded.Server) int {
	all, err := ask(r.Addr(), "ROLE").ToArray()
	if err != nil || len(all) != 3 {
		return 0
	}
	if what, _ := all[0].ToString(); what != "master" {
		return 0
	}
	them, _ := all[2].ToArray()
	return len(them)
}

// used is how many bytes a Redis has in use.
func used(r *embedded.Server) (int, error) {
	info, err := ask(r.Addr(), "INFO", "memory").ToString()
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(info) {
		if n, ok := strings.CutPrefix(strings.TrimSpace(line), "used_memory:"); ok {
			return strconv.Atoi(n)
		}
	}
	return 0, errors.New("INFO tells no used_memory")
}
