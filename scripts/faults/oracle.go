package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"

	"distributedlock/queue"
)

// longestWait is how long a live waiter at the head may wait for a free lock, whatever messages are lost.
const longestWait = 3 * time.Second

// onItsWay is how long an answer may be on its way: what it tells of was done that much earlier.
const onItsWay = 100 * time.Millisecond

// relearn is how long after a loss of all data a node may go without knowing of it, a beat and the time for it: until
// then, Redis does not know the node, and whoever waits there is passed over.
const relearn = queue.Beat + 300*time.Millisecond

// verdict is what is to be said of a history.
type verdict struct {
	// wrong are the broken promises. doubled and passed are what the README says may come of a loss of data: grants given
	// although an earlier one, which Redis has forgotten, was still good; and places in line that others passed.
	wrong           []string
	doubled, passed int
	// losses tell of each of these.
	losses []string
	// stall is the longest time that a request waited for a lock that nobody held, the fault's time included; recovery is
	// from the fault's end until all locks were granted anew.
	stall, recovery time.Duration
	histories, acts int
}

func (v *verdict) add(h *history, lock string, from, to time.Duration, format string, args ...any) {
	v.wrong = append(v.wrong, told(h, lock, from, to, format, args...))
}

// lose notes something that a loss of data explains.
func (v *verdict) lose(h *history, lock string, from, to time.Duration, format string, args ...any) {
	v.losses = append(v.losses, told(h, lock, from, to, format, args...))
}

func told(h *history, lock string, from, to time.Duration, format string, args ...any) string {
	why := fmt.Sprintf("%s, %s: ", h.title, lock) + fmt.Sprintf(format, args...)
	return why + "\n" + h.story(lock, from-time.Second, to+time.Second)
}

// check holds a history against all promises.
func check(h *history) *verdict {
	v := &verdict{acts: len(h.acts)}
	for _, why := range h.remarks {
		v.wrong = append(v.wrong, h.title+": "+why)
	}
	locks := h.byLock()
	for _, name := range slices.Sorted(maps.Keys(locks)) {
		acts := locks[name]
		v.histories++
		exclusion(h, v, acts)
		tokens(h, v, acts)
		order(h, v, acts)
		stalls(h, v, acts)
		if len(v.wrong) > 0 {
			continue // the checker would find the same, and take long
		}
		if res := linear(acts, h.windows); res != porcupine.Ok {
			v.add(h, name, 0, time.Hour, "Porcupine finds no order in which this can have happened (%s)", res)
		}
	}
	v.recovery = recovery(h, locks)
	return v
}

// hold is the time in which a client surely held a lock: from the answer until it called release, learnt of its loss, or
// its lease could be over.
type hold struct {
	*act
	from, to time.Duration
	// last is when its lease is surely over, or it was given back.
	last time.Duration
}

func holds(acts []*act) []hold {
	var all []hold
	at := map[int]int{}
	for _, a := range acts {
		if a.granted() {
			at[a.request] = len(all)
			all = append(all, hold{act: a, from: a.ret, to: a.ends, last: a.ret + a.lease})
		}
	}
	for _, a := range acts { // in the order of their begins
		i, there := at[a.request]
		if !there {
			continue
		}
		h := &all[i]
		switch {
		case a.kind == "renew" && a.word == "renewed":
			h.to, h.last = a.ends, a.ret+a.lease
		case a.kind == "renew":
			h.last = max(h.last, a.ret+a.lease)
		case a.kind == "release" && a.word == "unknown":
			h.to, h.last = min(h.to, a.call), max(h.last, a.ret)
		case a.kind == "release":
			h.to, h.last = min(h.to, a.call), a.ret
		case a.kind == "loss":
			h.to = min(h.to, a.call)
		}
	}
	return all
}

// exclusion finds holders who held together what cannot be held together.
func exclusion(h *history, v *verdict, acts []*act) {
	all := holds(acts)
	slices.SortFunc(all, func(a, b hold) int { return cmp.Compare(a.from, b.from) })
	var now []hold
	for _, one := range all {
		now = slices.DeleteFunc(now, func(o hold) bool { return o.to <= one.from })
		if one.to <= one.from {
			continue
		}
		var held []lease
		oldest := one.from // the earliest moment at which one of the others may have been granted
		for _, o := range now {
			held = append(held, lease{shared: o.shared})
			oldest = min(oldest, max(o.call, o.from-onItsWay))
		}
		switch {
		case room(held, one.act):
		case h.forgottenGrant(oldest, one.ret):
			v.doubled++
			v.lose(h, one.lock, oldest, one.to, "granted to request %d while request %d holds it", one.request, now[0].request)
			now = nil // what was forgotten is in nobody's way any more
		default:
			v.add(h, one.lock, oldest, one.to, "granted to request %d while %d others hold it, of them request %d", one.request, len(now), now[0].request)
		}
		now = append(now, one)
	}
}

