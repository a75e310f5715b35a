package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"os/user"
	"strconv"
	"strings"
	"time"

	dl "distributedlock/clients/go"
)

// errNoAnswer is that the service did not answer within --timeout.
var errNoAnswer = errors.New("the service did not answer in time")

// clientID is the name under which locks are held. What acquire took, a later release and renew must be able to name,
// so it is the user's; what each process holds for itself is told apart by the process id.
func (a *app) clientID(ofProcess bool) string {
	if a.ClientID != "" {
		return a.ClientID
	}
	name := "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	if ofProcess {
		host += ":" + strconv.Itoa(os.Getpid())
	}
	return name + "@" + host
}

// client is a client of the service. Its caller closes it, except where locks are to outlive the process.
func (a *app) client(ofProcess bool) (*dl.Client, error) {
	for i, s := range a.Server {
		s = strings.TrimRight(strings.TrimSpace(s), "/")
		u, err := url.Parse(s)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
			return nil, usage("--server: %.200q: want an address like http://127.0.0.1:5000", s)
		}
		a.Server[i] = s
	}
	token, err := a.token()
	if err != nil {
		return nil, err
	}
	log := slog.New(slog.DiscardHandler)
	if a.Verbose {
		log = slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	return dl.NewDistributedLockClient(a.Server[0], dl.WithEndpoints(a.Server[1:]...), dl.WithToken(token),
		dl.WithClientID(a.clientID(ofProcess)), dl.WithHTTPTimeout(a.Timeout.duration()), dl.WithLogger(log)), nil
}

// token is the bearer token: a flag's before the environment's. No error holds any of it.
func (a *app) token() (string, error) {
	token := a.Token
	if a.TokenFile != "" {
		raw, err := os.ReadFile(a.TokenFile)
		if err != nil {
			return "", usage("--token-file: %w", err)
		}
		if token = strings.TrimSpace(string(raw)); token == "" {
			return "", usage("--token-file: %s is empty", a.TokenFile)
		}
	}
	if token == "" {
		token = os.Getenv("LOCKCTL_TOKEN")
	}
	for _, b := range []byte(token) {
		if b <= ' ' || b > '~' {
			return "", usage("the token holds a space, a control character or a letter beyond ASCII")
		}
	}
	return token, nil
}

// call asks the service once, for --timeout at most.
func (a *app) call(ofProcess bool, ask func(ctx context.Context, c *dl.Client) error) error {
	c, err := a.client(ofProcess)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // it holds nothing
	ctx, cancel := a.bounded(context.Background())
	defer cancel()
	return a.inTime(ctx, ask(ctx, c))
}

// bounded is a context that ends after --timeout; none where that is 0.
func (a *app) bounded(parent context.Context) (context.Context, context.CancelFunc) {
	if a.Timeout <= 0 {
		return context.WithCancel(parent)
	}
	return context.WithTimeout(parent, a.Timeout.duration())
}

// inTime tells what --timeout cut off from other errors.
func (a *app) inTime(ctx context.Context, err error) error {
	if err != nil && errors.Is(err, context.DeadlineExceeded) && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("%w (%s)", errNoAnswer, a.Timeout.duration().Round(time.Millisecond))
	}
	return err
}

// reach finds out whether the service is there, so that nobody waits for ever for one that never was.
func (a *app) reach(ctx context.Context, c *dl.Client) error {
	ctx, cancel := a.bounded(ctx)
	defer cancel()
	_, err := c.Health(ctx)
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.DeadlineExceeded) {
		return cause // a signal
	}
	return a.inTime(ctx, err)
}
