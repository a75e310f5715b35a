package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/redis/rueidis"
)

// Status tells who holds a lock and who waits for it, the first so many.
func (s *Store) Status(ctx context.Context, name string, waiters int) (Status, error) {
	r, err := s.run(ctx, &s.status, s.keys.of(name), name, strconv.Itoa(waiters))
	if err != nil {
		return Status{}, err
	}
	if len(r.rest) == 0 {
		return Status{}, errReply
	}
	n := int(r.rest[0].number)
	if len(r.rest) < 1+2*n {
		return Status{}, errReply
	}
	st := Status{Name: name, Queue: r.Queue}
	if st.Holders, err = readHolders(name, r.rest[1:1+2*n], r.micros); err != nil {
		return Status{}, err
	}
	slices.SortFunc(st.Holders, func(a, b Grant) int { return cmp.Compare(a.Token, b.Token) })
	st.Waiters, err = readWaiters(r.rest[1+2*n:], r.micros)
	return st, err
}

// List returns up to limit locks held whose names begin with prefix and come after a name, in the order of their
// names' bytes, and the name to go on after, "" at the end. A lock that is held throughout a listing is in it once.
func (s *Store) List(ctx context.Context, prefix, after string, limit int) (locks []Status, next string, err error) {
	low := "-"
	if prefix != "" {
		low = "[" + prefix
	}
	if after != "" && after >= prefix {
		low = "(" + after
	}
	high := "+"
	if prefix != "" {
		high = "(" + prefix + "\xff" // no UTF-8 has this byte
	}
	names, err := s.everywhere(ctx, func(base string) rueidis.Completed {
		return s.client.B().Zrange().Key(base+keyNames).Min(low).Max(high).Bylex().Limit(0, int64(limit)+1).Build()
	})
	if err != nil {
		return nil, "", err
	}
	slices.Sort(names)
	if len(names) > limit {
		names, next = names[:limit], names[limit-1]
	}
	locks, err = s.statuses(ctx, names, 0)
	return slices.DeleteFunc(locks, func(st Status) bool { return !st.Locked() }), next, err
}

// Contended are the locks that somebody waits for, in the order of their names.
func (s *Store) Contended(ctx context.Context) ([]string, error) {
	names, err := s.everywhere(ctx, func(base string) rueidis.Completed {
		return s.client.B().Smembers().Key(base + keyContended).Build()
	})
	slices.Sort(names)
	return names, err
}

// ContendedNames are the locks of one partition that somebody waits for.
func (s *Store) ContendedNames(ctx context.Context, partition int) ([]string, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.opts.CommandTimeout)
	defer cancel()
	names, err := s.client.Do(ctx, s.client.B().Smembers().Key(s.keys.bases[partition]+keyContended).Build()).AsStrSlice()
	if err != nil {
		return nil, readError("SMEMBERS", err)
	}
	return names, nil
}

// everywhere asks all partitions at once for a list of strings.
func (s *Store) everywhere(ctx context.Context, command func(base string) rueidis.Completed) ([]string, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.opts.CommandTimeout)
	defer cancel()
	cmds := make(rueidis.Commands, 0, s.keys.partitions)
	for _, base := range s.keys.bases {
		cmds = append(cmds, command(base))
	}
	var all []string
	for _, res := range s.client.DoMulti(ctx, cmds...) {
		some, err := res.AsStrSlice()
		if err != nil {
			return nil, readError("list", err)
		}
		all = append(all, some...)
	}
	return all, nil
}

