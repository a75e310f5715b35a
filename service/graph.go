package service

import (
	"context"
	"maps"
	"slices"

	"golang.org/x/sync/errgroup"

	"distributedlock/graph"
	"distributedlock/queue"
)

const (
	// graphWaiters bounds what a look at the whole wait-for graph reads of a line, graphMost of all lines together.
	graphWaiters, graphMost = 1000, 20_000
	// sweepLocks and sweepWaiters bound what a sweep for deadlocks reads: so many locks, and of each line so many.
	sweepLocks, sweepWaiters = 100_000, 250
	// aroundLocks bounds what is followed from requests that wait, and lookHeads is how many of the first in each line are
	// followed too.
	aroundLocks = 10_000
	lookHeads   = 8
	// aroundWaits bounds how many requests of one line are followed.
	aroundWaits = 4000
)

// WaitFor reads the locks that somebody waits for, with their holders and lines, for the wait-for graph. The locks are
// read one after another, so that the picture may mix moments. cut is whether there were too many to read all.
func (m *Manager) WaitFor(ctx context.Context) (locks []graph.Lock, cut bool, err error) {
	if !m.up.Load() {
		return nil, false, queue.ErrUnavailable
	}
	names, err := m.store.Contended(ctx)
	if err != nil {
		return nil, false, m.read(err)
	}
	read := 0
	for some := range slices.Chunk(names, queue.Batch) {
		if read >= graphMost {
			return locks, true, nil
		}
		_, more, err := m.contended(ctx, some, graphWaiters)
		if err != nil {
			return nil, false, m.read(err)
		}
		for i := range more {
			read += 1 + len(more[i].Waiters)
			cut = cut || len(more[i].Waiters) == graphWaiters
		}
		locks = append(locks, more...)
	}
	return locks, cut, nil
}

// contended reads locks that somebody waits for.
func (m *Manager) contended(ctx context.Context, names []string, waiters int) (glances []queue.Glance, read []graph.Lock, err error) {
	for _, name := range names {
		glances = append(glances, queue.Glance{Name: name})
	}
	states, err := m.store.Look(ctx, glances, waiters)
	return glances, picture(states), err
}

// suspects are those of waits just noted that may be stuck: where somebody in their way, a holder or one at the head of
// the line, waits for another lock too, or where they are in their own owner's way. Were one of those to wait later, its
// own look would find them.
func (m *Manager) suspects(ctx context.Context, waits []queue.Noted) (some []queue.Noted, err error) {
	ways, err := m.ways(ctx, waits)
	if err != nil {
		return nil, err
	}
	asked := map[queue.Owner]bool{}
	var owners []queue.Owner
	for _, way := range ways {
		for _, o := range way.owners {
			if !asked[o] {
				asked[o] = true
				owners = append(owners, o)
			}
		}
	}
	found, err := m.store.WaitsOf(ctx, owners)
	if err != nil {
		return nil, err
	}
	of := map[queue.Owner][]queue.Noted{}
	for i := range found {
		of[found[i].Owner] = append(of[found[i].Owner], found[i])
	}
	stuck := map[string]bool{} // locks in whose way somebody waits for another
	for name, way := range ways {
		stuck[name] = slices.ContainsFunc(way.owners, func(o queue.Owner) bool {
			return slices.ContainsFunc(of[o], func(w queue.Noted) bool { return w.Name != name })
		})
	}
	for _, w := range waits {
		way := ways[w.Name]
		again := func(other queue.Noted) bool { return other.Wait != w.Wait }
		if stuck[w.Name] || slices.Contains(way.owners[:way.holders], w.Owner) || slices.ContainsFunc(of[w.Owner], again) {
			some = append(some, w)
		}
	}
	return some, nil
}

// way is who stands in the way of a lock's requests: first the owners of so many holders.
type way struct {
	owners  []queue.Owner
	holders int
}

// ways finds for each lock that is waited for who is in the way: the one holder whom a request was seen to wait for, where
// that is all and it still holds; otherwise the holders and the head of the line, of a short one all but the last.
func (m *Manager) ways(ctx context.Context, waits []queue.Noted) (map[string]way, error) {
	ways := map[string]way{}
	var plain []queue.Noted
	var glances []queue.Glance
	read := map[string]bool{}
	look := func(name string) {
		if !read[name] {
			read[name] = true
			glances = append(glances, queue.Glance{Name: name})
		}
	}
	for _, w := range waits {
		if w.Grant != "" {
			plain = append(plain, w)
		} else {
			look(w.Name)
		}
	}
	held, err := m.store.StillHeld(ctx, plain)
	if err != nil {
		return nil, err
	}
	for i, w := range plain {
		if held[i] {
			ways[w.Name] = way{owners: []queue.Owner{w.Behind}, holders: 1}
		} else {
			look(w.Name)
		}
	}
	states, err := m.store.Look(ctx, glances, lookHeads)
	if err != nil {
		return nil, err
	}
	for i := range states {
		st := &states[i]
		way := way{holders: len(st.Holders)}
		for j := range st.Holders {
			way.owners = append(way.owners, queue.Owner{Client: st.Holders[j].Client, ID: st.Holders[j].Owner})
		}
		heads := st.Waiters
		if n := len(heads); n > 0 && n < lookHeads {
			heads = heads[:n-1] // nobody stands behind the last
		}
		for j := range heads {
			way.owners = append(way.owners, waiting(st.Name, &st.Waiters[j]).Owner)
		}
		ways[st.Name] = way
	}
	return ways, nil
}

