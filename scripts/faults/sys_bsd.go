//go:build unix && !linux

package main

import "syscall"

// childAttr keeps a terminal's signals from the processes that are started here.
func childAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
