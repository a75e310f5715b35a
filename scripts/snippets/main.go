// Command snippets runs the code of READMEs as it stands there, against a service on http://localhost:5000:
//
//	snippets -lang python -run "VENV/bin/python FILE" README.md clients/python/README.md
//
// What is run are the fenced blocks of the language. One that makes no client of its own finds one called client. A fence
// with the word no-run behind its language is left out. Every snippet has to end by itself, with code 0, and to leave no
// lock behind.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const (
	service = "http://localhost:5000"
	// longest is how long a snippet may take: some wait for a lock, and a machine may be slow.
	longest = 60 * time.Second
)

func main() {
	lang := flag.String("lang", "", "language of the snippets: python, java, javascript")
	run := flag.String("run", "", "`command` that runs one; FILE in it is the snippet's file, without it the snippet comes on stdin")
	dir := flag.String("dir", ".", "`folder` to run it in")
	flag.Parse()
	if err := command(*lang, *run, *dir, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "snippets:", err)
		os.Exit(1)
	}
}

func command(lang, run, dir string, readmes []string) error {
	l, known := languages[lang]
	if !known || run == "" || len(readmes) == 0 {
		return errors.New("wants -lang, -run and READMEs; -h tells more")
	}
	temp, err := os.MkdirTemp("", "snippets-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(temp) }()
	passed, failed := 0, 0
	for _, readme := range readmes {
		text, err := os.ReadFile(readme)
		if err != nil {
			return err
		}
		for _, s := range fences(string(text), l.names) {
			if err := try(l, s, run, dir, temp); err != nil {
				fmt.Printf("FAILED %s:%d: %v\n%s\n", readme, s.line, err, s.code)
				failed++
				continue
			}
			passed++
		}
	}
	fmt.Printf("snippets of %s: %d passed, %d failed\n", lang, passed, failed)
	switch {
	case failed > 0:
		return errors.New("a README shows what does not run")
	case passed == 0:
		return fmt.Errorf("no snippet of %s in %s", lang, strings.Join(readmes, ", "))
	}
	return nil
}

// try runs one snippet.
func try(l language, s snippet, run, dir, temp string) error {
	file := filepath.Join(temp, l.file)
	program := l.program(s.code)
	if err := os.WriteFile(file, []byte(program), 0o600); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), longest)
	defer cancel()
	words := strings.Fields(run)
	stdin := true
	for i, w := range words {
		if w == "FILE" {
			words[i], stdin = file, false
		}
	}
	cmd := exec.CommandContext(ctx, words[0], words[1:]...) //nolint:gosec // what the caller says
	cmd.Dir = dir
	if stdin {
		cmd.Stdin = strings.NewReader(program)
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("did not end within %s\n%s", longest, out.Bytes())
	case err != nil:
		return fmt.Errorf("%w\n%s", err, out.Bytes())
	case strings.Contains(s.code, "Lock acquired") && !strings.Contains(out.String(), "Lock acquired: "):
		return fmt.Errorf("got no lock\n%s", out.Bytes())
	}
	return nothingHeld(ctx)
}

// nothingHeld wants the service to hold no lock.
func nothingHeld(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, service+"/locks", http.NoBody)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	var list struct {
		Locks []struct {
			LockName string `json:"lockName"`
		} `json:"locks"`
	}
	if err := json.NewDecoder(res.Body).Decode(&list); err != nil {
		return err
	}
	if len(list.Locks) > 0 {
		return fmt.Errorf("it left %d locks behind, among them %s", len(list.Locks), list.Locks[0].LockName)
	}
	return nil
}
