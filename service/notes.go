package service

import (
	"context"
	"maps"
	"slices"
	"time"

	"distributedlock/queue"
)

// left is told of a place that has stood in line and is no more.
func (d *detector) left(p *place) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p.left = true
	if p.noted {
		d.struck[notedOf(p)] = true
	}
}

func notedOf(p *place) queue.Noted { return queue.Noted{Wait: waitOf(&p.q), Behind: p.behind} }

func waitOf(q *queue.Request) queue.Wait {
	return queue.Wait{Owner: queue.Owner{Client: q.Client, ID: q.Owner}, Name: q.Name, Request: q.ID}
}

// again reports whether an owner is about to be noted whose last wait is over and not struck yet. To whoever looks, it
// would seem to wait twice, and be followed for nothing: in a line that goes round within strikeAfter, everybody would.
func (d *detector) again(now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	owners := map[queue.Owner]bool{}
	for w := range d.struck {
		owners[w.Owner] = true
	}
	for _, r := range d.fresh[:min(len(d.fresh), ripeMost)] {
		if !r.at.After(now) && !r.p.left && owners[waitOf(&r.p.q).Owner] {
			return true
		}
	}
	return false
}

// strike takes back the notes of waits that are over.
func (d *detector) strike(ctx context.Context) error {
	d.mu.Lock()
	struck := slices.Collect(maps.Keys(d.struck))
	clear(d.struck)
	d.mu.Unlock()
	if len(struck) == 0 {
		return nil
	}
	err := d.m.store.StrikeWaits(ctx, struck)
	if err != nil {
		d.mu.Lock()
		for _, w := range struck {
			d.struck[w] = true
		}
		d.mu.Unlock()
	}
	return err
}
