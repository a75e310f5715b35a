//go:build unix

package main

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

var ending = map[string]syscall.Signal{
	"TERM": syscall.SIGTERM, "HUP": syscall.SIGHUP, "INT": syscall.SIGINT, "QUIT": syscall.SIGQUIT, "USR1": syscall.SIGUSR1,
}

func TestSignalWhileWaiting(t *testing.T) {
	t.Parallel()
	for word, s := range ending {
		t.Run(word, func(t *testing.T) {
			t.Parallel()
			release := shared.hold(t, name(t))
			p := command(t, "run", "-E", "9", name(t), "--", "echo", "it ran").start()
			eventually(t, "in line", func() bool { return shared.see(t, name(t)).QueueLength == 1 })
			p.signal(s)
			p.exit(exitSignal + int(s))
			if n := shared.see(t, name(t)).QueueLength; n != 0 {
				t.Errorf("%d in line after it has ended", n)
			}
			release()
			if l := shared.see(t, name(t)); l.Locked || p.out.String() != "" {
				t.Errorf("after the release: %+v, stdout %q", l, p.out.String())
			}
		})
	}
}

// acquire leaves the line too.
func TestSignalWhileAcquiring(t *testing.T) {
	t.Parallel()
	defer shared.hold(t, name(t))()
	p := command(t, "acquire", name(t)).start()
	eventually(t, "in line", func() bool { return shared.see(t, name(t)).QueueLength == 1 })
	p.signal(syscall.SIGTERM)
	p.exit(exitSignal + 15)
	if n := shared.see(t, name(t)).QueueLength; n != 0 {
		t.Errorf("%d in line after it has ended", n)
	}
}

func TestSignalWhileRunning(t *testing.T) {
	t.Parallel()
	for word, s := range ending {
		t.Run(word+" ends the command", func(t *testing.T) {
			t.Parallel()
			p := command(t, "run", name(t), "--", "sh", "-c", "echo $$; sleep 100; :").start().wrote("\n")
			child, _ := strconv.Atoi(strings.TrimSpace(p.out.String()))
			p.signal(s)
			p.exit(exitSignal + int(s))
			if !gone(child) {
				t.Error("the command lives")
			}
			if l := shared.see(t, name(t)); l.Locked {
				t.Errorf("still held: %+v", l)
			}
		})
		t.Run(word+" is the command's to handle", func(t *testing.T) {
			t.Parallel()
			p := command(t, "run", name(t), "--", "sh", "-c",
				"trap 'echo caught; exit 7' "+word+"; echo ready; while :; do sleep .1; done").start().wrote("ready\n")
			p.signal(s)
			p.exit(7).wrote("caught\n")
		})
	}
}

// Whenever the signal comes, nothing is held afterwards and nothing runs.
func TestSignalAtAnyMoment(t *testing.T) {
	t.Parallel()
	for i := range 40 {
		p := command(t, "run", name(t), "--", "sleep", "100").start()
		time.Sleep(rand.N(80 * time.Millisecond))
		p.signal(syscall.SIGTERM)
		<-p.ended
		if code := p.cmd.ProcessState.ExitCode(); code != exitSignal+15 && code != -1 { // -1: before it could catch it
			t.Fatalf("round %d: exit code %d, stderr %q", i, code, p.err.String())
		}
		if l := shared.see(t, name(t)); l.Locked || l.QueueLength != 0 {
			t.Fatalf("round %d: %+v", i, l)
		}
	}
}

// Signals that end nobody are passed on too, and what was ignored from the start stays so.
func TestOtherSignals(t *testing.T) {
	t.Parallel()
	p := command(t, "run", name(t), "--", "sh", "-c",
		"trap 'echo caught' WINCH; trap 'exit 3' USR2; echo ready; while :; do sleep .1; done").start().wrote("ready\n")
	p.signal(syscall.SIGWINCH)
	p.wrote("caught\n")
	p.signal(syscall.SIGUSR2)
	p.exit(3)

	p = command(t)
	p.cmd.Path, p.cmd.Args = "/bin/sh", []string{"sh", "-c", "trap '' HUP; exec " + lockctl + " run " + name(t) +
		" -- sh -c 'echo ready; read x; echo end'"}
	in, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.start().wrote("ready\n")
	p.signal(syscall.SIGHUP)
	time.Sleep(50 * time.Millisecond) // it would end it by then
	_ = in.Close()
	p.exit(0).wrote("end\n")
}

// A stop from outside stops the command, not the renewal, and it can be continued.
func TestStopAndContinue(t *testing.T) {
	t.Parallel()
	// Not one that starts others: a shell that waits for what it begins shows another state.
	p := command(t, "run", "--ttl", "1s", name(t), "--", "sh", "-c", "trap 'exit 4' USR1; echo $$; read x")
	if _, err := p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	p.start().wrote("\n")
	child := strings.TrimSpace(p.out.String())
	p.signal(syscall.SIGTSTP)
	eventually(t, "stopped", func() bool { return state1(t, child) == "T" })
	time.Sleep(1500 * time.Millisecond) // longer than the lease
	if l := shared.see(t, name(t)); !l.Locked {
		t.Fatal("no longer held")
	}
	p.signal(syscall.SIGUSR1)
	p.signal(syscall.SIGCONT)
	p.exit(4)
}

// A process that the command leaves in its group keeps the lock, or it would work without.
func TestWhatTheCommandLeaves(t *testing.T) {
	t.Parallel()
	p := command(t, "run", "-v", name(t), "--", "sh", "-c", "(sleep .7; echo late) & echo first; exit 4").start().wrote("first\n")
	eventually(t, "a word of it", func() bool { return strings.Contains(p.err.String(), "have not") })
	if l := shared.see(t, name(t)); !l.Locked {
		t.Error("given back while a process of the command lives")
	}
	p.exit(4).wrote("late\n")
	if l := shared.see(t, name(t)); l.Locked {
		t.Errorf("still held: %+v", l)
	}
}
