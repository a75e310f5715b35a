//go:build unix

package main

import (
	"bytes"
	"crypto/rand"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestExitCodeIsTheCommands(t *testing.T) {
	t.Parallel()
	for script, code := range map[string]int{
		"exit 0": 0, "exit 1": 1, "exit 3": 3, "exit 75": 75, "kill -KILL $$": 128 + 9, "kill -TERM $$": 128 + 15,
	} {
		t.Run(script, func(t *testing.T) {
			t.Parallel()
			p := command(t, "run", name(t), "--", "sh", "-c", script).start().exit(code)
			if p.out.String()+p.err.String() != "" {
				t.Errorf("words: %q %q", p.out.String(), p.err.String())
			}
			if l := shared.see(t, name(t)); l.Locked {
				t.Errorf("still held: %+v", l)
			}
		})
	}
}

// The dashes are for commands with flags; like flock, without them the command begins with its name all the same.
func TestDashesMayBeLeftOut(t *testing.T) {
	t.Parallel()
	p := command(t, "run", "-w", "1", name(t), "sh", "-c", `printf '%s ' "$@"`, "sh", "-n", "--", "-w").start().exit(0)
	if got := p.out.String(); got != "-n -- -w " {
		t.Errorf("arguments: %q", got)
	}
}

func TestCommandThatCannotRun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(file, text string, mode os.FileMode) string {
		path := filepath.Join(dir, file)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct {
		what, command string
		code          int
	}{
		{"no such name", "no-such-command", 127},
		{"no such path", filepath.Join(dir, "none"), 127},
		{"not executable", write("plain", "text", 0o600), 126},
		{"a directory", dir, 126},
		{"no interpreter", write("lost", "#!/no/such/interpreter\n", 0o700), 127},
		{"a script without interpreter", write("script", "exit 5\n", 0o700), 5},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			p := command(t, "run", name(t), "--", c.command).start().exit(c.code)
			if told := strings.Contains(p.err.String(), c.command); told != (c.code > 5) {
				t.Errorf("stderr: %q", p.err.String())
			}
			if l := shared.see(t, name(t)); l.Locked {
				t.Errorf("held: %+v", l)
			}
		})
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for _, args := range []string{
		"", "nonsense", "run", "run x", "run x --", "run x --nonsense -- true", "run x -w never -- true",
		"run x -w -1s -- true", "run x -n -w 1s -- true", "run x -E 256 -- true", "run x -E -1 -- true",
		"run x --ttl 0 -- true", "run x --ttl 10s --grace 6s -- true", "run x --shared --limit 2 -- true",
		"run x --limit -1 -- true", "run x --ttl 9000s -- true", "run .. -- true", "acquire", "acquire x --ttl nonsense",
		"release x", "renew x", "status", "force-release x", "force-release x --reason=", "watch --events nonsense",
		"bench -c 0", "completion ksh", "status x --server nonsense", "status x --server ftp://x",
		"status x --token a --token-file b", "status x --token-file /no/such/file", "status x --timeout soon",
	} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			p := command(t, strings.Fields(args)...).start().exit(exitUsage)
			if p.out.String() != "" || !strings.HasPrefix(p.err.String(), "lockctl: ") || strings.Count(p.err.String(), "\n") != 1 {
				t.Errorf("want one line on stderr\nout: %q\nerr: %q", p.out.String(), p.err.String())
			}
		})
	}
}

func TestHelpAndVersion(t *testing.T) {
	t.Parallel()
	for _, args := range []string{"--help", "run --help", "--version", "top -h"} {
		p := command(t, strings.Fields(args)...).start().exit(0)
		if !strings.Contains(p.out.String(), "lockctl") || p.err.String() != "" {
			t.Errorf("%s: out: %q err: %q", args, p.out.String(), p.err.String())
		}
	}
}

func TestBusy(t *testing.T) {
	t.Parallel()
	release := shared.hold(t, name(t))
	for _, c := range []struct {
		args string
		code int
	}{
		{"run -n", 75}, {"run -w 0", 75}, {"run -w 200ms", 75}, {"run -n -E 9", 9}, {"run -w .2 -E 0", 0},
		{"run -n --shared", 75}, {"run -n --limit 3", 75}, {"acquire -n", 75}, {"acquire -w 200ms", 75},
	} {
		args := append(strings.Fields(c.args), name(t))
		if args[0] == "run" {
			args = append(args, "--", "echo", "it ran")
		}
		p := command(t, args...).start().exit(c.code)
		if p.out.String() != "" || !strings.Contains(p.err.String(), name(t)) {
			t.Errorf("%s: want a line that names the lock\nout: %q\nerr: %q", c.args, p.out.String(), p.err.String())
		}
	}
	release()
	command(t, "run", "-n", name(t), "--", "true").start().exit(0)
}

// Without flags, run waits for ever, as flock does.
func TestWaitsForTheLock(t *testing.T) {
	t.Parallel()
	release := shared.hold(t, name(t))
	waits := command(t, "run", name(t), "--", "echo", "mine").start()
	told := command(t, "run", "-v", "-w", "1m", name(t), "--", "echo", "mine").start()
	eventually(t, "two in line", func() bool { return shared.see(t, name(t)).QueueLength == 2 })
	eventually(t, "a word of it", func() bool { return strings.Contains(told.err.String(), "waiting for "+name(t)+": place") })
	release()
	waits.exit(0).wrote("mine")
	told.exit(0).wrote("mine")
	if waits.err.String() != "" {
		t.Errorf("words without -v and without a terminal: %q", waits.err.String())
	}
	if n := strings.Count(told.err.String(), "waiting for"); n != 1 || strings.ContainsAny(told.err.String(), "\r\x1b") {
		t.Errorf("want one plain line of waiting: %q", told.err.String())
	}
}

