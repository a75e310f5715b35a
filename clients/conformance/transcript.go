package main

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"time"
)

// A transcript is all that was said and done in one case, with the time since its start.
type transcript struct {
	start time.Time

	mu       sync.Mutex
	lines    []string
	breaches []string
}

func newTranscript() *transcript { return &transcript{start: time.Now()} }

func (t *transcript) add(who, what string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines = append(t.lines, fmt.Sprintf("%9.3f  %-12s %s", time.Since(t.start).Seconds(), who, what))
}

// breach notes what fails the case whatever its steps say.
func (t *transcript) breach(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	t.add("BREACH", text)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.breaches = append(t.breaches, text)
}

func (t *transcript) found() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]string(nil), t.breaches...)
}

func (t *transcript) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(t.lines, "\n")
}

// A logWriter takes what a program logs into the transcript of the client that it brings.
type logWriter struct {
	p    *program
	rest []byte
}

func (w *logWriter) Write(b []byte) (int, error) {
	w.rest = append(w.rest, b...)
	for {
		line, rest, found := bytes.Cut(w.rest, []byte("\n"))
		if !found {
			return len(b), nil
		}
		if c := w.p.current(); c != nil {
			c.script.add(c.name+" stderr", string(line))
		}
		w.rest = rest
	}
}