// around follows requests that wait: the locks that they wait for, what those wait for who are in their way, and so on.
// The picture has all that may keep these requests from being granted, but for owners that stand far behind in a line
// and wait elsewhere too.
func (m *Manager) around(ctx context.Context, waits []queue.Noted) (glances []queue.Glance, read []graph.Lock, err error) {
	f := following{byName: map[string]*queue.Glance{}, waits: map[queue.Wait]bool{}, owners: map[queue.Owner]bool{}, read: map[string]queue.Status{}}
	next, known, owners := f.lookAt(waits)
	for len(next)+len(known)+len(owners) > 0 && len(f.byName) <= aroundLocks && ctx.Err() == nil {
		// The locks are read while those whom their waits were noted behind are asked for: a step is one round trip.
		var g errgroup.Group
		var states []queue.Status
		var found []queue.Noted
		g.Go(func() (err error) {
			states, err = m.store.Look(ctx, next, lookHeads)
			return err
		})
		g.Go(func() (err error) {
			found, err = m.store.WaitsOf(ctx, owners)
			return err
		})
		if err := g.Wait(); err != nil {
			return nil, nil, err
		}
		more := f.inTheWay(append(known, states...))
		next, known, owners = f.lookAt(found)
		owners = append(owners, more...)
	}
	for _, name := range slices.Sorted(maps.Keys(f.byName)) {
		glances = append(glances, *f.byName[name])
	}
	return glances, picture(slices.Collect(maps.Values(f.read))), nil
}

// following is what was found on the way.
type following struct {
	byName map[string]*queue.Glance
	waits  map[queue.Wait]bool
	owners map[queue.Owner]bool
	read   map[string]queue.Status
}

// lookAt notes waits. For those that are new, it returns the locks that must be read, or read again, those that were
// read and have them, and the owners that they were noted behind.
func (f *following) lookAt(waits []queue.Noted) (next []queue.Glance, known []queue.Status, owners []queue.Owner) {
	names := map[string]bool{} // true for those to read
	for i := range waits {
		w := waits[i].Wait
		if f.waits[w] {
			continue
		}
		f.waits[w] = true
		if o := waits[i].Behind; o.Client != "" && f.first(o) {
			owners = append(owners, o)
		}
		g := f.byName[w.Name]
		if g == nil {
			g = &queue.Glance{Name: w.Name}
			f.byName[w.Name] = g
		}
		if len(g.Waits) == aroundWaits {
			continue
		}
		g.Waits = append(g.Waits, w)
		st := f.read[w.Name]
		there := slices.ContainsFunc(st.Waiters, func(other queue.Waiter) bool { return waiting(w.Name, &other) == w })
		names[w.Name] = names[w.Name] || !there
	}
	for name, read := range names {
		if read {
			next = append(next, *f.byName[name])
		} else {
			known = append(known, f.read[name])
		}
	}
	return next, known, owners
}

// first reports whether an owner is new, and notes it.
func (f *following) first(o queue.Owner) bool {
	known := f.owners[o]
	f.owners[o] = true
	return !known
}

// inTheWay notes what was read, and returns the owners new to it who are in the way of the requests looked at.
func (f *following) inTheWay(states []queue.Status) (owners []queue.Owner) {
	add := func(o queue.Owner) {
		if f.first(o) {
			owners = append(owners, o)
		}
	}
	for i := range states {
		st := &states[i]
		f.read[st.Name] = *st
		for j := range st.Holders {
			add(queue.Owner{Client: st.Holders[j].Client, ID: st.Holders[j].Owner})
		}
		last := -1 // the last in line of those looked at: who is before it is in its way
		for j := range st.Waiters {
			if f.waits[waiting(st.Name, &st.Waiters[j])] {
				last = j
			}
		}
		for j := range max(last, 0) {
			add(waiting(st.Name, &st.Waiters[j]).Owner)
		}
	}
	return owners
}

func waiting(name string, w *queue.Waiter) queue.Wait {
	return queue.Wait{Owner: queue.Owner{Client: w.Client, ID: w.Owner}, Name: name, Request: w.Request}
}

// picture is what was read, in the graph's words.
func picture(states []queue.Status) []graph.Lock {
	out := make([]graph.Lock, 0, len(states))
	for i := range states {
		st := &states[i]
		l := graph.Lock{Name: st.Name, Limit: 1}
		for _, h := range st.Holders {
			l.Limit = h.Limit
			l.Holders = append(l.Holders, graph.Party{Key: h.LockID, Owner: graph.Owner{Client: h.Client, ID: h.Owner}, Explicit: h.Explicit,
				Shared: h.Mode == queue.Shared, Ticket: h.Token, Since: h.Since})
		}
		for _, w := range st.Waiters {
			l.Waiters = append(l.Waiters, graph.Party{Key: w.LockID, Owner: graph.Owner{Client: w.Client, ID: w.Owner}, Explicit: w.Explicit,
				Shared: w.Mode == queue.Shared, Ticket: w.Ticket, Since: w.Since})
		}
		out = append(out, l)
	}
	return out
}

// Steps are a cycle in package queue's words.
func Steps(cycle []graph.Step) []queue.CycleStep {
	out := make([]queue.CycleStep, len(cycle))
	for i, s := range cycle {
		out[i] = queue.CycleStep{Client: s.Owner.Client, Owner: s.Owner.ID, Holds: s.Holds, HeldSince: s.HeldSince,
			WaitsFor: s.WaitsFor, WaitingSince: s.WaitsSince}
	}
	return out
}