func TestPoolAndReaders(t *testing.T) {
	t.Parallel()
	for _, flags := range []string{"--limit 2", "--shared"} {
		t.Run(flags, func(t *testing.T) {
			t.Parallel()
			args := append(append([]string{"run", "-n"}, strings.Fields(flags)...), name(t), "--")
			first := command(t, append(args, "sh", "-c", "echo in; cat")...)
			in, err := first.cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			first.start().wrote("in")
			command(t, append(args, "true")...).start().exit(0)
			command(t, "run", "-n", name(t), "--", "true").start().exit(exitNotAcquired)
			_ = in.Close()
			first.exit(0)
		})
	}
}

func TestServerDown(t *testing.T) {
	t.Parallel()
	down := "http://" + freeAddr()
	for _, args := range []string{
		"run x -- true", "run -n x -- true", "run -E 9 x -- true", "acquire x", "release x y", "renew x y", "status x", "list",
		"list --json", "watch", "top", "graph", "force-release x --reason y", "health", "bench -d 1s",
	} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			p := command(t, append([]string{"--server", down}, strings.Fields(args)...)...).start().exit(exitUnavailable)
			if p.out.String() != "" || p.err.String() == "" {
				t.Errorf("out: %q err: %q", p.out.String(), p.err.String())
			}
		})
	}
	t.Run("the next is asked", func(t *testing.T) {
		t.Parallel()
		command(t, "--server", down, "--server", shared.url, "run", name(t), "--", "true").start().exit(0)
	})
}

// A service that takes the connection and says nothing is not waited for longer than --timeout.
func TestServerSilent(t *testing.T) {
	t.Parallel()
	silent := silence(t)
	start := time.Now()
	command(t, "--server", silent, "--timeout", "300ms", "run", "x", "--", "true").start().exit(exitUnavailable)
	command(t, "--server", silent, "--timeout", "300ms", "status", "x").start().exit(exitUnavailable)
	if took := time.Since(start); took > patience/2 {
		t.Errorf("took %s", took)
	}
}

func TestDenied(t *testing.T) {
	t.Parallel()
	const right, wrong = "right-token-4711", "wrong-token-0815"
	n := newNode(t, "CLIENT_TOKEN="+right, "REDIS_KEY_PREFIX="+rand.Text())
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(right+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args, env string
		code      int
	}{
		{"run -v x -- true", "", 77},
		{"run -v -E 9 x -- true", "", 77},
		{"run -v --token " + wrong + " x -- true", "", 77},
		{"run -v x -- true", wrong, 77},
		{"run -v -n x -- true", wrong, 77},
		{"status -v x", wrong, 77},
		{"list -v", wrong, 77},
		{"watch -v", wrong, 77},
		{"force-release -v x --reason y", right, 77},
		{"run -v --token " + right + " x -- true", wrong, 0},
		{"run -v x -- true", right, 0},
		{"run -v --token-file " + file + " x -- true", wrong, 0},
		{"status -v --token-file " + file + " x", "", 0},
	} {
		p := command(t, strings.Fields(c.args)...).env("LOCKCTL_SERVER=" + n.url)
		if c.env != "" {
			p.env("LOCKCTL_TOKEN=" + c.env)
		}
		p.start().exit(c.code)
		if words := p.out.String() + p.err.String(); strings.Contains(words, right) || strings.Contains(words, wrong) {
			t.Errorf("%s: the token is told: %q", c.args, words)
		}
	}
	p := command(t, "status", "x", "--token", "sec ret-9").start().exit(exitUsage)
	if strings.Contains(p.err.String(), "ret-9") {
		t.Errorf("a token that cannot be one is told: %q", p.err.String())
	}
}

func TestEnvironment(t *testing.T) {
	t.Parallel()
	p := command(t, "run", "--ttl", "20s", name(t), "--", "sh", "-c", "env; read x").env("LOCK_NAME=outer", "KEPT=yes")
	in, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.start().wrote("LOCK_EXPIRES_AT=")
	l := shared.see(t, name(t))
	_ = in.Close()
	<-p.ended
	env := map[string]string{}
	for line := range strings.Lines(p.out.String()) {
		k, v, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		if _, twice := env[k]; twice {
			t.Errorf("%s is there twice", k)
		}
		env[k] = v
	}
	if env["LOCK_NAME"] != name(t) || env["KEPT"] != "yes" || len(env["LOCK_ID"]) < 20 {
		t.Errorf("environment: %q", env)
	}
	if got := env["LOCK_FENCING_TOKEN"]; got != strconv.FormatInt(l.Holders[0].FencingToken, 10) {
		t.Errorf("LOCK_FENCING_TOKEN=%s, the service says %d", got, l.Holders[0].FencingToken)
	}
	end, err := time.Parse(wireTime, env["LOCK_EXPIRES_AT"])
	if err != nil || time.Until(end) < 5*time.Second || time.Until(end) > 20*time.Second {
		t.Errorf("LOCK_EXPIRES_AT=%s: %v", env["LOCK_EXPIRES_AT"], err)
	}
}

func TestStreamsPassByteForByte(t *testing.T) {
	t.Parallel()
	in := make([]byte, 1<<20)
	_, _ = rand.Read(in) // does not fail
	p := command(t, "run", name(t), "--", "sh", "-c", "tee /dev/stderr")
	p.cmd.Stdin = bytes.NewReader(in)
	p.start().exit(0)
	if p.out.String() != string(in) {
		t.Error("stdout is not what went in")
	}
	if p.err.String() != string(in) {
		t.Error("stderr is not what went in")
	}
}
