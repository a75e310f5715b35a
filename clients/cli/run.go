package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	dl "distributedlock/clients/go"
)

// runCmd holds a lock while a command runs.
type runCmd struct {
	lockFlags

	ExitCode int      `short:"E" name:"conflict-exit-code" default:"75" placeholder:"CODE" help:"Exit code where the lock is not acquired (${default})."`
	Grace    *period  `placeholder:"DURATION" help:"How long before the end of a lease that cannot be renewed the command is sent TERM, to be killed at the end (5s, or a third of the lease where that is less)."`
	Name     string   `arg:"" help:"Name of the lock."`
	Command  []string `arg:"" passthrough:"partial" help:"Command, behind a --."`
}

// Help is what run --help says beside the flags.
func (*runCmd) Help() string {
	return `The command gets LOCK_NAME, LOCK_ID, LOCK_FENCING_TOKEN and LOCK_EXPIRES_AT, and every signal that lockctl gets. ` +
		`The lease is renewed until the last process of the command's process group has ended. Where the lock is lost, the ` +
		`command is sent TERM and, --grace later and before the lease ends, KILL.`
}

const (
	defaultGrace  = 5 * time.Second
	highestExit   = 255
	longestMargin = 500 * time.Millisecond
	leastMargin   = 20 * time.Millisecond
)

// check finds flags that cannot be meant, and sets the defaults that hang on others.
func (r *runCmd) check() error {
	if r.Command[0] == "--" {
		r.Command = r.Command[1:]
	}
	if len(r.Command) == 0 || r.Command[0] == "" {
		return usage("no command to run: lockctl run NAME -- COMMAND")
	}
	if r.ExitCode < 0 || r.ExitCode > highestExit {
		return usage("-E %d: want 0 to %d", r.ExitCode, highestExit)
	}
	if err := r.lockFlags.check(); err != nil {
		return err
	}
	ttl := r.TTL.duration()
	if r.Grace == nil {
		grace := period(min(defaultGrace, ttl/3))
		r.Grace = &grace
	}
	// A third of the lease passes between two renewals; the command must not be ended before the next had its chance.
	if r.Grace.duration() > ttl/2 {
		return usage("--grace %s: want at most half of --ttl %s, or the command would be ended while the lease is still being renewed",
			r.Grace.duration(), ttl)
	}
	return nil
}

// Run takes the lock, runs the command, and gives the lock back.
func (r *runCmd) Run(a *app) error {
	if err := r.check(); err != nil {
		return err
	}
	path, err := look(r.Command[0])
	if err != nil {
		return err // a command that cannot be run needs no lock
	}
	client, err := a.client(true)
	if err != nil {
		return err
	}
	signals := catchDeadly()
	lock, err := a.take(client, r.Name, &r.lockFlags, signals, dl.WithAutoRenew(), dl.WithMetadata(r.metadata()))
	if err != nil {
		_ = client.Close() // gives back the place in line
		if exitCode(err) == exitNotAcquired {
			return &coded{r.ExitCode, err}
		}
		return err
	}
	// From here on the guard gives back the lock, and there is nothing more that closing the client would do but take
	// time where the service is away.
	g := newGuard(a, r, lock)
	code, err := g.run(path, signals)
	return g.end(code, err)
}

// metadata lets others see who holds the lock. The command's arguments may be secrets, so they are not told.
func (r *runCmd) metadata() map[string]any {
	host, _ := os.Hostname() // or nothing
	return map[string]any{"command": filepath.Base(r.Command[0]), "host": host, "pid": os.Getpid()}
}

// environment is the command's: ours and what it should know of the lock.
func environment(lock *dl.Lock) []string {
	set := []string{
		"LOCK_NAME=" + lock.Name,
		"LOCK_ID=" + lock.ID,
		"LOCK_FENCING_TOKEN=" + strconv.FormatInt(lock.FencingToken, 10),
		"LOCK_EXPIRES_AT=" + wire(lock.ExpiresAt()),
	}
	env := make([]string, 0, len(os.Environ())+len(set))
	for _, e := range os.Environ() {
		name, _, _ := strings.Cut(e, "=")
		switch name {
		case "LOCK_NAME", "LOCK_ID", "LOCK_FENCING_TOKEN", "LOCK_EXPIRES_AT": // of a lock around this one
		default:
			env = append(env, e)
		}
	}
	return append(env, set...)
}

// look finds the command as a shell does: 127 where there is none, 126 where it cannot be run.
func look(name string) (string, error) {
	path, err := exec.LookPath(name)
	switch {
	case err == nil || errors.Is(err, exec.ErrDot):
		return cmp.Or(path, name), nil
	case strings.ContainsRune(name, filepath.Separator) && !errors.Is(err, fs.ErrNotExist):
		return "", cannotRun(name, err)
	}
	return "", &coded{exitNotFound, fmt.Errorf("%s: not found", printable(name))}
}

// cannotRun is what exec said.
func cannotRun(name string, err error) error {
	if execErr, ok := errors.AsType[*exec.Error](err); ok {
		err = execErr.Err
	}
	code := exitCannotRun
	if errors.Is(err, syscall.ENOENT) {
		code = exitNotFound
	}
	return &coded{code, fmt.Errorf("%s: %w", printable(name), err)}
}

// margin is how long before the end of the lease the command must be gone.
func margin(ttl time.Duration) time.Duration {
	return min(max(ttl/10, leastMargin), longestMargin)
}
