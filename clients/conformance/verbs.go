package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// A verb is something the runner does or looks at itself; README.md lists them.
type verb func(ctx context.Context, r *run, s *step) error

// verbs is filled by init, as the verbs are checked against it when cases are read.
var verbs map[string]verb

func init() {
	verbs = map[string]verb{
		"await": await, "pending": pending, "push": awaitPush, "no-push": noPush, "events": events, "order": order,
		"status": status, "rest": rest, "force": force, "honest": honest, "probe": probe, "sleep": sleep,
		"kill": kill, "term": term, "stop": stop, "cont": cont, "start": start, "flush": flush,
		"cut": cut, "mute": mute, "refuse": refuse, "heal": heal, "delay": delay, "connected": connected, "connections": connections,
	}
}

// text is a step's argument, or one field of it, as text.
func (r *run) text(s *step, field string) (string, error) {
	v := s.Arg
	if m, is := v.(map[string]any); is {
		v = m[field]
	}
	v, err := r.resolve(v)
	if err != nil {
		return "", err
	}
	t, is := v.(string)
	if !is {
		return "", fmt.Errorf("%s is a text, not %v", field, v)
	}
	return t, nil
}

// call is what a step names as of.
func (r *run) call(s *step) (*call, error) {
	name, err := r.text(s, "of")
	if err != nil {
		return nil, err
	}
	if k := r.calls[name]; k != nil {
		return k, nil
	}
	return nil, fmt.Errorf("nothing is called %s", name)
}

// await waits for the answers to an async step: `await: NAME`, or a list of names.
func await(_ context.Context, r *run, s *step) error {
	names, is := s.Arg.([]any)
	if !is {
		names = []any{s.Arg}
	}
	var all []*call
	for _, n := range names {
		name, _ := n.(string)
		switch k, group := r.calls[name], r.groups[name]; {
		case k != nil:
			all = append(all, k)
		case group != nil:
			all = append(all, group...)
		default:
			return fmt.Errorf("nothing is called %v", n)
		}
	}
	return r.expectAll(all, s)
}

// pending wants that a call is not answered, now and for some moments more.
func pending(_ context.Context, r *run, s *step) error {
	k, err := r.call(s)
	if err != nil {
		return err
	}
	if k.wait(150*time.Millisecond) == nil {
		return fmt.Errorf("%s %d is answered: %v %v", k.op, k.id, k.ok, k.fail)
	}
	return nil
}

// wantedPush finds the client and the pattern of a step about pushes: `push: {client: a, event: lost, of: g}`.
func (r *run) wantedPush(s *step) (*client, func(*push) bool, error) {
	arg, _ := s.Arg.(map[string]any)
	name, _ := arg["client"].(string)
	c := r.clients[name]
	if c == nil {
		return nil, nil, fmt.Errorf("there is no client %q", name)
	}
	of := 0
	if _, given := arg["of"]; given {
		k, err := r.call(s)
		if err != nil {
			return nil, nil, err
		}
		of = k.id
	}
	pattern, err := r.resolve(s.OK)
	if err != nil {
		return nil, nil, err
	}
	return c, func(p *push) bool {
		return p.event == arg["event"] && (of == 0 || p.of == of) && match(pattern, p.body) == ""
	}, nil
}

// awaitPush waits for a push. With before: end, the service must still keep the lease at that moment, and must have
// meant to keep it for longer.
func awaitPush(ctx context.Context, r *run, s *step) error {
	c, wanted, err := r.wantedPush(s)
	if err != nil {
		return err
	}
	p, err := c.awaitPush(time.Duration(s.Within), wanted)
	if err != nil || s.Before == "" {
		return err
	}
	k, err := r.call(s)
	if err != nil {
		return err
	}
	end, err := r.leaseEnd(ctx, k)
	if errors.Is(err, errGone) {
		end, err = r.expiry(k) // the question came too late, or the push
	}
	if err != nil {
		return err
	}
	told, _ := c.when(p.at)
	r.script.add("judge", fmt.Sprintf("told %v before the lease's end", end.Sub(told)))
	if !told.Before(end) {
		return fmt.Errorf("told %v after the lease's end", told.Sub(end))
	}
	return nil
}

func noPush(_ context.Context, r *run, s *step) error {
	c, wanted, err := r.wantedPush(s)
	if err != nil {
		return err
	}
	if s.Within == duration(10*time.Second) {
		s.Within = duration(200 * time.Millisecond)
	}
	if p, err := c.awaitPush(time.Duration(s.Within), wanted); err == nil {
		return fmt.Errorf("there is one: %v", p.body)
	}
	return nil
}

