package main

import (
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

const ms = time.Millisecond

// took is an acquire that was granted, and gave is its release.
func took(request int, token int64, call, queued, ret time.Duration) act {
	return act{kind: "acquire", lock: "x", client: request, request: request, limit: 1, word: "granted", token: token, call: call, queued: queued,
		ret: ret, ends: call + leaseTime, lease: leaseTime}
}

func gave(a act, call, ret time.Duration) act {
	b := a
	b.kind, b.word, b.call, b.ret, b.queued, b.before = "release", "released", call, ret, 0, a.ends
	return b
}

// cycle is a grant and its release.
func cycle(request int, token int64, call, queued, ret, over time.Duration) []act {
	a := took(request, token, call, queued, ret)
	return []act{a, gave(a, over, over+ms)}
}

func past(parts ...[]act) *history {
	h := &history{title: "liar"}
	for _, p := range parts {
		h.acts = append(h.acts, p...)
	}
	return h
}

// sound is a history as it should be: one after another, two of them from the line.
func sound() *history {
	return past(cycle(1, 10, 0, 0, 1*ms, 20*ms), cycle(2, 11, 2*ms, 3*ms, 21*ms, 30*ms), cycle(3, 12, 4*ms, 5*ms, 31*ms, 40*ms))
}

func TestSoundHistory(t *testing.T) {
	if v := check(sound()); len(v.wrong) > 0 || v.doubled+v.passed > 0 || v.histories != 1 || v.acts != 6 {
		t.Errorf("%+v", v)
	}
}

// lies are histories that break one promise each. Each is found by what looks for it, and, but for order and wake-ups,
// which are none of a lock's model's, by Porcupine alone.
var lies = map[string]struct {
	history *history
	find    string
	model   bool
}{
	"an overlap": {past(cycle(1, 10, 0, 0, 1*ms, 20*ms), cycle(2, 11, 5*ms, 0, 10*ms, 30*ms)), "hold it", true},
	"an overlap after a renewal": {func() *history {
		a := took(1, 10, 0, 0, ms)
		r := a
		r.kind, r.word, r.before, r.call, r.ret, r.ends = "renew", "renewed", a.ends, 1500*ms, 1501*ms, 3500*ms
		b := took(2, 11, 2*ms, 3*ms, 2500*ms)
		b.ends = 4500 * ms
		return past([]act{a, r, b})
	}(), "hold it", true},
	"a third of two": {func() *history {
		h := past(cycle(1, 10, 0, 0, ms, 50*ms), cycle(2, 11, 2*ms, 0, 3*ms, 50*ms), cycle(3, 12, 4*ms, 0, 5*ms, 50*ms))
		for i := range h.acts {
			h.acts[i].limit = 2
		}
		return h
	}(), "hold it", true},
	"a writer among readers": {func() *history {
		h := past(cycle(1, 10, 0, 0, ms, 50*ms), cycle(2, 11, 2*ms, 0, 3*ms, 50*ms))
		h.acts[0].shared, h.acts[1].shared = true, true
		return h
	}(), "hold it", true},
	"a falling token":  {past(cycle(1, 10, 0, 0, 1*ms, 20*ms), cycle(2, 9, 30*ms, 0, 31*ms, 40*ms)), "after 10", true},
	"a repeated token": {past(cycle(1, 10, 0, 0, 1*ms, 20*ms), cycle(2, 10, 30*ms, 0, 31*ms, 40*ms)), "given to requests 1 and 2", true},
	"an overtaking": {past(cycle(1, 10, 0, 0, 1*ms, 20*ms), cycle(3, 11, 4*ms, 5*ms, 21*ms, 30*ms), cycle(2, 12, 2*ms, 3*ms, 31*ms, 40*ms)),
		"stood in line before", false},
	"an overtaking of one who waits in vain": {func() *history {
		late := took(2, 0, 2*ms, 3*ms, 50*ms)
		late.word = "timeout"
		return past(cycle(1, 10, 0, 0, 1*ms, 20*ms), cycle(3, 11, 4*ms, 5*ms, 21*ms, 48*ms), []act{late})
	}(), "stood in line before", false},
	"a lost wake-up": {past(cycle(1, 10, 0, 0, 1*ms, 20*ms), cycle(2, 11, 2*ms, 3*ms, 3100*ms, 3200*ms)), "for a free lock", false},
	"a lock that is lost before its end": {func() *history {
		h := past(cycle(1, 10, 0, 0, 1*ms, 20*ms))
		h.acts[1].word = "lost"
		return h
	}(), "no order", true},
}

// TestLiars holds the checks against histories in which a promise is broken: each must be found.
func TestLiars(t *testing.T) {
	for name, lie := range lies {
		t.Run(name, func(t *testing.T) {
			v := check(lie.history)
			if len(v.wrong) == 0 || !strings.Contains(strings.Join(v.wrong, "\n"), lie.find) {
				t.Errorf("not found: %+v", v)
			}
			if got := linear(lie.history.byLock()["x"], nil) == porcupine.Illegal; got != lie.model {
				t.Errorf("Porcupine finds it: %v, want %v", got, lie.model)
			}
		})
	}
}

// TestExcuses gives the same histories a fault that explains them, and one that does not.
func TestExcuses(t *testing.T) {
	at := func(loses bool, hurt ...int) window {
		w := window{from: 6 * ms, to: 8 * ms, loses: loses, hurt: map[int]bool{}}
		for _, n := range hurt {
			w.hurt[n] = true
		}
		return w
	}
	kept := at(true)
	kept.kept = true
	strict := kept
	strict.strict = true
	overlap := func() *history { return past(cycle(1, 10, 0, 0, 1*ms, 20*ms), cycle(2, 11, 5*ms, 0, 10*ms, 30*ms)) }
	overtaking := func() *history {
		return past(cycle(1, 10, 0, 0, 1*ms, 20*ms), cycle(3, 11, 4*ms, 5*ms, 21*ms, 30*ms), cycle(2, 12, 2*ms, 3*ms, 31*ms, 40*ms))
	}
	long := window{from: 6 * ms, to: 6*ms + leaseTime, hurt: map[int]bool{}}
	second := func() *history { // request 4 is passed, behind request 2
		return past(cycle(1, 10, 0, 0, 1*ms, 20*ms), cycle(2, 11, 2*ms, 3*ms, 21*ms, 30*ms), cycle(3, 12, 4*ms, 5*ms, 31*ms, 35*ms),
			cycle(4, 13, 3*ms, 3500*time.Microsecond, 36*ms, 40*ms))
	}
	falling := func() *history { return past(cycle(1, 10, 0, 0, 1*ms, 2*ms), cycle(2, 9, 30*ms, 0, 31*ms, 40*ms)) }
	for name, c := range map[string]struct {
		history         *history
		window          window
		wrong           bool
		doubled, passed int
	}{
		"an overlap, data lost":                  {overlap(), at(true), false, 1, 0},
		"an overlap, nothing lost":               {overlap(), at(false, 0, 1, 2), true, 0, 0},
		"an overlap, data lost, quarantine":      {overlap(), strict, true, 0, 0},
		"an overlap, data lost, replicas":        {overlap(), kept, true, 0, 0},
		"an overtaking, data lost, replicas":     {overtaking(), kept, false, 0, 1},
		"an overtaking, data lost, quarantine":   {overtaking(), strict, true, 0, 0},
		"an overtaking, data lost":               {overtaking(), at(true), false, 0, 1},
		"an overtaking, nothing lost":            {overtaking(), at(false), true, 0, 0},
		"an overtaking, a lease without answers": {overtaking(), long, false, 0, 0},
		"the second is passed, the same":         {second(), long, true, 0, 0},
		"an overtaking, its node was hurt":       {overtaking(), at(false, 0), false, 0, 0},
		"an overtaking, another node's hurt":     {overtaking(), at(false, 1), true, 0, 0},
		"a falling token, data lost":             {falling(), at(true, 0, 1, 2), true, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			c.history.windows = []window{c.window}
			v := check(c.history)
			if (len(v.wrong) > 0) != c.wrong || v.doubled != c.doubled || v.passed != c.passed {
				t.Errorf("%+v", v)
			}
		})
	}
}

// TestModelForgets checks that what a fault may have taken is in nobody's way, and may be there all the same.
func TestModelForgets(t *testing.T) {
	h := past(cycle(1, 10, 0, 0, 1*ms, 20*ms), cycle(2, 11, 5*ms, 0, 10*ms, 30*ms))
	h.windows = []window{{from: 6 * ms, to: 8 * ms, loses: true}}
	for _, word := range []string{"released", "lost", "unknown"} {
		h.acts[1].word = word
		if got := linear(h.byLock()["x"], h.windows); got != porcupine.Ok {
			t.Errorf("%s: %s", word, got)
		}
	}
	h.windows[0].from, h.windows[0].to = 11*ms, 12*ms // too late to explain it
	if got := linear(h.byLock()["x"], h.windows); got != porcupine.Illegal {
		t.Errorf("a fault after both: %s", got)
	}
}
