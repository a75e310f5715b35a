package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A run is a case under way in one language, or in all of them.
type run struct {
	tc      *testCase
	env     *env
	spare   *spares
	script  *transcript
	clients map[string]*client
	proxies map[string]map[string]*proxy // client, node
	calls   map[string]*call
	groups  map[string][]*call
	mark    int  // where the judge's events of this case begin
	flushed bool // Redis was emptied
}

// runCase plays one case and looks afterwards whether all is as it has to be after any case.
func runCase(ctx context.Context, j *job, e *env, spare *spares) (script *transcript, err error) {
	r := &run{
		tc: j.tc, env: e, spare: spare, script: newTranscript(), clients: map[string]*client{}, proxies: map[string]map[string]*proxy{},
		calls: map[string]*call{}, groups: map[string][]*call{}, mark: e.judge.mark(),
	}
	defer func() {
		for _, c := range r.clients {
			c.end(spare, err == nil)
		}
		for _, nodes := range r.proxies {
			for _, p := range nodes {
				err = errors.Join(err, p.end())
			}
		}
		for _, b := range r.script.found() {
			err = errors.Join(err, errors.New(b))
		}
	}()
	if err := r.open(j.languages); err != nil {
		return r.script, err
	}
	for i := range j.tc.Steps {
		s := &j.tc.Steps[i]
		r.script.add("step", fmt.Sprintf("line %d: %s %v", s.line, s.Verb, s.Arg))
		if err := r.step(ctx, s); err != nil {
			return r.script, fmt.Errorf("line %d, %s: %w", s.line, s.Verb, err)
		}
	}
	return r.script, r.finish(ctx)
}

// open starts all clients at once, each behind proxies of its own.
func (r *run) open(commands []language) error {
	names := slices.Sorted(maps.Keys(r.tc.Clients))
	var wg sync.WaitGroup
	errs := make([]error, len(names))
	opened := make([]*client, len(names))
	for i, name := range names {
		spec := r.tc.Clients[name]
		args, err := r.endpoints(name, spec)
		if err != nil {
			return err
		}
		wg.Go(func() {
			lang := commands[i%len(commands)]
			c, err := startClient(name, lang, r.spare, r.script)
			if err != nil {
				errs[i] = err
				return
			}
			opened[i] = c
			if c.baseline, errs[i] = c.leaks(); errs[i] != nil || spec.Closed {
				return
			}
			if c.opened, err = c.send("open", args); err != nil {
				errs[i] = err
				return
			}
			errs[i] = expect(c.opened, &step{Within: duration(10 * time.Second)})
		})
	}
	wg.Wait()
	for i, c := range opened {
		if c != nil {
			r.clients[names[i]] = c
		}
	}
	return errors.Join(errs...)
}

// endpoints makes a client's proxies, and the arguments of its open.
func (r *run) endpoints(name string, spec clientSpec) (map[string]any, error) {
	nodes := spec.Nodes
	if len(nodes) == 0 {
		nodes = []string{"n1"}
	}
	r.proxies[name] = map[string]*proxy{}
	var urls []string
	for _, n := range nodes {
		node := r.env.nodes[n]
		if node == nil {
			urls = append(urls, n)
			continue
		}
		p, err := newProxy(node.addr, spec.Proxy)
		if err != nil {
			return nil, err
		}
		r.proxies[name][n] = p
		urls = append(urls, p.url())
	}
	args := map[string]any{"urls": urls, "clientId": spec.ID}
	if spec.ID == "" {
		args["clientId"] = r.tc.Name + "-" + name
	}
	if spec.Token != "" {
		args["token"] = spec.Token
	}
	if spec.WebSocket != nil {
		args["webSocket"] = *spec.WebSocket
	}
	return args, nil
}

// step does one step: a request to a client, or a verb of the runner's own.
func (r *run) step(ctx context.Context, s *step) error {
	name, op, asks := strings.Cut(s.Verb, ".")
	if !asks {
		return verbs[s.Verb](ctx, r, s)
	}
	c := r.clients[name]
	label := s.As + s.Async
	var sent []*call
	for i := range max(s.Times, 1) {
		args, err := r.args(name, op, s, i+1)
		if err != nil {
			return err
		}
		k, err := c.send(op, args)
		if err != nil {
			return err
		}
		sent = append(sent, k)
		if op == "open" {
			c.opened = k
		}
		switch {
		case label == "":
		case s.Times > 0:
			r.calls[label+"."+strconv.Itoa(i+1)] = k
		default:
			r.calls[label] = k
		}
	}
	if label != "" {
		r.groups[label] = sent
	}
	if s.Async != "" {
		return nil
	}
	return r.expectAll(sent, s)
}

// args are a step's arguments as the testclient gets them; open has those of the case's client, and the step's.
func (r *run) args(name, op string, s *step, i int) (map[string]any, error) {
	args, err := r.wire(s.Arg, i)
	if err != nil || op != "open" {
		return args, err
	}
	all, err := r.endpoints(name, r.tc.Clients[name])
	maps.Copy(all, args)
	return all, err
}

// expectAll waits for answers and holds each against the step's patterns.
func (r *run) expectAll(calls []*call, s *step) error {
	resolved := *s
	for _, p := range []*map[string]any{&resolved.OK, &resolved.Error} {
		if *p == nil {
			continue
		}
		v, err := r.resolve(*p)
		if err != nil {
			return err
		}
		m, is := v.(map[string]any)
		if !is {
			return fmt.Errorf("a pattern is an object, not %v", v)
		}
		*p = m
	}
	deadline := time.Now().Add(time.Duration(s.Within))
	for _, k := range calls {
		resolved.Within = duration(max(time.Until(deadline), time.Millisecond))
		if err := expect(k, &resolved); err != nil {
			return err
		}
	}
	return nil
}

// expect waits for one answer and holds it against a step's patterns.
func expect(k *call, s *step) error {
	if err := k.wait(time.Duration(s.Within)); err != nil {
		return err
	}
	if s.Took != "" {
		if bad := match(s.Took, float64(k.received.Sub(k.sent))/float64(time.Millisecond)); bad != "" {
			return fmt.Errorf("time until the answer %s ms", bad)
		}
	}
	outcome := "ok"
	if k.fail != nil {
		outcome = fmt.Sprint(k.fail["kind"])
	}
	bad := ""
	switch {
	case len(s.Either) > 0:
		if !slices.Contains(s.Either, outcome) {
			return fmt.Errorf("answered %s, wanted one of %q", outcome, s.Either)
		}
	case s.Error != nil && k.fail == nil:
		return fmt.Errorf("went well: %v; wanted the error %v", k.ok, s.Error)
	case s.Error != nil:
		bad = match(s.Error, k.fail)
	case k.fail != nil:
		return fmt.Errorf("failed: %v", k.fail)
	case s.OK != nil:
		bad = match(s.OK, k.ok)
	}
	if bad != "" {
		return fmt.Errorf("%s of %s %d: %s", outcome, k.op, k.id, bad)
	}
	return nil
}
