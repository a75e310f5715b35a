package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	dl "distributedlock/clients/go"
)

// graphCmd shows who waits for whom.
type graphCmd struct {
	Dot bool `help:"In the language of Graphviz: lockctl graph --dot | dot -Tsvg"`
}

// Run shows the graph.
func (g *graphCmd) Run(a *app) error {
	if g.Dot && a.JSON {
		return usage("--dot or --json, not both")
	}
	return a.call(true, func(ctx context.Context, c *dl.Client) error {
		if g.Dot {
			dot, err := c.GraphDot(ctx)
			if err == nil {
				_, err = io.WriteString(a.out, strings.TrimRight(dot, "\n")+"\n")
			}
			return err
		}
		graph, err := c.Graph(ctx)
		if err != nil {
			return err
		}
		return a.show(graph, func(w io.Writer) { graphText(w, graph) })
	})
}

func graphText(w io.Writer, g *dl.Graph) {
	if len(g.Edges) == 0 {
		row(w, "nobody waits")
		return
	}
	row(w, "WAITER", "HOLDER", "LOCK", "SINCE")
	for i := range g.Edges {
		e := &g.Edges[i]
		row(w, party(e.WaiterClientID, e.Waiter), party(e.HolderClientID, e.Holder), printable(e.LockName),
			e.Since.Local().Format(time.TimeOnly))
	}
	for _, cycle := range g.Cycles {
		row(w, "deadlock: "+cycleText(cycle))
	}
	if g.Truncated {
		row(w, "… and more: "+printable(g.Note))
	}
}

// party is a client, with the owner where it is another word.
func party(client, owner string) string {
	if owner == "" || owner == client {
		return printable(client)
	}
	return fmt.Sprintf("%s (%.12s)", printable(client), printable(owner))
}
