package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// A job is one case in one language, or in all of them in turns.
type job struct {
	tc        *testCase
	languages []language
	known     string // why it is known to fail
	script    *transcript
	took      time.Duration
	err       error
	logs      string
}

func (j *job) lang() string {
	if j.tc.Mixed && len(j.languages) > 1 {
		return j.languages[0].name + "+" // and the others
	}
	return j.languages[0].name
}

// plan makes the jobs: each case in each language, those with mixed clients so that each language has each part once.
// The longest first would be better, but nobody knows them before.
func plan(o *options, cases []*testCase) ([]*job, error) {
	known := map[string]map[string]string{}
	for _, l := range o.languages {
		var err error
		if known[l.name], err = readKnown(filepath.Join(o.known, l.name+".txt"), cases); err != nil {
			return nil, err
		}
	}
	var jobs []*job
	for _, tc := range cases {
		if !o.pattern.MatchString(tc.Name) || tc.Slow && !o.slow {
			continue
		}
		for i := range o.languages {
			j := &job{tc: tc, languages: o.languages[i : i+1]}
			if tc.Mixed {
				j.languages = slices.Concat(o.languages[i:], o.languages[:i])
			}
			for _, l := range j.languages {
				j.known = cmp.Or(j.known, known[l.name][tc.Name])
			}
			jobs = append(jobs, j)
		}
	}
	if len(jobs) == 0 {
		return nil, fmt.Errorf("no case matches %q", o.pattern)
	}
	return jobs, nil
}

// readKnown reads a list of cases known to fail: a name and a reason a line, # for comments.
func readKnown(file string, cases []*testCase) (map[string]string, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	known := map[string]string{}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, reason, _ := strings.Cut(line, " ")
		if strings.TrimSpace(reason) == "" {
			return nil, fmt.Errorf("%s: %s fails for no reason", file, name)
		}
		if !slices.ContainsFunc(cases, func(c *testCase) bool { return c.Name == name }) {
			return nil, fmt.Errorf("%s: there is no case %s", file, name)
		}
		known[name] = strings.TrimSpace(reason)
	}
	return known, nil
}

// runSuite runs all jobs and reports. Its error says that something failed, or passed against expectation.
func runSuite(ctx context.Context, o *options) error {
	cases, err := loadCases()
	if err != nil {
		return err
	}
	jobs, err := plan(o, cases)
	if err != nil {
		return err
	}
	began := time.Now()
	spare := &spares{idle: map[string][]*program{}}
	runJobs(ctx, o, spare, jobs, o.parallel)
	if o.again {
		if jobs, err = playAgain(ctx, o, spare, jobs); err != nil {
			return err
		}
	}
	took := time.Since(began)
	return errors.Join(spare.end(), report(o, jobs, took))
}

// runJobs runs jobs, so many at once.
func runJobs(ctx context.Context, o *options, spare *spares, jobs []*job, atOnce int) {
	next := make(chan *job)
	var wg sync.WaitGroup
	for range min(atOnce, len(jobs)) {
		wg.Go(func() { lane(ctx, o, spare, next) })
	}
	for _, j := range jobs {
		next <- j
	}
	close(next)
	wg.Wait()
}

// mostAgain is how many cases may fail at first: more is no accident.
const mostAgain = 5

// playAgain plays the cases that failed once more, one at a time, and reports how they failed beside others: on a busy
// machine, a process may get no turn for longer than a case allows.
func playAgain(ctx context.Context, o *options, spare *spares, jobs []*job) ([]*job, error) {
	var failed, again []*job
	for i, j := range jobs {
		if j.verdict() == "FAIL" {
			failed = append(failed, j)
			jobs[i] = &job{tc: j.tc, languages: j.languages}
			again = append(again, jobs[i])
		}
	}
	if len(failed) == 0 || len(failed) > mostAgain {
		for i, j := range failed {
			*again[i] = *j
		}
		return jobs, nil
	}
	if _, err := fmt.Fprintf(o.out, "played again, alone:\n"); err != nil {
		return nil, err
	}
	_ = report(o, failed, 0) // they are not the last word
	runJobs(ctx, o, spare, again, 1)
	return jobs, nil
}

// lane runs one case after another. A case finds the environment of the one before if that has what it needs and is
// unhurt.
func lane(ctx context.Context, o *options, spare *spares, next <-chan *job) {
	var e *env
	var key string
	for j := range next {
		began := time.Now()
		wanted, err := requirements(j.tc)
		if e != nil && (e.dirty || key != wanted) {
			err = errors.Join(err, e.end())
			e = nil
		}
		if e == nil && err == nil {
			key = wanted
			e, err = startEnv(ctx, o.lockd, j.tc.Settings, *j.tc.Nodes)
		}
		if err == nil {
			limit, cancel := context.WithTimeout(ctx, caseLimit(j.tc))
			j.script, err = runCase(limit, j, e, spare)
			cancel()
		}
		j.err, j.took = err, time.Since(began)
		if j.script == nil {
			j.script = newTranscript()
		}
		if err != nil && e != nil {
			j.logs = e.logs()
			e.dirty = true
		}
	}
	if e != nil {
		_ = e.end()
	}
}

func caseLimit(tc *testCase) time.Duration {
	if tc.Slow {
		return 5 * time.Minute
	}
	return 90 * time.Second
}

// requirements says what a case needs of its environment, as a key to compare.
func requirements(tc *testCase) (string, error) {
	settings, err := json.Marshal(tc.Settings)
	return fmt.Sprintf("%d %s", *tc.Nodes, settings), err
}

// verdict says how a job came out. PASSES is a surprise: the case is on the list of those known to fail.
func (j *job) verdict() string {
	switch {
	case j.err != nil && j.known != "":
		return "known"
	case j.err != nil:
		return "FAIL"
	case j.known != "":
		return "PASSES"
	}
	return "ok"
}

// report shows a line a case and the transcripts of those that failed.
func report(o *options, jobs []*job, took time.Duration) error {
	n := map[string]int{}
	var b strings.Builder
	for _, j := range jobs {
		verdict := j.verdict()
		n[verdict]++
		fmt.Fprintf(&b, "%-6s %-5s %6.1fs  %s\n", verdict, j.lang(), j.took.Seconds(), j.tc.Name)
		switch verdict {
		case "known":
			fmt.Fprintf(&b, "       %s\n", j.known)
		case "PASSES":
			fmt.Fprintf(&b, "       take it off the list of known failures: %s\n", j.known)
		case "FAIL":
			fmt.Fprintf(&b, "       %v\n--- transcript of %s (%s): %s\n%s\n%s---\n", j.err, j.tc.Name, j.lang(), j.tc.About, j.script, j.logs)
		}
		if o.verbose && verdict != "FAIL" {
			fmt.Fprintf(&b, "%s\n", j.script)
		}
	}
	fmt.Fprintf(&b, "%d cases in %.1f s: %d failed, %d known to fail, %d passed unexpectedly\n",
		len(jobs), took.Seconds(), n["FAIL"], n["known"], n["PASSES"])
	if _, err := io.WriteString(o.out, b.String()); err != nil {
		return err
	}
	if n["FAIL"]+n["PASSES"] > 0 {
		return fmt.Errorf("%d cases failed, %d passed that are known to fail", n["FAIL"], n["PASSES"])
	}
	return nil
}
