package queue

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/redis/rueidis"
)

const (
	// askSentinels is how often each Sentinel is asked where the master is, besides hearing of a move from it: a
	// message may get lost.
	askSentinels = time.Second
	// sentinelTimeout bounds each question.
	sentinelTimeout = time.Second
)

// follower knows which Redis is the master, as the Sentinels say it, and has the connections go there. The driver's
// own client for Sentinels believes whichever of them answers first, and the lanes and the hub would each follow with a
// delay of their own; this one asks all of them and goes by the latest election, for all clients at once. So a Sentinel
// that slept, or is cut off beside an old master, leads nobody back to it.
//
// https://redis.io/docs/latest/develop/reference/sentinel-clients/
type follower struct {
	links     *links
	option    rueidis.ClientOption
	sentinels []string
	// told is told of a move.
	told  func(from, to string)
	pokes []chan struct{}
	stop  context.CancelFunc
	ended sync.WaitGroup

	mu    sync.Mutex
	said  map[string]said
	addr  string
	epoch int64
	known chan struct{} // closed once addr is known
	err   error         // of the Sentinel that failed last
}

// said is what a Sentinel says: the master's address, the number of the election that made it one, and how long a silent
// master is borne.
type said struct {
	addr      string
	epoch     int64
	downAfter time.Duration
}

// newFollower begins to ask the Sentinels that the options name.
func newFollower(opts *Options, l *links) *follower {
	o := opts.Redis
	f := &follower{links: l, sentinels: o.InitAddress, told: opts.Moved, said: map[string]said{}, known: make(chan struct{})}
	f.option = rueidis.ClientOption{
		ForceSingleClient: true, DisableRetry: true, DisableCache: true, PipelineMultiplex: -1,
		Username: o.Sentinel.Username, Password: o.Sentinel.Password, TLSConfig: o.Sentinel.TLSConfig,
		ConnWriteTimeout: sentinelTimeout, RingScaleEachConn: 8, ReadBufferEachConn: 1 << 14, WriteBufferEachConn: 1 << 12,
	}
	f.option.Dialer.Timeout, f.option.Dialer.KeepAlive = sentinelTimeout, time.Second
	name := o.Sentinel.MasterSet
	ctx, cancel := context.WithCancel(context.Background())
	f.stop = cancel
	for _, addr := range f.sentinels {
		poked := make(chan struct{}, 1)
		f.pokes = append(f.pokes, poked)
		f.ended.Go(func() { f.watch(ctx, addr, name, poked) })
	}
	return f
}

func (f *follower) close() {
	f.stop()
	f.ended.Wait()
}

// poke has all Sentinels asked at once.
func (f *follower) poke() {
	for _, p := range f.pokes {
		select {
		case p <- struct{}{}:
		default:
		}
	}
}

var errNoMaster = errors.New("no Sentinel has named a master yet")

// master is the master's address. It waits until one is known, as long as the context allows.
func (f *follower) master(ctx context.Context) (string, error) {
	select {
	case <-f.known:
	case <-ctx.Done():
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.err != nil {
			return "", fmt.Errorf("%w: %w", errNoMaster, f.err)
		}
		return "", errNoMaster
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.addr, nil
}

func (f *follower) is(addr string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.addr == addr
}

// downAfter is how long the most patient Sentinel bears a silent master, 0 where none has said.
func (f *follower) downAfter() (most time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.said {
		most = max(most, s.downAfter)
	}
	return most
}

// watch asks one Sentinel until the context ends.
func (f *follower) watch(ctx context.Context, addr, name string, poked <-chan struct{}) {
	pause := 50 * time.Millisecond
	for ctx.Err() == nil {
		asked, err := f.listen(ctx, addr, name, poked)
		if ctx.Err() != nil {
			return
		}
		f.silent(addr, err)
		if pause = min(2*pause, time.Second); asked {
			pause = 50 * time.Millisecond
		}
		t := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-t.C:
		}
		t.Stop()
	}
}

// moveEvents are the Sentinels' messages after which one of them names another master: the one that leads a failover as
// soon as the replica is promoted, which can be seconds before the end of the failover, and all of them then.
// https://redis.io/docs/latest/operate/oss_and_stack/management/sentinel/#pubsub-messages
var moveEvents = []string{"+failover-state-reconf-slaves", "+switch-master"}

