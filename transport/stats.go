package transport

import (
	"encoding/json"
	"maps"
	"slices"
)

// stats is GET /locks/stats.
func (c *call) stats() error {
	t, err := c.s.locks.Totals(c.r.Context())
	if err != nil {
		return err
	}
	w := &c.out
	w.open('{')
	w.num("activeLocks", int64(t.Active))
	w.num("waitingClients", int64(t.Waiting))
	w.num("contendedLocks", int64(t.Contended))
	w.num("acquiredTotal", t.Counters["acquired"])
	w.num("releasedTotal", t.Counters["released"])
	w.num("expiredTotal", t.Counters["expired"])
	w.num("forceReleasedTotal", t.Counters["forceReleased"])
	w.num("renewedTotal", t.Counters["renewed"])
	w.num("deadlocksDetected", t.Counters["deadlocks"])
	w.key("nodes")
	w.open('[')
	for _, id := range slices.Sorted(maps.Keys(t.Nodes)) {
		w.node(id, t.Nodes[id])
	}
	w.close(']')
	w.close('}')
	return c.ok(typeJSON)
}

// node appends a node: its id, and what it says of itself where that is a JSON object.
func (w *jsonWriter) node(id, says string) {
	var own map[string]json.RawMessage
	if json.Unmarshal([]byte(says), &own) != nil {
		own = nil
	}
	w.open('{')
	w.text("id", id)
	for _, k := range slices.Sorted(maps.Keys(own)) {
		if k == "id" {
			continue
		}
		w.comma()
		*w = append(appendString(*w, k), ':')
		*w = append(*w, own[k]...)
	}
	w.close('}')
}
