package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

const settleTime = 3 * time.Second

// finish looks after the last step whether all is as it must be after any case: nothing is held that no client knows
// of; closed clients leave nothing behind, at the service or in their process; no client believed what was not so.
func (r *run) finish(ctx context.Context) error {
	err := r.eventually(ctx, settleTime, r.unknownHeld)
	if err != nil {
		return fmt.Errorf("before close: %w", err)
	}
	if err := r.closeAll(ctx); err != nil {
		return err
	}
	settle := max(settleTime, time.Duration(r.tc.Settle))
	if err := r.eventually(ctx, settle, r.leftBehind); err != nil {
		return fmt.Errorf("after close: %w", err)
	}
	return r.judgement()
}

// eventually asks until there is nothing to complain of.
func (r *run) eventually(ctx context.Context, within time.Duration, complaint func(context.Context) error) error {
	for deadline := time.Now().Add(within); ; {
		err := complaint(ctx)
		if err == nil || time.Now().After(deadline) {
			return err
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
}

// unknownHeld complains of grants that no living client was told of and no do is inside of.
func (r *run) unknownHeld(ctx context.Context) error {
	held, err := r.env.judge.held(ctx)
	if err != nil {
		return err
	}
	known, names := map[int64]bool{}, map[string]bool{}
	for _, b := range r.beliefs() {
		if b.leaving || b.until.IsZero() {
			known[b.token] = true
			names[b.name] = names[b.name] || b.token < 0
		}
	}
	for _, k := range r.calls { // the case's own over REST
		if token := number(k.ok["fencingToken"]); k.client.program.cmd == nil && token != nil {
			known[int64(*token)] = true
		}
	}
	for token, name := range held {
		if !known[token] && !names[name] && !r.hurtHolds() {
			return fmt.Errorf("%q is held with token %d, and nobody knows", name, token)
		}
	}
	return nil
}

// hurtHolds says whether a client was killed or stopped, so that it may hold what it did not tell.
func (r *run) hurtHolds() bool {
	for _, c := range r.clients {
		c.mu.Lock()
		hurt := !c.killed.IsZero() || !c.stopped.IsZero()
		c.mu.Unlock()
		if hurt {
			return true
		}
	}
	return false
}

// closeAll closes the clients that live, all at once, and looks for what they leave in their processes.
func (r *run) closeAll(ctx context.Context) error {
	var wg sync.WaitGroup
	errs := make(chan error, 2*len(r.clients))
	for _, c := range r.clients {
		if !c.killed.IsZero() {
			continue
		}
		wg.Go(func() {
			if c.opened != nil && c.closing.IsZero() {
				_, err := c.ask("close", map[string]any{}, 10*time.Second)
				errs <- err
			}
			errs <- r.eventually(ctx, settleTime, func(context.Context) error { return c.leftInside() })
		})
	}
	wg.Wait()
	close(errs)
	var all []error
	for err := range errs {
		all = append(all, err)
	}
	return errors.Join(all...)
}

func (c *client) leftInside() error {
	c.mu.Lock()
	open := 0
	for _, k := range c.calls {
		if !k.answered() && k.op != "leaks" {
			open++
		}
	}
	c.mu.Unlock()
	if open > 0 {
		return fmt.Errorf("%s was closed and leaves %d requests without an answer", c.name, open)
	}
	now, err := c.leaks()
	if err != nil {
		return err
	}
	if now.tasks > c.baseline.tasks || now.sockets > c.baseline.sockets {
		return fmt.Errorf("%s was closed and has %d tasks and %d sockets; before it was opened, %d and %d",
			c.name, now.tasks, now.sockets, c.baseline.tasks, c.baseline.sockets)
	}
	return nil
}

// leftBehind complains of what is held or waited for though all clients are closed.
func (r *run) leftBehind(ctx context.Context) error {
	held, err := r.env.judge.held(ctx)
	if err != nil {
		return err
	}
	for token, name := range held {
		return fmt.Errorf("%q is still held, token %d", name, token)
	}
	names := map[string]bool{}
	for _, c := range r.clients {
		c.mu.Lock()
		for _, k := range c.calls {
			if name, is := k.args["name"].(string); is && k.op != "status" && k.fail["kind"] != "invalid_argument" {
				names[name] = true
			}
		}
		c.mu.Unlock()
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		status, err := r.env.judge.status(ctx, name)
		if err != nil {
			return err
		}
		if n := number(status["queueLength"]); n == nil || *n != 0 {
			return fmt.Errorf("somebody still waits for %q: %v", name, status)
		}
	}
	return nil
}

// judgement holds what the clients said against each other and against the judge's events.
func (r *run) judgement() error {
	all := r.beliefs()
	var tokens []int64
	for _, b := range all {
		if b.token > 0 {
			tokens = append(tokens, b.token)
		}
		if b.released != nil && b.token > 0 {
			r.env.judge.await(r.mark, time.Second, func(w witnessed) bool {
				return w.Event == "released" && w.FencingToken == b.token
			})
		}
	}
	for _, token := range tokens {
		r.env.judge.await(r.mark, time.Second, func(w witnessed) bool {
			return w.Event == "granted" && w.FencingToken == token
		})
	}
	seen, whole := r.env.judge.since(r.mark)
	findings := rising(seen)
	if !r.tc.Unsafe {
		findings = append(findings, exclusion(all, seen)...)
	}
	if whole && !r.flushed {
		findings = append(findings, truth(all, seen)...)
	}
	if len(findings) > 0 {
		return errors.New(failures(findings))
	}
	return nil
}
