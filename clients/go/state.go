package distributedlock

import (
	"context"
	"encoding/json"
	"iter"
	"net/http"
	"net/url"
)

// Status tells who holds a lock and who waits for it. A free lock is no error.
func (c *Client) Status(ctx context.Context, name string) (*Status, error) {
	if err := c.readyFor(ctx, name); err != nil {
		return nil, err
	}
	return get[Status](ctx, c, restCall{path: lockPath(name, "status"), name: name})
}

// List goes through the locks held whose names begin with prefix, page by page. A lock held throughout appears exactly
// once. An error is the last that it yields.
func (c *Client) List(ctx context.Context, prefix string) iter.Seq2[Status, error] {
	return func(yield func(Status, error) bool) {
		query := url.Values{"limit": {"1000"}}
		if prefix != "" {
			query.Set("prefix", prefix)
		}
		for {
			page, err := get[struct {
				Locks      []Status `json:"locks"`
				NextCursor string   `json:"nextCursor"`
			}](ctx, c, restCall{path: "/locks", query: query})
			if err != nil {
				yield(Status{}, err)
				return
			}
			for _, s := range page.Locks {
				if !yield(s, nil) {
					return
				}
			}
			if page.NextCursor == "" {
				return
			}
			query.Set("cursor", page.NextCursor)
		}
	}
}

// Stats are the cluster's.
func (c *Client) Stats(ctx context.Context) (*Stats, error) {
	return get[Stats](ctx, c, restCall{path: "/locks/stats"})
}

// Graph says who waits for whom.
func (c *Client) Graph(ctx context.Context) (*Graph, error) {
	return get[Graph](ctx, c, restCall{path: "/graph"})
}

// GraphDot is the graph as Graphviz draws it.
func (c *Client) GraphDot(ctx context.Context) (string, error) {
	if err := c.ready(ctx); err != nil {
		return "", err
	}
	b, err := c.rest.do(ctx, restCall{method: http.MethodGet, path: "/graph", query: url.Values{"format": {"dot"}}})
	return string(b), err
}

// Health is that of the node that is asked. Where Redis does not answer, the error is an [*APIError] with code
// unavailable.
func (c *Client) Health(ctx context.Context) (*Health, error) {
	return get[Health](ctx, c, restCall{path: "/health"})
}

// ForceRelease takes a lock from its holders, who are told, and returns them; it needs an admin's token. The reason is
// logged, 1 KiB at most. Errors: [ErrNotLocked], [ErrForbidden].
func (c *Client) ForceRelease(ctx context.Context, name, reason string) ([]Holder, error) {
	if err := c.readyFor(ctx, name); err != nil {
		return nil, err
	}
	q := restCall{method: http.MethodDelete, path: lockPath(name, ""), name: name}
	if reason != "" {
		q.query = url.Values{"reason": {reason}}
	}
	b, err := c.rest.do(ctx, q)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Holders []Holder `json:"holders"`
	}
	if err := json.Unmarshal(b, &answer); err != nil {
		return nil, unavailable(err)
	}
	return answer.Holders, nil
}
