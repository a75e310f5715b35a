package main

import "syscall"

// childAttr keeps a terminal's signals from the processes that are started here, and lets them end with this one.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
