// Command conformance runs one set of cases against every SDK of the lock service. Each SDK brings a small testclient,
// which does what lines of JSON on its stdin ask for; README.md has the protocol. The runner starts Redis and nodes,
// kills them and cuts connections between the steps of a case, and holds what the clients say against what the service
// says.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
)

// A language is an SDK under test: how it is called, and what starts its testclient.
type language struct{ name, command string }

// options are what the command line says.
type options struct {
	languages []language
	pattern   *regexp.Regexp
	parallel  int
	verbose   bool
	slow      bool
	again     bool // play failed cases again, alone
	lockd     string
	known     string // folder of the known-failing lists
	out       io.Writer
}

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command(ctx, os.Args[1:])
	cancel()
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(0)
	case err != nil:
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
}

func command(ctx context.Context, args []string) error {
	o := options{out: os.Stdout}
	fs := flag.NewFlagSet("conformance", flag.ContinueOnError)
	fs.Func("client", "`LANG=COMMAND` of a testclient, or LANG of one of this repository; more than one for mixed cases (default: go)", func(s string) error {
		name, text, found := strings.Cut(s, "=")
		if name == "" || found && text == "" {
			return errors.New("is written LANG or LANG=COMMAND")
		}
		o.languages = append(o.languages, language{name, text})
		return nil
	})
	pattern := fs.String("run", "", "only cases whose name matches the `regexp`")
	fs.IntVar(&o.parallel, "parallel", max(4, 2*runtime.NumCPU()), "how many cases run at once, each with a Redis and nodes of its own")
	fs.BoolVar(&o.verbose, "v", false, "show every transcript, not only those of failed cases")
	fs.BoolVar(&o.slow, "slow", false, "run the cases, too, that take more than a minute")
	fs.BoolVar(&o.again, "again", false, "play up to 5 failed cases again, one at a time: for machines that are busy with other things")
	fs.StringVar(&o.lockd, "lockd", "", "the `binary` to run as nodes (default: built from ./service/cmd/lockd)")
	fs.StringVar(&o.known, "known", "clients/conformance/known-failing", "`folder` of the lists of cases known to fail")
	list := fs.Bool("list", false, "list the cases")
	if err := fs.Parse(args); err != nil {
		return err
	}
	var err error
	if o.pattern, err = regexp.Compile(*pattern); err != nil {
		return err
	}
	if *list {
		return listCases(o.out)
	}
	if _, err := exec.LookPath("redis-server"); err != nil {
		return fmt.Errorf("the cases need a Redis: %w (scripts/setup installs one)", err)
	}
	dir, err := os.MkdirTemp("", "conformance-bin-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := o.build(ctx, ".", dir); err != nil {
		return err
	}
	return runSuite(ctx, &o)
}

// build makes the lockd and the testclients that the command line gives no command for. root is the repository's.
func (o *options) build(ctx context.Context, root, dir string) error {
	if o.lockd == "" {
		o.lockd = filepath.Join(dir, "lockd")
		if err := goBuild(ctx, root, o.lockd, "./service/cmd/lockd"); err != nil {
			return err
		}
	}
	if len(o.languages) == 0 {
		o.languages = []language{{name: "go"}}
	}
	for i := range o.languages {
		l := &o.languages[i]
		switch {
		case l.command != "":
		case l.name == "go":
			l.command = filepath.Join(dir, "testclient")
			if err := goBuild(ctx, filepath.Join(root, "clients", "go"), l.command, "./testclient"); err != nil {
				return err
			}
		default:
			if err := l.make(ctx, root); err != nil {
				return err
			}
		}
	}
	return nil
}

// make has the tools of a language build its testclient, and learns its command. What follows a : is an argument of it.
func (l *language) make(ctx context.Context, root string) error {
	name, argument, _ := strings.Cut(l.name, ":")
	cmd := exec.CommandContext(ctx, filepath.Join(root, "scripts", "sdk"), name, "testclient") //nolint:gosec // of this repository
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("the testclient of %s: %w", l.name, err)
	}
	l.command = strings.TrimSpace(string(out))
	if argument != "" {
		l.command += " --" + argument
	}
	return nil
}

func goBuild(ctx context.Context, dir, binary, pkg string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-o", binary, pkg)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", pkg, err, out)
	}
	return nil
}

func listCases(w io.Writer) error {
	cases, err := loadCases()
	for _, c := range cases {
		if _, err := fmt.Fprintf(w, "%-36s %s\n", c.Name, c.About); err != nil {
			return err
		}
	}
	return err
}
