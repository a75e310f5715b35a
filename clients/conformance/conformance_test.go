package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if name := os.Getenv(lieVariable); name != "" {
		os.Exit(runLiar(name))
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(binDir)
		os.Exit(code)
	}), goleak.IgnoreTopFunction("net/http.(*persistConn).readLoop"),
		goleak.IgnoreTopFunction("net/http.(*persistConn).writeLoop"))
}

// built are the programs that the tests run: made once.
var built options

// programs builds them; without a redis-server the test is skipped loudly, and fails if CI=true.
func programs(t *testing.T) options {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("no Redis to test with: %v (scripts/setup installs one)", err)
		}
		t.Skipf("SKIPPED, no Redis to test with: %v (scripts/setup installs one)", err)
	}
	if built.lockd == "" {
		dir, err := os.MkdirTemp("", "conformance-bin-") //nolint:usetesting // for all tests
		if err != nil {
			t.Fatal(err)
		}
		root, err := filepath.Abs(filepath.Join("..", ".."))
		if err != nil {
			t.Fatal(err)
		}
		if err := built.build(t.Context(), root, dir); err != nil {
			t.Fatal(err)
		}
		binDir = dir
	}
	o := built
	o.pattern, o.parallel, o.known = regexp.MustCompile(""), 6, "known-failing"
	return o
}

var binDir string

// planted are lies, and the cases that must catch them.
var planted = map[string][]string{
	"early-grant":     {"wait-until-released", "order-of-a-line", "readers-and-writers"},
	"late-release":    {"acquire-release", "wait-until-released", "fencing-tokens-rise"},
	"no-release":      {"acquire-release", "release-is-idempotent"},
	"silent-loss":     {"lease-runs-out", "loss-told-when-forced"},
	"late-loss":       {"lease-runs-out", "max-hold"},
	"hasty-loss":      {"automatic-renewal"},
	"secret-wait":     {"cancel-leaves-the-line", "cancel-crosses-the-grant"},
	"no-close":        {"acquire-release", "close-gives-all-back", "two-hundred-at-once"},
	"lossy-events":    {"events-in-order"},
	"twofold-answers": {"renew"},
	"wrong-kinds":     {"wait-timeout", "try-free-and-held", "deadlock-of-two"},
	"wrong-tokens":    {"fencing-tokens-rise", "acquire-release"},
	"long-leases":     {"acquire-release", "wait-until-released"},
	"leaks":           {"limit-mismatch"},
	"stubborn-block":  {"block-stops-on-loss"},
}

// TestPlantedLies wants each lie to be caught by each of its cases, and the same cases to pass with the same liar when it
// tells the truth.
func TestPlantedLies(t *testing.T) {
	o := programs(t)
	command := func(lie string) string {
		return fmt.Sprintf("env %s=%s %s=%s %s", lieVariable, lie, truthVariable, o.languages[0].command, os.Args[0])
	}
	all := map[string]bool{}
	for _, cases := range planted {
		for _, c := range cases {
			all[c] = true
		}
	}
	// They wait more than they work: more of them at once than there are processors.
	room := make(chan struct{}, 6)
	var wg sync.WaitGroup
	start := func(lie, wanted string, cases []string) {
		wg.Go(func() {
			room <- struct{}{}
			defer func() { <-room }()
			verdicts, text := play(t, o, command(lie), cases)
			for _, c := range cases {
				if verdicts[c] != wanted {
					t.Errorf("lie %s: %s is %q, wanted %s\n%s", lie, c, verdicts[c], wanted, text)
				}
			}
		})
	}
	start("none", "ok", slices.Sorted(maps.Keys(all)))
	for name, cases := range planted {
		start(name, "FAIL", cases)
	}
	wg.Wait()
}

var verdictLine = regexp.MustCompile(`(?m)^(ok|FAIL|known|PASSES) +\S+ +[\d.]+s  (\S+)$`)

// play runs some cases and returns how each came out.
func play(t *testing.T, o options, command string, cases []string) (map[string]string, string) {
	t.Helper()
	var out bytes.Buffer
	o.out, o.parallel = &out, 3
	o.languages = []language{{"liar", command}}
	o.pattern = regexp.MustCompile("^(" + strings.Join(cases, "|") + ")$")
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	_ = runSuite(ctx, &o)
	verdicts := map[string]string{}
	for _, m := range verdictLine.FindAllStringSubmatch(out.String(), -1) {
		verdicts[m[2]] = m[1]
	}
	return verdicts, out.String()
}

// TestKnownFailures wants a listed case that fails to be no failure, and one that passes to be one.
func TestKnownFailures(t *testing.T) {
	o := programs(t)
	var out bytes.Buffer
	o.out, o.known = &out, t.TempDir()
	o.pattern = regexp.MustCompile("^(limit-mismatch|renew)$")
	list := func(text string) {
		if err := os.WriteFile(filepath.Join(o.known, "go.txt"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	list("# none\n")
	if err := runSuite(t.Context(), &o); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	list("renew  it never worked\n")
	if err := runSuite(t.Context(), &o); err == nil || !strings.Contains(out.String(), "PASSES") {
		t.Fatalf("a listed case passes: %v\n%s", err, &out)
	}
	out.Reset()
	o.languages = []language{{"go", fmt.Sprintf("env %s=%s %s=%s %s", lieVariable, "wrong-kinds", truthVariable, o.languages[0].command, os.Args[0])}}
	list("limit-mismatch  tells no kinds\nrenew  likewise\n")
	if err := runSuite(t.Context(), &o); err != nil {
		t.Fatalf("listed cases fail: %v\n%s", err, &out)
	}
	for _, bad := range []string{"nothing-like-this  for a reason\n", "renew\n"} {
		list(bad)
		if err := runSuite(t.Context(), &o); err == nil {
			t.Errorf("the list %q is taken", bad)
		}
	}
}

func TestCases(t *testing.T) {
	cases, err := loadCases()
	if err != nil {
		t.Fatal(err)
	}
	if len(cases) < 30 {
		t.Fatalf("%d cases", len(cases))
	}
}

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, value any
		fine           bool
	}{
		{"x", "x", true}, {"x", "y", false}, {1, 1.0, true}, {1, 2.0, false}, {true, true, true}, {true, nil, false},
		{"?", 0.0, true}, {"?", nil, false}, {"-", nil, true}, {"-", "", false},
		{"> 5", 5.5, true}, {"> 5", 5.0, false}, {"< 5", 4.0, true}, {"< 5", "4", false}, {"< 5", nil, false},
		{"1..3", 1.0, true}, {"1..3", 3.0, true}, {"1..3", 3.1, false}, {"-1..3", -1.0, true},
		{"/^a+$/", "aa", true}, {"/^a+$/", "ab", false}, {"/x/", 1.0, false},
		{"#2", []any{1.0, 2.0}, true}, {"#2", []any{}, false}, {"9007199254740991", float64(1<<53 - 1), true},
		{map[string]any{"a": "?"}, map[string]any{"a": 1.0, "b": 2.0}, true}, {map[string]any{"a": "?"}, map[string]any{}, false},
		{map[string]any{}, "x", false}, {[]any{"a"}, []any{"a"}, true}, {[]any{"a"}, []any{"a", "b"}, false}, {[]any{}, nil, false},
	} {
		if bad := match(c.pattern, c.value); (bad == "") != c.fine {
			t.Errorf("match(%v, %v): %q", c.pattern, c.value, bad)
		}
	}
}
