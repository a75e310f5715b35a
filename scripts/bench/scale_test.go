package main

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestSizedRow(t *testing.T) {
	self := func(v float64) float64 { return v }
	for _, c := range []struct {
		name   string
		base   int
		rounds [][]float64
		want   string
	}{
		{"one round each", 0, [][]float64{{10}, {5}, {20}}, "10 / 5 / 20 (1 / 0.50 / 2.00)"},
		// The medians' ratio would be 1: turn by turn, the second is slower more often than not.
		{"turn by turn", 0, [][]float64{{10, 20, 30}, {5, 40, 20}}, "20 / 20 (1 / 0.67)"},
		{"beside the second", 1, [][]float64{{3}, {2}, {4}}, "3 / 2 / 4 (– / 1 / 2.00)"},
		{"too little to be measured", 0, [][]float64{{0}, {7}}, "0 / 7 (1 / –)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := &report{}
			sized[float64]{r, "1 / 2 nodes", c.base, c.rounds}.row("figure", "%.0f", self)
			want := row{figure: "figure, 1 / 2 nodes", value: c.want}
			if len(r.rows) != 1 || r.rows[0] != want {
				t.Errorf("%+v, want %+v", r.rows, want)
			}
		})
	}
}

func TestInTurnsOf(t *testing.T) {
	var order []int
	rounds, err := inTurnsOf([]int{1, 2, 4}, 2, func(i int) (int, error) {
		order = append(order, i)
		return 10*i + len(order), nil
	})
	if want := [][]int{{1, 6}, {12, 14}, {23, 25}}; err != nil || !reflect.DeepEqual(rounds, want) {
		t.Errorf("%v, %v, want %v", rounds, err, want)
	}
	if want := []int{0, 1, 2, 1, 2, 0}; !reflect.DeepEqual(order, want) {
		t.Errorf("order %v, want %v", order, want)
	}
	_, err = inTurnsOf([]int{1, 2}, 1, func(i int) (int, error) {
		if i == 1 {
			return 0, errAnswer
		}
		return 0, nil
	})
	if !errors.Is(err, errAnswer) || !strings.Contains(err.Error(), "at 2") {
		t.Errorf("error %v", err)
	}
}

func TestSizesOf(t *testing.T) {
	if got := sizesOf([]int{0, 999, 1_000, 100_007, 1_000_000}, "held"); got != "0 / 999 / 1,000 / 100,007 / 1,000,000 held" {
		t.Error(got)
	}
}

// TestMovingLines shows that clients are spread evenly, and that those of one connection stand in several lines.
func TestMovingLines(t *testing.T) {
	const lines, clients, wires = 10, 1000, 50
	p := newMoving(lines, clients, wires)
	count, first := map[string]int{}, map[string]bool{}
	for c := range clients {
		lock, _ := p.next(c)
		count[lock]++
		if c%wires == 0 {
			first[lock] = true
		}
	}
	for lock, n := range count {
		if n != clients/lines {
			t.Errorf("%d for %s", n, lock)
		}
	}
	if len(count) != lines || len(first) != lines {
		t.Errorf("%d lines, %d of the first connection", len(count), len(first))
	}
	if p.rounds() != 0 {
		t.Errorf("%d rounds before the first grant", p.rounds())
	}
}

// TestLeftOut shows that a size for which there is no memory is told of, and not tried.
func TestLeftOut(t *testing.T) {
	r := newReport()
	r.begin(scenario{name: "scale"})
	b := &bench{scale: scaleWork{locks: []int{1 << 50}}, report: r}
	sizes, sides, err := b.lockSides(t.Context())
	var out bytes.Buffer
	r.print(&out)
	if err != nil || len(sizes) != 0 || len(sides) != 0 || !strings.Contains(out.String(), "left out: ") {
		t.Errorf("%v, %v, %v\n%s", sizes, sides, err, out.String())
	}
}
