package main

import (
	"regexp"
	"strings"
	"testing"
	"time"
)

const (
	ctrlC = "\x03"
	ctrlZ = "\x1a"
)

func TestTerminalIsTheCommands(t *testing.T) {
	t.Parallel()
	c := onTerminal(t, lockctl, "run", name(t), "--", "sh", "-c", `test -t 0 && test -t 1 && test -t 2 && echo "a tty"
		read line; echo "read <$line>"`)
	c.wrote("a tty")
	c.types("a line\n").wrote("read <a line>")
	c.exit(0)
}

func TestCtrlCReachesTheCommand(t *testing.T) {
	t.Parallel()
	c := onTerminal(t, lockctl, "run", name(t), "--", "sh", "-c", `trap "echo caught; exit 9" INT; echo ready; while :; do sleep .1; done`)
	c.wrote("ready")
	c.types(ctrlC).wrote("caught")
	c.exit(9)
	c = onTerminal(t, lockctl, "run", name(t), "--", "sh", "-c", `echo ready; sleep 100`)
	c.wrote("ready")
	c.types(ctrlC).exit(exitSignal + 2)
}

func TestCtrlCWhileWaiting(t *testing.T) {
	t.Parallel()
	defer shared.hold(t, name(t))()
	c := onTerminal(t, lockctl, "run", name(t), "--", "true")
	c.wrote("waiting for")
	c.types(ctrlC).exit(exitSignal + 2)
	if n := shared.see(t, name(t)).QueueLength; n != 0 {
		t.Errorf("%d in line", n)
	}
}

// While it waits on a terminal, it shows the place in line and the holder, in one line that goes away again.
func TestPlaceIsShown(t *testing.T) {
	t.Parallel()
	first := shared.hold(t, name(t))
	c := onTerminal(t, lockctl, "run", name(t), "--", "echo", "mine")
	place := regexp.MustCompile(`\rwaiting for ` + name(t) + `: place 1 in line, held by other for [0-9.]+(s|ms) \([0-9]+s so far\)\x1b\[K`)
	c.wrote("so far")
	if !place.MatchString(c.out.String()) {
		t.Errorf("shown: %q", c.out.String())
	}
	eventually(t, "the time goes on", func() bool { return strings.Contains(c.out.String(), "(2s so far)") })
	if strings.Contains(c.out.String(), "\n") {
		t.Errorf("more than a line: %q", c.out.String())
	}
	first()
	c.exit(0)
	eventually(t, "the line is gone", func() bool { return strings.HasSuffix(c.out.String(), "\r\x1b[Kmine\r\n") })
}

// When the line moves, another holds the lock.
func TestPlaceMoves(t *testing.T) {
	t.Parallel()
	release := shared.hold(t, name(t))
	next := command(t, "--client-id", "next", "run", name(t), "--", "cat")
	in, err := next.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	next.start()
	eventually(t, "one in line", func() bool { return shared.see(t, name(t)).QueueLength == 1 })
	c := onTerminal(t, lockctl, "run", name(t), "--", "echo", "mine")
	c.wrote("place 2 in line, held by other")
	release()
	c.wrote("place 1 in line, held by next")
	_ = in.Close()
	c.exit(0)
}

// Without a shell behind it, nobody could continue what Ctrl-Z stops: it goes on.
func TestCtrlZWithoutShell(t *testing.T) {
	t.Parallel()
	c := onTerminal(t, lockctl, "run", name(t), "--", "sh", "-c", `echo ready; read line; echo "read <$line>"`)
	c.wrote("ready")
	c.types(ctrlZ).wrote("^Z")
	c.types("a line\n").wrote("read <a line>")
	c.exit(0)
}

// shell is an interactive shell with job control.
func shell(t *testing.T) *console {
	t.Helper()
	c := onTerminal(t, "/bin/bash", "--norc", "--noprofile", "--noediting", "-i")
	c.wrote("ready$ ")
	return c
}

