package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"

	dl "distributedlock/clients/go"
)

// place tells on stderr where a request stands in line: on a terminal in one line that is kept up to date, elsewhere
// once and only with --verbose.
type place struct {
	w     io.Writer
	name  string
	start time.Time
	width func() int // of the terminal; nil where there is none
	quiet bool
	// ask asks who holds the lock: a place that moved was told with the holder that was there before.
	ask func(ctx context.Context) []dl.Holder

	mu    sync.Mutex
	told  bool
	at    dl.Place
	since time.Time // when at.Holders were as told
	again chan struct{}
	ctx   context.Context // until done
	stop  context.CancelFunc
	ended sync.WaitGroup
}

func newPlace(a *app, name string, ask func(ctx context.Context) []dl.Holder) *place {
	p := &place{w: a.err, name: printable(name), start: time.Now(), quiet: !a.Verbose, ask: ask, again: make(chan struct{}, 1)}
	p.ctx, p.stop = context.WithCancel(context.Background())
	if f, ok := a.err.(*os.File); ok && !a.JSON && term.IsTerminal(int(f.Fd())) && inForeground() {
		p.width = func() int {
			width, _, err := term.GetSize(int(f.Fd()))
			if err != nil || width <= 0 {
				return 80
			}
			return width
		}
	}
	return p
}

// moved is told by the client, at once when the request is queued and whenever the line moves.
func (p *place) moved(at dl.Place) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at, p.since = at, time.Now()
	if p.told {
		p.at.Holders = nil
		select {
		case p.again <- struct{}{}:
		default:
		}
	}
	first := !p.told
	p.told = true
	switch {
	case p.width != nil:
		p.draw()
		if first {
			p.ended.Go(p.tick)
		}
	case first && !p.quiet:
		put(p.w, "lockctl: %s\n", p.text())
	}
}

// tick keeps the line up to date.
func (p *place) tick() {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		select {
		case <-p.ctx.Done():
			return
		case <-p.again:
			holders := p.ask(p.ctx)
			p.mu.Lock()
			p.at.Holders, p.since = holders, time.Now()
			p.draw()
			p.mu.Unlock()
		case <-t.C:
			p.mu.Lock()
			p.draw()
			p.mu.Unlock()
		}
	}
}

func (p *place) draw() {
	if p.width == nil {
		return
	}
	line := []rune(p.text())
	if width := p.width(); len(line) >= width {
		line = line[:width-1]
	}
	put(p.w, "\r%s\x1b[K", string(line))
}

func (p *place) text() string {
	s := fmt.Sprintf("waiting for %s: place %d in line", p.name, p.at.Position)
	if len(p.at.Holders) > 0 {
		h := &p.at.Holders[0]
		s += fmt.Sprintf(", held by %s for %s", names(p.at.Holders), held(h, serviceNow(h).Add(time.Since(p.since))))
	}
	if p.width != nil {
		s += fmt.Sprintf(" (%s so far)", time.Since(p.start).Round(time.Second))
	}
	return s
}

// done takes the line away again. It may be called twice.
func (p *place) done() {
	p.mu.Lock()
	p.stop()
	if p.width != nil && p.told {
		put(p.w, "%s", "\r\x1b[K")
	}
	p.width, p.quiet = nil, true // a late word draws nothing
	p.mu.Unlock()
	p.ended.Wait()
}
