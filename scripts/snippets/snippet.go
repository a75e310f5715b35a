package main

import (
	"slices"
	"strings"
)

// A snippet is a fenced block of code.
type snippet struct {
	line int // of its fence, from 1
	code string
}

// fences finds the blocks of a language in Markdown.
func fences(text string, names []string) []snippet {
	var found []snippet
	var code strings.Builder
	inside, wanted, start, n := false, false, 0, 0
	for line := range strings.Lines(text) {
		n++
		fence, isFence := strings.CutPrefix(strings.TrimSpace(line), "```")
		switch {
		case isFence && !inside:
			inside, start = true, n
			wanted = wants(fence, names)
			code.Reset()
		case isFence:
			inside = false
			if wanted {
				found = append(found, snippet{start, code.String()})
			}
		case inside:
			code.WriteString(line)
		}
	}
	return found
}

// wants tells whether a fence is of the language, and to be run.
func wants(fence string, names []string) bool {
	words := strings.Fields(fence)
	if len(words) == 0 || (len(words) > 1 && words[1] == "no-run") {
		return false
	}
	return slices.Contains(names, words[0])
}

// A language says how a snippet becomes a program.
type language struct {
	names []string // of its fences
	file  string
	// program makes one of a snippet.
	program func(code string) string
}

var languages = map[string]language{
	"python":     {[]string{"python"}, "snippet.py", python},
	"java":       {[]string{"java"}, "Snippet.java", java},
	"javascript": {[]string{"javascript", "js"}, "snippet.js", javascript},
}

// makesClient tells whether a snippet stands on its own.
func makesClient(code string) bool { return strings.Contains(code, "DistributedLockClient") }

func python(code string) string {
	if makesClient(code) {
		return code
	}
	return "from distributed_lock_client import *\nclient = DistributedLockClient(\"" + service + "\")\n" + code
}

// java puts statements into a method; imports stay outside.
func java(code string) string {
	if strings.Contains(code, "static void main") {
		return code
	}
	var imports, body strings.Builder
	imports.WriteString("import distributedlock.*;\nimport java.time.*;\nimport java.util.*;\nimport java.util.concurrent.*;\n")
	if !makesClient(code) {
		body.WriteString("DistributedLockClient client = new DistributedLockClient(\"" + service + "\");\n")
	}
	for line := range strings.Lines(code) {
		if strings.HasPrefix(line, "import ") {
			imports.WriteString(line)
		} else {
			body.WriteString(line)
		}
	}
	return imports.String() + "class Snippet {\npublic static void main(String[] args) throws Exception {\n" + body.String() + "}\n}\n"
}

// javascript gives a script the await of the top level, which only modules have.
func javascript(code string) string {
	if strings.HasPrefix(code, "import ") || strings.Contains(code, "\nimport ") {
		return code
	}
	if !makesClient(code) {
		code = "const { DistributedLockClient } = require('distributed-lock-client');\n" +
			"const client = new DistributedLockClient('" + service + "');\n" + code
	}
	return "(async () => {\n" + code + "})();\n"
}
