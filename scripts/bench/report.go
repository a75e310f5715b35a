package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
)

// report collects the figures.
type report struct {
	machine string
	rows    []row
}

type row struct{ scenario, figure, value, goal string }

// newReport notes the machine as it is before the work: on one that is busy already, only the ratios say something.
func newReport() *report {
	m := fmt.Sprintf("%d CPUs, %s", runtime.NumCPU(), runtime.Version())
	if b, err := os.ReadFile("/proc/loadavg"); err == nil {
		load, _, _ := strings.Cut(string(b), " ")
		m += ", load before " + load
	}
	return &report{machine: m}
}

func (r *report) begin(s scenario) { r.rows = append(r.rows, row{scenario: s.name}) }

// add notes a figure that has no goal.
func (r *report) add(figure, format string, a ...any) {
	r.rows = append(r.rows, row{figure: figure, value: fmt.Sprintf(format, a...)})
}

// aim notes a figure and whether it is where it should be.
func (r *report) aim(figure string, value float64, format, goal string, met bool) {
	verdict := "met"
	if !met {
		verdict = "MISSED"
	}
	r.rows = append(r.rows, row{figure: figure, value: fmt.Sprintf(format, value), goal: goal + ": " + verdict})
}

// print writes a table in Markdown. A scenario's name stands in its first row only.
func (r *report) print(w io.Writer) {
	rows := []row{{"scenario", "figure", "value", "goal"}}
	name := ""
	for _, x := range r.rows {
		if x.figure == "" {
			name = x.scenario
			continue
		}
		x.scenario, name = name, ""
		rows = append(rows, x)
	}
	var width [4]int
	for _, x := range rows {
		for i, c := range x.cells() {
			width[i] = max(width[i], len([]rune(c)))
		}
	}
	_, _ = fmt.Fprintf(w, "%s\n\n", r.machine)
	for i, x := range rows {
		x.print(w, width)
		if i == 0 {
			for _, n := range width {
				_, _ = fmt.Fprintf(w, "| %s ", strings.Repeat("-", n))
			}
			_, _ = fmt.Fprintln(w, "|")
		}
	}
}

func (x row) cells() [4]string { return [4]string{x.scenario, x.figure, x.value, x.goal} }

func (x row) print(w io.Writer, width [4]int) {
	for i, c := range x.cells() {
		_, _ = fmt.Fprintf(w, "| %s%s ", c, strings.Repeat(" ", width[i]-len([]rune(c))))
	}
	_, _ = fmt.Fprintln(w, "|")
}
