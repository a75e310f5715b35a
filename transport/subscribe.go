package transport

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"distributedlock/queue"
)

const (
	// maxSubscriptions is how many a connection may have, maxPatterns how many names and prefixes each.
	maxSubscriptions = 100
	maxPatterns      = 100
	// readerPatience is how long a frame may hold up those after it.
	readerPatience = 5 * time.Second
	kindGap        = "gap"
	kindQuarantine = "quarantine"
)

var errNoSubscription = errors.New("the connection has no such subscription")

// kindSet has a bit for each kind of event that one can subscribe to.
type kindSet uint16

const anyKind = ^kindSet(0)

// eventKinds are those kinds. A gap is told in any case, and a quarantine only to those who ask for it, as it is about no lock.
func eventKinds() []string {
	return []string{"granted", "released", "expired", "renewed", "force_released", "queued", "dequeued", "deadlock", kindQuarantine}
}

// kindBit is a kind's, 0 where there is no such kind.
func kindBit(kind string) kindSet {
	if i := slices.Index(eventKinds(), kind); i >= 0 {
		return 1 << i
	}
	return 0
}

// subscription is a client's wish to be told of events.
type subscription struct {
	id    string
	kinds kindSet
	// live, guarded by the outbox, is whether the client knows of it: it is told nothing before and nothing after.
	live bool
	// stop ends the watch.
	stop func()
}

type subscribeBody struct {
	names, prefixes []string
	kinds           kindSet
}

type unsubscribeBody struct{ id string }

func (c *conn) subscribe(f *frame) error {
	var b subscribeBody
	decodeMembers(f.body, c.s.bodies.frames.subscribe, &b, &f.faults)
	if err := f.faults.err(); err != nil {
		return err
	}
	for _, pattern := range slices.Concat(b.names, b.prefixes) {
		if !c.who.mayUse(pattern) {
			return errForbidden
		}
	}
	if len(c.subs) >= maxSubscriptions {
		return errSubscriptions
	}
	c.lastSub++
	sub := &subscription{id: "s" + strconv.Itoa(c.lastSub), kinds: b.kinds}
	if b.kinds == 0 {
		sub.kinds = anyKind &^ kindBit(kindQuarantine)
	}
	ctx, cancel := c.waiting()
	defer cancel()
	stop, err := c.s.locks.Watch(ctx, b.names, b.prefixes, func(e *queue.Event) { c.event(sub, e) })
	c.alive()
	if err != nil {
		return err
	}
	sub.stop = stop
	if c.subs == nil {
		c.subs = map[string]*subscription{}
	}
	c.subs[sub.id] = sub
	c.subscribed("subscribed", f.id, sub, true)
	return nil
}

func (c *conn) unsubscribe(f *frame) error {
	var b unsubscribeBody
	decodeMembers(f.body, c.s.bodies.frames.unsubscribe, &b, &f.faults)
	if err := f.faults.err(); err != nil {
		return err
	}
	sub := c.subs[b.id]
	if sub == nil {
		return errNoSubscription
	}
	delete(c.subs, b.id)
	c.subscribed("unsubscribed", f.id, sub, false)
	sub.stop()
	return nil
}

// subscribed tells that a subscription is live, or no more, in one step with making it so.
func (c *conn) subscribed(kind, id string, sub *subscription, live bool) {
	if w := c.out.answer(kind, id); w != nil {
		sub.live = live
		w.text("subscription", sub.id)
		c.out.send(nil)
	}
}

// event tells a subscriber of an event.
func (c *conn) event(sub *subscription, e *queue.Event) {
	encoded := c.s.events.encode(e)
	if sub.kinds&encoded.kind == 0 {
		return
	}
	if w := c.out.event(sub); w != nil {
		*w = append(*w, encoded.tail...)
		c.out.send(nil)
	}
}

// event begins an event frame of a live subscription.
func (o *outbox) event(sub *subscription) *jsonWriter {
	o.mu.Lock()
	if o.ending != nil || !sub.live {
		o.mu.Unlock()
		return nil
	}
	w := o.open(&o.queued, "event", "")
	w.text("subscription", sub.id)
	return w
}

// eventCache has the events told last in JSON: one event is told to thousands of subscribers in a row.
type eventCache [64]atomic.Pointer[encodedEvent]

type encodedEvent struct {
	event queue.Event
	kind  kindSet
	// tail is an event frame from its third member on.
	tail []byte
}

func (c *eventCache) encode(e *queue.Event) *encodedEvent {
	slot := &c[uint64(e.Seq)%uint64(len(c))] //nolint:gosec // any slot is as good
	if known := slot.Load(); known != nil && known.event == *e {
		return known
	}
	w := append(make(jsonWriter, 0, 256), ',')
	w.event(e)
	now := &encodedEvent{event: *e, kind: kindBit(e.Kind), tail: w}
	if e.Kind == kindGap {
		now.kind = anyKind
	}
	slot.Store(now)
	return now
}

// event appends an event. Those that are about no grant have no fencing token.
func (w *jsonWriter) event(e *queue.Event) {
	*w = append(*w, `"event":`...)
	*w = appendString(*w, e.Kind)
	switch e.Kind {
	case kindGap:
		w.time("at", e.At)
		return
	case kindQuarantine:
		w.time("at", e.At)
		if e.Left > 0 {
			w.text("reason", e.Reason)
		}
		w.seconds("seconds", e.Left)
		return
	}
	w.text("lockName", e.Name)
	w.text("clientId", e.Client)
	w.text("ownerId", e.Owner)
	if e.Token != 0 && e.Kind != "queued" && e.Kind != "dequeued" && e.Kind != "deadlock" {
		w.num("fencingToken", e.Token)
	}
	w.time("at", e.At)
	w.num("seq", e.Seq)
	if e.Kind == "deadlock" {
		if cycle, err := queue.CycleOf(e.Reason); err == nil {
			w.key("cycle")
			w.cycle(cycle)
		}
	} else if e.Reason != "" {
		w.text("reason", e.Reason)
	}
}

// readPatterns reads names, and prefixes with a * behind them.
func (b *subscribeBody) readPatterns(v value) string {
	if v[0] != '[' {
		return v.must("an array")
	}
	n := 0
	for e := (elements{rest: v}); e.next(); n++ {
		if n == maxPatterns {
			return "has more than " + strconv.Itoa(maxPatterns) + " entries"
		}
		pattern, fault := e.text(maxName)
		if fault != "" {
			return "entry " + strconv.Itoa(n+1) + " " + fault
		}
		if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
			b.prefixes = append(b.prefixes, prefix)
			continue
		}
		if fault := nameFault(pattern); fault != "" {
			return "entry " + strconv.Itoa(n+1) + " " + fault
		}
		b.names = append(b.names, pattern)
	}
	if n == 0 {
		return "must not be empty"
	}
	return ""
}

func (b *subscribeBody) readKinds(v value) string {
	if v[0] != '[' {
		return v.must("an array")
	}
	for e := (elements{rest: v}); e.next(); {
		kind, fault := e.text(maxText)
		if fault != "" {
			return "entry " + fault
		}
		bit := kindBit(kind)
		if bit == 0 {
			return "may hold " + asText(eventKinds())
		}
		b.kinds |= bit
	}
	if b.kinds == 0 {
		return "must not be empty"
	}
	return ""
}
