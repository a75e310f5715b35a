package main

import (
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"
)

// isTerminal reports whether a person watches what is written there.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
}

// showProgress tells how far the load test is until it has finished: on a terminal in one line that it writes over,
// elsewhere in a line a second.
func (r *loadRun) showProgress(finished <-chan struct{}) {
	if !r.s.progress {
		<-finished
		return
	}
	every, begin, end := time.Second, "", "\n"
	if r.s.terminal {
		every, begin, end = 100*time.Millisecond, "\r\x1b[K", ""
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			_, _ = io.WriteString(r.s.progressOut, begin+r.progress()+end)
		case <-finished:
			_, _ = io.WriteString(r.s.progressOut, begin+r.progress()+"\n")
			return
		}
	}
}

func (r *loadRun) progress() string {
	done, took := r.done.Load(), time.Since(r.started)
	return fmt.Sprintf("%d of %d operations (%d%%), %.0f/s, %d failed, %.1f s", done, r.s.operations,
		100*done/int64(r.s.operations), float64(done)/took.Seconds(), r.bad.Load(), took.Seconds())
}

// print writes the result. Call it once drive has returned.
func (r *loadRun) print(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	line := func(format string, a ...any) { _, _ = fmt.Fprintf(t, format+"\n", a...) }
	if r.interrupted {
		line("ended early, after %d of %d operations", r.done.Load(), r.s.operations)
	}
	good := r.done.Load() - r.bad.Load()
	line("%d operations by %d clients on %d locks in %.2f s: %.0f operations/s\n", good, r.s.concurrent, r.s.locks,
		r.took.Seconds(), float64(good)/r.took.Seconds())
	line("ms\tcount\tmin\tp50\tp90\tp99\tmax\t")
	r.latencies(line)
	line("")
	doubles, disorders, first := r.check.verdict()
	line("two holders at once: %d", doubles)
	line("fencing tokens that did not rise: %d", disorders)
	for _, f := range first {
		line("  first: %s", f)
	}
	line("errors: %d", r.bad.Load())
	for _, code := range r.codes() {
		e := r.errors[code]
		line("  %d × %s  %s", e.n, code, e.detail)
	}
	_ = t.Flush()
}

func (r *loadRun) latencies(line func(format string, a ...any)) {
	ms := func(d time.Duration) string { return fmt.Sprintf("%.2f", float64(d.Microseconds())/1000) }
	for _, row := range []struct {
		name string
		d    []time.Duration
	}{{"acquire", r.sum.acquires}, {"release", r.sum.releases}, {"waits", r.sum.waits}} {
		s := summarize(row.d)
		line("%s\t%d\t%s\t%s\t%s\t%s\t%s\t", row.name, s.n, ms(s.min), ms(s.p50), ms(s.p90), ms(s.p99), ms(s.max))
	}
}
