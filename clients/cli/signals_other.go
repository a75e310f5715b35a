//go:build !unix

package main

import (
	"os"
	"os/signal"
	"syscall"
)

func catchDeadly() chan os.Signal {
	c := make(chan os.Signal, 1)
	signal.Notify(c, os.Interrupt, syscall.SIGTERM)
	return c
}

// inForeground reports whether the terminal is ours to write on.
func inForeground() bool { return true }
