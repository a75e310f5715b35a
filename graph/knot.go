package graph

// search finds the knots: the strongly connected components of units that wait for each other and for nobody else.
// (R. Tarjan, "Depth-First Search and Linear Graph Algorithms", SIAM Journal on Computing 1:2, 1972.)
//
// Its nodes are the units and, after them, the locks: a stuck unit leads to the locks it waits for, a lock to the stuck
// units that hold it, in fact or since the reduction; so the edges are no more than the parties. A lock that somebody
// stuck waits for has a stuck holder, so every stuck unit leads to a knot. A cycle that leads to another is none: it may
// come free with that one.
type search struct {
	*picture
	// index is when a node was found, from 1; low is the lowest index known to be reached from it.
	index, low []int
	count      int
	// closed are the nodes whose component is known.
	closed []bool
	// stack are the nodes of open components, path is the way to the present one.
	stack []int
	path  []step
	knots [][]int
}

// step is a node on the path, and how many of its edges have been gone.
type step struct{ node, edge int }

// knots are the units of each.
func (p *picture) knots() [][]int {
	n := len(p.units) + len(p.lines)
	s := &search{picture: p, index: make([]int, n), low: make([]int, n), closed: make([]bool, n)}
	for u := range p.units {
		if p.stuck(u) && s.index[u] == 0 {
			s.visit(u)
		}
	}
	return s.knots
}

// edge is where an edge of a node leads, none for nowhere; ok is whether the node has so many.
func (s *search) edge(node, i int) (to int, ok bool) {
	if node < len(s.units) {
		waits := s.units[node].waits
		if i >= len(waits) {
			return none, false
		}
		if w := &s.places[waits[i]]; w.state == waiting {
			return len(s.units) + w.lock, true
		}
		return none, true
	}
	l := &s.lines[node-len(s.units)]
	to = none
	switch at := l.start + i - len(l.units); {
	case i < len(l.units):
		to = l.units[i]
	case at >= l.head:
		return none, false
	case s.places[at].state == granted:
		to = s.places[at].unit
	}
	if !s.stuck(to) {
		to = none
	}
	return to, true
}

func (s *search) open(node int) {
	s.count++
	s.index[node], s.low[node] = s.count, s.count
	s.stack = append(s.stack, node)
	s.path = append(s.path, step{node: node})
}

func (s *search) visit(root int) {
	s.open(root)
	for len(s.path) > 0 {
		at := &s.path[len(s.path)-1]
		node := at.node
		to, ok := s.edge(node, at.edge)
		at.edge++
		switch {
		case !ok:
			s.leave(node)
		case to == none || s.closed[to]:
		case s.index[to] == 0:
			s.open(to)
		default:
			s.low[node] = min(s.low[node], s.index[to])
		}
	}
}

// leave goes back from a node whose edges have all been gone, and closes its component if it was found first of it.
func (s *search) leave(node int) {
	s.path = s.path[:len(s.path)-1]
	if len(s.path) > 0 {
		before := s.path[len(s.path)-1].node
		s.low[before] = min(s.low[before], s.low[node])
	}
	if s.low[node] < s.index[node] {
		return
	}
	first := len(s.stack) - 1
	for s.stack[first] != node {
		first--
	}
	members := s.stack[first:]
	s.stack = s.stack[:first]
	s.finish(members)
}

func (s *search) finish(members []int) {
	if !s.leadsOn(members) {
		var units []int
		for _, n := range members {
			if n < len(s.units) {
				units = append(units, n)
			}
		}
		s.knots = append(s.knots, units)
	}
	for _, n := range members {
		s.closed[n] = true
	}
}

// leadsOn is whether an edge leads out of a component. All others that it leads to are closed.
func (s *search) leadsOn(members []int) bool {
	for _, n := range members {
		for i := 0; ; i++ {
			to, ok := s.edge(n, i)
			if !ok {
				break
			}
			if to != none && s.closed[to] {
				return true
			}
		}
	}
	return false
}
