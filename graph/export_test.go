package graph

// Stuck are the keys of the waits that are never granted.
func Stuck(locks []Lock) map[string]bool {
	p := newPicture(locks)
	p.reduce()
	out := map[string]bool{}
	for _, w := range p.places {
		if w.state == waiting {
			out[w.Key] = true
		}
	}
	return out
}

// Knots are the owners of each.
func Knots(locks []Lock) [][]Owner {
	p := newPicture(locks)
	p.reduce()
	var out [][]Owner
	for _, units := range p.knots() {
		var owners []Owner
		for _, u := range units {
			owners = append(owners, p.units[u].owner)
		}
		out = append(out, owners)
	}
	return out
}
