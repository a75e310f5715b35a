// Command loadtest puts a lock service under load over REST and checks what it promises while it does: that no lock
// has two holders at once, and that the fencing tokens of each lock rise in the order of the grants.
//
//	go run ./scripts/loadtest -concurrent 50 -operations 1000
//
// An operation acquires a lock, waiting for it, and releases it. The exit code is 0 where all went well, 1 where
// any operation failed or a promise was broken, and 2 where the load test could not begin.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// settings are what the flags say.
type settings struct {
	url, token, prefix            string
	concurrent, operations, locks int
	hold, timeout, wait           time.Duration
	// progress is whether to show how far it is, on progressOut; terminal is whether that is one.
	progress, terminal bool
	progressOut        io.Writer
}

const (
	exitOK = iota
	exitFailed
	exitUsage
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}

// run is main for tests: it returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	s, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return exitOK
	}
	if err != nil {
		_, _ = fmt.Fprintln(stderr, "loadtest:", err)
		return exitUsage
	}
	s.terminal = isTerminal(stderr)
	s.progressOut = stderr
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second interrupt ends the program at once.
	context.AfterFunc(ctx, stop)

	api := newAPI(s)
	defer api.close()
	if err := api.reachable(ctx); err != nil {
		_, _ = fmt.Fprintln(stderr, "loadtest:", err)
		return exitUsage
	}
	r := newRun(s, api)
	r.drive(ctx)
	r.print(stdout)
	if r.failed() {
		return exitFailed
	}
	return exitOK
}

func parse(args []string, stderr io.Writer) (settings, error) {
	var s settings
	f := flag.NewFlagSet("loadtest", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&s.url, "url", "http://127.0.0.1:5000", "where the service listens")
	f.StringVar(&s.token, "token", os.Getenv("CLIENT_TOKEN"), "bearer token (default $CLIENT_TOKEN)")
	f.IntVar(&s.concurrent, "concurrent", 50, "clients at once")
	f.IntVar(&s.operations, "operations", 1000, "operations in all: acquire and release")
	f.IntVar(&s.locks, "locks", 10, "different locks; fewer than clients means contention")
	f.DurationVar(&s.hold, "hold", 0, "how long each lock is held")
	f.DurationVar(&s.timeout, "timeout", 30*time.Second, "lease")
	f.DurationVar(&s.wait, "wait", time.Minute, "how long to wait for a lock")
	f.StringVar(&s.prefix, "prefix", "loadtest-"+strings.ToLower(rand.Text()[:8])+":", "beginning of the locks' names")
	f.BoolVar(&s.progress, "progress", true, "show progress on standard error")
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return s, err
		}
		return s, errors.New("see -help") // the flag package has said what is wrong
	}
	s.url = strings.TrimRight(s.url, "/")
	switch {
	case f.NArg() > 0:
		return s, fmt.Errorf("unexpected argument %q", f.Arg(0))
	case s.concurrent < 1 || s.operations < 1 || s.locks < 1:
		return s, errors.New("-concurrent, -operations and -locks must be at least 1")
	case s.hold < 0 || s.wait < 0 || s.timeout <= 0:
		return s, errors.New("-hold and -wait must not be negative, and -timeout must be above 0")
	case s.hold >= s.timeout:
		return s, errors.New("-hold must be shorter than -timeout: the lease would end before the release")
	}
	return s, nil
}
