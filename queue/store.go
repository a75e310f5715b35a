package queue

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
)

// Options say where the store is and who is asking.
type Options struct {
	// Redis is how to connect. Retries and client-side caching are switched off whatever it says.
	Redis rueidis.ClientOption
	// Cluster is set where that is a Redis Cluster.
	Cluster bool
	// Prefix begins every key. Default "dl".
	Prefix string
	// Partitions must be the same on every node of a store. Default 8.
	Partitions int
	// Node is this node's id, unique in the fleet.
	Node string
	// CommandTimeout bounds every command. Default 1.5 s.
	CommandTimeout time.Duration
	// Embedded is set for the in-process stand-in, which knows neither script flags nor RESP3 nor INFO sections.
	Embedded bool
	// Quiet leaves out the driver's own look after idle connections: every command has a deadline anyway.
	Quiet bool
	// Patch, where set, changes a script's source before it is loaded: for tests that plant mistakes.
	Patch func(script, source string) string
	// Quarantine, where set, is how long nothing is granted after another instance came to answer, or data were lost, or
	// Redis's clock was set: as long as any lease may be. Every node of a store must have the same.
	Quarantine time.Duration
	// Replicas is how many replicas must have a grant before anybody is told of it.
	Replicas int
	// Moved, where set, is told that the Sentinels name another master.
	Moved func(from, to string)
	// Observe, where set, is told of every script run.
	Observe func(script string, took time.Duration, err error)
}

// Store runs the scripts. It is safe for concurrent use.
type Store struct {
	opts   Options
	client rueidis.Client
	links  *links
	keys   keyspace
	clock  redisClock
	floor  atomic.Int64
	lanes  *lanes
	// instances are which Redis was last known to answer: see instancesNow.
	instances atomic.Pointer[[]string]
	owed      owed
	// beaten is when the last beat that came through began.
	beaten atomic.Pointer[time.Time]
	// clocks are those of the partitions' masters in a cluster.
	clocks []redisClock
	// eras are the lives of the masters that the partitions' scripts are for, nil where no quarantine is wanted.
	eras       []atomic.Pointer[era]
	witnessing sync.Mutex
	barred     barred
	// scripts are all of them by their numbers, from 1.
	scripts []*script
	eraOf   script

	// returns is calls for releases alone, which are done even where Redis is out of memory.
	calls, returns, renew, cancel, claim, due, force, bury, status, stats script
	session, resume, detach, orphan, forget, look, fail                   script
}

// patience is how long a call may be on its way before Redis must be taken to have been away.
func (o *Options) patience() time.Duration { return o.CommandTimeout * 2 / 3 }

// ErrSetup is returned by Open for a store that this node must not use: too old a Redis, or another number of
// partitions.
var ErrSetup = errors.New("this redis cannot be used")

// Open connects, and checks that the store is one that this node may use.
func Open(ctx context.Context, opts Options) (*Store, error) {
	if opts.Prefix == "" {
		opts.Prefix = "dl"
	}
	if opts.Partitions == 0 {
		opts.Partitions = 8
	}
	if opts.CommandTimeout == 0 {
		opts.CommandTimeout = 1500 * time.Millisecond
	}
	if opts.Embedded {
		opts.Quarantine = 0 // it does not outlive the process, and nobody else has it
	}
	s := &Store{opts: opts, links: newLinks(&opts.Redis), keys: newKeyspace(opts.Prefix, opts.Partitions, opts.Cluster),
		clock: redisClock{start: time.Now()}}
	s.owed.pulses = make([]Pulse, opts.Partitions)
	if opts.Cluster {
		s.clocks = make([]redisClock, opts.Partitions)
		for p := range s.clocks {
			s.clocks[p].start = s.clock.start
		}
	}
	if opts.Quarantine > 0 {
		s.eras = make([]atomic.Pointer[era], opts.Partitions)
	}
	if opts.Redis.Sentinel.MasterSet != "" {
		s.links.follow = newFollower(&opts, s.links)
	}
	if err := s.connect(ctx); err != nil {
		s.closeClients()
		return nil, err
	}
	return s, nil
}

