package service

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"distributedlock/queue"
)

const (
	// lookAfter is how long after a line's move the new positions are told: a line that moves fast is looked at five
	// times a second at most.
	lookAfter = 200 * time.Millisecond
	// patience is how long a request waits before it is told: most are granted sooner, and need not hear of it.
	patience = 500 * time.Millisecond
	// lookDeep is how far from its head a line is looked at.
	lookDeep = 1000
)

// lines are the requests of sessions that stand in a partition's lines behind somebody, and are told as they move up.
// A look asks Redis for the lines once, and to hear of their next move: nothing is asked while nothing moves.
type lines struct {
	m *Manager

	mu      sync.Mutex
	byName  map[string]map[*ask]struct{}
	looking bool
}

func (l *lines) add(a *ask) {
	l.mu.Lock()
	if l.byName == nil {
		l.byName = map[string]map[*ask]struct{}{}
	}
	if l.byName[a.q.Name] == nil {
		l.byName[a.q.Name] = map[*ask]struct{}{}
	}
	first := len(l.byName[a.q.Name]) == 0
	l.byName[a.q.Name][a] = struct{}{}
	l.mu.Unlock()
	if first {
		l.look()
	}
	a.s.mu.Lock()
	over := a.over
	a.s.mu.Unlock()
	if over { // it ended meanwhile, and may have been dropped before it was added
		l.drop(a)
	}
}

func (l *lines) drop(a *ask) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if set := l.byName[a.q.Name]; set != nil {
		delete(set, a)
		if len(set) == 0 {
			delete(l.byName, a.q.Name)
		}
	}
}

// look has the lines looked at soon, if anybody is to be told.
func (l *lines) look() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.looking || len(l.byName) == 0 {
		return
	}
	l.looking = true
	l.m.tasks.Go(func() {
		l.m.pause(l.m.life, lookAfter)
		ripe, more := l.ripe()
		if l.m.life.Err() == nil && l.m.up.Load() {
			l.tell(ripe)
			if more {
				l.look()
			}
		}
	})
}

// ripe are the requests by lock that have waited long enough to be told; more is whether there are others.
func (l *lines) ripe() (asks map[string][]*ask, more bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.looking = false
	asks = map[string][]*ask{}
	for name, set := range l.byName {
		for a := range set {
			if time.Since(a.start) >= patience {
				asks[name] = append(asks[name], a)
			} else {
				more = true
			}
		}
	}
	return asks, more
}

func (l *lines) tell(asks map[string][]*ask) {
	for names := range slices.Chunk(slices.Collect(maps.Keys(asks)), queue.Batch) {
		tickets, err := l.m.store.Lines(context.Background(), names, lookDeep)
		if err != nil {
			return // Redis's return comes with another look
		}
		for i, name := range names {
			for _, a := range asks[name] {
				if at, found := slices.BinarySearch(tickets[i], a.ticket); found {
					a.moved(at + 1)
					if at == 0 {
						l.drop(a)
					}
				}
			}
		}
	}
}
