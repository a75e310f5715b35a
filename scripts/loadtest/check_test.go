package main

import (
	"strings"
	"testing"
	"time"
)

func TestChecker(t *testing.T) {
	type step struct {
		lock, client string
		token        int64 // 0: leave
	}
	for _, c := range []struct {
		name               string
		steps              []step
		doubles, disorders int
		first              string
	}{
		{"one after another", []step{{"a", "1", 5}, {"a", "1", 0}, {"a", "2", 9}, {"a", "2", 0}}, 0, 0, ""},
		{"two locks", []step{{"a", "1", 5}, {"b", "2", 5}, {"b", "2", 0}, {"a", "1", 0}}, 0, 0, ""},
		{"two holders", []step{{"a", "1", 5}, {"a", "2", 6}}, 1, 0, "a is held by 1 (token 5) and by 2 (token 6)"},
		{"three holders", []step{{"a", "1", 5}, {"a", "2", 6}, {"a", "3", 7}}, 3, 0, "a is held by 1"},
		{"the same token", []step{{"a", "1", 5}, {"a", "1", 0}, {"a", "2", 5}}, 0, 1, "a was granted with token 5 after 5"},
		{"a lower token", []step{{"a", "1", 5}, {"a", "1", 0}, {"a", "2", 4}, {"a", "2", 0}, {"a", "2", 5}}, 0, 2, "token 4 after 5"},
		{"a stranger leaves", []step{{"a", "1", 5}, {"a", "2", 0}, {"b", "2", 0}, {"a", "3", 6}}, 1, 0, "by 3 (token 6)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newChecker()
			for _, s := range c.steps {
				if s.token == 0 {
					k.leave(s.lock, s.client)
				} else {
					k.enter(s.lock, s.client, s.token)
				}
			}
			doubles, disorders, first := k.verdict()
			if doubles != c.doubles || disorders != c.disorders {
				t.Errorf("%d double holds and %d tokens that did not rise; want %d and %d", doubles, disorders, c.doubles, c.disorders)
			}
			if got := strings.Join(first, "; "); !strings.Contains(got, c.first) || (c.first == "") != (got == "") {
				t.Errorf("first %q, want %q in it", got, c.first)
			}
		})
	}
}

func TestSummarize(t *testing.T) {
	ms := func(values ...int) (d []time.Duration) {
		for _, v := range values {
			d = append(d, time.Duration(v)*time.Millisecond)
		}
		return d
	}
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(100-i) * time.Millisecond
	}
	for _, c := range []struct {
		name string
		in   []time.Duration
		want summary
	}{
		{"none", nil, summary{}},
		{"one", ms(7), summary{1, 7e6, 7e6, 7e6, 7e6, 7e6}},
		{"two", ms(9, 1), summary{2, 1e6, 1e6, 9e6, 9e6, 9e6}},
		{"1 to 100", hundred, summary{100, 1e6, 50e6, 90e6, 99e6, 100e6}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := summarize(c.in); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}
