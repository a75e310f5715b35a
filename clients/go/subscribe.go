package distributedlock

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"sync"
	"time"
)

// kindGap is the kind of event that says that some may be missing.
const kindGap = "gap"

// subscriberRoom is how many events may wait for a subscriber; when more come, they are a gap.
const subscriberRoom = 4096

// Subscribe tells of what happens to locks, until ctx is done or the loop is left. It needs a WebSocket. When events
// may be missing, as the connection broke or the loop is too slow, there is one of kind gap. An error is the last that
// it yields: [ErrClosed], [ErrForbidden], [ErrInvalidArgument], [ErrUnavailable] where no WebSocket can be had.
func (c *Client) Subscribe(ctx context.Context, s Subscription) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		if err := c.ready(ctx); err != nil {
			if ctx.Err() == nil {
				yield(Event{}, err)
			}
			return
		}
		if len(s.Locks) == 0 {
			s.Locks = []string{"*"}
		}
		sub := &subscriber{c: c, Subscription: s, wake: make(chan struct{}, 1)}
		c.mu.Lock()
		c.subs[sub] = struct{}{}
		switch {
		case c.noWebSocketLocked(time.Now()):
			sub.end(errNoWebSocket)
		case c.conn != nil:
			c.subscribe(sub)
		default:
			c.startLink()
		}
		c.mu.Unlock()
		defer c.unsubscribe(sub)
		sub.deliver(ctx, yield)
	}
}

// subscriber is one subscription, over all connections.
type subscriber struct {
	Subscription
	c    *Client
	wake chan struct{}
	// name is the service's on the current connection, "" while there is none; lived is whether there ever was one. The
	// client's mutex guards them.
	name  string
	lived bool

	mu     sync.Mutex
	events []Event
	err    error
}

func (s *subscriber) appendSubscribe(b []byte) []byte {
	b = appendList(b, "locks", s.Locks)
	if len(s.Events) > 0 {
		b = appendList(b, "events", s.Events)
	}
	return b
}

func appendList(b []byte, key string, values []string) []byte {
	b = append(append(append(b, ',', '"'), key...), `":[`...)
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, v)
	}
	return append(b, ']')
}

// deliver yields events until there is a reason to stop.
func (s *subscriber) deliver(ctx context.Context, yield func(Event, error) bool) {
	for {
		s.mu.Lock()
		events, err := s.events, s.err
		s.events = nil
		s.mu.Unlock()
		for i := range events {
			if ctx.Err() != nil || !yield(events[i], nil) {
				return
			}
		}
		if len(events) == 0 && err != nil {
			if errors.Is(err, errNoWebSocket) {
				err = unavailable(err)
			}
			yield(Event{}, err)
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-s.c.closing:
			s.end(ErrClosed)
		case <-s.wake:
		}
	}
}

// push adds an event. Where there is no room, all become a gap.
func (s *subscriber) push(e Event) {
	s.mu.Lock()
	if len(s.events) >= subscriberRoom {
		s.events = append(s.events[:0], Event{Kind: kindGap, At: e.At})
	}
	s.events = append(s.events, e)
	s.mu.Unlock()
	s.signal()
}

func (s *subscriber) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// end has the loop end with an error, behind what came before.
func (s *subscriber) end(err error) {
	s.mu.Lock()
	if s.err == nil {
		s.err = err
	}
	s.mu.Unlock()
	s.signal()
}

// again notes that the connection is another. The client's mutex is held.
func (s *subscriber) again() { s.name = "" }

// subscribe sends a subscription. c.mu is held.
func (c *Client) subscribe(s *subscriber) {
	k := c.newCall(callSubscribe, "", "")
	k.sub, k.unattended = s, true
	if err := c.submitLocked(k); err != nil {
		s.end(err)
	}
}

func (c *Client) unsubscribe(s *subscriber) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.subs, s)
	if c.conn == nil || s.name == "" || c.closed {
		return // one that is only just being answered is ended then
	}
	delete(c.conn.subs, s.name)
	c.endSubscription(s.name)
}

func (c *Client) endSubscription(name string) {
	k := c.newCall(callUnsubscribe, "", name)
	k.unattended = true
	_ = c.submitLocked(k) // fails on a closed client only
}

// subscriptions handles the frames about them. c.mu is held.
func (c *Client) subscriptions(n *conn, k *call, kind string, frame []byte) {
	switch {
	case kind == "event":
		var e struct {
			Event
			Subscription string `json:"subscription"`
		}
		if err := json.Unmarshal(frame, &e); err != nil {
			c.s.log.Warn("an event that cannot be read", "err", err)
			return
		}
		if s := n.subs[e.Subscription]; s != nil {
			s.push(e.Event)
		}
	case k == nil:
	case kind == "subscribed" && k.kind == callSubscribe:
		var a struct{ Subscription string }
		_ = json.Unmarshal(frame, &a) // without a name, no event of it can be told from another's
		c.live(n, k.sub, a.Subscription)
		c.end(k, answer{})
	default:
		c.end(k, answer{})
	}
}

// live notes the name of a subscription. c.mu is held.
func (c *Client) live(n *conn, s *subscriber, name string) {
	if _, wanted := c.subs[s]; !wanted {
		c.endSubscription(name)
		return
	}
	s.name = name
	n.subs[name] = s
	if s.lived {
		s.push(Event{Kind: kindGap, At: time.Now().UTC()})
	}
	s.lived = true
}
