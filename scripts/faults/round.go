package main

import (
	"context"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"time"
)

const (
	// calm is how long the clients work before the fault, at most, and after they have recovered from it.
	calm = time.Second
	// patience is how long they may take to recover before the round ends as one that never did.
	patience = 25 * time.Second
)

// streamOf is the number of a fault's round, from which, with the seed, all its chances come.
func streamOf(name string, round int) uint64 {
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%s/%d", name, round) // a hash takes everything
	return h.Sum64() >> 16
}

// play plays one round: clients at work, one fault, and what becomes of them. An error is that the round could not be
// played, not that something was wrong in it.
func play(ctx context.Context, r *rig, f *fault, seed uint64, round int) (*history, error) {
	stream := streamOf(f.name, round)
	rnd := rand.New(rand.NewPCG(seed, stream)) //nolint:gosec // no secret; a seed repeats it
	c := gather(fmt.Sprintf("%s-%d-%d", f.name, seed, round), r)
	work, stop := context.WithCancel(ctx)
	c.work(work, seed, stream)
	pause(ctx, between(rnd, calm/4, calm))

	s := &stage{rig: r, rnd: rnd, hurt: map[int]bool{}}
	w := window{from: c.now(), settle: f.settle, loses: f.loses, kept: f.kept, strict: f.strict, hurt: s.hurt}
	err := f.strike(ctx, s)
	w.to, w.strikes = c.now(), s.strikes
	c.struck(w)
	if err == nil {
		if slow := until(ctx, patience, "every lock is granted again", func() bool { return c.recovered(w.to) }); slow != nil && ctx.Err() == nil {
			c.remark("the service did not recover: %v", slow)
		}
		pause(ctx, between(rnd, calm/2, calm))
		if w.loses { // the next round begins with nodes that know of it
			pause(ctx, w.to+relearn-c.now())
		}
	}
	stop()
	c.close()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.name, err)
	}
	return c.history, ctx.Err()
}
