package queue

import (
	"testing"
)

// TestBeatFails has a beat find that the node was missed, and then fail: the next one tells it.
func TestBeatFails(t *testing.T) {
	t.Parallel()
	w := newRealTime(t)
	s, err := Open(t.Context(), w.options("n"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	beat := func() (bool, error) {
		pulses, _, err := s.Beat(t.Context(), map[string]int64{"x": 1})
		return err == nil && pulses[0].Missed, err
	}
	if missed, err := beat(); err != nil || !missed {
		t.Fatalf("the first beat: %v, %v", missed, err)
	}
	do := func(args ...string) {
		t.Helper()
		if err := w.raw.Do(t.Context(), w.raw.B().Arbitrary(args...).Build()).Error(); err != nil {
			t.Fatal(err)
		}
	}
	do("DEL", "dl:{0}:node:n", "dl:{0}:stats")
	do("SET", "dl:{0}:stats", "no hash", "PX", "60000")
	if _, err := beat(); err == nil {
		t.Fatal("a beat that cannot count does not fail")
	}
	do("DEL", "dl:{0}:stats")
	for _, want := range []bool{true, false} {
		if missed, err := beat(); err != nil || missed != want {
			t.Errorf("missed %v, want %v: %v", missed, want, err)
		}
	}
}
