package service

import (
	"fmt"
	"sync"
	"testing"
	"time"
)

// TestOrder lets 200 requests wait over two nodes, and sees them granted exactly as they came, with rising tokens.
func TestOrder(t *testing.T) {
	f := newFleet(t)
	nodes := []*member{f.node(), f.node()}
	first := request("hot", "first", 30*time.Second, 0)
	g, _, err := nodes[0].Acquire(t.Context(), first)
	if err != nil {
		t.Fatal(err)
	}
	last := g.Token
	var mu sync.Mutex
	var order []int
	var wg sync.WaitGroup
	for i := range 200 {
		n := nodes[i%2]
		q := request("hot", fmt.Sprint(i), 30*time.Second, time.Minute)
		wg.Go(func() {
			g, _, err := n.Acquire(t.Context(), q)
			if err != nil {
				t.Errorf("%d: %v", i, err)
				return
			}
			mu.Lock()
			if g.Token <= last {
				t.Errorf("token %d after %d", g.Token, last)
			}
			last = g.Token
			order = append(order, i)
			mu.Unlock()
			if _, err := nodes[(i/2)%2].Release(t.Context(), "hot", q.Client, g.LockID); err != nil {
				t.Errorf("release %d: %v", i, err)
			}
		})
		f.eventually("queued", 5*time.Second, func() bool {
			st, err := n.Status(t.Context(), "hot", 0)
			return err == nil && st.Queue == i+1
		})
	}
	begin := time.Now()
	if _, err := nodes[0].Release(t.Context(), "hot", "first", first.LockID); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	t.Log(time.Since(begin))
	for i, got := range order {
		if got != i {
			t.Fatalf("grant %d went to request %d; order %v", i, got, order)
		}
	}
	if len(order) != 200 {
		t.Fatalf("%d grants", len(order))
	}
}
