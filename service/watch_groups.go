package service

import (
	"slices"
	"sort"

	"distributedlock/queue"
)

// seat is a watcher's place in the stream of a partition.
type seat struct {
	w    *watcher
	tell func(*queue.Event)
	// turn is the last event that it was told of, as it may be in several of the groups that an event is for.
	turn uint64
	// spots are where it stands in its groups, so that it leaves at once even where many stand.
	spots []spot
}

type spot struct {
	group *group
	at    int
}

// group are those who watch for the same name, or the same prefix.
type group struct {
	key     string
	entries []entry
}

// entry is a seat, and which of its spots this is.
type entry struct {
	seat *seat
	spot int
}

func (g *group) add(at *seat) {
	g.entries = append(g.entries, entry{at, len(at.spots)})
	at.spots = append(at.spots, spot{g, len(g.entries) - 1})
}

// remove puts the last entry in the place of one that leaves.
func (g *group) remove(i int) {
	last := len(g.entries) - 1
	moved := g.entries[last]
	g.entries[i], g.entries[last] = moved, entry{}
	g.entries = g.entries[:last]
	if i < last {
		moved.seat.spots[moved.spot].at = i
	}
}

func (g *group) tell(e *queue.Event, turn uint64) {
	for _, entry := range g.entries {
		if at := entry.seat; at.turn != turn {
			at.turn = turn
			at.tell(e)
		}
	}
}

// groups are the groups of a partition by their key.
type groups map[string]*group

func (gs groups) of(key string) *group {
	g := gs[key]
	if g == nil {
		g = &group{key: key}
		gs[key] = g
	}
	return g
}

// lengths are how long the prefixes are, in order, and how many there are of each length.
type lengths []struct{ bytes, prefixes int }

func (ls *lengths) find(bytes int) (i int, there bool) {
	i = sort.Search(len(*ls), func(i int) bool { return (*ls)[i].bytes >= bytes })
	return i, i < len(*ls) && (*ls)[i].bytes == bytes
}

func (ls *lengths) add(bytes int) {
	i, there := ls.find(bytes)
	if !there {
		*ls = slices.Insert(*ls, i, struct{ bytes, prefixes int }{bytes, 0})
	}
	(*ls)[i].prefixes++
}

func (ls *lengths) remove(bytes int) {
	i, there := ls.find(bytes)
	if !there {
		return
	}
	if (*ls)[i].prefixes--; (*ls)[i].prefixes == 0 {
		*ls = slices.Delete(*ls, i, i+1)
	}
}
