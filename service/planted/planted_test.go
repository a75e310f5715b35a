// Package planted plants one mistake after another into the protocol, and sees the tests of the protocol find it.
//
// Nothing of it is in the product: a mistake of a script is put in as the script is loaded, and one of a Go file through
// a copy of that file that stands in for it (go help build: -overlay), in test programs built for this alone. README.md lists the
// mistakes.
package planted

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the list in README.md anew")

// mistake is one that a programmer might make.
type mistake struct {
	name   string
	breaks string
	// room is the folder whose test finds it, and test that test's name; says is part of what the test says then.
	room, test, says string
	edits            []edit
	// limit is set where the test waits for what never comes: it is given so long.
	limit time.Duration
	// args are more arguments for the test.
	args []string
}

// edit puts one text in the place of another in a file. In a Go file, {PLANTED} in the new text asks whether this is the mistake
// to be made now, as one program has them all.
type edit struct{ file, old, new string }

func (e *edit) isScript() bool { return strings.HasSuffix(e.file, ".lua") }

func all() []mistake {
	return slices.Concat(lineMistakes(), placeMistakes(), lossMistakes(), managerMistakes(), pureMistakes())
}

const root = "../.."

// Environment variables that tell a test program which mistake it makes: its name, and for scripts old and new texts, a JSON list.
const (
	envMistake = "PLANTED_MISTAKE"
	envScripts = "PLANTED_SCRIPTS"
)

// chooser is a file of each package with a mistake in it.
const chooser = `package %s

import "os"

var plantedMistake = os.Getenv("` + envMistake + `")
`

// scripter is one of package queue: it plants mistakes into the scripts.
const scripter = `package queue

import (
	"encoding/json"
	"os"
	"strings"
)

func planted(text string) string {
	var swaps []string
	_ = json.Unmarshal([]byte(os.Getenv("` + envScripts + `")), &swaps)
	for i := 0; i+1 < len(swaps); i += 2 {
		text = strings.ReplaceAll(text, swaps[i], swaps[i+1])
	}
	return text
}
`

// loads is where package queue makes a script's text.
var loads = edit{file: "queue/script.go", old: "\tif opts.Patch != nil {\n", new: "\ttext = planted(text)\n\tif opts.Patch != nil {\n"}

// TestMistakes makes each mistake, and sees a test of the suite fail for it; without any, the same tests pass.
func TestMistakes(t *testing.T) {
	dir := build(t, all())
	jobs := slices.Concat(controls(), all())
	slices.SortStableFunc(jobs, func(a, b mistake) int { return cmp.Compare(b.limit, a.limit) })
	// No more at once, whatever the machine: some of the tests look at the clock. Those that wait in vain go first.
	turns := make(chan struct{}, 6)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var again []mistake
	took := map[string]time.Duration{}
	for _, m := range jobs {
		turns <- struct{}{}
		wg.Go(func() {
			defer func() { <-turns }()
			begin := time.Now()
			out, failed := run(t, dir, &m)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case m.name == "" && failed, failed && !strings.Contains(out, m.says):
				again = append(again, m)
			case m.name == "":
				passes(out, took)
			case !failed:
				t.Errorf("%s: %s does not find it", m.name, m.test)
			default:
				t.Logf("%5.1f s  %s: found by %s", time.Since(begin).Seconds(), m.name, m.test)
			}
		})
	}
	wg.Wait()
	for _, m := range again { // alone, as it may have been the crowd
		out, failed := run(t, dir, &m)
		if failed != (m.name != "") || !strings.Contains(out, m.says) {
			t.Errorf("%q, by %s, which should say %q:\n%s", m.name, m.test, m.says, tail(out))
		}
		if m.name == "" {
			passes(out, took)
		}
	}
	for _, m := range all() {
		if m.says == endless && took[m.test] >= m.limit { // in the crowd, too
			out, _ := run(t, dir, &mistake{room: m.room, test: m.test, limit: time.Minute, args: []string{"-test.v"}})
			passes(out, took)
		}
		if is, ok := took[m.test]; !ok || m.says == endless && is >= m.limit {
			t.Errorf("%s: without it, %s takes %s (%t), so that %s shows nothing", m.name, m.test, is, ok, m.limit)
		}
	}
}

// endless is what a test says that waited for what never comes.
const endless = "test timed out"

var passLine = regexp.MustCompile(`(?m)^--- PASS: (\w+) \((\d+\.\d+)s\)`)

// passes notes how long tests took that passed.
func passes(out string, took map[string]time.Duration) {
	for _, m := range passLine.FindAllStringSubmatch(out, -1) {
		if d, err := time.ParseDuration(m[2] + "s"); err == nil {
			took[m[1]] = d
		}
	}
}

// controls are all tests that find a mistake, of one room each, without any.
func controls() (out []mistake) {
	tests := map[string][]string{}
	for _, m := range all() {
		if !slices.Contains(tests[m.room], m.test) {
			tests[m.room] = append(tests[m.room], m.test)
		}
	}
	for room, names := range tests {
		out = append(out, mistake{room: room, test: strings.Join(names, "|"), limit: time.Minute, args: append([]string{"-test.v"}, modelArgs...)})
	}
	return out
}

