//go:build unix

package main

import (
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	dl "distributedlock/clients/go"
)

// terminal is the one that lockctl was started from. A nil one is none.
type terminal struct {
	file  *os.File
	own   int // our process group
	given bool
	// want is that the command should have the terminal whenever we might: where it reads from it and writes to it. With
	// a pipe on either side, others of our group may want it, such as a pager: then it goes to the command only when it
	// is stopped for want of it.
	want  bool
	saved *term.State
}

func openTerminal() *terminal {
	f, err := os.OpenFile("/dev/tty", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil
	}
	t := &terminal{file: f, own: syscall.Getpgrp(), want: term.IsTerminal(0) && term.IsTerminal(1)}
	if state, err := term.GetState(t.fd()); err == nil {
		t.saved = state
	}
	return t
}

func (t *terminal) fd() int { return int(t.file.Fd()) }

func (t *terminal) close() {
	if t != nil {
		_ = t.file.Close()
	}
}

// foreground is the process group that may read the terminal.
func (t *terminal) foreground() int {
	group, err := unix.IoctlGetInt(t.fd(), unix.TIOCGPGRP)
	if err != nil {
		return -1
	}
	return group
}

// ours reports whether our own group is in the foreground.
func (t *terminal) ours() bool { return t != nil && t.foreground() == t.own }

func (t *terminal) wanted() bool { return t != nil && t.want }

// give hands the foreground to a group, which then gets what is typed, Ctrl-C and Ctrl-Z too.
func (t *terminal) give(group int) {
	if unix.IoctlSetPointerInt(t.fd(), unix.TIOCSPGRP, group) == nil {
		t.given, t.want = true, true
	}
}

// take takes back what was given.
func (t *terminal) take() {
	if t != nil && t.given {
		_ = unix.IoctlSetPointerInt(t.fd(), unix.TIOCSPGRP, t.own) // where it fails, the shell does it
		t.given = false
	}
}

// restore sets the modes of the terminal as they were at the start.
func (t *terminal) restore() {
	if t != nil && t.saved != nil && t.ours() {
		_ = term.Restore(t.fd(), t.saved)
	}
}

// inForeground reports whether the terminal, if any, is ours to write on.
func inForeground() bool {
	t := openTerminal()
	defer t.close()
	return t == nil || t.ours()
}

// settle is how long the kernel may take to stop us after we asked for it.
const settle = 250 * time.Millisecond

// suspend is called when the command was stopped. Where a shell stands behind the terminal, all of us stop, so that it
// takes over, and go on together when it says so.
func (g *guard) suspend(by syscall.Signal, signals chan os.Signal) {
	t := g.term
	if t == nil || g.lost != nil {
		return // who stopped it continues it; meanwhile the lease is renewed
	}
	if by == syscall.SIGTTIN || by == syscall.SIGTTOU {
		switch t.foreground() {
		case g.job.pid: // it was quicker than we
			g.job.signal(syscall.SIGCONT)
			return
		case t.own: // it wants the terminal after all
			t.give(g.job.pid)
			g.job.signal(syscall.SIGCONT)
			return
		}
	}
	t.take()
	g.stopSelf(signals)
	// While we were stopped, nothing was renewed. What was stopped may not go on after the end of the lease.
	if !time.Now().Before(g.leaseEnd()) || g.lock.Err() != nil {
		g.job.signal(syscall.SIGKILL)
		g.killed = true
		g.lose(fmt.Errorf("%w: the lease ended while the command was stopped", dl.ErrLockLost))
		return
	}
	if t.wanted() && t.ours() {
		t.give(g.job.pid)
	}
	g.job.signal(syscall.SIGCONT)
}

// stopSelf stops our process group as Ctrl-Z does, and returns when it was continued. Where there is nobody who could
// continue it (an orphaned group), the kernel does not stop it, and it returns soon. TTIN does what TSTP would, which
// the Go runtime, once it caught one, never leaves to the kernel again.
func (g *guard) stopSelf(signals chan os.Signal) {
	_ = syscall.Kill(0, syscall.SIGTTIN)
	stopped := time.NewTimer(settle)
	defer stopped.Stop()
	for {
		select {
		case <-stopped.C:
			return
		case s := <-signals:
			if s == syscall.SIGCONT {
				return
			}
			g.signal(s)
		}
	}
}
