package main

import (
	"bytes"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// eventPrefix begins the names of locks whose other part is when they were asked for, in ns: that is how a listener knows
// how long an event took.
const eventPrefix = "ev:"

// eventLock is a lock that is asked for now.
func eventLock() string { return eventPrefix + strconv.FormatInt(time.Now().UnixNano(), 10) }

// listeners read what connections are told until these are closed.
type listeners struct {
	all  []listener
	wg   sync.WaitGroup
	told atomic.Int64 // events of eventPrefix that all of them have got
	gaps atomic.Int64
	// timing is whether it is noted how long events take.
	timing atomic.Bool
	// turn gets something whenever as many events have come as there are listeners. It is never closed.
	turn chan struct{}
	cut  atomic.Int64 // listeners that are no more, by whomever closed
}

type listener struct {
	mu   sync.Mutex
	took []time.Duration
}

// listen has a goroutine read each connection.
func listen(sockets []*socket) *listeners {
	l := &listeners{all: make([]listener, len(sockets)), turn: make(chan struct{}, 1<<10)}
	for i, s := range sockets {
		l.wg.Go(func() {
			for {
				b, err := s.next()
				if err != nil {
					l.cut.Add(1)
					return
				}
				l.hear(&l.all[i], b)
			}
		})
	}
	return l
}

var (
	lockOfEvent = []byte(`"lockName":"` + eventPrefix)
	gapEvent    = []byte(`"event":"gap"`)
)

// hear looks at as little of a frame as will do.
func (l *listeners) hear(mine *listener, frame []byte) {
	_, asked, found := bytes.Cut(frame, lockOfEvent)
	if !found {
		if bytes.Contains(frame, gapEvent) {
			l.gaps.Add(1)
		}
		return
	}
	if l.timing.Load() {
		at := int64(0)
		for _, c := range asked {
			if c < '0' || c > '9' {
				break
			}
			at = 10*at + int64(c-'0')
		}
		mine.mu.Lock()
		mine.took = append(mine.took, time.Duration(time.Now().UnixNano()-at))
		mine.mu.Unlock()
	}
	if l.told.Add(1)%int64(len(l.all)) == 0 {
		select {
		case l.turn <- struct{}{}:
		default:
		}
	}
}

// taken takes off how long events took, sorted.
func (l *listeners) taken() []time.Duration {
	var all []time.Duration
	for i := range l.all {
		one := &l.all[i]
		one.mu.Lock()
		all = append(all, one.took...)
		one.took = one.took[:0]
		one.mu.Unlock()
	}
	slices.Sort(all)
	return all
}
