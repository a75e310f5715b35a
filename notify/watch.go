package notify

import "sync"

// spare is how many messages' room a watch keeps after a burst.
const spare = 1024

// Message is what a watch tells: something that was published, or a gap.
type Message struct {
	// Text is what was published, "" for a gap.
	Text string
	// Gap says that messages may have been missed before the next one.
	Gap bool
	// Occasion numbers what made gaps on several channels at once. Whoever watches several of them may pass over the gap
	// of one if it was told, from another, a gap of the same or a later occasion: all of these channels were listened
	// to again by then. A gap with occasion 0 is this watch's own and must not be passed over.
	Occasion int64
}

// Watch is a watcher of one channel. What it tells stands in one line, so that a gap has its place among the messages.
type Watch struct {
	// Ready is closed once Redis has confirmed the subscription.
	Ready <-chan struct{}
	// Wake carries a note whenever there is something to [Watch.Take].
	Wake <-chan struct{}

	hub     *Hub
	channel string
	room    int
	wake    chan struct{}

	// The hub's lock guards these. A watch that is not confirmed gets no messages: it would not know what it missed.
	confirmed chan struct{}
	isReady   bool

	mu    sync.Mutex
	queue []Message
}

// Watch begins to watch a channel, with room for so many messages. One that finds no room is dropped, with a gap in
// its place. The node subscribes to a channel only while it is watched.
func (h *Hub) Watch(channel string, room int) *Watch {
	confirmed, wake := make(chan struct{}), make(chan struct{}, 1)
	w := &Watch{Ready: confirmed, Wake: wake, hub: h, channel: channel, room: max(room, 1), wake: wake, confirmed: confirmed}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.watches[channel] == nil {
		h.watches[channel] = map[*Watch]struct{}{}
	}
	h.watches[channel][w] = struct{}{}
	if h.now != nil && h.now.channels[channel] {
		w.ready()
	}
	h.note()
	return w
}

// Close ends the watch: nothing is added to it afterwards, and what it has left is dropped.
func (w *Watch) Close() {
	w.hub.mu.Lock()
	defer w.hub.mu.Unlock()
	set := w.hub.watches[w.channel]
	delete(set, w)
	if len(set) == 0 {
		delete(w.hub.watches, w.channel)
	}
	w.hub.note()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.queue, w.room = nil, 0
}

// Take is everything that the watch has to tell, in order, and leaves it empty. The last answer, no longer needed, may
// be given back for its room.
func (w *Watch) Take(used []Message) []Message {
	if cap(used) > spare {
		used = nil
	}
	clear(used)
	w.mu.Lock()
	defer w.mu.Unlock()
	out := w.queue
	w.queue = used[:0]
	return out
}

// Miss puts a gap behind what the watch has to tell so far: its user has found out that messages may be missing. The
// occasion is one of [Hub.Occasion], the same for all watches that it concerns, or 0.
func (w *Watch) Miss(occasion int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.miss(occasion)
}

// miss lets one gap stand for several that nothing lies between, by the latest of their occasions. If one of them must
// not be passed over, neither must they together.
func (w *Watch) miss(occasion int64) {
	switch last := len(w.queue) - 1; {
	case w.room == 0: // closed
		return
	case last < 0 || !w.queue[last].Gap:
		w.queue = append(w.queue, Message{Gap: true, Occasion: occasion})
	case occasion == 0 || w.queue[last].Occasion == 0:
		w.queue[last].Occasion = 0
	default:
		w.queue[last].Occasion = max(w.queue[last].Occasion, occasion)
	}
	w.nudge()
}

// add appends a message. Where the room is used up, it is dropped, and so are all until somebody takes what is there.
func (w *Watch) add(text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.queue) >= w.room {
		w.miss(0)
		return
	}
	w.queue = append(w.queue, Message{Text: text})
	w.nudge()
}

// nudge leaves a note that there is something to take; one stands for many.
func (w *Watch) nudge() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// ready says that the subscription stands. The hub's lock is held.
func (w *Watch) ready() {
	if !w.isReady {
		w.isReady = true
		close(w.confirmed)
	}
}
