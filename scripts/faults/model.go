package main

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// lease is a holder as the checker's model knows it.
type lease struct {
	token  int64
	end    time.Duration // the earliest moment at which it can be over
	shared bool
}

// lock is the state of the checker's model: who holds it, the last token, and up to which token grants may be forgotten.
type lock struct {
	last, doubt int64
	held        []lease
}

// forget is an operation of the model's own: a fault that may lose what Redis has answered.
const forget = "forget"

// earlyLoss is how long before a lease's end a client counts it as lost at most: see its ExpiresAt.
const earlyLoss = 500 * time.Millisecond

// lockModel is a lock with leases: a grant needs room, which holders take up until they are released or their leases can
// be over; each has a higher token; a renewal or release works for the grant that is held, and is refused only where the
// lease can be over. What a fault may have made Redis forget takes up no room, and may be there all the same.
var lockModel = porcupine.Model{
	Init: func() any { return lock{} },
	Step: func(state, _, output any) (bool, any) {
		l, ok := state.(lock)
		o, is := output.(act)
		if !ok || !is {
			return false, state
		}
		return l.step(&o)
	},
	Equal: func(a, b any) bool {
		x, ok := a.(lock)
		y, is := b.(lock)
		return ok && is && x.last == y.last && x.doubt == y.doubt && slices.Equal(x.held, y.held)
	},
	DescribeOperation: func(_, output any) string { return fmt.Sprint(output) },
}

func (l lock) step(o *act) (bool, lock) {
	over := func(h lease) bool { return h.token <= l.doubt || o.ret >= h.end }
	i := slices.IndexFunc(l.held, func(h lease) bool { return h.token == o.token })
	switch {
	case o.kind == forget:
		l.doubt = l.last
		return true, l
	case o.kind == "acquire":
		if o.token <= l.last {
			return false, l
		}
		l.last, l.held = o.token, slices.Clone(l.held)
		if !room(l.held, o) {
			l.held = slices.DeleteFunc(l.held, over)
		}
		if !room(l.held, o) {
			return false, l
		}
		l.held = append(l.held, lease{o.token, o.ends, o.shared})
		return true, l
	case o.word == "renewed":
		if i < 0 {
			return o.token <= l.doubt || o.ret >= o.before, l
		}
		l.held = slices.Clone(l.held)
		l.held[i].end = o.ends
		return true, l
	case o.word == "lost":
		return i < 0 || o.token <= l.doubt || o.ret >= o.before-earlyLoss, l
	case i < 0: // released: by an earlier try of the same call, or too late
		return o.token <= l.doubt || o.ret >= o.before-earlyLoss, l
	}
	l.held = slices.Delete(slices.Clone(l.held), i, i+1)
	return true, l
}

// room tells whether the lock takes one more holder.
func room(held []lease, o *act) bool {
	switch {
	case len(held) == 0:
		return true
	case o.shared:
		return !slices.ContainsFunc(held, func(h lease) bool { return !h.shared })
	}
	return len(held) < o.limit && !slices.ContainsFunc(held, func(h lease) bool { return h.shared })
}

// linear holds what happened to one lock against the model. What did not come to a known end may have been done at any
// later moment: an acquire without a grant that anybody knows of is left out.
func linear(acts []*act, windows []window) porcupine.CheckResult {
	var ops []porcupine.Operation
	add := func(client int, a act, ret time.Duration) {
		ops = append(ops, porcupine.Operation{ClientId: client, Input: a.kind, Call: int64(a.call), Output: a, Return: int64(ret)})
	}
	for _, a := range acts {
		switch {
		case a.granted(), a.kind == "renew" && (a.word == "renewed" || a.word == "lost"),
			a.kind == "release" && (a.word == "released" || a.word == "lost"):
			add(a.request, *a, a.ret)
		case a.kind == "release": // it may be done later, or never: that looks the same
			late := *a
			late.ret = math.MaxInt64
			add(a.request, late, math.MaxInt64)
		}
	}
	client := 0
	for _, w := range windows {
		for range w.losses() {
			client--
			add(client, act{kind: forget, call: w.from, ret: w.to}, w.to)
		}
	}
	return porcupine.CheckOperationsTimeout(lockModel, ops, time.Minute)
}
