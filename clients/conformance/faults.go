package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"syscall"
	"time"
)

// sleep is for what cannot be waited for: that nothing happens.
func sleep(ctx context.Context, r *run, s *step) error {
	text, err := r.text(s, "for")
	if err != nil {
		return err
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return err
	}
	return pause(ctx, d)
}

// probe lets a stranger take and give back a lock until a subscription has told of it: `probe: {client: a, of: s, name: x}`.
// All events until then are used up.
func probe(ctx context.Context, r *run, s *step) error {
	name, err := r.text(s, "name")
	if err != nil {
		return err
	}
	k, err := r.call(s)
	if err != nil {
		return err
	}
	path := "/locks/" + url.PathEscape(name)
	mine := func(p *push) bool { return p.event == "event" && p.of == k.id && p.body["lockName"] == name }
	for deadline := time.Now().Add(time.Duration(s.Within)); time.Now().Before(deadline); {
		code, got, err := r.env.judge.rest(ctx, http.MethodPost, path+"/acquire", map[string]any{"clientId": "probe"})
		if err != nil || code != http.StatusOK {
			return fmt.Errorf("probe: %v %w", got, err)
		}
		if _, _, err := r.env.judge.rest(ctx, http.MethodPost, path+"/release", map[string]any{"clientId": "probe", "lockId": got["lockId"]}); err != nil {
			return err
		}
		told := func(kind string) bool {
			_, err := k.client.awaitPush(200*time.Millisecond, func(p *push) bool {
				return mine(p) && p.body["kind"] == kind && *number(p.body["fencingToken"]) == *number(got["fencingToken"])
			})
			return err == nil
		}
		if told("granted") && told("released") {
			k.client.useUp(k.id)
			return nil
		}
	}
	return errors.New("the subscription tells nothing")
}

// useUp marks all pushes of a call as used.
func (c *client) useUp(of int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.pushes {
		if p.of == of {
			p.used = true
		}
	}
}

// hit sends a node, a client or redis a signal.
func (r *run) hit(s *step, sig syscall.Signal) error {
	name, err := r.text(s, "name")
	if err != nil {
		return err
	}
	if c := r.clients[name]; c != nil {
		return c.signal(sig)
	}
	r.env.dirty = true
	if name == "redis" {
		return r.env.redis.signal(sig)
	}
	n := r.env.nodes[name]
	if n == nil {
		return fmt.Errorf("there is no %s", name)
	}
	return n.signal(sig)
}

func kill(_ context.Context, r *run, s *step) error { return r.hit(s, syscall.SIGKILL) }
func term(_ context.Context, r *run, s *step) error { return r.hit(s, syscall.SIGTERM) }
func stop(_ context.Context, r *run, s *step) error { return r.hit(s, sigStop) }
func cont(_ context.Context, r *run, s *step) error { return r.hit(s, sigCont) }

// start starts a node that was killed or has ended, at its old address.
func start(ctx context.Context, r *run, s *step) error {
	name, err := r.text(s, "name")
	if err != nil {
		return err
	}
	n := r.env.nodes[name]
	if n == nil {
		return fmt.Errorf("there is no %s", name)
	}
	select {
	case <-n.ended:
	case <-time.After(time.Duration(s.Within)):
		return fmt.Errorf("%s still runs", name)
	}
	if err := n.start(); err != nil {
		return err
	}
	return r.env.awaitNode(ctx, n)
}

// flush has Redis lose all data.
func flush(ctx context.Context, r *run, _ *step) error {
	r.env.dirty, r.flushed = true, true
	return r.env.command(ctx, "FLUSHALL")
}

// lines are the proxies of a step: `cut: a`, or `cut: {client: a, node: n1}`.
func (r *run) lines(s *step) ([]*proxy, error) {
	name, err := r.text(s, "client")
	if err != nil {
		return nil, err
	}
	m, _ := s.Arg.(map[string]any)
	var found []*proxy
	for node, p := range r.proxies[name] {
		if m["node"] == nil || m["node"] == node {
			found = append(found, p)
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("there is no line like %v", s.Arg)
	}
	return found, nil
}

func cut(_ context.Context, r *run, s *step) error {
	lines, err := r.lines(s)
	for _, p := range lines {
		p.cut()
	}
	return err
}

func (r *run) mode(s *step, mode string) error {
	lines, err := r.lines(s)
	for _, p := range lines {
		p.set(mode, 0, 0)
	}
	return err
}

func mute(_ context.Context, r *run, s *step) error { return r.mode(s, "mute") }
func heal(_ context.Context, r *run, s *step) error { return r.mode(s, "") }

// refuse closes what is open and takes nothing new.
func refuse(ctx context.Context, r *run, s *step) error {
	return errors.Join(r.mode(s, "refuse"), cut(ctx, r, s))
}

// delay slows what the node says (down) or what the client says (up): `delay: {client: a, down: 1s}`.
func delay(_ context.Context, r *run, s *step) error {
	m, _ := s.Arg.(map[string]any)
	var times [2]time.Duration
	for i, way := range []string{"up", "down"} {
		if m[way] == nil {
			continue
		}
		text, _ := m[way].(string)
		var err error
		if times[i], err = time.ParseDuration(text); err != nil {
			return err
		}
	}
	lines, err := r.lines(s)
	for _, p := range lines {
		p.set("", times[0], times[1])
	}
	return err
}

// connected waits until a client has a connection: `connected: {client: a, node: n2}`.
func connected(ctx context.Context, r *run, s *step) error {
	lines, err := r.lines(s)
	if err != nil {
		return err
	}
	for deadline := time.Now().Add(time.Duration(s.Within)); time.Now().Before(deadline); {
		for _, p := range lines {
			if live, _, _ := p.counts(); live > 0 {
				return nil
			}
		}
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
	return errors.New("no connection")
}

// connections holds the counts against a pattern: `connections: a`, ok with live, opened and sockets.
func connections(_ context.Context, r *run, s *step) error {
	lines, err := r.lines(s)
	if err != nil {
		return err
	}
	sum := map[string]any{"live": 0, "opened": 0, "sockets": 0}
	for _, p := range lines {
		live, opened, sockets := p.counts()
		for k, n := range map[string]int{"live": live, "opened": opened, "sockets": sockets} {
			before, _ := sum[k].(int)
			sum[k] = before + n
		}
	}
	if bad := match(s.OK, sum); bad != "" {
		return fmt.Errorf("connections: %s", bad)
	}
	return nil
}
