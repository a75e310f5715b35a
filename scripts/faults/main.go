// Command faults hurts a lock service that works, and checks that it keeps its promises.
//
//	go run ./scripts/faults                             # every fault, a few minutes
//	go run ./scripts/faults -only 'node|redis-kill'     # some of them
//	go run ./scripts/faults -seed 7 -rounds 20          # other chances, and more of them
//	go run ./scripts/faults -for 3h -histories 10000    # again and again, until one of both is reached
//	go run ./scripts/faults -fleets 3                   # three faults at a time, each on a fleet of its own
//	go run ./scripts/faults -only silent                # 20,000 hand-overs without any message
//	go run ./scripts/faults -only tokens -grants 1000000
//
// It starts all that it needs on 127.0.0.1 and ends it again: redis-servers, Sentinels and built lockds as processes of
// their own, and proxies between them. It prints a table in Markdown, and each violation with its story. The exit code
// is 1 where there was one.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// campaign is one run of the program.
type campaign struct {
	seed              uint64
	rounds, histories int
	fleets            int
	span              time.Duration
	handOvers, grants int
	only              *regexp.Regexp
	lockd, out        string
	verbose           bool
	log               io.Writer
	rows              []*row
	begin             time.Time

	mu            sync.Mutex // of the rows' sums and of
	shown, played int
}

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

var errWrong = errors.New("promises were broken")

// run is main for tests: it returns the exit code.
func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := do(ctx, args, stdout, stderr)
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return 0
	}
	_, _ = fmt.Fprintln(stderr, "faults:", err)
	return 1
}

func do(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	c, err := parse(args, stderr)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "faults-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if c.lockd == "" {
		if c.lockd, err = build(ctx, dir); err != nil {
			return err
		}
	}
	_, _ = fmt.Fprintf(stderr, "faults: seed %d\n", c.seed)
	err = c.all(ctx)
	to := stdout
	if c.out != "" {
		file, failed := os.Create(filepath.Clean(c.out))
		if failed != nil {
			return errors.Join(err, failed)
		}
		defer func() { _ = file.Close() }()
		to = io.MultiWriter(stdout, file)
	}
	if failed := table(to, c.rows); failed != nil {
		return errors.Join(err, failed)
	}
	for _, r := range c.rows {
		if r.violations > 0 && err == nil {
			err = errWrong
		}
	}
	return err
}

func parse(args []string, stderr io.Writer) (*campaign, error) {
	c := &campaign{log: stderr, begin: time.Now()}
	f := flag.NewFlagSet("faults", flag.ContinueOnError)
	f.SetOutput(stderr)
	only := f.String("only", "", "a regular expression for the names of the faults, and of silent and tokens (default all faults)")
	f.Uint64Var(&c.seed, "seed", 1, "repeats a run: which fault strikes when and whom, and what each client does")
	f.IntVar(&c.rounds, "rounds", 2, "rounds of each fault at a time")
	f.DurationVar(&c.span, "for", 0, "go on with more rounds until then")
	f.IntVar(&c.histories, "histories", 0, "go on with more rounds until so many histories are checked")
	f.IntVar(&c.fleets, "fleets", 1, "how many faults are played at once, each with nodes and Redis of its own")
	f.IntVar(&c.handOvers, "handovers", 20_000, "hand-overs of silent")
	f.IntVar(&c.grants, "grants", 1_000_000, "grants of tokens")
	f.BoolVar(&c.verbose, "v", false, "tell the stories of what a loss of data explains too")
	f.StringVar(&c.lockd, "lockd", "", "a built lockd (default: build this module's)")
	f.StringVar(&c.out, "out", "", "write the table to this file too")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	var err error
	c.only, err = regexp.Compile(*only)
	if *only == "" {
		c.only = nil
	}
	return c, err
}

// chosen tells whether something was asked for: the long ones only by their names.
func (c *campaign) chosen(name string, long bool) bool {
	if c.only == nil {
		return !long
	}
	return c.only.MatchString(name)
}

func (c *campaign) names() []string {
	names := []string{"silent", "tokens"}
	for i := range faults {
		names = append(names, faults[i].name)
	}
	return names
}

// all plays everything that was asked for.
func (c *campaign) all(ctx context.Context) error {
	for _, long := range []struct {
		name string
		play func(ctx context.Context) error
	}{{"silent", c.silent}, {"tokens", c.tokens}} {
		if c.chosen(long.name, true) {
			if err := long.play(ctx); err != nil {
				return err
			}
		}
	}
	if c.only != nil && !slices.ContainsFunc(c.names(), c.only.MatchString) {
		return fmt.Errorf("nothing is called %q; there are %s", c.only, strings.Join(c.names(), " "))
	}
	var chosen []*fault
	for i := range faults {
		if f := &faults[i]; c.chosen(f.name, false) {
			chosen = append(chosen, f)
			c.rows = append(c.rows, &row{name: f.name, about: f.about})
		}
	}
	rows := c.rows[len(c.rows)-len(chosen):]
	for pass := 0; len(chosen) > 0 && (pass == 0 || c.more()); pass++ {
		g, ctx := errgroup.WithContext(ctx)
		g.SetLimit(max(1, c.fleets))
		for i, f := range chosen {
			g.Go(func() error {
				if pass > 0 && !c.more() {
					return nil
				}
				return c.fault(ctx, f, rows[i], pass*c.rounds)
			})
		}
		if err := g.Wait(); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// more tells whether there is to be another pass.
func (c *campaign) more() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.span > 0 && time.Since(c.begin) >= c.span:
		return false
	case c.histories > 0:
		return c.played < c.histories
	}
	return c.span > 0
}

// fault plays some rounds of one fault, on a rig of their own.
func (c *campaign) fault(ctx context.Context, f *fault, to *row, from int) (err error) {
	r, err := newRig(ctx, c.lockd, f.on)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.end()) }()
	for round := from; round < from+c.rounds; round++ {
		begin := time.Now()
		h, err := play(ctx, r, f, c.seed, round)
		if err != nil {
			return err
		}
		v := check(h)
		if err := r.mend(ctx); err != nil {
			return err
		}
		c.note(to, v, fmt.Sprintf("%s: round %d", f.name, round), begin)
	}
	if left := orphans(ctx, r); left != nil && ctx.Err() == nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		to.violations++
		_, _ = fmt.Fprintf(c.log, "VIOLATION %s: orphans: %v\n", f.name, left)
	}
	return nil
}

// mostShown is how many violations are told with their stories.
const mostShown = 10

func (c *campaign) note(to *row, v *verdict, title string, begin time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	to.add(v)
	c.played += v.histories
	_, _ = fmt.Fprintf(c.log, "%s: %.1f s, %d operations, %d violations, %d doubled, %d passed, longest stall %.2f s, recovered after %.2f s\n", title,
		time.Since(begin).Seconds(), v.acts, len(v.wrong), v.doubled, v.passed, v.stall.Seconds(), v.recovery.Seconds())
	if c.verbose {
		for _, why := range v.losses {
			_, _ = fmt.Fprintln(c.log, "loss", why)
		}
	}
	for _, why := range v.wrong {
		if c.shown++; c.shown <= mostShown {
			_, _ = fmt.Fprintln(c.log, "VIOLATION", why)
		}
	}
}
