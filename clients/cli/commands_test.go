//go:build unix

package main

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares with a file of testdata.
func golden(t *testing.T, file, got string) {
	t.Helper()
	path := filepath.Join("testdata", file)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	gotLines, wantLines := strings.Split(got, "\n"), strings.Split(string(want), "\n")
	for i := range min(len(gotLines), len(wantLines)) {
		if gotLines[i] != wantLines[i] {
			t.Fatalf("not as in line %d of %s (-update writes it anew):\n got: %s\nwant: %s", i+1, path, gotLines[i], wantLines[i])
		}
	}
	if len(gotLines) != len(wantLines) {
		t.Errorf("%d lines, and %d in %s (-update writes it anew)", len(gotLines), len(wantLines), path)
	}
}

// scrub takes out what is another each time: times, tokens, ids, what was measured.
func scrub(s string) string {
	for _, r := range []struct{ what, by string }{
		{`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`, "TIME"},
		{`"(lockId|renewalToken|requestId|id|version|address|host)":"[^"]+"`, `"$1":"…"`},
		{`"(waitTime|heldFor|ttlMs|latencyMs|uptime|waiting|fencingToken|seconds|cycles|cyclesPerSecond|p50Ms|p99Ms)":[0-9.]+`, `"$1":0`},
		{`(?m)^((lockId|renewalToken|version) +).*$`, "${1}…"},
		{`\b\d{16}\b`, "TOKEN"},
		{`\b\d\d:\d\d:\d\d(\.\d+)?\b`, "CLOCK"},
		{`\b(\d+m)?\d+(\.\d+)?m?s\b`, "DURATION"},
		{`\d+\.\d+ ms`, "0 ms"},
		{`(cycles(/s)?) +\d+`, "$1 0"},
		{`\d+\.\d+ s\b`, "DURATION"},
		// Totals wait for the beat of the node that counted.
		{`"([a-z]+([A-Z][a-z]+)?Total|deadlocksDetected)":\d+`, `"$1":0`},
		{`\d+ (acquired|released|renewed|expired|forced|deadlocks)`, "0 $1"},
		{`  +`, "  "},
	} {
		s = regexp.MustCompile(r.what).ReplaceAllString(s, r.by)
	}
	return s
}

// transcript runs commands one after another, and keeps what they said.
type transcript struct {
	t    *testing.T
	node *node
	b    strings.Builder
}

// run runs a command line as the client me. It returns its stdout.
func (s *transcript) run(line string) string {
	s.t.Helper()
	return s.as("me", line)
}

func (s *transcript) as(client, line string) string {
	s.t.Helper()
	p := command(s.t, append([]string{"--client-id", client}, strings.Fields(line)...)...).
		env("LOCKCTL_SERVER="+s.node.url, "LOCKCTL_TOKEN="+admin).start()
	<-p.ended
	fmt.Fprintf(&s.b, "%s$ lockctl %s\n%s%s[%d]\n\n", client, line, p.out.String(), p.err.String(), p.cmd.ProcessState.ExitCode())
	return p.out.String()
}

