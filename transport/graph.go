package transport

import (
	"strconv"
	"strings"
)

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
	g, err := c.s.locks.Graph(c.r.Context())
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
		w.text("ownerId", o.Owner)
		w.close('}')
	}
	w.close(']')
	w.key("edges")
	w.open('[')
	for i := range g.Edges {
		e := &g.Edges[i]
		w.open('{')
		w.text("waiter", e.Waiter.Owner)
		w.text("waiterClientId", e.Waiter.Client)
		w.text("holder", e.Holder.Owner)
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
	w.close('}')
}

var dotEscape = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

// appendDot appends the graph in Graphviz's language. Nodes are numbered, so that no two of the same label are one.
func appendDot(b []byte, g *Graph) []byte {
	b = append(b, "digraph waits {\n"...)
	ids := map[GraphOwner]string{}
	id := func(o GraphOwner) string {
		if known, ok := ids[o]; ok {
			return known
		}
		n := "n" + strconv.Itoa(len(ids))
		ids[o] = n
		label := o.Client
		if o.Owner != o.Client {
			label += " / " + o.Owner
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
		b = append(b, "  "+from+" -> "+to+` [label="`+dotEscape.Replace(e.Lock)+"\"];\n"...)
	}
	return append(b, "}\n"...)
}
