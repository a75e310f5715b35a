package main

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// A belief is a time in which a client took itself for a holder: from its answer to the acquire until it was asked to
// release, was closed, killed or stopped, or told the loss.
type belief struct {
	client        *client
	call          *call
	name          string
	token         int64 // below 0: the client did not tell; some SDKs' blocks cannot
	shared        bool
	limit         int
	from          time.Time
	until         time.Time // zero: to the end
	told          time.Time // when the runner heard of the grant
	released      *call     // what gave it back, with success
	lost, leaving bool      // it ended by loss; its client was closed, killed or stopped
}

func (b *belief) String() string {
	return fmt.Sprintf("%s's grant %d of %q", b.client.name, b.token, b.name)
}

func (b *belief) end(at time.Time) {
	if b.until.IsZero() || at.Before(b.until) {
		b.until = at
	}
}

// unknown makes tokens for beliefs without one.
var unknown atomic.Int64

// beliefs reads what each client said of its locks.
func (r *run) beliefs() []*belief {
	var all []*belief
	for _, c := range r.clients {
		c.mu.Lock()
		calls := make([]*call, 0, len(c.calls))
		for _, k := range c.calls {
			if k.op == "acquire" || k.op == "try" || k.op == "do" || k.op == "release" {
				calls = append(calls, k)
			}
		}
		pushes := slices.Clone(c.pushes)
		ends := []time.Time{c.closing, c.killed, c.stopped}
		c.mu.Unlock()
		slices.SortFunc(calls, func(a, b *call) int { return a.id - b.id })
		mine := c.grants(calls, pushes)
		for _, b := range mine {
			for _, end := range ends {
				if !end.IsZero() {
					b.end(end)
					b.leaving = true
				}
			}
			all = append(all, b)
		}
	}
	return all
}

// grants reads one client's beliefs, before its end.
func (c *client) grants(calls []*call, pushes []*push) map[int]*belief {
	mine := map[int]*belief{}
	add := func(k *call, token *float64, at float64, told time.Time) {
		if token == nil && k.op != "do" {
			return
		}
		if token == nil {
			unknown.Add(-1)
			n := float64(unknown.Load())
			token = &n
		}
		b := &belief{client: c, call: k, token: int64(*token), told: told, limit: 1}
		_, b.from = c.when(at)
		b.name, _ = k.args["name"].(string)
		b.shared, _ = k.args["shared"].(bool)
		if n := number(k.args["limit"]); n != nil {
			b.limit = int(*n)
		}
		mine[k.id] = b
	}
	byID := map[int]*call{}
	for _, k := range calls {
		byID[k.id] = k
		if k.answered() && k.fail == nil && (k.op == "acquire" || k.op == "try") {
			add(k, number(k.ok["fencingToken"]), k.at, k.received)
		}
	}
	for _, p := range pushes {
		if p.event == "entered" && byID[p.of] != nil {
			add(byID[p.of], number(p.body["fencingToken"]), p.at, p.received)
		}
	}
	for _, p := range pushes {
		if b := mine[p.of]; b != nil && (p.event == "lost" || p.event == "left") {
			soonest, _ := c.when(p.at)
			b.end(soonest)
			b.lost = b.lost || p.event == "lost"
		}
	}
	for _, k := range calls {
		target := number(k.args["target"])
		if k.op != "release" || target == nil || mine[int(*target)] == nil {
			continue
		}
		b := mine[int(*target)]
		b.end(k.sent)
		if k.answered() && k.fail == nil && b.released == nil {
			b.released = k
		}
	}
	return mine
}

func (k *call) answered() bool {
	select {
	case <-k.done:
		return true
	default:
		return false
	}
}

// entered is the token of a do under way.
func (r *run) entered(k *call) *float64 {
	k.client.mu.Lock()
	defer k.client.mu.Unlock()
	for _, p := range k.client.pushes {
		if p.event == "entered" && p.of == k.id {
			return number(p.body["fencingToken"])
		}
	}
	return nil
}

// exclusion finds two who took themselves for holders at a time when only one could be. An admin who takes a lock away
// puts an end to that, and nobody can tell the holder before: its belief ends there, for this.
func exclusion(all []*belief, seen []witnessed) []string {
	var bad []string
	forced := map[int64]time.Time{}
	for _, w := range seen {
		if w.Event == "force_released" {
			forced[w.FencingToken] = w.At
		}
	}
	for _, b := range all {
		if at, taken := forced[b.token]; taken {
			b.end(at)
		}
	}
	slices.SortFunc(all, func(a, b *belief) int { return a.from.Compare(b.from) })
	for i, b := range all {
		others := map[int64]bool{}
		for _, a := range all[:i] {
			together := a.until.IsZero() || a.until.After(b.from)
			if a.name == b.name && a.token != b.token && together && (!a.shared || !b.shared) {
				others[a.token] = true
			}
		}
		if limit := max(b.limit, 1); len(others) >= limit {
			bad = append(bad, fmt.Sprintf("%s began while %d others believed to hold it", b, len(others)))
		}
	}
	return bad
}

// truth holds what the clients said against the events that the judge saw: no answer before its grant or release.
func truth(all []*belief, seen []witnessed) []string {
	type key struct {
		kind, name string
		token      int64
	}
	at := map[key]time.Time{}
	for _, w := range seen {
		at[key{w.Event, w.LockName, w.FencingToken}] = w.At
	}
	var bad []string
	check := func(b *belief, kind string, told time.Time) {
		happened, known := at[key{kind, b.name, b.token}]
		switch {
		case !known:
			bad = append(bad, fmt.Sprintf("%s: the service tells of no event %s", b, kind))
		case happened.After(told.Add(2 * time.Millisecond)):
			bad = append(bad, fmt.Sprintf("%s: told %v before the event %s", b, happened.Sub(told), kind))
		}
	}
	for _, b := range all {
		if b.token < 0 {
			continue
		}
		check(b, "granted", b.told)
		if b.released != nil && b.call.op != "do" {
			check(b, "released", b.released.received)
		}
	}
	return bad
}

// rising finds locks whose tokens do not rise.
func rising(seen []witnessed) []string {
	last := map[string]int64{}
	var bad []string
	for _, w := range seen {
		if w.Event != "granted" {
			continue
		}
		if w.FencingToken <= last[w.LockName] {
			bad = append(bad, fmt.Sprintf("%q was granted with token %d after %d", w.LockName, w.FencingToken, last[w.LockName]))
		}
		last[w.LockName] = w.FencingToken
	}
	return bad
}

// failures makes one error's text of several findings.
func failures(findings []string) string {
	const most = 5
	if len(findings) > most {
		findings = append(findings[:most:most], fmt.Sprintf("and %d more", len(findings)-most))
	}
	return strings.Join(findings, "; ")
}