func TestJobControl(t *testing.T) {
	t.Parallel()
	c := shell(t)
	c.types(lockctl + " run " + name(t) + ` -- sh -c 'echo begin; read a; echo "[$a]"; read b; echo "[$b]"; exit 5'` + "\n").wrote("\nbegin")
	c.types("one\n").wrote("[one]")
	c.types(ctrlZ).wrote("Stopped")
	c.types("echo still $((40+2))\n").wrote("still 42")
	if l := shared.see(t, name(t)); !l.Locked {
		t.Error("given back while stopped")
	}
	c.types("fg\n")
	c.types("two\n").wrote("[two]")
	c.types("echo code $?\n").wrote("code 5")
	c.types("exit\n").exit(0)
}

// bg lets it go on in the background, until it wants the terminal, and fg gives it that.
func TestBackground(t *testing.T) {
	t.Parallel()
	c := shell(t)
	c.types(lockctl + " run " + name(t) + ` -- sh -c 'echo begin; sleep 1; echo end; read a; echo "[$a]"; exit 5'` + "\n").wrote("\nbegin")
	c.types(ctrlZ).wrote("Stopped")
	c.types("bg\n").wrote("ready$ end")
	eventually(t, "stopped for want of the terminal", func() bool {
		c.types("jobs\n")
		time.Sleep(50 * time.Millisecond)
		return strings.Count(c.out.String(), "Stopped") > 1
	})
	c.types("fg\n")
	time.Sleep(100 * time.Millisecond) // or the shell may read the line
	c.types("two\n").wrote("[two]")
	c.types("echo code $?\n").wrote("code 5")

	// The same from the start.
	c.types(lockctl + " run -v " + name(t) + ` -- sh -c 'echo "be""gun"; sleep 1; exit 6' &` + "\n").wrote("begun\r")
	c.types("fg\n")
	time.Sleep(1500 * time.Millisecond)
	c.types("echo code $?\n").wrote("code 6")
	c.types("exit\n").exit(0)
}

// What was stopped does not go on after its lease.
func TestStoppedPastTheLease(t *testing.T) {
	t.Parallel()
	c := shell(t)
	c.types(lockctl + " run --ttl 1s " + name(t) + ` -- sh -c 'echo begin; read a; while :; do echo "wor""ked"; sleep .01; done'` + "\n").wrote("\nbegin")
	c.types(ctrlZ).wrote("Stopped")
	eventually(t, "the lease ran out", func() bool { return !shared.see(t, name(t)).Locked })
	c.types("fg\n").wrote("the lease ended")
	c.types("\necho code $?\n").wrote("code 76")
	if c.showed("worked") {
		t.Error("it went on")
	}
	c.types("exit\n")
}

// In a pipeline the terminal stays with the others of it, and Ctrl-C ends the command all the same.
func TestPipeline(t *testing.T) {
	t.Parallel()
	c := shell(t)
	c.types(lockctl + " run " + name(t) + ` -- sh -c 'echo begin; sleep 100' | (read a; echo "got $a"; read b < /dev/tty; echo "[$b]"; cat)` + "\n").
		wrote("got begin")
	c.types("typed\n").wrote("[typed]")
	c.types(ctrlC)
	c.types("echo code $?\n").wrote("code 130")
	eventually(t, "given back", func() bool { return !shared.see(t, name(t)).Locked })
	// The command may still ask for the terminal.
	c.types(lockctl + " run " + name(t) + ` -- sh -c 'read a < /dev/tty; echo "<$a>"' | cat` + "\n")
	time.Sleep(300 * time.Millisecond)
	c.types("again\n").wrote("<again>")
	c.types("exit\n").exit(0)
}

// A command that is killed leaves the terminal as it found it.
func TestTerminalModesAreRestored(t *testing.T) {
	t.Parallel()
	c := onTerminal(t, "/bin/sh", "-c", lockctl+" run --grace 0 "+name(t)+" -- sh -c 'stty raw -echo; echo ready; sleep 100'; stty -a")
	c.wrote("ready")
	forceRelease(t, name(t))
	c.exit(0).wrote(" echo ").wrote(" icanon")
}

func TestTopOnTerminal(t *testing.T) {
	t.Parallel()
	release := shared.hold(t, name(t))
	c := onTerminal(t, lockctl, "top")
	c.wrote("lockctl top")
	p := command(t, "run", name(t), "--", "true").start()
	c.wrote(name(t))
	release()
	p.exit(0)
	c.types("q").exit(0)
	eventually(t, "the screen is left", func() bool { return strings.HasSuffix(c.out.String(), leaveScreen) })
}
