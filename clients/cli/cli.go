package main

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"runtime/debug"
	"slices"
	"time"

	"github.com/alecthomas/kong"
)

// cli is the command line.
type cli struct {
	globals

	Run          runCmd        `cmd:"" help:"Hold a lock while a command runs."`
	Acquire      acquireCmd    `cmd:"" help:"Take a lock and print it. It is held until it is released or its lease ends."`
	Release      releaseCmd    `cmd:"" help:"Give back a lock that acquire took."`
	Renew        renewCmd      `cmd:"" help:"Begin the lease of a lock that acquire took anew."`
	Status       statusCmd     `cmd:"" help:"Show who holds a lock and who waits for it."`
	List         listCmd       `cmd:"" help:"List the locks that are held."`
	Watch        watchCmd      `cmd:"" help:"Print what happens to locks, as it happens."`
	Top          topCmd        `cmd:"" help:"Show the locks that are waited for, live; q leaves."`
	Graph        graphCmd      `cmd:"" help:"Show who waits for whom."`
	ForceRelease forceCmd      `cmd:"" help:"Take a lock away from who holds it (needs the admin token)."`
	Health       healthCmd     `cmd:"" help:"Ask how the service is: exit code 0 ok, 1 degraded, 69 unreachable."`
	Bench        benchCmd      `cmd:"" help:"Measure how fast locks are taken and given back."`
	Completion   completionCmd `cmd:"" help:"Print the completion script of a shell."`
}

// globals are the flags that every command has.
type globals struct {
	Server    []string         `env:"LOCKCTL_SERVER" default:"http://127.0.0.1:5000" placeholder:"URL" help:"Address of a node. Give several, and where one fails the next is asked."`
	Token     string           `xor:"token" placeholder:"TOKEN" help:"Bearer token (or $LOCKCTL_TOKEN, which the list of processes does not show)."`
	TokenFile string           `xor:"token" type:"path" placeholder:"FILE" help:"File that holds the token."`
	ClientID  string           `name:"client-id" env:"LOCKCTL_CLIENT_ID" placeholder:"ID" help:"Name under which locks are held; default USER@HOST, of run with the process id behind."`
	JSON      bool             `name:"json" help:"Print JSON, with the field names of the API; errors too, on stderr."`
	Timeout   period           `default:"10s" placeholder:"DURATION" help:"Longest time for the service to answer (${default}). Waits for a lock are not meant."`
	Verbose   bool             `short:"v" help:"Say on stderr what goes on."`
	Version   kong.VersionFlag `help:"Print the version."`
}

// app is what a command works with.
type app struct {
	*globals
	out, err io.Writer
	model    *kong.Application
}

const description = `Takes, watches and breaks the locks of a distributed lock service, and runs commands under them.

Durations are like 30s, 1m30s or 500ms; a bare number is seconds.

Exit codes: 0 done, 1 failed, 64 usage, 69 service unreachable, 75 lock not acquired, 76 lock lost, 77 denied, 128+n ended by signal n; run: the command's own, 126 cannot be run, 127 not found.`

// execute runs one command line, and returns its exit code.
func execute(args []string, out, errOut io.Writer) (code int) {
	c := &cli{}
	// Help and version end the parsing by way of here, and nothing after it may run.
	type ended struct{ code int }
	defer func() {
		if r := recover(); r != nil {
			e, ok := r.(ended)
			if !ok {
				panic(r)
			}
			code = e.code
		}
	}()
	parser, err := kong.New(c, kong.Name("lockctl"), kong.Description(description), kong.Writers(out, errOut),
		kong.Exit(func(code int) { panic(ended{code}) }), kong.Vars{"version": version()},
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}))
	if err != nil {
		panic(err) // the command line is declared wrongly: every test fails
	}
	a := &app{globals: &c.globals, out: out, err: errOut, model: parser.Model}
	ctx, err := parser.Parse(sheltered(args, parser.Model))
	if err != nil {
		var wrong *kong.ParseError
		if errors.As(err, &wrong) && wrong.Context.Selected() != nil {
			err = fmt.Errorf("%w (lockctl %s --help)", err, wrong.Context.Selected().Name)
		}
		return a.fail(&usageError{err})
	}
	return a.fail(ctx.Run(a))
}

// capability is a lockId or a renewalToken that begins like a flag, as one in 64 does.
var capability = regexp.MustCompile(`^-[A-Za-z0-9_-]{20,}$`)

// sheltered puts what release and renew are given behind a --, where it is not taken for a flag.
func sheltered(args []string, m *kong.Application) []string {
	command := slices.IndexFunc(args, func(arg string) bool {
		return slices.ContainsFunc(m.Children, func(n *kong.Node) bool { return n.Name == arg })
	})
	if command < 0 || args[command] != "release" && args[command] != "renew" || slices.Contains(args, "--") {
		return args
	}
	for i := command + 1; i < len(args); i++ {
		if capability.MatchString(args[i]) && args[i-1] != "--token" {
			return slices.Concat(args[:i], args[i+1:], []string{"--", args[i]})
		}
	}
	return args
}

func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "lockctl (unknown version)"
	}
	return "lockctl " + info.Main.Version
}

// period is a duration as one types it: 1m30s, or a bare number of seconds.
type period time.Duration

// UnmarshalText reads a period that is not negative.
func (p *period) UnmarshalText(text []byte) error {
	s := string(text)
	d, err := time.ParseDuration(s)
	if err != nil {
		d, err = time.ParseDuration(s + "s")
	}
	if err != nil || d < 0 {
		return fmt.Errorf("%.40q: want a duration like 30s, 1m30s or 500ms", s)
	}
	*p = period(d)
	return nil
}

func (p period) duration() time.Duration { return time.Duration(p) }
