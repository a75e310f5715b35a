package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// wsIdle has very many clients connect, say hello, and do nothing, for longer than the service's heartbeat.
func wsIdle(ctx context.Context, b *bench) error {
	s, nodes, err := b.rig.pair(ctx, 1)
	if err != nil {
		return err
	}
	node := nodes[0]
	if _, err := b.wsRound(ctx, s, node, b.work.clients, b.work.coldCycles/4); err != nil { // warm
		return err
	}
	empty, _, err := b.rig.pair(ctx, 1)
	if err != nil {
		return err
	}
	before, err := b.size(ctx, s, node)
	if err != nil {
		return err
	}
	crowd := newCrowd(ctx)
	defer crowd.hangUp()
	n := b.affordable(b.work.wsSessions)
	begin := time.Now()
	sockets, err := crowd.sessions(n, node.addr)
	if err != nil {
		return err
	}
	b.report.add(fmt.Sprintf("time until all %d had said hello", n), "%.1f s", time.Since(begin).Seconds())
	listening := listen(sockets)
	begin = time.Now()
	cpu := cpuTime(node.pid())
	rates, err := b.commandRates(ctx, s, empty)
	if err != nil {
		return err
	}
	pause(ctx, b.work.wsIdleFor-time.Since(begin))
	cpu = cpuTime(node.pid()) - cpu
	took := time.Since(begin)
	after, err := b.size(ctx, s, node)
	if err != nil {
		return err
	}
	cut := listening.cut.Load()
	crowd.hangUp()
	listening.wg.Wait()
	if cut > 0 {
		return fmt.Errorf("%d of %d idle connections were closed", cut, n)
	}
	b.wsIdleRows(n, before, after)
	b.report.add("CPU of lockd meanwhile", "%.1f %%", 100*cpu.Seconds()/took.Seconds())
	b.report.aim("Redis commands a second", rates[0], "%.1f", fmt.Sprintf("as without sessions (%.1f)", rates[1]), rates[0] <= rates[1]+5)
	return nil
}

// commandRates is commandsASecond of several at once.
func (b *bench) commandRates(ctx context.Context, stores ...*store) ([]float64, error) {
	rates := make([]float64, len(stores))
	err := inParallel(len(stores), func(i int) (err error) {
		rates[i], err = b.commandsASecond(ctx, stores[i])
		return err
	})
	return rates, err
}

func (b *bench) wsIdleRows(n int, before, after size) {
	each := func(f func(size) float64) float64 { return (f(after) - f(before)) / float64(n) / 1024 }
	rss := each(func(s size) float64 { return s.resident })
	b.report.aim("lockd resident memory a session", rss, "%.1f KiB", "≤ 40", rss <= 40)
	b.report.add("of that Go heap in use / stacks", "%.1f / %.1f KiB", each(func(s size) float64 { return s.heap }), each(func(s size) float64 { return s.stack }))
	b.report.add("Redis memory a session", "%.2f KiB", each(func(s size) float64 { return s.redis }))
}

// sessions makes n more connections that have said hello.
func (c *crowd) sessions(n int, addrs ...string) ([]*socket, error) {
	return c.each(n, addrs, func(s *socket) error {
		return s.call(`{"type":"hello","id":"h","clientId":"`+s.client+`"}`, "welcome")
	})
}

// each makes n more connections, some at a time so that none of them waits long before it says something, and calls
// begin for each.
func (c *crowd) each(n int, addrs []string, begin func(*socket) error) (all []*socket, err error) {
	const atOnce = 100
	for len(all) < n {
		some, err := c.sockets(min(atOnce, n-len(all)), addrs...)
		if err == nil {
			err = inParallel(len(some), func(i int) error { return begin(some[i]) })
		}
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, nil
}

// affordable is how many connections can be made of those that are wanted: this process and the node take a file
// descriptor for each, and this one a port. Go raises the soft limit of descriptors to the hard one by itself.
func (b *bench) affordable(wanted int) int {
	n := min(wanted, openFiles()-1000, localPorts()-1000)
	if n < wanted {
		b.report.add("connections, for want of file descriptors or ports", "%d instead of %d", n, wanted)
	}
	return n
}

// openFiles is how many file descriptors this process may have; very many where there is no /proc.
func openFiles() int {
	b, _ := os.ReadFile("/proc/self/limits")
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "Max open files"); ok {
			if n, err := strconv.Atoi(strings.Fields(rest)[0]); err == nil {
				return n
			}
		}
	}
	return 1 << 20
}

// localPorts is how many ports there are for connections to one address.
func localPorts() int {
	b, _ := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	f := bytes.Fields(b)
	if len(f) != 2 {
		return 16_384 // RFC 6335's range
	}
	from, _ := strconv.Atoi(string(f[0]))
	to, _ := strconv.Atoi(string(f[1]))
	return to - from + 1
}