// connect makes the clients, and the scripts.
func (s *Store) connect(ctx context.Context) (err error) {
	if s.client, err = s.dialled(s.opts); err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if s.opts.Cluster && s.client.Mode() != rueidis.ClientModeCluster {
		return fmt.Errorf("%w: it is no cluster (REDIS_CLUSTER)", ErrSetup)
	}
	s.load()
	if err := s.check(ctx); err != nil {
		return err
	}
	if err := s.firstEras(ctx); err != nil {
		return err
	}
	s.lanes, err = openLanes(s)
	return err
}

// load reads the scripts.
func (s *Store) load() {
	for name, sc := range map[string]*script{"calls": &s.calls, "renew": &s.renew,
		"cancel": &s.cancel, "claim": &s.claim, "due": &s.due, "force": &s.force, "bury": &s.bury,
		"status": &s.status, "stats": &s.stats, "session": &s.session, "resume": &s.resume, "detach": &s.detach,
		"orphan": &s.orphan, "forget": &s.forget, "look": &s.look, "fail": &s.fail} {
		*sc = loadScript(name, &s.opts)
		s.scripts = append(s.scripts, sc)
	}
	_, body, _ := strings.Cut(source("calls"), "\n")
	s.returns = makeScript("calls", evenFull, body, &s.opts)
	s.scripts = append(s.scripts, &s.returns)
	for i, sc := range s.scripts {
		sc.number = i + 1
	}
	for _, sc := range []*script{&s.calls, &s.returns, &s.renew, &s.cancel, &s.claim, &s.due, &s.force, &s.bury, &s.resume, &s.detach, &s.fail} {
		sc.grants = true
	}
	s.eraOf = loadScript("era", &s.opts)
}

func (s *Store) closeClients() {
	if s.client != nil {
		s.client.Close()
	}
	if s.links.follow != nil {
		s.links.follow.close()
	}
}

// Connect makes one more client, for subscriptions: to the master, wherever that is, or to any node of a cluster, as each
// of them brings what is published on any.
func (s *Store) Connect() (rueidis.Client, error) {
	if s.opts.Cluster {
		return s.anyNode()
	}
	return s.dialled(s.opts)
}

func (s *Store) dialled(opts Options) (rueidis.Client, error) {
	o := &opts.Redis
	if s.links.follow != nil {
		// The driver sees one address, behind which the master may move.
		o.InitAddress, o.Sentinel, o.ForceSingleClient = []string{"master " + o.Sentinel.MasterSet}, rueidis.SentinelOption{}, true
	}
	o.DialCtxFn = s.links.dialer()
	return Connect(opts)
}

// Connect makes a Redis client as the options say: no retries, as a repeated script could run twice; no client-side
// cache; a dead connection noticed within seconds. It is the one place where clients are made.
func Connect(opts Options) (rueidis.Client, error) {
	o := opts.Redis
	o.DisableRetry, o.DisableCache = true, true
	o.AlwaysRESP2 = opts.Embedded
	o.ConnWriteTimeout = min(time.Second, cmp.Or(opts.CommandTimeout, time.Second))
	o.Dialer.Timeout, o.Dialer.KeepAlive = time.Second, time.Second
	if opts.Quiet {
		o.Dialer.KeepAlive = -1
	}
	o.RingScaleEachConn = 13 // a full ring ignores deadlines; 8,192 commands under way do not fill it
	o.ClientName = "lockd-" + opts.Node
	if opts.Cluster {
		o.ForceSingleClient = false
		o.ClusterOption.ShardsRefreshInterval, o.ClusterOption.MaxMovedRedirections = time.Second, 4
	}
	if o.PipelineMultiplex == 0 {
		o.PipelineMultiplex = -1
	}
	return rueidis.NewClient(o)
}

