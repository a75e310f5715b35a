package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// scaleLocks runs cycles in turns beside no other lock and beside very many, each number on a Redis of its own.
func scaleLocks(ctx context.Context, b *bench) error {
	sizes, sides, err := b.lockSides(ctx)
	if err != nil {
		return err
	}
	what := sizesOf(sizes, "held")
	rounds, err := inTurnsOf(sizes, b.scale.turns, func(i int) (*coldRound, error) {
		return b.round(ctx, sides[i].store, sides[i].node, b.scale.cycles)
	})
	if err != nil {
		return err
	}
	beside := sized[*coldRound]{b.report, what, 0, rounds}
	beside.row("cycles a second", "%.0f", func(r *coldRound) float64 { return r.rate() })
	beside.row("acquire and release p50, ms", "%.2f", func(r *coldRound) float64 { return r.at(50) })
	beside.row("acquire and release p99, ms", "%.2f", func(r *coldRound) float64 { return r.at(99) })
	beside.row("CPU of Redis a cycle, µs", "%.0f", func(r *coldRound) float64 { return micros(r.redis) })
	if err := b.readRows(ctx, what, sides); err != nil {
		return err
	}
	return b.endRows(ctx, what, sizes, sides)
}

// A lock takes less than a kilobyte of Redis. What else there is on the machine must go on.
const (
	bytesALock = 1 << 10
	bytesSpare = 1 << 30
)

// lockSides starts a Redis with a node for each number of locks that fits into the machine's memory, and takes the locks.
func (b *bench) lockSides(ctx context.Context) (sizes []int, sides []*side, err error) {
	for _, n := range b.scale.locks {
		if room := memoryAvailable(); room < float64(n)*bytesALock+bytesSpare {
			b.report.add(thousands(n)+" held", "left out: %.1f GiB of memory are available", room/(1<<30))
			continue
		}
		s, err := b.lastingSide(ctx)
		if err != nil {
			return nil, nil, err
		}
		sizes, sides = append(sizes, n), append(sides, s)
		if n == 0 {
			continue
		}
		before, err := b.size(ctx, s.store, s.node)
		if err != nil {
			return nil, nil, err
		}
		begin := time.Now()
		if err := s.holdMany(ctx, "held:", n, lastingLease); err != nil {
			return nil, nil, err
		}
		took := time.Since(begin)
		after, err := b.size(ctx, s.store, s.node)
		if err != nil {
			return nil, nil, err
		}
		b.report.add(thousands(n)+" held: taken within", "%.1f s", took.Seconds())
		b.report.add(thousands(n)+" held: Redis memory a lock", "%.0f bytes", (after.redis-before.redis)/float64(n))
	}
	return sizes, sides, nil
}

// lastingLease is a lease, in seconds, that outlasts the scenario.
const lastingLease = 7200

// lastingSide starts a node with a Redis of its own, on which leases and waits may be long, and warms it.
func (b *bench) lastingSide(ctx context.Context) (*side, error) {
	s, err := b.rig.store(ctx)
	if err != nil {
		return nil, err
	}
	node, err := b.rig.node(ctx, s, "MAX_TIMEOUT="+strconv.Itoa(lastingLease), "MAX_WAIT_TIMEOUT="+strconv.Itoa(lastingLease))
	if err != nil {
		return nil, err
	}
	return &side{store: s, node: node}, b.warm(ctx, s, node)
}

// memoryAvailable is how many bytes can be had without swapping; very many where there is no /proc.
func memoryAvailable() float64 {
	b, _ := os.ReadFile("/proc/meminfo")
	for line := range strings.Lines(string(b)) {
		if value, ok := strings.CutPrefix(line, "MemAvailable:"); ok {
			kb, _ := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 64)
			return kb * 1024
		}
	}
	return 1 << 50
}

// holdMany takes locks as fast as can be and leaves them held, though nobody is connected any more.
func (s *side) holdMany(ctx context.Context, prefix string, n, lease int) error {
	const conns, ahead = 8, 200
	crowd := newCrowd(ctx)
	defer crowd.hangUp()
	wires, err := crowd.wires(conns, s.node.addr)
	if err != nil {
		return err
	}
	return inParallel(conns, func(i int) error {
		w := wires[i]
		for asked, told := i, i; told < n; told += conns {
			for ; asked < n && asked-told < ahead*conns; asked += conns {
				w.put(opText, fmt.Appendf(nil, `{"type":"acquire","id":"%d","lockName":"%s%d","clientId":"client-%d","timeout":%d}`,
					asked, prefix, asked, i, lease))
			}
			if a, err := w.next(); err != nil || !a.granted {
				return errors.Join(errNotGranted, err)
			}
		}
		return nil
	})
}

var errNotGranted = errors.New("a free lock was not granted")

// readRound is how long a read took.
type readRound struct{ list, stats, status float64 } // ms

