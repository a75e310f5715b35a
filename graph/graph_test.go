package graph_test

import (
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"distributedlock/graph"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func owner(id string) graph.Owner { return graph.Owner{Client: id, ID: id} }

var (
	lockForm  = regexp.MustCompile(`^(\w+)(?:\*(\d+))?:([^|]*)\|?([^|]*)$`)
	partyForm = regexp.MustCompile(`^([a-zA-Z_]+)(\d+)(s?)(!?)$`)
)

// locks reads one lock a line: `L*2: a1 b2s | c3!` is L with limit 2, held by a with ticket 1 and, shared, by b with
// ticket 2; the explicit owner c waits with ticket 3. Each stands there since as many seconds as its ticket.
func locks(t testing.TB, text ...string) []graph.Lock {
	t.Helper()
	out := make([]graph.Lock, 0, len(text))
	for _, line := range text {
		m := lockForm.FindStringSubmatch(line)
		if m == nil {
			t.Fatalf("what is %q?", line)
		}
		limit, _ := strconv.Atoi(m[2])
		out = append(out, graph.Lock{Name: m[1], Limit: limit, Holders: parties(t, "held", m[3]), Waiters: parties(t, "wait", m[4])})
	}
	return out
}

func parties(t testing.TB, kind, text string) []graph.Party {
	t.Helper()
	var out []graph.Party
	for word := range strings.FieldsSeq(text) {
		m := partyForm.FindStringSubmatch(word)
		if m == nil {
			t.Fatalf("what is %q?", word)
		}
		ticket, _ := strconv.ParseInt(m[2], 10, 64)
		out = append(out, graph.Party{Key: kind + word, Owner: owner(m[1]), Shared: m[3] != "", Explicit: m[4] != "", Ticket: ticket,
			Since: time.Unix(ticket, 0)})
	}
	return out
}

func TestEdges(t *testing.T) {
	in := locks(t, "L*2: a1 b2 | c3 a4", "M: a5! | a6! b7!", "N: a8! | a9")
	all := []string{"c-L-a@3", "c-L-b@3", "a-L-b@4", "a-M-a@6", "b-M-a@7"}
	for limit := range len(all) + 2 {
		edges, cut := graph.Edges(in, limit)
		var got []string
		for _, e := range edges {
			got = append(got, fmt.Sprintf("%s-%s-%s@%d", e.Waiter.ID, e.Lock, e.Holder.ID, e.Since.Unix()))
		}
		n := min(limit, len(all))
		if strings.Join(got, " ") != strings.Join(all[:n], " ") || cut != (limit < len(all)) {
			t.Errorf("limit %d: got %v, cut %v", limit, got, cut)
		}
	}
	if edges, cut := graph.Edges(nil, 0); edges != nil || cut {
		t.Errorf("of nothing: %v, %v", edges, cut)
	}
}

func TestStable(t *testing.T) {
	a := locks(t, "L*2: a1 b2 | c3 d4 e5", "M: c6 | a7", "N: c8", "O*3: x9 | y10")
	b := locks(t, "O: y10", "L*5: b2 c3 | e5 d4 f11", "N: c8")
	b[1].Holders[1].Key = a[0].Waiters[0].Key // a grant may be known by its request
	want := locks(t, "L*2: b2 | d4 e5", "N: c8", "O*3:")
	want[2].Holders, want[2].Waiters = []graph.Party{}, []graph.Party{}
	if got := graph.Stable(a, b); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestEdgesToAnOwnerWithTwoPermits(t *testing.T) {
	w, h := graph.Party{Key: "w", Owner: graph.Owner{Client: "w"}}, graph.Owner{Client: "h"}
	locks := []graph.Lock{{Name: "s", Limit: 2, Holders: []graph.Party{{Key: "1", Owner: h}, {Key: "2", Owner: h}}, Waiters: []graph.Party{w}}}
	if edges, cut := graph.Edges(locks, 10); len(edges) != 1 || cut {
		t.Errorf("%v, cut %t", edges, cut)
	}
}