// events wants exactly these events, in this order, as the next of a subscription: `events: {client: a, of: s, are: […]}`.
// A gap is no event of a lock: one that is not wanted here is passed over.
func events(_ context.Context, r *run, s *step) error {
	arg, _ := s.Arg.(map[string]any)
	name, _ := arg["client"].(string)
	c := r.clients[name]
	k, err := r.call(s)
	if err != nil {
		return err
	}
	v, err := r.resolve(arg["are"])
	if err != nil {
		return err
	}
	wanted, is := v.([]any)
	if c == nil || !is {
		return errors.New("events has client, of, and are, a list")
	}
	deadline := time.Now().Add(time.Duration(s.Within))
	for i := 0; i < len(wanted); {
		p, err := c.awaitPush(time.Until(deadline), func(p *push) bool { return p.event == "event" && p.of == k.id })
		if err != nil {
			return fmt.Errorf("no event %d of %d: %w", i+1, len(wanted), err)
		}
		bad := match(wanted[i], p.body)
		if bad != "" && p.body["kind"] == "gap" {
			continue
		}
		if bad != "" {
			return fmt.Errorf("event %d: %s: %v", i+1, bad, p.body)
		}
		i++
	}
	return nil
}

// order wants fencing tokens to rise over these grants: `order: [g1, g2]`.
func order(_ context.Context, r *run, s *step) error {
	names, _ := s.Arg.([]any)
	last := 0.0
	for _, n := range names {
		name, _ := n.(string)
		k := r.calls[name]
		if k == nil || k.ok == nil {
			return fmt.Errorf("%v is no grant", n)
		}
		token := number(k.ok["fencingToken"])
		if token == nil || *token <= last {
			return fmt.Errorf("%v has token %v after %.0f", n, k.ok["fencingToken"], last)
		}
		last = *token
	}
	return nil
}

// status asks the judge's node about a lock, again and again with until: `status: NAME`.
func status(ctx context.Context, r *run, s *step) error {
	name, err := r.text(s, "name")
	if err != nil {
		return err
	}
	wanted := s.OK
	if s.Until != nil {
		wanted = s.Until
	}
	pattern, err := r.resolve(wanted)
	if err != nil {
		return err
	}
	for deadline := time.Now().Add(time.Duration(s.Within)); ; {
		answer, err := r.env.judge.status(ctx, name)
		bad := ""
		if err == nil {
			bad = match(pattern, answer)
		}
		if err == nil && bad == "" {
			r.script.add("judge", fmt.Sprintf("status %s: %v", name, answer))
			return nil
		}
		if s.Until == nil || time.Now().After(deadline) {
			return fmt.Errorf("status of %s %s: %v %w", name, bad, answer, err)
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
}

// rest makes a call of a stranger's to the judge's node: `rest: {method: POST, path: /locks/x/acquire, body: {…}}`.
func rest(ctx context.Context, r *run, s *step) error {
	arg, err := r.resolve(s.Arg)
	if err != nil {
		return err
	}
	m, _ := arg.(map[string]any)
	method, _ := m["method"].(string)
	path, _ := m["path"].(string)
	k := &call{client: &client{name: "rest", program: &program{ended: make(chan struct{})}}, op: method + " " + path, sent: time.Now(), done: make(chan struct{})}
	code, answer, err := r.env.judge.rest(ctx, method, path, m["body"])
	if err != nil {
		return err
	}
	k.received = time.Now()
	r.script.add("judge", fmt.Sprintf("%s: %d %v", k.op, code, answer))
	if k.ok = answer; code != http.StatusOK {
		k.ok, k.fail = nil, answer
		answer["kind"] = answer["code"]
	}
	close(k.done)
	if s.As != "" {
		r.calls[s.As] = k
	}
	return r.expectAll([]*call{k}, s)
}

// force takes a lock away as an admin: `force: NAME`.
func force(ctx context.Context, r *run, s *step) error {
	name, err := r.text(s, "name")
	if err != nil {
		return err
	}
	code, answer, err := r.env.judge.rest(ctx, http.MethodDelete, "/locks/"+url.PathEscape(name)+"?reason=conformance", nil)
	if err == nil && code != http.StatusOK {
		err = fmt.Errorf("force %s: %v", name, answer)
	}
	return err
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
