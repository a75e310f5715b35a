package service

import (
	"os"
	"strings"
	"testing"
	"time"

	"distributedlock/queue"
)

// plant is a patch of one script, or of all where script is "", that puts texts in others' places: old, new, old, new.
// Each old one must be there in some script.
func plant(t *testing.T, script string, swaps ...string) func(*queue.Options) {
	t.Helper()
	planted := map[string]bool{}
	t.Cleanup(func() {
		for i := 0; i < len(swaps); i += 2 {
			if !planted[swaps[i]] {
				t.Errorf("there is no %q: plant the mistake anew", swaps[i])
			}
		}
	})
	return func(o *queue.Options) {
		o.Patch = func(name, source string) string {
			for i := 0; i < len(swaps) && (script == "" || name == script); i += 2 {
				planted[swaps[i]] = planted[swaps[i]] || strings.Contains(source, swaps[i])
				source = strings.ReplaceAll(source, swaps[i], swaps[i+1])
			}
			return source
		}
	}
}

// bug is a mistake in scripts. found is the check that must tell of it.
type bug struct {
	name   string
	script string
	swaps  []string
	found  string
}

func bugs() []bug {
	return []bug{
		{"exclusion: a lock always has room", "", []string{
			"local function fits(lock, d)\n", "local function fits(lock, d)\n  do return true end\n",
			"  if #flat ~= 2 or ARGV[at + 4]", "  if true or ARGV[at + 4]",
		}, "model"},
		{"exclusion: a lease is over too soon", "", []string{"h.ends > now", "h.ends - 19990 > now"}, "model"},
		{"order: last in, first out", "", []string{"'ZRANGE', lock.queue", "'ZREVRANGE', lock.queue", "'ZRANGE', queue", "'ZREVRANGE', queue"}, "order"},
		{"tokens: drawn by the second", "", []string{"  return digits\nend", "  return string.sub(digits, 1, -7) .. '000000'\nend"}, "tokens"},
		{"release: of whatever is held", "calls", []string{
			"flat[1] ~= id then return end", "false then return end\nid = flat[1]",
			"  local h = lock.holders[id]\n  if not h", "  local h = lock.holders[id] or select(2, next(lock.holders))\n  if not h",
			"string.match(member, '^[^\\n]*') ~= ARGV[at + 1]", "false", "describe(h).client ~= client", "false",
		}, "model"},
		{"release: by anybody", "calls", []string{"string.match(member, '^[^\\n]*') ~= ARGV[at + 1]", "false", "describe(h).client ~= client", "false"}, "faults"},
		{"cancel: a request stays in line", "cancel", []string{
			"local lock = open(name)\n", "local lock = open(name)\ndo return finish('none', lock, {}) end\n",
		}, "faults"},
	}
}

// TestPlantedBugs breaks the scripts in one way after another, and sees the checks of TestHistories find it.
// planted/README.md lists them.
func TestPlantedBugs(t *testing.T) {
	t.Parallel()
	const begin, end = "<!-- histories -->\n", "<!-- end of histories -->\n"
	raw, err := os.ReadFile("planted/README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(raw), begin)
	list, _, _ = strings.Cut(list, end)
	want := "| mistake | found by the check of |\n| --- | --- |\n"
	for _, b := range bugs() {
		want += "| " + b.name + " | " + b.found + " |\n"
	}
	if list != want {
		t.Errorf("planted/README.md lists other mistakes than are made:\n%s", want)
	}
	for _, bug := range bugs() {
		t.Run(bug.name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t)
			broken := plant(t, bug.script, bug.swaps...)
			begin := time.Now()
			nodes := []*member{f.node(broken, loud), f.node(broken, loud)}
			done, wrong, first := 0, map[string]int{}, map[string]string{}
			for round := 0; wrong[bug.found] == 0 && round < 10; round++ {
				n, w, why := campaign(t, f, nodes, 20*round, 20, 100)
				done += n
				for what, count := range w {
					wrong[what] += count
					first[what] = why[what]
				}
			}
			t.Logf("after %d histories, %s: %v", done, time.Since(begin).Round(time.Millisecond), wrong)
			if wrong[bug.found] == 0 {
				t.Errorf("not found by the check of %s; others: %v", bug.found, first)
			}
		})
	}
}
