package service

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"distributedlock/queue"
)

// told is a session's listener that remembers what it was told.
type told struct {
	t  testing.TB
	mu sync.Mutex
	// heard are the calls in words; grants, the last grant by frame.
	heard  []string
	grants map[string]*queue.Grant
	asked  map[string]*queue.Request
	errs   map[string]error
	moved  map[string]int
}

func newTold(t testing.TB) *told {
	return &told{t: t, grants: map[string]*queue.Grant{}, asked: map[string]*queue.Request{}, errs: map[string]error{}, moved: map[string]int{}}
}

func (e *told) note(format string, args ...any) {
	e.heard = append(e.heard, fmt.Sprintf(format, args...))
}

func (e *told) Queued(q *queue.Request, position int, holders []queue.Grant) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.moved[q.Frame] = position
	e.note("%s queued at %d behind %d", q.Frame, position, len(holders))
}

func (e *told) Moved(q *queue.Request, position int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.moved[q.Frame] = position
	e.note("%s moved to %d", q.Frame, position)
}

func (e *told) Granted(q *queue.Request, g *queue.Grant, _ time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.grants[q.Frame], e.asked[q.Frame] = g, q
	e.note("%s granted", q.Frame)
}

func (e *told) Failed(q *queue.Request, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.errs[q.Frame] = err
	e.note("%s failed", q.Frame)
}

func (e *told) Lost(name, lockID, reason string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.note("lost %s %s %s", name, lockID, reason)
}

func (e *told) Superseded() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.note("superseded")
}

// hears waits until the ear was told something.
func (f *fleet) hears(e *told, what string, args ...any) {
	f.t.Helper()
	what = fmt.Sprintf(what, args...)
	end := time.Now().Add(10 * time.Second)
	for !e.has(what) {
		if time.Now().After(end) {
			e.mu.Lock()
			defer e.mu.Unlock()
			f.t.Fatalf("not told %q; told %q, errors %v", what, e.heard, e.errs)
		}
		time.Sleep(time.Millisecond) // a poll of a condition, bounded above
	}
}

func (e *told) has(what string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Contains(e.heard, what)
}

func (e *told) grant(frame string) *queue.Grant {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.grants[frame]
}

func (e *told) err(frame string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.errs[frame]
}

// talk is a session with what it was told.
type talk struct {
	*Session
	*told
	f *fleet
}

func (f *fleet) open(m *member) *talk {
	f.t.Helper()
	e := newTold(f.t)
	t := &talk{Session: m.Open(e), told: e, f: f}
	f.t.Cleanup(t.close)
	return t
}

func (t *talk) close() { t.Close(func() []*queue.Request { return nil }) }

// named is a session that its client, called as it, can come back to.
func (f *fleet) named(m *member, client string) (t *talk, id string) {
	f.t.Helper()
	t = f.open(m)
	id, resumed, err := t.Name(f.t.Context(), "", client)
	if err != nil || resumed || id == "" {
		f.t.Fatal(id, resumed, err)
	}
	return t, id
}

// back is the client's next connection.
func (f *fleet) back(m *member, client, id string) *talk {
	f.t.Helper()
	t := f.open(m)
	now, resumed, err := t.Name(f.t.Context(), id, client)
	if err != nil || !resumed || now != id {
		f.t.Fatal(now, resumed, err)
	}
	return t
}

// ask asks for a lock under a frame of that name.
func (t *talk) ask(frame string, q *queue.Request) {
	t.f.t.Helper()
	q.Frame = frame
	if err := t.Acquire(q); err != nil {
		t.f.t.Fatal(err)
	}
	t.Flush()
}

func (t *talk) free(frame string) {
	t.f.t.Helper()
	g := t.grant(frame)
	out := make(chan error, 1)
	t.Release(g.Name, g.Client, g.LockID, func(_ time.Duration, err error) { out <- err })
	t.Flush()
	if err := <-out; err != nil {
		t.f.t.Fatal(err)
	}
}

// hold takes a lock for a session.
func (t *talk) hold(frame string, q *queue.Request) *queue.Grant {
	t.f.t.Helper()
	t.ask(frame, q)
	t.f.hears(t.told, "%s granted", frame)
	return t.grant(frame)
}

func renewing(q *queue.Request) *queue.Request {
	q.AutoRenew = true
	return q
}

func (f *fleet) failsWith(t *talk, frame string, want error) {
	f.t.Helper()
	f.hears(t.told, "%s failed", frame)
	if err := t.err(frame); !errors.Is(err, want) {
		f.t.Errorf("%s: %v, want %v", frame, err, want)
	}
}
