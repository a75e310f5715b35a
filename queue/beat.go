package queue

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/redis/rueidis"
)

// Pulse is what a beat found in a partition.
type Pulse struct {
	// Missed is whether the node had been silent so long that it counted as dead here, or Redis lost its data: its
	// waiting requests may have been put aside and must ask for their places again.
	Missed bool
	// Moved is whether the node had to connect anew and found another instance, which need not know of its latest
	// requests: they must ask again too.
	Moved bool
	// Claims is whether grants may wait to be claimed.
	Claims bool
	// Next is how long until the next lease needs a look; 0 for none. Mine is whether that is this node's own to see to.
	Next time.Duration
	Mine bool
	// Stepped is how far the clock of the partition's master was set, forward or back, since the last beat.
	Stepped time.Duration
}

// Beat shows that the node is there and looks for what it may have missed, with two commands a partition, and one more
// where a quarantine is wanted. The counters are added to the fleet's: told reports whether they were.
func (s *Store) Beat(ctx context.Context, counters map[string]int64) (pulses []Pulse, told bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.opts.CommandTimeout)
	defer cancel()
	pulses, told, err = s.beat(ctx, counters)
	s.owed.Lock()
	defer s.owed.Unlock()
	for p := range pulses {
		owed := &s.owed.pulses[p]
		owed.Missed, owed.Moved = owed.Missed || pulses[p].Missed, owed.Moved || pulses[p].Moved
		owed.Stepped += pulses[p].Stepped
	}
	if err != nil {
		return nil, false, err
	}
	for p := range pulses {
		pulses[p].Missed, pulses[p].Moved, pulses[p].Stepped = s.owed.pulses[p].Missed, s.owed.pulses[p].Moved, s.owed.pulses[p].Stepped
		s.owed.pulses[p] = Pulse{}
	}
	return pulses, told, nil
}

// owed is what beats found that then failed: the node has shown itself by then, and the next beat would not find it again.
type owed struct {
	sync.Mutex
	pulses []Pulse
}

func (s *Store) beat(ctx context.Context, counters map[string]int64) (pulses []Pulse, told bool, err error) {
	said, err := s.readClock(ctx) // apart from the rest, as it belongs to no slot
	if err != nil {
		return nil, false, err
	}
	begin := time.Now()
	gap := s.gap(begin)
	cmds := append(make(rueidis.Commands, 0, 3*s.keys.partitions), gap...)
	for _, base := range s.keys.bases {
		// A read that moves the key's end is allowed even where Redis is out of memory; a SET would not be.
		cmds = append(cmds,
			s.client.B().Getex().Key(base+keyNode+s.opts.Node).Px(nodeTTL).Build(),
			s.client.B().Zrange().Key(base+keyDue).Min("0").Max("0").Withscores().Build())
	}
	res := s.client.DoMulti(ctx, cmds...)[len(gap):]
	pulses = make([]Pulse, s.keys.partitions)
	var shown rueidis.Commands
	for p := range pulses {
		if pulses[p], err = s.readPulse(res[2*p:2*p+2], s.clockOf(p).now()); err != nil {
			return pulses, false, err
		}
		if pulses[p].Missed || pulses[p].Claims {
			shown = append(shown, s.client.B().Set().Key(s.keys.bases[p]+keyNode+s.opts.Node).Value("here").Px(nodeTTL).Build())
		}
	}
	for _, r := range s.client.DoMulti(ctx, shown...) {
		if err := r.Error(); err != nil && !refusedByRedis(err) {
			return pulses, false, readError("SET", err)
		}
	}
	s.beaten.Store(&begin)
	s.links.fine()
	if err := s.moved(ctx, pulses); err != nil {
		return pulses, false, err
	}
	if err := s.lookAtEras(ctx); err != nil {
		return pulses, false, err
	}
	if err := s.watchClock(ctx, said, pulses); err != nil {
		return pulses, false, err
	}
	told, err = s.tell(ctx, counters)
	return pulses, told, err
}

// gap tells the scripts that Redis was away, if it was: before any of them looks at claims that ran out meanwhile.
func (s *Store) gap(now time.Time) (cmds rueidis.Commands) {
	if last := s.beaten.Load(); last != nil && now.Sub(*last) > away {
		for _, base := range s.keys.bases {
			cmds = append(cmds, s.client.B().Set().Key(base+keyAway).Value(s.opts.Node).Px(claim).Build())
		}
	}
	return cmds
}

// tell adds to the fleet's counters.
func (s *Store) tell(ctx context.Context, counters map[string]int64) (bool, error) {
	cmds := make(rueidis.Commands, 0, len(counters))
	for field, n := range counters {
		cmds = append(cmds, s.client.B().Hincrby().Key(s.keys.bases[0]+keyStats).Field(field).Increment(n).Build())
	}
	for _, r := range s.client.DoMulti(ctx, cmds...) {
		if err := r.Error(); refusedByRedis(err) {
			return false, nil
		} else if err != nil {
			return false, readError("HINCRBY", err)
		}
	}
	return true, nil
}

func (s *Store) readPulse(res []rueidis.RedisResult, now int64) (Pulse, error) {
	var p Pulse
	before, err := res[0].ToString()
	if rueidis.IsRedisNil(err) {
		p.Missed = true
	} else if err != nil {
		s.heed(err)
		return p, readError("GETEX", err)
	}
	p.Claims = before == "claim"
	first, err := res[1].AsZScores()
	if err != nil {
		return p, readError("ZRANGE", err)
	}
	if len(first) > 0 {
		p.Next = until(max(1, int64(first[0].Score)), now)
		p.Mine = ownerOfDue(first[0].Member) == s.opts.Node
	}
	return p, nil
}