// tokens finds tokens that were given twice, or that are not above those known before they were asked for.
func tokens(h *history, v *verdict, acts []*act) {
	var asked, told []*act
	seen := map[int64]int{}
	for _, a := range acts {
		if !a.granted() {
			continue
		}
		if other, twice := seen[a.token]; twice {
			v.add(h, a.lock, a.call, a.ret, "token %d was given to requests %d and %d", a.token, other, a.request)
		}
		seen[a.token] = a.request
		asked, told = append(asked, a), append(told, a)
	}
	slices.SortFunc(told, func(a, b *act) int { return cmp.Compare(a.ret, b.ret) })
	i, most := 0, int64(0)
	for _, a := range asked { // in the order of their begins
		for ; i < len(told) && told[i].ret < a.call; i++ {
			most = max(most, told[i].token)
		}
		if a.token <= most {
			v.add(h, a.lock, a.call, a.ret, "token %d of request %d after %d", a.token, a.request, most)
		}
	}
}

// order finds requests that were passed by others that came after they stood in line, although they kept their places.
func order(h *history, v *verdict, acts []*act) {
	for i, a := range acts {
		if a.queued == 0 || a.kind != "acquire" || (a.word != "granted" && a.word != "timeout") {
			continue
		}
		for _, b := range acts[i+1:] {
			switch {
			case !b.granted() || b.call <= a.queued:
			case a.word == "granted" && b.token > a.token, a.word == "timeout" && b.ret >= a.ret:
			case h.away(a.client, a.queued, b.ret), h.unseen(acts, a), h.together(a, b):
			case h.forgotten(a.queued-relearn, b.ret):
				v.passed++
				v.lose(h, a.lock, a.call, max(a.ret, b.ret), "request %d passed request %d", b.request, a.request)
			default:
				v.add(h, a.lock, a.call, max(a.ret, b.ret), "request %d (token %d) stood in line before request %d asked, which has token %d",
					a.request, a.token, b.request, b.token)
			}
		}
	}
}

// unseen tells whether a request may have been granted and never told of it: the first in line as a fault began that kept
// answers back for longer than its lease. It had its turn, and stands in line anew.
func (h *history) unseen(acts []*act, a *act) bool {
	return slices.ContainsFunc(h.windows, func(w window) bool {
		if a.queued > w.from || a.ret < w.from || w.to-w.from < a.lease {
			return false
		}
		before := 0
		for _, b := range acts {
			if b != a && b.queued > 0 && b.queued < a.queued && b.ret > w.from && (!a.shared || !b.shared) {
				before++
			}
		}
		return before < a.limit
	})
}

// together tells whether two requests that a lock has room for at once may have been granted it together as data were lost: the
// one that its own node served was told of its grant, the other's was forgotten before its node could claim it.
func (h *history) together(a, b *act) bool {
	if a.limit == 1 && (!a.shared || !b.shared) {
		return false
	}
	return slices.ContainsFunc(h.windows, func(w window) bool {
		return w.loses && a.queued <= w.to && a.ret >= w.from && b.ret >= w.from && b.ret <= w.to+onItsWay && b.queued <= w.to
	})
}

// stalls finds requests that waited although the lock was free.
func stalls(h *history, v *verdict, acts []*act) {
	all := holds(acts)
	for _, a := range acts {
		if a.kind != "acquire" || (a.word != "granted" && a.word != "timeout") {
			continue
		}
		free := h.freeSince(all, acts, a)
		v.stall = max(v.stall, a.ret-max(free, a.call))
		if a.queued == 0 {
			continue // the client's own pauses between its tries are no wait in line
		}
		since := max(free, a.queued)
		for _, w := range h.windows {
			if w.from < a.ret && since < w.to+w.settle {
				since = w.to + w.settle
			}
		}
		if wait := a.ret - since; wait > longestWait && !h.away(a.client, since, a.ret) {
			v.add(h, a.lock, since, a.ret, "request %d waited %s for a free lock, after the fault was over", a.request, wait)
		}
	}
}

// freeSince is a moment since which nobody can have held a lock until a waiting request was answered.
func (h *history) freeSince(all []hold, acts []*act, waiter *act) (free time.Duration) {
	for _, one := range all {
		if one.request != waiter.request && one.from < waiter.ret {
			free = max(free, one.last)
		}
	}
	for _, a := range acts {
		// What was given up by a client that could not say so may hold the lock unseen until its lease is over.
		if a.kind == "acquire" && !a.granted() && a.word != "held" && a.request != waiter.request && a.call < waiter.ret &&
			h.away(a.client, a.call, a.ret+time.Second) {
			free = max(free, a.ret+a.lease)
		}
	}
	return min(free, waiter.ret)
}

// recovery is how long after the fault's end the last lock was granted again, to somebody who had asked since.
func recovery(h *history, locks map[string][]*act) (last time.Duration) {
	if len(h.windows) == 0 {
		return 0
	}
	over := h.windows[len(h.windows)-1].to
	for _, acts := range locks {
		first := time.Duration(-1)
		for _, a := range acts {
			if a.granted() && a.ret > over && (first < 0 || a.ret < first) {
				first = a.ret
			}
		}
		last = max(last, first-over)
	}
	return last
}
