//go:build !unix

package main

import "syscall"

// Where processes cannot be stopped, the faults that do so fail.
const (
	sigStop = syscall.Signal(-1)
	sigCont = syscall.Signal(-2)
)

func childAttr() *syscall.SysProcAttr { return nil }