// ownerOfDue is the node in a member "name\nlockId\nnode".
func ownerOfDue(member string) string {
	for i := len(member) - 1; i >= 0; i-- {
		if member[i] == '\n' {
			return member[i+1:]
		}
	}
	return ""
}

// Join adds the node to the fleet, with what it says of itself (JSON).
func (s *Store) Join(ctx context.Context, about string) error {
	ctx, cancel := context.WithTimeout(ctx, s.opts.CommandTimeout)
	defer cancel()
	err := s.client.Do(ctx, s.client.B().Hset().Key(s.keys.bases[0]+keyFleet).FieldValue().FieldValue(s.opts.Node, about).Build()).Error()
	if err != nil {
		return explain("HSET", err)
	}
	return nil
}

// Leave takes the node out of the fleet.
func (s *Store) Leave(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.opts.CommandTimeout)
	defer cancel()
	cmds := rueidis.Commands{s.client.B().Hdel().Key(s.keys.bases[0] + keyFleet).Field(s.opts.Node).Build()}
	for _, base := range s.keys.bases {
		cmds = append(cmds, s.client.B().Del().Key(base+keyNode+s.opts.Node).Build())
	}
	for _, r := range s.client.DoMulti(ctx, cmds...) {
		if err := r.Error(); err != nil {
			return explain("DEL", err)
		}
	}
	return nil
}

// others are the nodes of the fleet but this one.
func (s *Store) others(ctx context.Context) ([]string, error) {
	nodes, err := s.client.Do(ctx, s.client.B().Hkeys().Key(s.keys.bases[0]+keyFleet).Build()).AsStrSlice()
	if err != nil {
		return nil, readError("HKEYS", err)
	}
	return slices.DeleteFunc(nodes, func(n string) bool { return n == s.opts.Node }), nil
}

// Muster shows that the node is there, and reports whether all others of the fleet have shown themselves lately, in every
// partition: the master of one may have been replaced while those of the others went on, and what it knows of a node may be
// from before.
func (s *Store) Muster(ctx context.Context) (complete bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.opts.CommandTimeout)
	defer cancel()
	nodes, err := s.others(ctx)
	if err != nil || len(nodes) == 0 {
		return err == nil, err
	}
	var shows, asks rueidis.Commands
	for _, base := range s.keys.bases {
		shows = append(shows, s.client.B().Getex().Key(base+keyNode+s.opts.Node).Px(nodeTTL).Build())
		for _, n := range nodes {
			asks = append(asks, s.client.B().Pttl().Key(base+keyNode+n).Build())
		}
	}
	for _, r := range s.client.DoMulti(ctx, append(shows, asks...)...)[len(shows):] {
		left, err := r.AsInt64()
		if err != nil {
			return false, readError("PTTL", err)
		}
		if left < (nodeTTL - lively).Milliseconds() {
			return false, nil
		}
	}
	return true, nil
}

// Dead are the nodes of the fleet that no longer show themselves. They stay in the fleet until [Store.Forget].
func (s *Store) Dead(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, s.opts.CommandTimeout)
	defer cancel()
	home := s.keys.bases[0]
	nodes, err := s.others(ctx)
	if err != nil {
		return nil, err
	}
	keys := make([]string, len(nodes))
	for i, n := range nodes {
		keys[i] = home + keyNode + n
	}
	if len(nodes) == 0 {
		return nil, nil
	}
	there, err := s.client.Do(ctx, s.client.B().Exists().Key(keys...).Build()).AsInt64()
	if err != nil {
		return nil, readError("EXISTS", err)
	}
	if there == int64(len(nodes)) { // the usual case, with one question for all
		return nil, nil
	}
	shows, err := s.client.Do(ctx, s.client.B().Mget().Key(keys...).Build()).ToArray()
	if err != nil {
		return nil, readError("MGET", err)
	}
	var dead []string
	for i := range shows {
		if shows[i].IsNil() {
			dead = append(dead, nodes[i])
		}
	}
	return dead, nil
}

// Forget takes a dead node out of the fleet, once its waiting requests are buried everywhere, unless it is back.
func (s *Store) Forget(ctx context.Context, node string) error {
	_, err := s.run(ctx, &s.forget, 0, node)
	return err
}

// Bury puts a dead node's waiting requests for a lock aside, each place kept for its grace, and serves the line.
func (s *Store) Bury(ctx context.Context, name, node string) (Effects, error) {
	r, err := s.run(ctx, &s.bury, s.keys.of(name), name, node)
	return r.Effects, err
}

// Ring sends a message to this node's own channel.
func (s *Store) Ring(ctx context.Context, message int64) error {
	ctx, cancel := context.WithTimeout(ctx, s.opts.CommandTimeout)
	defer cancel()
	err := s.client.Do(ctx, s.client.B().Publish().Channel(s.Channel()).Message("ping "+strconv.FormatInt(message, 10)).Build()).Error()
	if err != nil {
		return readError("PUBLISH", err)
	}
	return nil
}

// bounded calls do for 0 to n-1, at most so many at once, and waits for all.
func bounded(n, atOnce int, do func(int)) {
	var wg sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for i := range n {
		slots <- struct{}{}
		wg.Go(func() {
			do(i)
			<-slots
		})
	}
	wg.Wait()
}