// statuses asks for many locks with a bounded number of calls under way; rueidis sends together what is ready together.
func (s *Store) statuses(ctx context.Context, names []string, waiters int) ([]Status, error) {
	out, errs := make([]Status, len(names)), make([]error, len(names))
	bounded(len(names), 64, func(i int) { out[i], errs[i] = s.Status(ctx, names[i], waiters) })
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Totals are what the whole store holds.
type Totals struct {
	Active, Contended, Waiting int
	// Oldest is how long the request that waits longest has waited; 0 where none does.
	Oldest time.Duration
	// Counters are the fleet's, as far as the nodes have told them: see [Store.Beat].
	Counters map[string]int64
	// Nodes are the nodes that live, and what each says of itself (JSON).
	Nodes map[string]string
}

// Totals counts over all partitions.
func (s *Store) Totals(ctx context.Context) (Totals, error) {
	var t Totals
	parts, errs := make([]reply, s.keys.partitions), make([]error, s.keys.partitions)
	bounded(s.keys.partitions, 64, func(p int) { parts[p], errs[p] = s.run(ctx, &s.stats, p) })
	for p, r := range parts {
		if errs[p] != nil {
			return t, errs[p]
		}
		if len(r.rest) != 4 {
			return t, errReply
		}
		t.Active, t.Contended, t.Waiting = t.Active+int(r.rest[0].number), t.Contended+int(r.rest[1].number), t.Waiting+int(r.rest[2].number)
		if oldest := r.rest[3].number; oldest > 0 {
			t.Oldest = max(t.Oldest, time.Duration(r.micros-oldest)*time.Microsecond)
		}
	}
	var err error
	t.Counters, t.Nodes, err = s.fleet(ctx)
	return t, err
}

func (s *Store) fleet(ctx context.Context) (map[string]int64, map[string]string, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.opts.CommandTimeout)
	defer cancel()
	home := s.keys.bases[0]
	res := s.client.DoMulti(ctx, s.client.B().Hgetall().Key(home+keyStats).Build(), s.client.B().Hgetall().Key(home+keyFleet).Build())
	counters, err := res[0].AsIntMap()
	if err != nil {
		return nil, nil, readError("HGETALL", err)
	}
	nodes, err := res[1].AsStrMap()
	if err != nil {
		return nil, nil, readError("HGETALL", err)
	}
	return counters, nodes, nil
}

// Health is what Redis says of itself.
type Health struct {
	Latency time.Duration
	// Mode is standalone, sentinel or cluster; Role is master or slave; "" where Redis does not say.
	Mode, Role string
	// Evicts is whether this Redis may throw locks away when memory runs short.
	Evicts bool
	// Policy is its maxmemory-policy.
	Policy string
	// Warnings are what [Store.Advice] says, where somebody asked for it.
	Warnings []string
	// Quarantine is what [Store.Quarantine] says.
	Quarantine Quarantine
}

// Health asks Redis how it is.
func (s *Store) Health(ctx context.Context) (Health, error) {
	ctx, cancel := context.WithTimeout(ctx, s.opts.CommandTimeout)
	defer cancel()
	begin := time.Now()
	if err := s.client.Do(ctx, s.client.B().Ping().Build()).Error(); err != nil {
		return Health{}, readError("PING", err)
	}
	h := Health{Latency: time.Since(begin), Mode: "embedded", Role: "master"}
	if s.opts.Embedded {
		return h, nil
	}
	if s.opts.Cluster {
		err := s.clusterHealth(ctx, &h)
		return h, err
	}
	info, err := s.client.Do(ctx, s.client.B().Info().Section("server", "replication", "memory").Build()).ToString()
	if err != nil {
		return h, readError("INFO", err)
	}
	h.Mode, h.Role, h.Policy = infoField(info, "redis_mode"), infoField(info, "role"), infoField(info, "maxmemory_policy")
	h.Evicts = evicts(info)
	if s.links.follow != nil {
		h.Mode = "sentinel"
	}
	return h, nil
}

// evicts is whether a Redis may throw keys away.
func evicts(info string) bool {
	policy := infoField(info, "maxmemory_policy")
	return infoField(info, "maxmemory") != "0" && policy != "noeviction" && policy != ""
}

// readError explains a failed read: it changed nothing, however it failed.
func readError(what string, err error) error {
	if e := explain(what, err); !errors.Is(e, ErrUnknown) {
		return e
	}
	return fmt.Errorf("%w: %s: %w", ErrUnavailable, what, err)
}
