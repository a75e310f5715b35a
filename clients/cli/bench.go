package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"sync"
	"time"

	dl "distributedlock/clients/go"
)

// benchCmd measures cycles of acquire and release.
type benchCmd struct {
	Concurrency int    `short:"c" default:"10" placeholder:"N" help:"How many take and give back at a time (${default}), over one connection."`
	Duration    period `short:"d" default:"5s" placeholder:"DURATION" help:"For how long (${default})."`
	Hot         bool   `help:"All take the same lock, one after another; else each has its own."`
}

// benchTTL is the lease of the locks: long enough for any wait, and short, should the bench be killed.
const benchTTL = 30 * time.Second

// benchResult is what was measured: a cycle is one acquire and one release.
type benchResult struct {
	Hot             bool    `json:"hot"`
	Concurrency     int     `json:"concurrency"`
	Seconds         float64 `json:"seconds"`
	Cycles          int     `json:"cycles"`
	CyclesPerSecond float64 `json:"cyclesPerSecond"`
	P50Ms           float64 `json:"p50Ms"`
	P99Ms           float64 `json:"p99Ms"`
}

// Run measures, and fails with the first error that it meets.
func (b *benchCmd) Run(a *app) error {
	if b.Concurrency < 1 || b.Duration <= 0 {
		return usage("-c and -d: want more than 0")
	}
	c, err := a.client(true)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // gives back what an error left
	ctx, stop := untilSignal(catchDeadly())
	defer stop()
	if err := a.reach(ctx, c); err != nil {
		return err
	}
	r, err := b.measure(ctx, c)
	if sig, ok := errors.AsType[*interrupted](context.Cause(ctx)); ok {
		return &coded{exitSignal + int(sig.sig), nil}
	}
	if err != nil {
		return err
	}
	return a.show(r, func(w io.Writer) {
		row(w, "cycles", strconv.Itoa(r.Cycles))
		row(w, "cycles/s", fmt.Sprintf("%.0f", r.CyclesPerSecond))
		row(w, "p50", fmt.Sprintf("%.2f ms", r.P50Ms))
		row(w, "p99", fmt.Sprintf("%.2f ms", r.P99Ms))
	})
}

func (b *benchCmd) measure(ctx context.Context, c *dl.Client) (*benchResult, error) {
	base := "lockctl-bench-" + rand.Text()[:8]
	took := make([][]time.Duration, b.Concurrency)
	errs := make([]error, b.Concurrency)
	// All begin only once the connection is there.
	if err := cycle(ctx, c, base); err != nil {
		return nil, err
	}
	start := time.Now()
	var workers sync.WaitGroup
	for i := range b.Concurrency {
		name := base
		if !b.Hot {
			name += "-" + strconv.Itoa(i)
		}
		workers.Go(func() {
			for last := start; last.Sub(start) < b.Duration.duration() && errs[i] == nil; {
				errs[i] = cycle(ctx, c, name)
				now := time.Now()
				took[i] = append(took[i], now.Sub(last))
				last = now
			}
		})
	}
	workers.Wait()
	elapsed := time.Since(start).Seconds()
	all := slices.Concat(took...)
	slices.Sort(all)
	return &benchResult{
		Hot: b.Hot, Concurrency: b.Concurrency, Seconds: elapsed, Cycles: len(all), CyclesPerSecond: float64(len(all)) / elapsed,
		P50Ms: quantile(all, 50), P99Ms: quantile(all, 99),
	}, errors.Join(errs...)
}

func cycle(ctx context.Context, c *dl.Client, name string) error {
	lock, err := c.AcquireContext(ctx, name, benchTTL)
	if err != nil {
		return err
	}
	return lock.Release()
}

// quantile is in milliseconds, of what is sorted and not empty.
func quantile(sorted []time.Duration, percent int) float64 {
	return float64(sorted[(len(sorted)-1)*percent/100].Microseconds()) / 1000
}