// Every command, in text and as JSON.
func TestCommands(t *testing.T) {
	t.Parallel()
	n := newNode(t, "ADMIN_TOKEN="+admin, "REDIS_KEY_PREFIX="+rand.Text())
	s := &transcript{t: t, node: n}
	s.run("health")
	s.run("health --json")
	for _, c := range []string{"status a", "status a --exit-code", "status a --json", "list", "list --json", "graph", "graph --json",
		"graph --dot", "top", "top --json"} {
		s.run(c)
	}
	text := s.run("acquire a --ttl 60s --owner mine")
	var g grant
	if err := json.Unmarshal([]byte(s.run("acquire b/1 --ttl 60s --owner mine --limit 2 --json")), &g); err != nil {
		t.Fatal(err)
	}
	s.as("you", "acquire r --ttl 60s --owner yours --shared")
	s.as("you", "acquire a -n --owner yours")
	s.as("you", "acquire a -n --owner yours --json")
	waits := command(t, "--client-id", "you", "run", "--owner", "yours", "a", "--", "true").env("LOCKCTL_SERVER=" + n.url).start()
	eventually(t, "in line", func() bool { return n.see(t, "a").QueueLength == 1 })
	// The totals of all nodes are a moment old.
	eventually(t, "told by the stats", func() bool {
		top := (&transcript{t: t, node: n}).run("top")
		return strings.Contains(top, "3 held, 1 contended; 1 clients wait")
	})
	eventually(t, "told by the graph", func() bool {
		return strings.Contains((&transcript{t: t, node: n}).run("graph"), "mine")
	})
	for _, c := range []string{"status a", "status a --exit-code --json", "status r", "list", "list --json", "list b", "graph",
		"graph --json", "graph --dot", "top", "top --json"} {
		s.run(c)
	}
	field := func(name string) string {
		return regexp.MustCompile(`(?m)^` + name + ` +(\S+)$`).FindStringSubmatch(text)[1]
	}
	id, renewal := field("lockId"), field("renewalToken")
	s.run("renew a " + renewal)
	s.run("renew a " + renewal + " --ttl 90 --json")
	s.as("you", "release a "+id)
	s.run("release a " + id)
	waits.exit(0)
	s.run("release a " + id)
	s.run("renew a " + renewal + " --json")
	s.run("release b/1 " + g.LockID + " --json")
	s.run("force-release r --reason why")
	s.run("force-release r --reason why")
	s.as("you", "acquire r --ttl 60s --owner yours")
	s.run("force-release r --reason why --json")
	s.run("bench -c 2 -d 100ms")
	s.run("bench -c 2 -d 100ms --hot --json")
	got := s.b.String()
	for secret, by := range map[string]string{id: "LOCKID", renewal: "RENEWALTOKEN", g.LockID: "LOCKID"} {
		got = strings.ReplaceAll(got, secret, by)
	}
	golden(t, "commands.golden", scrub(got))
	for line := range strings.Lines(got) {
		if strings.HasPrefix(line, "{") && !json.Valid([]byte(line)) {
			t.Errorf("no JSON: %s", line)
		}
	}
}

// One lockId in 64 begins with a dash, and is no flag.
func TestCapabilityLikeAFlag(t *testing.T) {
	t.Parallel()
	for _, args := range []string{
		"release x -vq3vB8xk0TBkuvQsn7N8-RQ", "renew x --ttl 20s --q3vB8xk0TBkuvQsn7N8_RQK", "renew --json x -hq3vB8xk0TBkuvQsn7N8RQK --ttl 20s",
		"release x -- -vq3vB8xk0TBkuvQsn7N8-RQ",
	} {
		command(t, strings.Fields(args)...).start().exit(exitLost)
	}
	command(t, "release", "x", "--nonsense").start().exit(exitUsage)
}

// list --json is one document, however many locks there are.
func TestListJSON(t *testing.T) {
	t.Parallel()
	for i := range 3 {
		shared.hold(t, fmt.Sprint(name(t), "-", i))
	}
	p := command(t, "list", "--json", name(t)).start().exit(0)
	var doc struct{ Locks []struct{ LockName string } }
	if err := json.Unmarshal([]byte(p.out.String()), &doc); err != nil || len(doc.Locks) != 3 {
		t.Errorf("%v: %s", err, p.out.String())
	}
}

