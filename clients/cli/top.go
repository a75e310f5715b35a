package main

import (
	"cmp"
	"context"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"
	"golang.org/x/term"

	dl "distributedlock/clients/go"
)

// topCmd shows the locks that are waited for.
type topCmd struct{}

const (
	// topLocks is how many locks are shown at most, those with the longest lines.
	topLocks = 100
	// topListed is how far the list of locks is read where the graph does not tell of all that wait.
	topListed = 2000
	// topAsked is how many locks are asked for at a time.
	topAsked = 8
)

// snapshot is what top shows.
type snapshot struct {
	Stats *dl.Stats   `json:"stats"`
	Locks []dl.Status `json:"locks"` // contended ones, the longest line first
	// Cycles are deadlocks in the moment, which the service is about to break.
	Cycles [][]dl.CycleStep `json:"cycles"`
}

// Run shows a screen until q, or once where stdout is no terminal.
func (t *topCmd) Run(a *app) error {
	c, err := a.client(true)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // it holds nothing
	ctx, stop := untilSignal(catchDeadly())
	defer stop()
	if err := a.reach(ctx, c); err != nil {
		return err
	}
	out, ok := a.out.(*os.File)
	if ok && !a.JSON && term.IsTerminal(int(out.Fd())) && term.IsTerminal(0) {
		return a.screen(ctx, c, out)
	}
	ctx, cancel := a.bounded(ctx)
	defer cancel()
	s, err := contended(ctx, c)
	if err != nil {
		return a.inTime(ctx, err)
	}
	return a.show(s, func(w io.Writer) { topText(w, s) })
}

// contended reads what is waited for: the graph says where, and each such lock says the rest, so that a million locks
// that nobody waits for cost nothing.
func contended(ctx context.Context, c *dl.Client) (*snapshot, error) {
	stats, err := c.Stats(ctx)
	if err != nil {
		return nil, err
	}
	s := &snapshot{Stats: stats, Locks: []dl.Status{}, Cycles: [][]dl.CycleStep{}}
	graph, err := c.Graph(ctx)
	if err != nil {
		return nil, err
	}
	s.Cycles = append(s.Cycles, graph.Cycles...)
	waits := map[string]int{}
	for i := range graph.Edges {
		waits[graph.Edges[i].LockName]++
	}
	if graph.Truncated {
		if err := listed(ctx, c, waits); err != nil {
			return nil, err
		}
	}
	list := make([]string, 0, len(waits))
	for name := range waits {
		list = append(list, name)
	}
	slices.SortFunc(list, func(a, b string) int { return cmp.Or(waits[b]-waits[a], cmp.Compare(a, b)) })
	if s.Locks, err = ask(ctx, c, list[:min(len(list), topLocks)]); err != nil {
		return nil, err
	}
	return s, nil
}

// listed adds the locks in line for which is who the graph left out.
func listed(ctx context.Context, c *dl.Client, waits map[string]int) error {
	n := 0
	for l, err := range c.List(ctx, "") {
		if err != nil {
			return err
		}
		if l.QueueLength > 0 {
			waits[l.LockName] = l.QueueLength
		}
		if n++; n == topListed {
			break
		}
	}
	return nil
}

// ask reads the locks, and leaves out those that nobody waits for any more.
func ask(ctx context.Context, c *dl.Client, names []string) ([]dl.Status, error) {
	all := make([]dl.Status, len(names))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(topAsked)
	for i, name := range names {
		g.Go(func() error {
			s, err := c.Status(ctx, name)
			if err == nil {
				all[i] = *s
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(s dl.Status) bool { return s.QueueLength == 0 })
	slices.SortStableFunc(all, func(a, b dl.Status) int { return b.QueueLength - a.QueueLength })
	return all, nil
}

func topText(w io.Writer, s *snapshot) {
	t := s.Stats
	put(w, "locks: %d held, %d contended; %d clients wait; %d nodes\n",
		t.ActiveLocks, t.ContendedLocks, t.WaitingClients, len(t.Nodes))
	put(w, "since the start: %d acquired, %d released, %d renewed, %d expired, %d forced, %d deadlocks\n\n",
		t.AcquiredTotal, t.ReleasedTotal, t.RenewedTotal, t.ExpiredTotal, t.ForceReleasedTotal, t.DeadlocksDetected)
	if len(s.Locks) == 0 {
		row(w, "nobody waits")
		return
	}
	row(w, "LOCK", "STATE", "HOLDER", "HELD FOR", "LEASE LEFT", "WAITING", "NEXT", "FOR")
	for i := range s.Locks {
		l := &s.Locks[i]
		next, since := "-", "-"
		if len(l.Waiters) > 0 {
			next, since = printable(l.Waiters[0].ClientID), brief(seconds(l.Waiters[0].Waiting))
		}
		lockRow(w, l, next, since)
	}
	for _, cycle := range s.Cycles {
		row(w, "deadlock: "+cycleText(cycle))
	}
}

// lines are the screen's, each cut to the width, and no more than there is room for.
func lines(s *snapshot, width, height int) []string {
	var b strings.Builder
	_ = aligned(&b, func(w io.Writer) { topText(w, s) }) // a Builder does not fail
	all := strings.Split(strings.TrimRight(b.String(), "\n"), "\n")
	if hidden := len(all) - height; hidden > 0 && height > 1 {
		all = append(all[:height-1], "… "+strconv.Itoa(hidden+1)+" more lines")
	}
	for i, l := range all {
		if r := []rune(l); len(r) > width {
			all[i] = string(r[:width])
		}
	}
	return all
}
