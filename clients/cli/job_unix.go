//go:build unix

package main

import (
	"errors"
	"runtime"
	"syscall"
)

// job is a command and all processes of its process group.
type job struct {
	pid    int // of the command and of its group
	events chan event
}

// event is what became of the command: stopped by a signal, or ended with a status.
type event struct {
	stopped syscall.Signal
	status  syscall.WaitStatus
}

// startJob starts the command in a process group of its own, with our files and the environment given. Its events end
// with the last process of the group.
func startJob(path string, argv, env []string) (*job, error) {
	j := &job{events: make(chan event, 1)}
	started := make(chan error)
	go func() {
		// The kernel's word that a parent died goes by the thread that started the child, so this one stays.
		runtime.LockOSThread()
		adopt()
		pid, err := fork(path, argv, env)
		j.pid = pid
		started <- err
		if err == nil {
			j.watch()
		}
	}()
	return j, <-started
}

func fork(path string, argv, env []string) (int, error) {
	attr := &syscall.ProcAttr{Env: env, Files: []uintptr{0, 1, 2}, Sys: childAttr()}
	pid, err := syscall.ForkExec(path, argv, attr)
	if errors.Is(err, syscall.ENOEXEC) { // a script that does not say of what: a shell's, as shells have it
		pid, err = syscall.ForkExec("/bin/sh", append([]string{"sh", path}, argv[1:]...), attr)
	}
	return pid, err
}

// watch reads what becomes of the group's processes that are our children: the command, and, where orphans come to us,
// those whose parents in the group have ended.
func (j *job) watch() {
	defer close(j.events)
	for exited := false; ; {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-j.pid, &status, syscall.WUNTRACED, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil: // ECHILD: nobody is left
			return
		case status.Stopped() && (pid == j.pid || exited):
			j.events <- event{stopped: status.StopSignal()}
		case pid == j.pid && !status.Stopped():
			exited = true
			j.events <- event{status: status}
		}
	}
}

// signal signals all processes of the group. That there is none any more is no error.
func (j *job) signal(s syscall.Signal) { _ = syscall.Kill(-j.pid, s) }

// lives reports whether the group has processes.
func (j *job) lives() bool { return !errors.Is(syscall.Kill(-j.pid, 0), syscall.ESRCH) }