func TestWatch(t *testing.T) {
	t.Parallel()
	watches := map[string]*process{
		"text": command(t, "watch", name(t)+"*").start(),
		"json": command(t, "watch", "--json", name(t), "other").start(),
		"some": command(t, "watch", "--events", "granted", "--events", "force_released", name(t)).start(),
	}
	// A subscription says nothing when it begins.
	for what, w := range watches {
		eventually(t, what+" watches", func() bool {
			command(t, "--client-id", "me", "run", "--owner", "mine", name(t), "--", "true").start().exit(0)
			return w.out.String() != ""
		})
	}
	forget := map[string]int{}
	for what, w := range watches {
		forget[what] = len(w.out.String())
	}
	release := shared.hold(t, name(t))
	waits := command(t, "--client-id", "me", "run", "--owner", "mine", name(t), "--", "sleep", "100").start()
	eventually(t, "in line", func() bool { return shared.see(t, name(t)).QueueLength == 1 })
	release()
	eventually(t, "handed over", func() bool {
		l := shared.see(t, name(t))
		return l.Locked && l.Holders[0].ClientID == "me"
	})
	forceRelease(t, name(t))
	waits.exit(exitLost)
	var b strings.Builder
	for _, what := range []string{"text", "json", "some"} {
		w := watches[what]
		eventually(t, what+" tells of the end", func() bool { return strings.Contains(w.out.String()[forget[what]:], "force_released") })
		w.signal(syscall.SIGTERM)
		w.exit(-1) // ended by the signal
		fmt.Fprintf(&b, "%s\n%s\n", what, steady(w.out.String()[forget[what]:]))
	}
	golden(t, "watch.golden", scrub(b.String()))
}

// steady leaves out what follows on what went before and may come late.
func steady(events string) string {
	var keep []string
	for line := range strings.Lines(events) {
		if strings.Contains(line, "other") || strings.Contains(line, "force_released") || strings.Contains(line, "queued") {
			keep = append(keep, regexp.MustCompile(`"seq":\d+`).ReplaceAllString(line, `"seq":0`))
		}
	}
	return strings.Join(keep, "")
}

// bench ends early, with nothing held, when it is told to.
func TestBenchIsInterrupted(t *testing.T) {
	t.Parallel()
	p := command(t, "bench", "-c", "2", "-d", "1m").start()
	time.Sleep(300 * time.Millisecond)
	p.signal(syscall.SIGINT)
	p.exit(exitSignal + 2)
}

// A node whose Redis may evict locks is degraded, and one whose Redis is away is unreachable.
func TestHealthDegraded(t *testing.T) {
	t.Parallel()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatal(err)
	}
	stop, port := startRedis(path, t.TempDir(), "allkeys-lru")
	defer stop()
	n, err := launchNode("/livez", "REDIS_PORT="+port)
	if err != nil {
		t.Fatal(err)
	}
	defer n.kill()
	p := command(t, "health", "--server", n.url).start().exit(exitFailed)
	if !strings.Contains(p.out.String(), "degraded") || p.err.String() != "" {
		t.Errorf("out: %q err: %q", p.out.String(), p.err.String())
	}
	stop()
	command(t, "health", "--server", n.url).start().exit(exitUnavailable)
	command(t, "run", "--server", n.url, "x", "--", "true").start().exit(exitUnavailable)
}

// With --json, an error is a document on stderr, and run's stdout is the command's alone.
func TestErrorsAsJSON(t *testing.T) {
	t.Parallel()
	release := shared.hold(t, name(t))
	defer release()
	for args, want := range map[string]string{
		"run -n " + name(t) + " -- true":                          "lock_held",
		"run -w 100ms " + name(t) + " -- true":                    "wait_timeout",
		"run x -- no-such-command":                                "cannot_run",
		"run x -n -w 1s -- true":                                  "usage",
		"graph --dot":                                             "usage",
		"release x nonsense":                                      "lock_lost",
		"force-release x --reason y":                              "unauthorized",
		"status x --server http://" + freeAddr():                  "unavailable",
		"run x --ttl 10000s -- true":                              "invalid_argument",
		"run --limit 2 " + name(t) + " -n -- true":                "limit_mismatch",
		"run --shared --owner o -w 100ms " + name(t) + " -- true": "wait_timeout",
	} {
		p := command(t, append([]string{"--json"}, strings.Fields(args)...)...).start()
		<-p.ended
		var doc struct {
			Code, Detail string
			ExitCode     int
		}
		d := json.NewDecoder(bytes.NewBufferString(p.err.String()))
		if err := d.Decode(&doc); err != nil || d.More() || doc.Code != want || doc.Detail == "" ||
			doc.ExitCode != p.cmd.ProcessState.ExitCode() || p.out.String() != "" {
			t.Errorf("%s: want %s: %v\nout: %s\nerr: %s", args, want, err, p.out.String(), p.err.String())
		}
	}
}