// readRows reads what there is. Stats are remembered for half a second, so it is asked for them after that.
func (b *bench) readRows(ctx context.Context, what string, sides []*side) error {
	rounds := make([][]readRound, len(sides))
	for range b.scale.reads {
		for i, s := range sides {
			conns, hangUp, err := dialAll(ctx, 1, s.node.addr)
			if err != nil {
				return err
			}
			r, err := conns[0].reads()
			hangUp()
			if err != nil {
				return err
			}
			rounds[i] = append(rounds[i], r)
		}
		pause(ctx, 600*time.Millisecond)
	}
	s := sized[readRound]{b.report, what, 0, rounds}
	s.row("GET /locks/NAME/status, ms", "%.2f", func(r readRound) float64 { return r.status })
	s.row("GET /locks/stats, ms", "%.2f", func(r readRound) float64 { return r.stats })
	s.base = min(1, len(sides)-1) // the page of those that hold none is empty
	s.row("GET /locks, the first 100, ms", "%.2f", func(r readRound) float64 { return r.list })
	return nil
}

func (c *conn) reads() (r readRound, err error) {
	for _, read := range []struct {
		path string
		took *float64
	}{{"/locks/held:7/status", &r.status}, {"/locks/stats", &r.stats}, {"/locks", &r.list}} {
		begin := time.Now()
		if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: bench\r\n\r\n", read.path); err != nil {
			return r, err
		}
		if _, err := c.receive(); err != nil {
			return r, fmt.Errorf("%s: %w", read.path, err)
		}
		*read.took = millis(time.Since(begin))
	}
	return r, nil
}

// endRound is what the end of a lease costs.
type endRound struct {
	commands, cpu float64 // of Redis, each; µs
	late          float64 // from the end of the last of them until all were gone, ms
}

// endRows shows what the held locks cost while nothing happens, and what it costs to end leases beside them.
func (b *bench) endRows(ctx context.Context, what string, sizes []int, sides []*side) error {
	idle := sized[quietRound]{b.report, what, 0, make([][]quietRound, len(sides))}
	for i, s := range sides {
		q, err := b.quiet(ctx, s.store, []*process{s.node}, nil)
		if err != nil {
			return err
		}
		idle.rounds[i] = []quietRound{q}
	}
	idle.row("idle: Redis commands a second", "%.0f", quietRound.commandsASecond)
	idle.plain("idle: CPU of Redis, % of a core", "%.1f", quietRound.redisCPU)
	idle.plain("idle: CPU of lockd, % of a core", "%.1f", quietRound.serverCPU)
	idle.plain("idle: resident memory of lockd, MiB", "%.0f", quietRound.mebibytes)
	rounds, err := inTurnsOf(sizes, min(3, b.scale.turns), func(i int) (endRound, error) {
		return b.endRound(ctx, sides[i], idle.rounds[i][0])
	})
	if err != nil {
		return err
	}
	ends := sized[endRound]{b.report, what, 0, rounds}
	name := thousands(b.scale.ends) + " leases end: "
	ends.row(name+"Redis commands each", "%.1f", func(r endRound) float64 { return r.commands })
	ends.row(name+"CPU of Redis each, µs", "%.0f", func(r endRound) float64 { return r.cpu })
	ends.plain(name+"the last to be noticed, ms", "%.0f", func(r endRound) float64 { return r.late })
	return nil
}

// endRound takes locks, lets their leases end, and subtracts what Redis has to do anyway.
func (b *bench) endRound(ctx context.Context, s *side, idle quietRound) (r endRound, err error) {
	expired := func() (float64, error) {
		page, err := metricsOf(ctx, s.node.addr)
		return page["distributed_locks_expired_total"], err
	}
	before, err := expired()
	if err != nil {
		return r, err
	}
	n := b.scale.ends
	if err := s.holdMany(ctx, "ends:"+strconv.FormatInt(lockNumber.Add(1), 10)+":", n, b.scale.lease); err != nil {
		return r, err
	}
	held := time.Now()
	last := held.Add(time.Duration(b.scale.lease) * time.Second)
	from, err := s.usage(ctx)
	if err != nil {
		return r, err
	}
	if gone, err := expired(); err != nil || gone != before {
		return r, errors.Join(errors.New("leases ended before all locks were taken"), err)
	}
	for {
		gone, err := expired()
		if err != nil {
			return r, err
		}
		if gone-before >= float64(n) {
			break
		}
		if time.Since(last) > time.Minute || ctx.Err() != nil {
			return r, fmt.Errorf("%.0f of %d leases have ended", gone-before, n)
		}
		pause(ctx, 50*time.Millisecond)
	}
	r.late = max(0, millis(time.Since(last)))
	to, err := s.usage(ctx)
	used, took := to.since(from), time.Since(held).Seconds()
	r.commands = (used.commands - idle.commands*took) / float64(n)
	r.cpu = (micros(used.cpu) - idle.redis/100*took*1e6) / float64(n)
	return r, err
}
