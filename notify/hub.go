package notify

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
	"go.uber.org/zap"
)

// Options say what the hub listens to and whom it tells. The callbacks must not wait and must not call Redis.
type Options struct {
	// Connect makes a client for subscriptions alone: a slow subscriber must not hold up other commands.
	Connect func() (rueidis.Client, error)
	// Channel is the node's own: partition numbers come in on it, and the hub's own pings.
	Channel string
	// Ping publishes a number on Channel, as "ping N".
	Ping func(ctx context.Context, n int64) error
	// Every is how often the hub pings itself. A ping that is not back by the next but one means a dead subscription.
	Every time.Duration
	// Database is the number of the Redis database, for expiry notifications.
	Database int
	// Bell is told that the node has grants to claim in a partition.
	Bell func(partition int)
	// Word, where set, is told of any other message on Channel: a word, and what it is about.
	Word func(word, about string)
	// Expired, where set, is told the key that Redis found expired.
	Expired func(key string)
	// Subscribed is told that the hub has just begun to listen, again or for the first time.
	Subscribed func(again bool)
	Log        *zap.Logger
}

// Hub holds one subscribed connection and makes a new one when it breaks.
type Hub struct {
	opts    Options
	expired string

	mu      sync.Mutex
	watches map[string]map[*Watch]struct{}
	now     *subscription // nil while there is no connection
	changed chan struct{}

	occasions atomic.Int64

	up     atomic.Bool
	pinged atomic.Int64
	ponged atomic.Int64
}

// New makes a hub; Run starts it.
func New(opts Options) *Hub {
	return &Hub{opts: opts, expired: expiredChannel(opts.Database), watches: map[string]map[*Watch]struct{}{}, changed: make(chan struct{}, 1)}
}

// Up reports whether the hub is subscribed, and its own pings come back.
func (h *Hub) Up() bool { return h.up.Load() }

// Run listens until the context ends.
func (h *Hub) Run(ctx context.Context) {
	pause := time.Duration(0)
	for again := false; ctx.Err() == nil; {
		subscribed, err := h.listen(ctx, again)
		h.up.Store(false)
		if ctx.Err() != nil {
			break
		}
		h.opts.Log.Warn("subscription lost, subscribing again", zap.Error(err))
		again = again || subscribed
		if subscribed {
			pause = 0
			continue
		}
		pause = min(max(2*pause, 50*time.Millisecond), time.Second)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

var errSilent = errors.New("the node's own ping did not come back")

// listen subscribes, and returns when the subscription is no more.
func (h *Hub) listen(ctx context.Context, again bool) (subscribed bool, err error) {
	client, err := h.opts.Connect()
	if err != nil {
		return false, fmt.Errorf("connect: %w", err)
	}
	defer client.Close()
	conn, release := client.Dedicate()
	defer release()
	sub := h.begin()
	defer h.end()
	lost := conn.SetPubSubHooks(h.hooks(sub))
	channels := h.wanted(sub)
	if err := h.command(ctx, conn, conn.B().Subscribe().Channel(channels...).Build()); err != nil {
		return false, fmt.Errorf("subscribe: %w", err)
	}
	if h.opts.Expired != nil {
		h.enableExpiry(ctx, client)
	}
	h.up.Store(true)
	h.pinged.Store(h.ponged.Load())
	h.opts.Subscribed(again)
	return true, h.attend(ctx, conn, lost, sub, channels)
}

// attend keeps the subscription fitting the watches, and proves that it lives.
func (h *Hub) attend(ctx context.Context, conn rueidis.DedicatedClient, lost <-chan error, sub *subscription, now []string) error {
	tick := time.NewTicker(h.opts.Every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-lost:
			return err
		case <-h.changed:
			next := h.wanted(sub)
			if err := h.follow(ctx, conn, now, next); err != nil {
				return err
			}
			now = next
		case <-tick.C:
			if h.pinged.Load() > h.ponged.Load()+1 {
				return errSilent
			}
			// A ping that cannot be sent is Redis being away, which others notice; it counts as not come back.
			_ = h.opts.Ping(ctx, h.pinged.Add(1))
		}
	}
}

func (h *Hub) follow(ctx context.Context, conn rueidis.DedicatedClient, now, next []string) error {
	if add := missing(next, now); len(add) > 0 {
		if err := h.command(ctx, conn, conn.B().Subscribe().Channel(add...).Build()); err != nil {
			return err
		}
	}
	if drop := missing(now, next); len(drop) > 0 {
		return h.command(ctx, conn, conn.B().Unsubscribe().Channel(drop...).Build())
	}
	return nil
}

func (h *Hub) command(ctx context.Context, conn rueidis.DedicatedClient, cmd rueidis.Completed) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	return conn.Do(ctx, cmd).Error()
}

// message sorts what came in. It runs on the connection's reader, and so must not wait.
func (h *Hub) message(s *subscription, m rueidis.PubSubMessage) {
	switch m.Channel {
	case h.opts.Channel:
		if n, ok := strings.CutPrefix(m.Message, "ping "); ok {
			if i, err := strconv.ParseInt(n, 10, 64); err == nil {
				h.ponged.Store(i)
			}
		} else if p, err := strconv.Atoi(m.Message); err == nil {
			h.opts.Bell(p)
		} else if word, about, ok := strings.Cut(m.Message, " "); ok && h.opts.Word != nil {
			h.opts.Word(word, about)
		}
	case h.expired:
		h.opts.Expired(m.Message)
	default:
		h.deliver(s, m.Channel, m.Message)
	}
}

// missing are those of want that have lacks.
func missing(want, have []string) (out []string) {
	there := make(map[string]bool, len(have))
	for _, c := range have {
		there[c] = true
	}
	for _, c := range want {
		if !there[c] {
			out = append(out, c)
		}
	}
	return out
}
