package service

import (
	"sync"
	"time"

	"distributedlock/notify"
	"distributedlock/queue"
)

// eventRoom is how many messages of a partition may wait to be told of. Whatever comes beyond is a gap.
const eventRoom = 8192

// stream is the loop that brings the events of one partition to those on this node who watch locks in it. It lives as
// long as anybody does.
type stream struct {
	partition int
	now       func() time.Time
	watch     *notify.Watch
	quit      chan struct{}
	done      chan struct{}

	// users is how often it is held. The lock of [watchers] guards it.
	users int

	// mu is held while something is told, so that nobody is told anything after leaving.
	mu       sync.Mutex
	names    groups
	prefixes groups
	// lengths are those of the prefixes, in order: a name is looked up once for each, however many watch.
	lengths lengths
	all     group
	turn    uint64

	// The partition's mark, as of [queue.Store.Watched], and when it was known to stand.
	markMu sync.Mutex
	mark   string
	asOf   time.Time
}

func newStream(m *Manager, partition int) *stream {
	s := &stream{partition: partition, now: m.store.Now, watch: m.hub.Watch(m.store.EventChannel(partition), eventRoom),
		quit: make(chan struct{}), done: make(chan struct{}), names: groups{}, prefixes: groups{}}
	go s.run()
	return s
}

// end ends the loop and waits for it. It is called once.
func (s *stream) end() {
	s.watch.Close()
	close(s.quit)
	<-s.done
}

func (s *stream) run() {
	defer close(s.done)
	var messages []notify.Message
	for {
		select {
		case <-s.quit:
			return
		case <-s.watch.Wake:
		}
		messages = s.watch.Take(messages)
		for i := range messages {
			if messages[i].Gap {
				s.missed(messages[i].Occasion)
			} else {
				s.dispatch(messages[i].Text)
			}
		}
	}
}

// marked notes a partition's mark as it was found after a moment, and reports whether events may have gone untold since
// it was last noted.
func (s *stream) marked(mark string, asOf time.Time) (lapsed bool) {
	s.markMu.Lock()
	defer s.markMu.Unlock()
	lapsed = s.mark != "" && s.mark != mark
	s.mark, s.asOf = mark, asOf
	return lapsed
}

// fresh reports whether the beats keep the partition watched, so that one more who watches it need not ask Redis.
func (s *stream) fresh() bool {
	s.markMu.Lock()
	defer s.markMu.Unlock()
	return s.mark != "" && time.Since(s.asOf) < 2*queue.Beat
}

// dispatch tells of an event those who watch its lock, each once. One that nobody watches costs a look at its name.
func (s *stream) dispatch(message string) {
	name, ok := queue.EventName(message)
	if !ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turn++
	var e *queue.Event
	if g := s.names[name]; g != nil {
		e = s.read(message)
		g.tell(e, s.turn)
	}
	for _, l := range s.lengths {
		if l.bytes > len(name) {
			break
		}
		if g := s.prefixes[name[:l.bytes]]; g != nil {
			if e == nil {
				e = s.read(message)
			}
			g.tell(e, s.turn)
		}
	}
}

// read reads an event. One that cannot be read, as from a node of another version, is an event missed.
func (s *stream) read(message string) *queue.Event {
	e, err := queue.ParseEvent(message)
	if err != nil {
		return s.gap()
	}
	return &e
}

func (s *stream) gap() *queue.Event { return &queue.Event{Kind: "gap", At: s.now()} }

// missed tells all watchers of the partition of a gap, but for those that another partition told of its occasion.
func (s *stream) missed(occasion int64) {
	e := s.gap()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, entry := range s.all.entries {
		entry.seat.w.missed(e, occasion)
	}
}

// missed holds the watcher's lock while it tells, so that whoever passes over a gap knows that it was told.
func (w *watcher) missed(e *queue.Event, occasion int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if occasion != 0 {
		if occasion <= w.told {
			return
		}
		w.told = occasion
	}
	w.tell(e)
}

// announce tells all watchers of the partition of something that is about no lock, but for those that another partition told.
func (s *stream) announce(e *queue.Event, occasion int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, entry := range s.all.entries {
		w := entry.seat.w
		w.mu.Lock()
		if w.heard < occasion {
			w.heard = occasion
			w.tell(e)
		}
		w.mu.Unlock()
	}
}

// join has a watcher told from now on.
func (s *stream) join(w *watcher, names, prefixes []string) *seat {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := &seat{w: w, tell: w.tell, spots: make([]spot, 0, 1+len(names)+len(prefixes))}
	s.all.add(at)
	for _, name := range names {
		s.names.of(name).add(at)
	}
	for _, prefix := range prefixes {
		if s.prefixes[prefix] == nil {
			s.lengths.add(len(prefix))
		}
		s.prefixes.of(prefix).add(at)
	}
	return at
}

// leave has a watcher told nothing more once it returns.
func (s *stream) leave(at *seat) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, in := range at.spots {
		g := in.group
		g.remove(in.at)
		switch {
		case len(g.entries) > 0 || g == &s.all:
		case s.names[g.key] == g:
			delete(s.names, g.key)
		default:
			delete(s.prefixes, g.key)
			s.lengths.remove(len(g.key))
		}
	}
}
