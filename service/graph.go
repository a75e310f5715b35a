package service

import (
	"context"

	"distributedlock/graph"
	"distributedlock/queue"
)

// graphLocks and graphWaiters bound what one look at the wait-for graph reads.
const (
	graphLocks   = 1000
	graphWaiters = 100
)

// WaitFor reads the locks that somebody waits for, with their holders and lines, for the wait-for graph. The locks are
// read one after another, so that the picture may mix moments.
func (m *Manager) WaitFor(ctx context.Context) ([]graph.Lock, error) {
	if !m.up.Load() {
		return nil, queue.ErrUnavailable
	}
	contended, err := m.store.Contended(ctx, graphLocks, graphWaiters)
	if err != nil {
		return nil, m.read(err)
	}
	out := make([]graph.Lock, 0, len(contended))
	for _, st := range contended {
		l := graph.Lock{Name: st.Name, Limit: 1}
		for _, h := range st.Holders {
			l.Limit = h.Limit
			l.Holders = append(l.Holders, graph.Party{Owner: graph.Owner{Client: h.Client, ID: h.Owner}, Explicit: h.Explicit,
				Shared: h.Mode == queue.Shared, Since: h.Since})
		}
		for _, w := range st.Waiters {
			l.Waiters = append(l.Waiters, graph.Party{Owner: graph.Owner{Client: w.Client, ID: w.Owner}, Explicit: w.Explicit,
				Shared: w.Mode == queue.Shared, Since: w.Since})
		}
		out = append(out, l)
	}
	return out, nil
}
