package transport

import (
	"strconv"
	"strings"

	"distributedlock/queue"
)

// shownEdges is how many edges GET /graph shows.
const shownEdges = 1000

const cutNote = "There are more edges; only the first 1,000 are shown."

// graph is GET /graph.
func (c *call) graph() error {
	format := "json"
	if query := c.query(); query.Has("format") {
		format = query.Get("format")
	}
	if format != "json" && format != "dot" {
		c.faults.add("format", "must be json or dot")
	}
	if err := c.faults.err(); err != nil {
		return err
	}
	g, err := c.s.locks.Graph(c.r.Context(), shownEdges)
	if err != nil {
		return err
	}
	if format == "dot" {
		c.out = appendDot(c.out, &g)
		return c.ok(typeDot)
	}
	c.out.graph(&g)
	return c.ok(typeJSON)
}

func (w *jsonWriter) graph(g *Graph) {
	w.open('{')
	w.key("owners")
	w.open('[')
	for _, o := range g.Owners {
		w.open('{')
		w.text("clientId", o.Client)
		w.text("ownerId", o.ID)
		w.close('}')
	}
	w.close(']')
	w.key("edges")
	w.open('[')
	for i := range g.Edges {
		e := &g.Edges[i]
		w.open('{')
		w.text("waiter", e.Waiter.ID)
		w.text("waiterClientId", e.Waiter.Client)
		w.text("holder", e.Holder.ID)
		w.text("holderClientId", e.Holder.Client)
		w.text("lockName", e.Lock)
		w.time("since", e.Since)
		w.close('}')
	}
	w.close(']')
	w.key("cycles")
	w.open('[')
	for _, steps := range g.Cycles {
		w.cycle(steps)
	}
	w.close(']')
	if g.Cut {
		w.bool("truncated", true)
		w.text("note", cutNote)
	}
	w.close('}')
}

var dotEscape = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

// appendDot appends the graph in Graphviz's language. Nodes are numbered, so that no two of the same label are one.
func appendDot(b []byte, g *Graph) []byte {
	b = append(b, "digraph waits {\n"...)
	ids := map[queue.Owner]string{}
	id := func(o queue.Owner) string {
		if known, ok := ids[o]; ok {
			return known
		}
		n := "n" + strconv.Itoa(len(ids))
		ids[o] = n
		label := o.Client
		if o.ID != o.Client {
			label += " / " + o.ID
		}
		b = append(b, "  "+n+` [label="`+dotEscape.Replace(label)+"\"];\n"...)
		return n
	}
	for _, o := range g.Owners {
		id(o)
	}
	for i := range g.Edges {
		e := &g.Edges[i]
		from, to := id(e.Waiter), id(e.Holder)
		b = append(b, "  "+from+" -> "+to+` [label="`+dotEscape.Replace(e.Lock)+`\nsince `+e.Since.UTC().Format(timeFormat)+"\"];\n"...)
	}
	if g.Cut {
		b = append(b, "  label=\""+cutNote+"\";\n"...)
	}
	return append(b, "}\n"...)
}
