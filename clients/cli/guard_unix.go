//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	dl "distributedlock/clients/go"
)

// releaseTime is how long giving back a lock may take at most.
const releaseTime = 5 * time.Second

// guard stands between a lock and a command: it ends the command before the lock's lease ends.
type guard struct {
	*app
	cmd    *runCmd
	lock   *dl.Lock
	margin time.Duration
	job    *job
	term   *terminal

	timer  *time.Timer // TERM at first, then KILL
	lost   error       // why the command is being ended; nil while it is not
	killAt time.Time   // where lost
	killed bool
	exited *syscall.WaitStatus // of the command itself; others of its group may live on
}

func newGuard(a *app, cmd *runCmd, lock *dl.Lock) *guard {
	return &guard{app: a, cmd: cmd, lock: lock, margin: margin(cmd.TTL.duration())}
}

// run runs the command to its end, or to the lock's, and returns its exit code.
func (g *guard) run(path string, signals chan os.Signal) (int, error) {
	g.term = openTerminal()
	defer g.term.close()
	catchHarmless(signals)
	job, err := startJob(path, g.cmd.Command, environment(g.lock))
	if err != nil {
		return 0, cannotRun(g.cmd.Command[0], err)
	}
	g.job = job
	// From here on, writing to a terminal that was handed over does not stop us. The command was begun before, so that
	// it does not inherit this.
	signal.Ignore(syscall.SIGTTOU)
	if g.term.wanted() && g.term.ours() {
		g.term.give(job.pid)
	}
	g.watch(signals)
	g.term.take()
	if g.exited.Signaled() {
		g.term.restore() // a command that was killed left the terminal as it was using it
		return exitSignal + int(g.exited.Signal()), g.lost
	}
	return g.exited.ExitStatus(), g.lost
}

// watch returns when the last process of the command has ended.
func (g *guard) watch(signals chan os.Signal) {
	done := g.lock.Done()
	g.timer = time.NewTimer(time.Until(g.termAt()))
	defer g.timer.Stop()
	for {
		select {
		case <-done:
			done = nil
			g.lose(g.lock.Err())
		case <-g.timer.C:
			g.due()
		case s := <-signals:
			g.signal(s)
		case e, more := <-g.job.events:
			switch {
			case !more:
				return
			case e.stopped != 0:
				g.suspend(e.stopped, signals)
			default:
				g.exited = &e.status
				g.leftovers()
			}
		}
	}
}

// leaseEnd is when the command must be gone. It moves with every renewal.
func (g *guard) leaseEnd() time.Time { return g.lock.ExpiresAt().Add(-g.margin) }

func (g *guard) termAt() time.Time { return g.leaseEnd().Add(-g.cmd.Grace.duration()) }

// due looks whether the moment that the timer was set for is still the one.
func (g *guard) due() {
	switch at := g.termAt(); {
	case g.lost != nil:
		g.kill()
	case time.Now().Before(at):
		g.timer.Reset(time.Until(at))
	default:
		g.lose(fmt.Errorf("%w: the lease ends in %s and could not be renewed",
			dl.ErrLockLost, brief(time.Until(g.lock.ExpiresAt()))))
	}
}

// lose ends the command: TERM now, KILL after the grace or at the end of the lease, whichever comes first.
func (g *guard) lose(why error) {
	killAt := time.Now().Add(g.cmd.Grace.duration())
	if end := g.leaseEnd(); end.Before(killAt) {
		killAt = end
	}
	if g.lost == nil {
		g.lost = why
		g.job.signal(syscall.SIGTERM)
		g.job.signal(syscall.SIGCONT) // what is stopped would not see the other
		g.tell("%s; ending the command", printable(why.Error()))
	} else if g.killAt.Before(killAt) {
		killAt = g.killAt
	}
	g.killAt = killAt
	g.timer.Reset(time.Until(killAt))
}

func (g *guard) kill() {
	g.job.signal(syscall.SIGKILL)
	if !g.killed {
		g.killed = true
		g.tell("the command did not end; killed")
	}
}

// tell says something about the lock, except where stderr is for a JSON document.
func (g *guard) tell(format string, args ...any) {
	if !g.JSON {
		g.say("%s: "+format, append([]any{printable(g.lock.Name)}, args...)...)
	}
}

// signal passes a signal on.
func (g *guard) signal(s os.Signal) {
	sig, ok := s.(syscall.Signal)
	if !ok {
		return
	}
	// A shell's fg has made us the foreground again.
	if sig == syscall.SIGCONT && g.term.wanted() && g.term.ours() {
		g.term.give(g.job.pid)
	}
	g.job.signal(sig)
}

// leftovers tells why the lock is still held although the command has ended.
func (g *guard) leftovers() {
	if g.Verbose && g.job.lives() {
		g.tell("the command has ended, processes of its group have not: still held")
	}
}

// end gives the lock back and says with what to exit.
func (g *guard) end(code int, err error) error {
	if err != nil && g.lost == nil { // it could not be run
		_ = g.lock.Release() // else the lease ends
		return err
	}
	// Where the service cannot be reached, it is not worth more time than the lease has.
	ctx, cancel := context.WithDeadline(context.Background(), g.lock.ExpiresAt())
	defer cancel()
	ctx, cancel = context.WithTimeout(ctx, releaseTime)
	defer cancel()
	released := g.lock.ReleaseContext(ctx)
	switch {
	case g.lost != nil:
		if g.JSON {
			return &coded{exitLost, g.lost}
		}
		return exit(exitLost) // it was told
	case errors.Is(released, dl.ErrLockLost):
		return &coded{exitLost, fmt.Errorf("%s: %w, perhaps while the command ran", printable(g.lock.Name), released)}
	case released != nil: // the command held it to the end all the same
		g.tell("not given back, so it stays locked until its lease ends: %s", printable(released.Error()))
	}
	return exit(code)
}
