// Command bench measures the speed and size of the lock service in one sitting and prints a table in Markdown.
//
//	go run ./scripts/bench                     # everything, a few minutes
//	go run ./scripts/bench -only cold,bare     # some of it
//	go run ./scripts/bench -only scale         # what grows with nodes, locks and waiters: not part of everything
//	go run ./scripts/bench -quick              # a small part of the work: to see that it runs
//
// It starts all that it needs on 127.0.0.1 and ends it again: a redis-server without persistence, and the built lockd
// as processes of their own. As the machine's speed shows in every absolute figure, those with a goal are ratios of two
// things that were measured in turns.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// scenario is one thing that is measured. It adds its figures to the report.
type scenario struct {
	name, about string
	run         func(ctx context.Context, b *bench) error
}

// apart are the scenarios that run only where they are named, as they take minutes and gigabytes.
var apart = []scenario{
	{"scale", "1 to 4 nodes, up to 1,000,000 locks held, up to 10,000 requests waiting", scale},
}

var scenarios = []scenario{
	{"cold", "every cycle takes a lock of its own", cold},
	{"bare", "the same beside a bare handler that runs the same two scripts", beside},
	{"hot", "every cycle takes the one lock", hot},
	{"idle", "what Redis has to do while requests wait", idle},
	{"held", "acquire while 100,000 other locks are held", held},
	{"waiters", "what 10,000 blocked requests take of memory", waiters},
	{"leaseend", "a lease ends while a request waits on another node", leaseEnd},
	{"deadnode", "the node of the waiters at the head is killed", deadNode},
	{"ws-cold", "cold cycles over WebSockets, beside other ways to such a lock", wsCold},
	{"ws-hot", "every cycle takes the one lock, over WebSockets", wsHot},
	{"ws-idle", "what 10,000 sessions take that do nothing", wsIdle},
	{"ws-events", "one event goes to 5,000 subscribers", wsEvents},
	{"ws-slow", "subscribers that never read, and what others feel of them", wsSlow},
	{"deadlock", "owners wait for each other in rings of 2 to 100", deadlocks},
	{"deadlock-cost", "what it costs to look for deadlocks", deadlockCost},
}

// bench is one sitting.
type bench struct {
	work      work
	deadlocks deadlockWork
	scale     scaleWork
	rig       *rig
	report    *report
	log       io.Writer
}

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run is main for tests: it returns the exit code.
func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := do(ctx, args, stdout, stderr)
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case ctx.Err() != nil:
		err = errors.New("interrupted")
	}
	_, _ = fmt.Fprintln(stderr, "bench:", err)
	return 1
}

func do(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	only := f.String("only", "", "scenarios to run, separated by commas: "+names(scenarios)+" (default all of these) "+names(apart))
	quick := f.Bool("quick", false, "do a small part of the work: the figures mean little")
	binary := f.String("lockd", "", "a built lockd to measure (default: build this module's)")
	bareOn := f.String("bare-on", "", "for the bench itself: be the bare server on this address")
	redisAt := f.String("redis", "", "for the bench itself: the bare server's Redis")
	if err := f.Parse(args); err != nil {
		return err
	}
	if *bareOn != "" {
		return serveBare(ctx, *bareOn, *redisAt)
	}
	chosen, err := choose(*only)
	if err != nil {
		return err
	}
	b := &bench{work: fullWork, deadlocks: fullDeadlocks, scale: fullScale, report: newReport(), log: stderr}
	if *quick {
		b.work, b.deadlocks, b.scale = quickWork, quickDeadlocks, quickScale
	}
	if b.rig, err = newRig(ctx, *binary, stderr); err != nil {
		return err
	}
	defer b.rig.close()
	for _, s := range chosen {
		if err := b.measure(ctx, s); err != nil {
			b.report.print(stdout)
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	b.report.print(stdout)
	return nil
}

// measure runs a scenario and ends the nodes that it started. Each scenario has a Redis of its own.
func (b *bench) measure(ctx context.Context, s scenario) error {
	begin := time.Now()
	_, _ = fmt.Fprintf(b.log, "%s: %s\n", s.name, s.about)
	defer b.rig.reset()
	b.report.begin(s)
	err := s.run(ctx, b)
	_, _ = fmt.Fprintf(b.log, "%s: %.1f s\n", s.name, time.Since(begin).Seconds())
	return err
}

func names(of []scenario) string {
	var all []string
	for _, s := range of {
		all = append(all, s.name)
	}
	return strings.Join(all, " ")
}

func choose(only string) ([]scenario, error) {
	if only == "" {
		return scenarios, nil
	}
	var chosen []scenario
	all := slices.Concat(scenarios, apart)
	for name := range strings.SplitSeq(only, ",") {
		i := slices.IndexFunc(all, func(s scenario) bool { return s.name == strings.TrimSpace(name) })
		if i < 0 {
			return nil, fmt.Errorf("no scenario %q; there are %s", name, names(all))
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}
