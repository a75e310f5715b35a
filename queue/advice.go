package queue

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/redis/rueidis"
)

// setup is how one Redis is set up, as far as locks depend on it.
type setup struct {
	// failsOver is whether Sentinels or a cluster replace it when it is gone; downAfter, 0 where unknown, how long they
	// bear its silence.
	failsOver bool
	downAfter time.Duration
	// replicas are those connected, wanted how many must confirm a grant.
	replicas, wanted int
	policy           string
	aof              bool
	// settings are those of CONFIG GET; none where Redis does not allow to ask.
	settings map[string]string
}

// Advice is what in Redis's set-up may cost locks: a sentence each, for whoever runs it. What Redis does not allow to ask
// for is passed over.
func (s *Store) Advice(ctx context.Context) ([]string, error) {
	if s.opts.Embedded {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.opts.CommandTimeout)
	defer cancel()
	var all []string
	for _, node := range s.client.Nodes() {
		u, master, err := s.setupOf(ctx, node)
		if err != nil && s.opts.Cluster {
			continue // one of many; that it is away is told elsewhere
		}
		if err != nil {
			return nil, err
		}
		if master {
			all = append(all, advise(&u)...)
		}
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

func (s *Store) setupOf(ctx context.Context, node rueidis.Client) (u setup, master bool, err error) {
	res := node.DoMulti(ctx, node.B().Info().Section("replication", "memory", "persistence").Build(),
		node.B().ConfigGet().Parameter("min-replicas-to-write", "min-replicas-max-lag", "save", "appendfsync").Build())
	info, err := res[0].ToString()
	if err != nil {
		return u, false, readError("INFO", err)
	}
	if u.settings, err = res[1].AsStrMap(); err != nil && !isRefusal(err) {
		return u, false, readError("CONFIG GET", err)
	}
	u.failsOver, u.policy, u.aof = s.FailsOver(), infoField(info, "maxmemory_policy"), infoField(info, "aof_enabled") == "1"
	u.replicas, _ = strconv.Atoi(infoField(info, "connected_slaves"))
	u.wanted = s.opts.Replicas
	if s.links.follow != nil {
		u.downAfter = s.links.follow.downAfter()
	}
	return u, infoField(info, "role") == "master", nil
}

// isRefusal is whether Redis answered, with an error.
func isRefusal(err error) bool {
	_, ok := rueidis.IsRedisErr(err)
	return ok
}

func advise(u *setup) (all []string) {
	say := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	if u.policy != "" && u.policy != "noeviction" {
		say("maxmemory-policy is %s: Redis may throw locks away when memory runs short. Set it to noeviction.", u.policy)
	}
	if u.replicas < u.wanted {
		say("REDIS_WAIT_REPLICAS is %d, and Redis has fewer replicas (%d): no lock is granted.", u.wanted, u.replicas)
	}
	if u.settings == nil {
		return all
	}
	least, _ := strconv.Atoi(u.settings["min-replicas-to-write"])
	lag, _ := strconv.Atoi(u.settings["min-replicas-max-lag"])
	switch {
	case !u.failsOver && u.replicas == 0:
	case least == 0 || lag == 0:
		say("min-replicas-to-write is %d and min-replicas-max-lag %d: a master that was replaced and does not know goes on granting "+
			"locks that the new one grants too. Set them to 1 and 2.", least, lag)
	case u.downAfter > 0 && time.Duration(lag)*time.Second >= u.downAfter:
		say("min-replicas-max-lag is %d s, and the Sentinels replace a master that is silent for %s (down-after-milliseconds): between "+
			"the two both grant locks. Set the first below the second.", lag, u.downAfter)
	}
	switch {
	case u.aof && u.settings["appendfsync"] == "no":
		say("appendfsync is no: a crash of Redis's machine loses the locks of the last half minute. Set it to everysec or always.")
	case u.aof:
	case u.settings["save"] == "":
		say("Redis keeps nothing on disk: a restart loses all locks, and a master that restarts so empties its replicas. " +
			"Set appendonly to yes.")
	default:
		say("Redis keeps snapshots only: a restart loses the locks since the last one. Set appendonly to yes.")
	}
	return all
}
