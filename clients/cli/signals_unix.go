//go:build unix

package main

import (
	"os"
	"os/signal"
	"slices"
	"syscall"
)

// lastSignal is the highest number a signal may have.
const lastSignal = 64

// spared are not the command's: the first two cannot be caught, CHLD and URG the Go runtime and the kernel send us
// about our own business, and the terminal's are about our own reading and writing.
var spared = []syscall.Signal{
	syscall.SIGKILL, syscall.SIGSTOP, syscall.SIGCHLD, syscall.SIGURG, syscall.SIGTTIN, syscall.SIGTTOU,
}

// harmless signals do not end a process that does not care.
var harmless = []syscall.Signal{syscall.SIGTSTP, syscall.SIGCONT, syscall.SIGWINCH, syscall.SIGPIPE}

// catchDeadly relays the signals that would end the process. What was ignored from the start, as by nohup, stays so.
func catchDeadly() chan os.Signal {
	c := make(chan os.Signal, lastSignal)
	for s := syscall.Signal(1); s <= lastSignal; s++ {
		if !slices.Contains(spared, s) && !slices.Contains(harmless, s) && !signal.Ignored(s) {
			signal.Notify(c, s)
		}
	}
	return c
}

// catchHarmless relays the others too, once there is a command that they are meant for. PIPE is only kept from ending
// us: the command's pipes are its own.
func catchHarmless(c chan os.Signal) {
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	for _, s := range harmless {
		if s != syscall.SIGPIPE && !signal.Ignored(s) {
			signal.Notify(c, s)
		}
	}
}
