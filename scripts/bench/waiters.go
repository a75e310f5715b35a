package main

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// waiters has very many requests wait on one node. They and the node take a file descriptor each; Go raises the soft
// limit of them to the hard one by itself (os, since Go 1.19), for the bench as for lockd.
func waiters(ctx context.Context, b *bench) error {
	s, nodes, err := b.rig.pair(ctx, 1)
	if err != nil {
		return err
	}
	node := nodes[0]
	if err := b.warm(ctx, s, node); err != nil {
		return err
	}
	names := locksOf(b.work.waiters / b.work.waitersPerLock)
	if err := hold(ctx, node.addr, names); err != nil {
		return err
	}
	before, err := b.size(ctx, s, node)
	if err != nil {
		return err
	}
	begin := time.Now()
	crowd := newCrowd(ctx)
	defer crowd.hangUp()
	for n := 0; n < b.work.waiters; n += waitersAtOnce {
		conns, err := crowd.dial(min(waitersAtOnce, b.work.waiters-n), node.addr)
		if err != nil {
			return err
		}
		if err := seat(ctx, s, conns, names, n); err != nil {
			return err
		}
	}
	b.report.add("time until all stood in line", "%.1f s", time.Since(begin).Seconds())
	after, err := b.size(ctx, s, node)
	if err != nil {
		return err
	}
	each := func(f func(size) float64) float64 { return (f(after) - f(before)) / float64(b.work.waiters) / 1024 }
	b.report.add("lockd resident memory a waiter", "%.1f KiB", each(func(s size) float64 { return s.resident }))
	b.report.add("of that Go heap in use / stacks", "%.1f / %.1f KiB", each(func(s size) float64 { return s.heap }), each(func(s size) float64 { return s.stack }))
	b.report.add("Redis memory a waiter", "%.2f KiB", each(func(s size) float64 { return s.redis }))
	return nil
}

// waitersAtOnce is how many enter their lines together.
const waitersAtOnce = 1000

// size is memory in bytes.
type size struct{ resident, heap, stack, redis float64 }

func (b *bench) size(ctx context.Context, s *store, p *process) (size, error) {
	u, err := s.usage(ctx)
	if err != nil {
		return size{}, err
	}
	page, err := metricsOf(ctx, p.addr)
	return size{resident: resident(p.pid()), heap: page["go_memstats_heap_inuse_bytes"],
		stack: page["go_memstats_stack_inuse_bytes"], redis: u.memory}, err
}

// metricsOf reads a node's plain metrics, those without labels.
func metricsOf(ctx context.Context, addr string) (map[string]float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	page := map[string]float64{}
	for line := range strings.Lines(string(body)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if n, err := strconv.ParseFloat(value, 64); err == nil {
			page[name] = n
		}
	}
	return page, err
}