// listen hears of moves from a Sentinel, and asks it as well. It returns when the Sentinel does not answer, and whether
// it has before.
func (f *follower) listen(ctx context.Context, addr, name string, poked <-chan struct{}) (asked bool, err error) {
	o := f.option
	o.InitAddress = []string{addr}
	client, err := rueidis.NewClient(o)
	if err != nil {
		return false, err
	}
	defer client.Close()
	conn, release := client.Dedicate()
	defer release()
	moves := make(chan struct{}, 1)
	lost := conn.SetPubSubHooks(rueidis.PubSubHooks{OnMessage: func(rueidis.PubSubMessage) {
		select {
		case moves <- struct{}{}:
		default:
		}
	}})
	sub, cancel := context.WithTimeout(ctx, sentinelTimeout)
	defer cancel()
	if err := conn.Do(sub, conn.B().Subscribe().Channel(moveEvents...).Build()).Error(); err != nil {
		return false, err
	}
	tick := time.NewTicker(askSentinels)
	defer tick.Stop()
	for {
		s, err := whereIs(ctx, client, name)
		if err != nil {
			return asked, err
		}
		asked = true
		f.learn(addr, s)
		select {
		case <-ctx.Done():
			return asked, ctx.Err()
		case err := <-lost:
			return asked, fmt.Errorf("subscription: %w", err)
		case <-moves:
		case <-poked:
		case <-tick.C:
		}
	}
}

// whereIs puts both questions to a Sentinel at once: the address is that of the promoted replica as soon as it is promoted,
// and the election's number comes with nothing else.
func whereIs(ctx context.Context, client rueidis.Client, name string) (s said, err error) {
	ctx, cancel := context.WithTimeout(ctx, sentinelTimeout)
	defer cancel()
	res := client.DoMulti(ctx, client.B().Arbitrary("SENTINEL", "MASTER", name).Build(), client.B().SentinelGetMasterAddrByName().Master(name).Build())
	about, err := res[0].AsStrMap()
	if err != nil {
		return s, err
	}
	addr, err := res[1].AsStrSlice()
	if err != nil {
		return s, err
	}
	if len(addr) != 2 {
		return s, fmt.Errorf("a master's address of %d parts", len(addr))
	}
	if s.epoch, err = strconv.ParseInt(about["config-epoch"], 10, 64); err != nil {
		return s, fmt.Errorf("config-epoch: %w", err)
	}
	if ms, err := strconv.ParseInt(about["down-after-milliseconds"], 10, 64); err == nil {
		s.downAfter = time.Duration(ms) * time.Millisecond
	}
	s.addr = net.JoinHostPort(addr[0], addr[1])
	return s, nil
}

// silent notes that a Sentinel does not answer.
func (f *follower) silent(sentinel string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.said, sentinel)
	f.err = fmt.Errorf("sentinel %s: %w", sentinel, err)
}

// learn takes what a Sentinel says, and goes with the master if it has moved.
func (f *follower) learn(sentinel string, s said) {
	f.mu.Lock()
	f.said[sentinel] = s
	from, to := f.addr, f.latest()
	if to.addr == "" || to.addr == from {
		f.epoch = max(f.epoch, to.epoch)
		f.mu.Unlock()
		return
	}
	f.addr, f.epoch = to.addr, to.epoch
	if from == "" {
		close(f.known)
	}
	f.mu.Unlock()
	f.links.cut(to.addr)
	if from != "" && f.told != nil {
		f.told(from, to.addr)
	}
}

// latest is the master by the latest election; where they differ on one, the address that most name, and what was
// followed so far before all others. An election earlier than one that was heard of counts only where most of the
// Sentinels answer and all say so: then they were set up anew. f.mu is held.
func (f *follower) latest() said {
	var best said
	votes := map[string]int{}
	for _, s := range f.said {
		votes[s.addr]++
	}
	for _, s := range f.said {
		switch {
		case best.addr == "" || s.epoch > best.epoch:
			best = s
		case s.epoch < best.epoch || s.addr == best.addr || best.addr == f.addr:
		case s.addr == f.addr || votes[s.addr] > votes[best.addr]:
			best = s
		}
	}
	if best.epoch < f.epoch && 2*len(f.said) <= len(f.sentinels) {
		return said{}
	}
	return best
}
