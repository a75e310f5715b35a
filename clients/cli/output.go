package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	dl "distributedlock/clients/go"
)

// wireTime is how the API writes times.
const wireTime = "2006-01-02T15:04:05.000Z"

func wire(t time.Time) string { return t.UTC().Format(wireTime) }

// say tells the user something on stderr.
func (a *app) say(format string, args ...any) {
	put(a.err, "lockctl: "+format+"\n", args...)
}

// writeJSON writes one document in one line.
func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// show prints the document with --json, and else what text writes, aligned.
func (a *app) show(doc any, text func(w io.Writer)) error {
	if a.JSON {
		return writeJSON(a.out, doc)
	}
	return aligned(a.out, text)
}

// aligned writes what text writes, with its tab-separated columns under each other.
func aligned(w io.Writer, text func(w io.Writer)) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	text(t)
	return t.Flush()
}

// row writes one line of cells.
func row(w io.Writer, cells ...string) { put(w, "%s\n", strings.Join(cells, "\t")) }

// put writes where nothing is to be done about an error: to the user, or to a writer that keeps it for its end.
func put(w io.Writer, format string, args ...any) { _, _ = fmt.Fprintf(w, format, args...) }

// printable is a name as it may be shown on a terminal: what is not to be seen there is replaced.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsGraphic(r) {
			return r
		}
		return '\uFFFD'
	}, s)
}

// brief is a duration for people.
func brief(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	case d < time.Hour:
		return d.Round(time.Second).String()
	}
	d = d.Round(time.Minute)
	return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
}

func millis(ms int64) time.Duration { return time.Duration(ms) * time.Millisecond }

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// held is how long a holder has had its lock. The service's own times are compared, whatever the clock here says.
func held(h *dl.Holder, now time.Time) string {
	return brief(now.Sub(h.AcquiredAt))
}

// left is what is left of a holder's lease.
func left(h *dl.Holder) string { return brief(millis(h.TTLMs)) }

// serviceNow is the service's time when it told of a holder.
func serviceNow(h *dl.Holder) time.Time { return h.ExpiresAt.Add(-millis(h.TTLMs)) }

// names are the holders' clients, the first few of them.
func names(holders []dl.Holder) string {
	const most = 3
	var list []string
	for i := range min(most, len(holders)) {
		list = append(list, printable(holders[i].ClientID))
	}
	if more := len(holders) - most; more > 0 {
		list = append(list, fmt.Sprintf("%d more", more))
	}
	return strings.Join(list, ", ")
}

// cycleText is a deadlock in one line.
func cycleText(cycle []dl.CycleStep) string {
	steps := make([]string, len(cycle))
	for i, s := range cycle {
		steps[i] = fmt.Sprintf("%s holds %s and waits for %s", printable(s.ClientID), printable(s.Holds), printable(s.WaitsFor))
	}
	return strings.Join(steps, ", ")
}
