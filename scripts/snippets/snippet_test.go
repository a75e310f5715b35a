package main

import (
	"slices"
	"strings"
	"testing"
)

func TestFences(t *testing.T) {
	text := "a\n```python\none\n```\n```python no-run\ntwo\n```\n```\nthree\n```\n\n  ```js\n  four\n  ```\n```javascript\nfive\nsix\n```\n```python\nnever closed\n"
	for lang, want := range map[string][]snippet{
		"python":     {{2, "one\n"}},
		"javascript": {{12, "  four\n"}, {15, "five\nsix\n"}},
		"java":       nil,
	} {
		if got := fences(text, languages[lang].names); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", lang, got, want)
		}
	}
}

func TestProgram(t *testing.T) {
	own := "client = new DistributedLockClient(x)\n"
	for lang, l := range languages {
		if got := l.program(own); !strings.Contains(got, own) || strings.Count(got, "DistributedLockClient") != 1 {
			t.Errorf("%s: a snippet with a client of its own becomes\n%s", lang, got)
		}
		if got := l.program("f(client)\n"); !strings.Contains(got, service) || !strings.Contains(got, "f(client)\n") {
			t.Errorf("%s: a snippet without a client becomes\n%s", lang, got)
		}
	}
	if got := java("import x.Y;\nf();\n"); strings.Index(got, "import x.Y;") > strings.Index(got, "class") {
		t.Errorf("an import stands in a method:\n%s", got)
	}
}

func TestSnippetsThatFail(t *testing.T) {
	if err := try(languages["python"], snippet{1, "client"}, "false", ".", t.TempDir()); err == nil {
		t.Error("a command that fails passes")
	}
	if err := try(languages["python"], snippet{1, "Lock acquired"}, "true", ".", t.TempDir()); err == nil || !strings.Contains(err.Error(), "got no lock") {
		t.Errorf("a snippet that got no lock: %v", err)
	}
	if err := command("cobol", "true", ".", []string{"README.md"}); err == nil {
		t.Error("a language that nobody knows passes")
	}
}
