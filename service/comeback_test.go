package service

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"distributedlock/queue"
)

// What a client took back under each of the frames that it asked under is held by nobody, in whatever order the answers come.
func TestRepeatsAreTakenBack(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	a := f.node()
	for i := range 50 {
		name := fmt.Sprint("x", i)
		s, _ := f.named(a, "c")
		var over sync.WaitGroup
		for _, frame := range []string{"1", "2", "3"} {
			q := request(name, "c", minute, minute)
			q.ID, q.Known, q.Frame = "R", true, frame
			if err := s.Acquire(q); err != nil {
				t.Fatal(err)
			}
			if frame == "1" {
				s.Flush() // this one may be answered before the others are asked
			}
		}
		for _, frame := range []string{"1", "2", "3"} {
			over.Add(1)
			if err := s.Cancel(frame, "", func(error) { over.Done() }); errors.Is(err, queue.ErrNoRequest) {
				over.Done() // granted before
			} else if err != nil {
				t.Fatal(err)
			}
		}
		s.Flush()
		over.Wait()
		if g := s.grant("1"); g != nil { // by the first answer: that grant is the client's, to give back itself
			s.free("1")
		}
		f.eventually("it is free", 10*time.Second, func() bool {
			st, err := a.Status(t.Context(), name, 0)
			return err == nil && !st.Locked() && st.Queue == 0
		})
		s.close()
	}
}

// A client whose connections break one by one asks for its session over several at once. The latest has it.
func TestSeveralComeBackAtOnce(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	a := f.node()
	s, id := f.named(a, "c")
	s.hold("1", renewing(request("x", "c", minute, 0)))
	s.close()
	for range 50 {
		var talks []*talk
		for range 3 {
			talks = append(talks, f.open(a))
		}
		var all sync.WaitGroup
		for i, one := range talks {
			all.Go(func() {
				if _, resumed, err := one.Name(t.Context(), id, "c"); i == len(talks)-1 && (err != nil || !resumed) {
					t.Error(resumed, err)
				}
			})
		}
		all.Wait()
		last := talks[len(talks)-1]
		f.hears(last.told, "1 granted")
		if a.sessions.get(id) != last.Session {
			t.Fatal("the session is another connection's than the latest")
		}
		for _, other := range talks[:len(talks)-1] {
			other.Session.mu.Lock()
			if !other.closed {
				t.Error("two connections have the session")
			}
			other.Session.mu.Unlock()
		}
		last.close()
	}
}
