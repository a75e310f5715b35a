package embedded

import "syscall"

func childAttr() *syscall.SysProcAttr { return nil }

// Windows has no such signals, and Redis no version for it: miniredis is what runs there. Sending one is an error.
const (
	pauseSignal  = syscall.SIGINT
	resumeSignal = syscall.SIGINT
	quitSignal   = syscall.SIGINT
)
