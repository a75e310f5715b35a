package transport

import "distributedlock/queue"

// shownWaiters is how many of a lock's waiters its status shows.
const shownWaiters = 100

// lockStatus is GET /locks/{name}/status.
func (c *call) lockStatus() error {
	st, err := c.s.locks.Status(c.r.Context(), c.name, shownWaiters)
	if err != nil {
		return err
	}
	st.Name = c.name
	w := &c.out
	w.open('{')
	w.status(&st)
	w.key("waiters")
	w.open('[')
	for i := range st.Waiters[:min(len(st.Waiters), shownWaiters)] {
		wt := &st.Waiters[i]
		w.open('{')
		w.num("position", int64(wt.Position))
		w.text("clientId", wt.Client)
		w.text("ownerId", wt.Owner)
		w.seconds("waiting", wt.Waiting)
		w.close('}')
	}
	w.close(']')
	w.close('}')
	return c.ok(typeJSON)
}

// status appends a lock's state but for its waiters. A lock that nobody holds has no mode and no limit; a lock with
// one holder tells of it at the top too.
func (w *jsonWriter) status(st *queue.Status) {
	w.text("lockName", st.Name)
	w.bool("locked", st.Locked())
	if st.Locked() {
		w.text("mode", string(st.Holders[0].Mode))
		w.num("limit", int64(st.Holders[0].Limit))
	}
	if len(st.Holders) == 1 {
		w.text("clientId", st.Holders[0].Client)
		w.time("expiresAt", st.Holders[0].End)
		w.num("fencingToken", st.Holders[0].Token)
	}
	w.holders(st.Holders)
	w.num("queueLength", int64(st.Queue))
}