// Close ends the connections.
func (s *Store) Close() {
	s.lanes.close()
	s.closeClients()
}

// Node is the id under which this store speaks.
func (s *Store) Node() string { return s.opts.Node }

// FailsOver is whether another Redis takes over where one is gone.
func (s *Store) FailsOver() bool { return s.links.follow != nil || s.opts.Cluster }

// InCluster is whether the store is in a Redis Cluster.
func (s *Store) InCluster() bool { return s.opts.Cluster }

// Partitions is how many there are.
func (s *Store) Partitions() int { return s.keys.partitions }

// Partition is where a lock lives.
func (s *Store) Partition(name string) int { return s.keys.of(name) }

// Now is Redis's time as far as the node can tell without asking.
func (s *Store) Now() time.Time { return time.UnixMicro(s.clock.now()).UTC() }

// Channel is this node's doorbell: a message is the number of a partition in which it has grants to claim.
func (s *Store) Channel() string { return s.keys.nodeChannel(s.opts.Node) }

// EventChannel is where a partition's events are published: see [ParseEvent].
func (s *Store) EventChannel(partition int) string { return s.keys.bases[partition] + keyEvents }

// LockOfKey is the lock whose record a Redis key is, as an expiry notification names it.
func (s *Store) LockOfKey(key string) (name string, ok bool) {
	rest, ok := strings.CutPrefix(key, s.keys.prefix+"{")
	if !ok {
		return "", false
	}
	_, rest, ok = strings.Cut(rest, "}:")
	if !ok {
		return "", false
	}
	return strings.CutPrefix(rest, keyLock)
}

// check learns Redis's clock, and refuses a server too old for script flags and a store of another shape.
func (s *Store) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.opts.CommandTimeout)
	defer cancel()
	all, err := s.readClock(ctx)
	if err != nil {
		return err
	}
	for p, one := range all {
		s.clockOf(p).keep(one.micros, one.sent, one.got)
		s.clockOf(p).learn(one.micros)
	}
	if err := s.checkNumbers(ctx); err != nil {
		return err
	}
	if !s.opts.Embedded {
		info, err := s.client.Do(ctx, s.client.B().Info().Section("server").Build()).ToString()
		if err != nil {
			return explain("INFO", err)
		}
		version := infoField(info, "redis_version")
		major, _, _ := strings.Cut(version, ".")
		if n, err := strconv.Atoi(major); err != nil || n < 7 {
			return fmt.Errorf("%w: version %q, at least 7.0 is needed", ErrSetup, version)
		}
	}
	want := strconv.Itoa(s.keys.partitions)
	have, err := s.client.Do(ctx, s.client.B().Set().Key(s.keys.partitionsKey()).Value(want).Nx().Get().Build()).ToString()
	if err != nil && !rueidis.IsRedisNil(err) {
		return explain("SET", err)
	}
	if err == nil && have != want {
		return fmt.Errorf("%w: it was set up with %s partitions, and this node is told to use %s (REDIS_PARTITIONS)", ErrSetup, have, want)
	}
	now, err := s.instancesNow(ctx)
	s.instances.Store(&now)
	return err
}

// checkNumbers sees that the scripts can print tokens, which a Redis built for 32 bits could not.
func (s *Store) checkNumbers(ctx context.Context) error {
	const most = "9007199254740991"
	got, err := s.client.Do(ctx, s.client.B().Eval().Script("return string.format('%d', "+most+")").Numkeys(0).Build()).ToString()
	if err != nil {
		return explain("EVAL", err)
	}
	if got != most {
		return fmt.Errorf("%w: its Lua has no integers of 53 bits", ErrSetup)
	}
	return nil
}

func infoField(info, field string) string {
	for line := range strings.Lines(info) {
		if v, ok := strings.CutPrefix(line, field+":"); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// NewSecret makes an id that nobody can guess: 144 random bits, 24 characters.
func NewSecret() string {
	var b [18]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}
