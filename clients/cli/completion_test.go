//go:build unix

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestCompletionScripts(t *testing.T) {
	t.Parallel()
	for _, sh := range []string{"bash", "zsh", "fish"} {
		t.Run(sh, func(t *testing.T) {
			t.Parallel()
			script := command(t, "completion", sh).start().exit(0).out.String()
			for _, word := range []string{"force-release", "conflict-exit-code", "token-file", "completion"} {
				if !strings.Contains(script, word) {
					t.Errorf("%s is not in it", word)
				}
			}
			file := filepath.Join(t.TempDir(), "script")
			if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
				t.Fatal(err)
			}
			path, err := exec.LookPath(sh)
			if err != nil {
				t.Skipf("no %s here to read it", sh)
			}
			if out, err := exec.Command(path, "-n", file).CombinedOutput(); err != nil {
				t.Errorf("%s -n: %v\n%s", sh, err, out)
			}
		})
	}
}

// What bash offers, asked as it asks.
func TestBashCompletes(t *testing.T) {
	t.Parallel()
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash here")
	}
	script := command(t, "completion", "bash").start().exit(0).out.String()
	for typed, want := range map[string]string{
		"lockctl sta":                       "status",
		"lockctl --server x for":            "force-release",
		"lockctl run --gr":                  "--grace",
		"lockctl -v run x --js":             "--json",
		"lockctl completion f":              "fish",
		"lockctl run --ttl ":                "",
		"lockctl run -n x -- lsattr-not-th": "",
		"lockctl run -n x -- compge":        "compgen",
		"lockctl run -w 3s x --conf":        "--conflict-exit-code",
	} {
		words := strings.Split(typed, " ")
		ask := script + "\nCOMP_WORDS=('" + strings.Join(words, "' '") + "'); COMP_CWORD=$((${#COMP_WORDS[@]} - 1))\n" +
			"_lockctl; echo \"${COMPREPLY[*]}\"\n"
		out, err := exec.Command(bash, "--norc", "-c", ask).CombinedOutput()
		if err != nil || strings.TrimSpace(string(out)) != want {
			t.Errorf("%q: want %q: %v, %q", typed, want, err, out)
		}
	}
}
