package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"
)

// row is what was seen of one fault.
type row struct {
	name, about     string
	rounds, acts    int
	histories       int
	violations      int
	doubled, passed int
	stall           time.Duration
	recoveries      []time.Duration
}

func (r *row) add(v *verdict) {
	r.rounds++
	r.acts += v.acts
	r.histories += v.histories
	r.violations += len(v.wrong)
	r.doubled += v.doubled
	r.passed += v.passed
	r.stall = max(r.stall, v.stall)
	r.recoveries = append(r.recoveries, v.recovery)
}

// table prints the rows in Markdown.
func table(w io.Writer, rows []*row) error {
	if _, err := fmt.Fprint(w, "| fault | | rounds | operations | violations | after loss of data: doubled, passed | longest stall | recovery: median, max |\n"+
		"| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n"); err != nil {
		return err
	}
	sum := row{name: "all"}
	for _, r := range rows {
		sum.rounds, sum.acts, sum.histories = sum.rounds+r.rounds, sum.acts+r.acts, sum.histories+r.histories
		sum.violations, sum.doubled, sum.passed = sum.violations+r.violations, sum.doubled+r.doubled, sum.passed+r.passed
		sum.stall = max(sum.stall, r.stall)
		if err := r.print(w); err != nil {
			return err
		}
	}
	sum.about = fmt.Sprintf("%s histories held against the model", thousands(sum.histories))
	return sum.print(w)
}

func (r *row) print(w io.Writer) error {
	recovery := ""
	if len(r.recoveries) > 0 {
		slices.Sort(r.recoveries)
		recovery = fmt.Sprintf("%.2f s, %.2f s", r.recoveries[(len(r.recoveries)-1)/2].Seconds(), r.recoveries[len(r.recoveries)-1].Seconds())
	}
	_, err := fmt.Fprintf(w, "| %s | %s | %s | %s | %d | %d, %d | %.2f s | %s |\n", r.name, r.about, thousands(r.rounds), thousands(r.acts),
		r.violations, r.doubled, r.passed, r.stall.Seconds(), recovery)
	return err
}

func thousands(n int) string {
	if n < 1000 {
		return strconv.Itoa(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}
