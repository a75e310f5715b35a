package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// act is one thing that a client did, or learnt, and how it came out. Times are since the begin of the round, by this
// program's monotonic clock, which all clients share.
type act struct {
	kind   string // acquire, renew, release, loss (the client was told that its lock is gone)
	lock   string
	client int
	// request is the acquire's number; a renewal, release or loss has that of the acquire that it is about.
	request int
	shared  bool
	limit   int
	// word is how it came out: granted, held, timeout, cancelled, failed; renewed, released, lost, unknown.
	word  string
	token int64
	// call is when it began, queued when the service first said that the request stands in line (0 for never), ret when
	// its answer was there.
	call, queued, ret time.Duration
	// ends is the earliest moment at which the lease can end, by all that the client knows. A renewal or release has that
	// of the lease before it in before.
	ends, before time.Duration
	lease        time.Duration
}

func (a *act) granted() bool { return a.kind == "acquire" && a.word == "granted" }

func (a *act) String() string {
	s := fmt.Sprintf("%9.4f %9.4f client %d request %4d %s: %s", a.call.Seconds(), a.ret.Seconds(), a.client, a.request, a.kind, a.word)
	if a.queued > 0 {
		s += fmt.Sprintf(", queued at %.4f", a.queued.Seconds())
	}
	if a.token > 0 {
		s += fmt.Sprintf(", token %d, lease ends %.4f", a.token, a.ends.Seconds())
	}
	if a.shared {
		s += ", shared"
	}
	return s
}

// window is when a fault did its harm.
type window struct {
	from, to time.Duration
	// settle is how long the promises give the service after it.
	settle time.Duration
	// loses is whether the fault may make Redis forget what it has answered.
	loses bool
	// strikes is how often it struck, where that was more than once; 0 for once.
	strikes int
	// kept is whether that must not show in who holds a lock, strict whether it must not in the order either.
	kept, strict bool
	hurt         map[int]bool
}

// history is what happened in one round.
type history struct {
	title   string
	acts    []act
	windows []window
	// moves are the nodes that each client was connected to, and when.
	moves map[int][]move
	// rest are the clients that have no connection of their own to lose: any call may fail.
	rest map[int]bool
	// remarks are what is wrong beyond what the acts show.
	remarks []string
}

// move is a change of a client's connection: it broke, and the next one is to that node.
type move struct {
	at   time.Duration
	node int
}

// byLock are the acts of each lock in the order of their begins.
func (h *history) byLock() map[string][]*act {
	locks := map[string][]*act{}
	for i := range h.acts {
		a := &h.acts[i]
		locks[a.lock] = append(locks[a.lock], a)
	}
	for _, acts := range locks {
		slices.SortStableFunc(acts, func(a, b *act) int { return cmp.Compare(a.call, b.call) })
	}
	return locks
}

// away tells whether somebody may have been right to think, in that time, that nobody listened for a client's request:
// its connection broke, or the node that it was connected to was hurt. A node is taken for gone for up to 5 s more.
func (h *history) away(client int, from, to time.Duration) bool {
	const after = 5 * time.Second
	for _, w := range h.windows {
		if w.from <= to && from <= w.to+after && (h.rest[client] || w.hurt[h.nodeOf(client, w.from)]) {
			return true
		}
	}
	return slices.ContainsFunc(h.moves[client], func(m move) bool { return m.at >= from && m.at <= to })
}

// nodeOf is the node that a client was connected to at a moment.
func (h *history) nodeOf(client int, at time.Duration) (n int) {
	for _, m := range h.moves[client] {
		if m.at <= at {
			n = m.node
		}
	}
	return n
}

// forgotten tells whether a place of that moment may be forgotten by then, as documented, and what comes of it excused.
func (h *history) forgotten(had, then time.Duration) bool {
	return slices.ContainsFunc(h.windows, func(w window) bool { return !w.strict && w.lost(had, then) })
}

// forgottenGrant is the same for a grant.
func (h *history) forgottenGrant(had, then time.Duration) bool {
	return slices.ContainsFunc(h.windows, func(w window) bool { return !w.kept && w.lost(had, then) })
}

// losses is how often the fault may make Redis forget something, one time after the other.
func (w *window) losses() int {
	switch {
	case !w.loses:
		return 0
	case w.strikes > 0:
		return w.strikes
	}
	return 2 // a master that is being replaced may lose more until it has heard of it
}

func (w *window) lost(had, then time.Duration) bool { return w.loses && had <= w.to && then >= w.from }

// story is what happened to a lock, a line for each act, between two moments.
func (h *history) story(lock string, from, to time.Duration) string {
	var s strings.Builder
	for _, w := range h.windows {
		fmt.Fprintf(&s, "%9.4f %9.4f the fault; nodes hurt: %v\n", w.from.Seconds(), w.to.Seconds(), w.hurt)
	}
	for client, moves := range h.moves {
		for _, m := range moves[min(1, len(moves)):] {
			fmt.Fprintf(&s, "%9.4f client %d goes to node %d\n", m.at.Seconds(), client, m.node)
		}
	}
	for _, a := range h.byLock()[lock] {
		if a.ret >= from && a.call <= to {
			fmt.Fprintf(&s, "%s\n", a)
		}
	}
	return s.String()
}
