package main

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// childAttr: a process group of its own, and death should lockctl be killed, for then nobody guards the lock.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// adopt makes orphans among the command's descendants our children, so that we hear of their end.
func adopt() { _ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) } // without it, the command's own end counts
