package queue

import (
	"errors"
	"strconv"
	"sync"
	"testing"
	"time"
)

// outcomes are what calls that do not wait came to.
type outcomes struct {
	wg  sync.WaitGroup
	mu  sync.Mutex
	err map[string][]error
}

func (o *outcomes) add(how string, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil {
		o.err = map[string][]error{}
	}
	o.err[how] = append(o.err[how], err)
	o.wg.Done()
}

func (o *outcomes) acquire(s *Store, q *Request) {
	o.wg.Add(1)
	s.AcquireLater(q, maxLine, func(_ Acquired, err error) { o.add("acquire", err) })
}

func (o *outcomes) release(s *Store, name, client, lockID string) {
	o.wg.Add(1)
	s.ReleaseLater(name, client, lockID, func(_ time.Duration, _ Effects, err error) { o.add("release", err) })
}

// TestLanesLoseNothing has calls come from many goroutines, some together and some alone, while Redis forgets its scripts.
func TestLanesLoseNothing(t *testing.T) {
	t.Parallel()
	w := newRealTime(t)
	s := w.store("a", func(o *Options) { o.Partitions = 4 })
	var all sync.WaitGroup
	for g := range 40 {
		all.Go(func() {
			for i := range 50 {
				var o outcomes
				for j := range 1 + i%4 {
					name := strconv.Itoa(g) + "-" + strconv.Itoa(i) + "-" + strconv.Itoa(j)
					o.acquire(s, ask(name, "c"))
				}
				s.Flush()
				o.wg.Wait()
				for _, err := range o.err["acquire"] {
					if err != nil {
						t.Error(err)
					}
				}
				if g == 0 && i%10 == 0 {
					w.do("SCRIPT", "FLUSH")
				}
			}
		})
	}
	all.Wait()
	if n := w.int("DBSIZE"); n < 40*50 {
		t.Errorf("%d keys", n)
	}
}

// TestReleasesWhereThereIsNoMemory has releases come together with acquires that Redis refuses.
func TestReleasesWhereThereIsNoMemory(t *testing.T) {
	t.Parallel()
	w := newRealTime(t)
	s := w.store("a")
	for i := range 20 {
		w.take("a", ask("held-"+strconv.Itoa(i), "c"))
	}
	w.do("CONFIG", "SET", "maxmemory", "1mb")
	var o outcomes
	for i := range 20 {
		o.release(s, "held-"+strconv.Itoa(i), "c", "L-c")
		o.acquire(s, ask("new-"+strconv.Itoa(i), "c"))
	}
	s.Flush()
	o.wg.Wait()
	for _, err := range o.err["release"] {
		if err != nil {
			t.Errorf("release: %v", err)
		}
	}
	for _, err := range o.err["acquire"] {
		if !errors.Is(err, ErrRefused) {
			t.Errorf("acquire: %v", err)
		}
	}
}

// TestClosedStore tells every call so.
func TestClosedStore(t *testing.T) {
	t.Parallel()
	w := newRealTime(t)
	s, err := Open(t.Context(), w.options("a"))
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	var o outcomes
	o.acquire(s, ask("x", "c"))
	s.Flush()
	o.wg.Wait()
	if err := o.err["acquire"][0]; !errors.Is(err, ErrUnavailable) {
		t.Error(err)
	}
}
