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

	"distributedlock/queue"
	"distributedlock/queue/embedded"
)

// store is a redis-server of the bench's own, on TCP and without persistence.
type store struct {
	addr, host, port string
	server           *embedded.Server
	client           rueidis.Client
	locks            *queue.Store // to look at locks with; no node of the fleet
}

func startStore(ctx context.Context) (*store, error) {
	server, err := embedded.Start(ctx, embedded.TCP(), embedded.RealOnly())
	if err != nil {
		return nil, err
	}
	s := &store{addr: server.Addr(), server: server}
	s.host, s.port, err = net.SplitHostPort(s.addr)
	opts := queue.Options{Node: "bench", Redis: queue.At("tcp", s.addr)}
	if err == nil {
		s.client, err = queue.Connect(opts)
	}
	if err == nil {
		s.locks, err = queue.Open(ctx, opts)
	}
	if err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

func (s *store) stop() error {
	if s.locks != nil {
		s.locks.Close()
	}
	if s.client != nil {
		s.client.Close()
	}
	return s.server.Stop()
}

// queued counts those in the locks' lines, as Redis knows them.
func (s *store) queued(ctx context.Context, names []string) (n int, err error) {
	for _, name := range names {
		st, err := s.locks.Status(ctx, name, 0)
		if err != nil {
			return 0, err
		}
		n += st.Queue
	}
	return n, nil
}

// usage is what a Redis has done and what it holds. Commands are those that Redis counts, those inside scripts too;
// trips are the scripts that nodes called.
type usage struct {
	commands, trips float64
	memory          float64 // bytes
	cpu             time.Duration
}

func (u usage) since(before usage) usage {
	return usage{u.commands - before.commands, u.trips - before.trips, u.memory - before.memory, u.cpu - before.cpu}
}

// usage asks Redis itself, which costs one command.
func (s *store) usage(ctx context.Context) (u usage, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	info, err := s.client.Do(ctx, s.client.B().Info().Section("everything").Build()).ToString()
	if err != nil {
		return u, fmt.Errorf("ask redis: %w", err)
	}
	fields := map[string]string{}
	for line := range strings.Lines(info) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			fields[name] = value
		}
	}
	number := func(s string) float64 {
		n, _ := strconv.ParseFloat(s, 64)
		return n
	}
	calls, _, _ := strings.Cut(strings.TrimPrefix(fields["cmdstat_evalsha"], "calls="), ",")
	return usage{commands: number(fields["total_commands_processed"]), trips: number(calls),
		memory: number(fields["used_memory"]), cpu: cpuTime(s.server.PID())}, nil
}
