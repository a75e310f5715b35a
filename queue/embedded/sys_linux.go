package embedded

import "syscall"

// childAttr gives the child a process group of its own, so that a Ctrl-C in the terminal reaches us first and we can
// end in order, and has the kernel kill it should we die without a word.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

const (
	pauseSignal  = syscall.SIGSTOP
	resumeSignal = syscall.SIGCONT
	quitSignal   = syscall.SIGTERM
)
