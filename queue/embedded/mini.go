package embedded

import (
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// miniStep is how often miniredis's clock moves. Redis itself expires keys by the millisecond.
const miniStep = time.Millisecond

// mini is a miniredis whose keys expire in real time.
//
// miniredis moves no clock by itself. Its FastForward would take the time since the last tick from the life of a key
// that was set only just before, and so end a lease early by up to a tick. Its ClockTTL is exact, but visits every key
// on every access (0.7 ms with 1,000 keys). So its clock is moved here, a step at a time: a key ends when TIME says so
// and never before, and the keys are visited at most once a step. On a busy machine the clock may lag by some
// milliseconds and then catch up.
type mini struct {
	redis *miniredis.Miniredis
	quit  chan struct{}
	loop  sync.WaitGroup
}

func startMini(o *options) (*Server, error) {
	m := &mini{redis: miniredis.NewMiniRedis(), quit: make(chan struct{})}
	m.redis.SetTime(time.Now())
	m.redis.ClockTTL(true)
	if err := m.redis.StartAddr(net.JoinHostPort("127.0.0.1", strconv.Itoa(o.port))); err != nil {
		return nil, fmt.Errorf("start miniredis: %w", err)
	}
	m.loop.Go(m.moveClock)
	return &Server{
		network: "tcp", addr: m.redis.Addr(), kind: "miniredis", mini: m, ended: make(chan struct{}),
	}, nil
}

func (m *mini) moveClock() {
	tick := time.NewTicker(miniStep)
	defer tick.Stop()
	for {
		select {
		case <-m.quit:
			return
		case <-tick.C:
			m.redis.SetTime(time.Now())
		}
	}
}

func (m *mini) stop() {
	close(m.quit)
	m.loop.Wait()
	m.redis.Close()
}
