package notify

import "sync"

// Watch is a watcher of one channel of events.
type Watch struct {
	hub     *Hub
	channel string
	// C carries the messages. It is bounded: one that finds it full is dropped, and Gap tells so.
	C chan string
	// Gap carries a note when messages may have been missed: the watcher was too slow, or the subscription broke.
	Gap chan struct{}
	// Ready is closed once Redis has confirmed the subscription.
	Ready chan struct{}
	once  sync.Once
}

// Watch begins to watch a channel, with room for so many messages. The node subscribes to a channel only while it
// is watched.
func (h *Hub) Watch(channel string, room int) *Watch {
	w := &Watch{hub: h, channel: channel, C: make(chan string, room), Gap: make(chan struct{}, 1), Ready: make(chan struct{})}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.watches[channel] == nil {
		h.watches[channel] = map[*Watch]struct{}{}
	}
	h.watches[channel][w] = struct{}{}
	for other := range h.watches[channel] {
		select {
		case <-other.Ready: // already subscribed
			w.once.Do(func() { close(w.Ready) })
		default:
		}
	}
	h.note()
	return w
}

// Close ends the watch. Nothing is sent on its channels afterwards.
func (w *Watch) Close() {
	w.hub.mu.Lock()
	defer w.hub.mu.Unlock()
	if set := w.hub.watches[w.channel]; set != nil {
		delete(set, w)
		if len(set) == 0 {
			delete(w.hub.watches, w.channel)
		}
	}
	w.hub.note()
}

// note tells the hub's loop that the watches have changed; one note stands for many changes.
func (h *Hub) note() {
	select {
	case h.changed <- struct{}{}:
	default:
	}
}

func (h *Hub) watched() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]string, 0, len(h.watches)+2)
	for c := range h.watches {
		out = append(out, c)
	}
	return out
}

func (h *Hub) deliver(channel, message string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for w := range h.watches[channel] {
		select {
		case w.C <- message:
		default:
			w.gap()
		}
	}
}

func (w *Watch) gap() {
	select {
	case w.Gap <- struct{}{}:
	default:
	}
}

// ready tells the watchers of channels that they are subscribed.
func (h *Hub) ready(channels []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range channels {
		for w := range h.watches[c] {
			w.once.Do(func() { close(w.Ready) })
		}
	}
}

// gap tells all watchers that they may have missed something.
func (h *Hub) gap() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, set := range h.watches {
		for w := range set {
			w.gap()
		}
	}
}
