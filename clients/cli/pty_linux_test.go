package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// console is a process with a terminal of its own, and a hand on the keyboard.
type console struct {
	*process

	keyboard *os.File
}

// onTerminal runs a program as the leader of a session, whose terminal is all of its files.
func onTerminal(t *testing.T, path string, args ...string) *console {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no terminals here: %v", err)
	}
	// One that may be polled, so that closing it ends a read.
	if err := unix.SetNonblock(int(master.Fd()), true); err != nil {
		t.Fatal(err)
	}
	fd := int(master.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 100}); err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	c := &console{process: command(t, args...), keyboard: master}
	if path != lockctl {
		c.cmd = exec.Command(path, args...)
		c.cmd.Env = append(os.Environ(), "LOCKCTL_SERVER="+shared.url, "PS1=ready$ ", "TERM=xterm", "HISTFILE=", quick)
	}
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = slave, slave, slave
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	c.start()
	_ = slave.Close()
	read := make(chan struct{})
	go func() {
		defer close(read)
		_, _ = io.Copy(&c.out, master) // ends with an error when nobody has the terminal any more
	}()
	t.Cleanup(func() {
		_ = syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL)
		_ = master.Close()
		<-read
	})
	return c
}

// types types.
func (c *console) types(keys string) *console {
	c.t.Helper()
	if _, err := io.WriteString(c.keyboard, keys); err != nil {
		c.t.Fatal(err)
	}
	return c
}

func (c *console) showed(words string) bool { return strings.Contains(c.out.String(), words) }
