package queue

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/redis/rueidis"
)

const (
	// laneCount is how many connections carry the calls: while the answers to some come in, others go out.
	laneCount = 2
	// laneLoad is the most calls that travel together.
	laneLoad = 256
	// lateTries is how often a call is made that Redis finds late.
	lateTries = 3
)

// What calls.lua does, in its own words.
const (
	callAcquire = "acquire"
	callRelease = "release"
)

// lanes carry acquires and releases, which come in numbers, and renewals. Each lane sends what has come together since
// it last sent, in one write and with one script for all calls of a partition, reads all answers in one read or two,
// and tells each caller by a function: no goroutine waits for one call.
type lanes struct {
	s       *Store
	clients []rueidis.Client
	wake    chan struct{}
	ended   sync.WaitGroup

	mu      sync.Mutex
	pending []job
	closed  bool
}

// job is a call to make.
type job struct {
	// how is callAcquire or callRelease; another script is named by sc.
	how       string
	sc        *script
	partition int
	args      []string
	// done must not wait: all other answers come after it.
	done func(reply, error)
	// alone has a release not go together with acquires; tries is how often it was made; at is when it was put in line.
	alone bool
	tries int
	at    time.Time
}

// openLanes connects. Nothing else uses these connections, so that the driver writes and reads on the lane's own goroutine.
// In a cluster the lanes share the store's client: a client of their own would learn of a new master at another time.
func openLanes(s *Store) (*lanes, error) {
	l := &lanes{s: s, wake: make(chan struct{}, laneCount)}
	for range laneCount {
		if s.opts.Cluster {
			l.ended.Go(func() { (&lane{l: l, s: s, c: s.client}).run() })
			continue
		}
		o := s.opts
		o.Quiet = true
		c, err := s.dialled(o)
		if err != nil {
			l.close()
			return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		l.clients = append(l.clients, c)
	}
	for _, c := range l.clients {
		l.ended.Go(func() { (&lane{l: l, s: s, c: c}).run() })
	}
	return l, nil
}

// reconnect has the lanes find out that their connections are broken now, and not by a call whose outcome would be unknown.
func (l *lanes) reconnect(ctx context.Context) {
	for _, c := range l.clients {
		for range 2 { // the first may be what finds it
			if c.Do(ctx, c.B().Ping().Build()).Error() == nil {
				break
			}
		}
	}
}

// submit puts a call in line; flush sends it, if no lane has taken it before.
func (l *lanes) submit(j job) {
	j.at = time.Now()
	l.mu.Lock()
	if !l.closed {
		l.pending = append(l.pending, j)
		l.mu.Unlock()
		return
	}
	l.mu.Unlock()
	j.done(reply{}, fmt.Errorf("%w: %w", ErrUnavailable, rueidis.ErrClosing))
}

func (l *lanes) flush() {
	l.mu.Lock()
	some := len(l.pending) > 0
	l.mu.Unlock()
	if some {
		l.nudge()
	}
}

func (l *lanes) nudge() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// call makes a call and waits for it.
func (l *lanes) call(j job) (r reply, err error) {
	done := make(chan struct{})
	j.done = func(got reply, e error) {
		r, err = got, e
		close(done)
	}
	l.submit(j)
	l.flush()
	<-done
	return r, err
}

func (l *lanes) take(into []job) (jobs []job, more, closed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := min(len(l.pending), laneLoad)
	jobs = slices.Grow(into[:0], n)[:n]
	copy(jobs, l.pending)
	rest := copy(l.pending, l.pending[n:])
	clear(l.pending[rest:])
	l.pending = l.pending[:rest]
	return jobs, rest > 0, l.closed
}

// close ends the lanes once everything that was put in line has been told.
func (l *lanes) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	for range laneCount {
		l.nudge()
	}
	l.ended.Wait()
	for _, c := range l.clients {
		c.Close()
	}
}

// Flush sends what the calls that do not wait have put in line.
func (s *Store) Flush() { s.lanes.flush() }

// AcquireLater is Acquire for a caller that does not wait: done is told the outcome, from another goroutine, and must
// not wait either. The call leaves with the next [Store.Flush].
func (s *Store) AcquireLater(q *Request, maxQueue int, done func(Acquired, error)) {
	s.lanes.submit(job{how: callAcquire, partition: s.keys.of(q.Name), args: s.acquireArgs(q, maxQueue), done: func(r reply, err error) {
		if err != nil {
			done(Acquired{}, err)
			return
		}
		done(s.acquired(q, r))
	}})
}

// ReleaseLater is Release for a caller that does not wait, as AcquireLater is for Acquire.
func (s *Store) ReleaseLater(name, client, lockID string, done func(heldFor time.Duration, e Effects, err error)) {
	s.lanes.submit(job{how: callRelease, partition: s.keys.of(name), args: []string{name, client, lockID}, done: func(r reply, err error) {
		if err != nil {
			done(0, Effects{}, err)
			return
		}
		done(released(r))
	}})
}

// RenewLater is Renew for a caller that does not wait.
func (s *Store) RenewLater(name, client, renewalToken string, lease time.Duration, done func(Grant, Effects, error)) {
	args := []string{name, client, renewalToken, millis(lease)}
	s.lanes.submit(job{sc: &s.renew, partition: s.keys.of(name), args: args, done: func(r reply, err error) {
		if err != nil {
			done(Grant{}, Effects{}, err)
			return
		}
		done(renewed(name, client, r))
	}})
}
