package notify

import "github.com/redis/rueidis"

// subscription is what one connection listens to. What an earlier connection still brings in is dropped: it may come
// twice, and after what the next one brought. The hub's lock guards it.
type subscription struct {
	// channels are the watched ones that the hub means to listen to, and whether Redis has confirmed it.
	channels map[string]bool
	// occasion is the number of the gap that lies before this subscription.
	occasion int64
}

// begin makes a connection's subscription the hub's.
func (h *Hub) begin() *subscription {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now = &subscription{channels: map[string]bool{}}
	return h.now
}

// end has no watch count as listened to until the next connection stands.
func (h *Hub) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now = nil
}

// hooks are what the connection's reader calls, in the order of what Redis sent; they must not wait.
func (h *Hub) hooks(s *subscription) rueidis.PubSubHooks {
	return rueidis.PubSubHooks{
		OnMessage: func(m rueidis.PubSubMessage) { h.message(s, m) },
		OnSubscription: func(c rueidis.PubSubSubscription) {
			if c.Kind == "subscribe" {
				h.confirm(s, c.Channel)
			}
		},
	}
}

// confirm notes that Redis sends a channel's messages from here on. Those who watched it on an earlier connection may
// have missed some, which they must learn before the first new message: so it is done here, in the reader's order,
// and not where the command returns. All channels of a connection are subscribed with one command, which Redis carries
// out as a whole; hence one occasion for all.
func (h *Hub) confirm(s *subscription, channel string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, kept := s.channels[channel]; !kept || h.now != s {
		return
	}
	s.channels[channel] = true
	for w := range h.watches[channel] {
		if !w.isReady {
			w.ready()
			continue
		}
		if s.occasion == 0 {
			s.occasion = h.occasions.Add(1)
		}
		w.Miss(s.occasion)
	}
}

// Occasion is a new number for gaps that have one cause; see [Message]. Draw it once everything is listened to again.
func (h *Hub) Occasion() int64 { return h.occasions.Add(1) }

// deliver brings a message to those who watch its channel.
func (h *Hub) deliver(s *subscription, channel, message string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.now != s {
		return
	}
	for w := range h.watches[channel] {
		if w.isReady {
			w.add(message)
		}
	}
}

// note tells the hub's loop that the watches have changed; one note stands for many changes.
func (h *Hub) note() {
	select {
	case h.changed <- struct{}{}:
	default:
	}
}

// wanted are the channels to listen to. Those watched no more count as unconfirmed from here on: one who watches such a
// channel again, even before Redis was told to leave it out, waits for a subscription of its own.
func (h *Hub) wanted(s *subscription) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]string, 0, len(h.watches)+2)
	for c := range h.watches {
		out = append(out, c)
		if _, known := s.channels[c]; !known {
			s.channels[c] = false
		}
	}
	for c := range s.channels {
		if h.watches[c] == nil {
			delete(s.channels, c)
		}
	}
	if h.opts.Expired != nil {
		out = append(out, h.expired)
	}
	return append(out, h.opts.Channel)
}
