//go:build unix && !linux

package main

import "syscall"

// childAttr: a process group of its own. These systems cannot tie its life to ours.
func childAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// adopt does nothing: orphans go to init, and only the command's own end counts.
func adopt() {}