// build makes the test programs with all mistakes in them, and returns where they are.
func build(t *testing.T, mistakes []mistake) string {
	t.Helper()
	dir := t.TempDir()
	texts, rooms := map[string]string{}, map[string]bool{}
	change := func(name string, e *edit, guard string) {
		path := filepath.Join(root, e.file)
		text, there := texts[path]
		if raw, err := os.ReadFile(path); err != nil {
			t.Fatal(err)
		} else if !there {
			text = string(raw)
		}
		if !strings.Contains(text, e.old) {
			t.Fatalf("%s: there is no %q in %s: plant it anew", name, e.old, e.file)
		}
		if !e.isScript() {
			texts[path] = strings.Replace(text, e.old, strings.ReplaceAll(e.new, "{PLANTED}", guard), 1)
			rooms[filepath.Dir(e.file)] = true
		}
	}
	for _, m := range mistakes {
		for _, e := range m.edits {
			change(m.name, &e, fmt.Sprintf("(plantedMistake == %q)", m.name))
		}
	}
	change("scripts", &loads, "")
	for room := range rooms {
		texts[filepath.Join(root, room, "planted_choice.go")] = fmt.Sprintf(chooser, filepath.Base(room))
	}
	texts[filepath.Join(root, "queue", "planted_scripts.go")] = scripter
	overlay := writeOverlay(t, dir, texts)
	args := []string{"test", "-c", "-vet=off", "-ldflags=-s -w", "-overlay", overlay, "-o", dir + "/"}
	cmd := exec.CommandContext(t.Context(), "go", append(args, "./graph", "./notify", "./queue", "./service")...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return dir
}

// writeOverlay writes files that stand in for others, and the list of them.
func writeOverlay(t *testing.T, dir string, texts map[string]string) string {
	t.Helper()
	replace := map[string]string{}
	for path, text := range texts {
		full, err := filepath.Abs(path)
		if err != nil {
			t.Fatal(err)
		}
		replace[full] = filepath.Join(dir, fmt.Sprintf("%d.go", len(replace)))
		if err := os.WriteFile(replace[full], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(path, list, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// run runs a mistake's test with the mistake made.
func run(t *testing.T, dir string, m *mistake) (out string, failed bool) {
	t.Helper()
	limit := 30 * time.Second
	if m.limit > 0 {
		limit = m.limit
	}
	var swaps []string
	for _, e := range m.edits {
		if e.isScript() {
			swaps = append(swaps, e.old, e.new)
		}
	}
	scripts, err := json.Marshal(swaps)
	if err != nil {
		t.Error(err)
	}
	pattern := "^(" + m.test + ")$"
	if m.room == "queue" {
		pattern += "/(redis-server|limit.*)$" // of the scripts' own tests, those on a real Redis
	}
	args := []string{"-test.run", pattern, "-test.timeout", limit.String()}
	for _, a := range m.args {
		if m.room == "queue" || !strings.HasPrefix(a, "-rapid") {
			args = append(args, a)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit+30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(dir, filepath.Base(m.room)+".test"), args...)
	cmd.Dir = filepath.Join(root, m.room)
	cmd.Env = append(os.Environ(), envMistake+"="+m.name, envScripts+"="+string(scripts))
	var both bytes.Buffer
	cmd.Stdout, cmd.Stderr = &both, &both
	err = cmd.Run()
	if ctx.Err() != nil {
		t.Errorf("%s: %s does not end", m.name, m.test)
	}
	return both.String(), err != nil
}

// tail is the end of a long text.
func tail(s string) string { return s[max(0, len(s)-4000):] }

// TestList sees that README.md lists the mistakes that are made, and no others, and each once.
func TestList(t *testing.T) {
	const begin, end = "<!-- list -->\n", "<!-- end of list -->\n"
	raw, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(raw), begin)
	list, foot, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("README.md has no list between %q and %q", begin, end)
	}
	want, seen := "| mistake | what it breaks | found by |\n| --- | --- | --- |\n", map[string]bool{}
	for _, m := range all() {
		if seen[m.name] {
			t.Errorf("%s: twice", m.name)
		}
		seen[m.name] = true
		if m.says == "" {
			t.Errorf("%s: anything is taken for its discovery", m.name)
		}
		want += fmt.Sprintf("| %s | %s | `%s` in [`%s`](../../%s) |\n", m.name, m.breaks, m.test, m.room, m.room)
	}
	if len(seen) < 20 {
		t.Errorf("only %d mistakes", len(seen))
	}
	if *update {
		if err := os.WriteFile("README.md", []byte(head+begin+want+end+foot), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if list != want {
		t.Errorf("README.md lists other mistakes than are made: go test ./service/planted -run TestList -update\n%s", want)
	}
}
