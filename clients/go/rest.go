package distributedlock

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// maxAnswer bounds what is read of an answer: a page of a listing is the largest.
const maxAnswer = 64 << 20

// rest makes REST calls, to one endpoint after another where one fails.
type rest struct {
	c        *Client
	http     *http.Client
	endpoint atomic.Int64
}

func newREST(c *Client) *rest {
	t := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: dialPatience, KeepAlive: 15 * time.Second}).DialContext,
		TLSHandshakeTimeout: dialPatience, MaxIdleConnsPerHost: 64, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true,
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
	}
	if c.s.tls != nil {
		t.TLSClientConfig = c.s.tls.Clone()
	}
	return &rest{c: c, http: &http.Client{Transport: t}}
}

func (r *rest) close() { r.http.CloseIdleConnections() }

// restCall is one call.
type restCall struct {
	method string
	// path is escaped, without what the endpoint's own path is.
	path  string
	query url.Values
	body  []byte
	name  string // the lock's, for errors
	// wait is how long the service may take beside the usual.
	wait time.Duration
	// again, where it is not nil, is told that an earlier try may have done it.
	again *bool
}

func lockPath(name, verb string) string {
	escaped := strings.ReplaceAll(url.PathEscape(name), "+", "%2B")
	if verb == "" {
		return "/locks/" + escaped
	}
	return "/locks/" + escaped + "/" + verb
}

// do makes a call: twice to each endpoint at most, the second time after a pause. Errors are *APIError, or
// [ErrUnavailable] with the last cause.
func (r *rest) do(ctx context.Context, q restCall) ([]byte, error) {
	if r.c.bad != nil {
		return nil, r.c.bad
	}
	var last error
	for try := range 2 * len(r.c.urls) {
		if try > 0 && try%len(r.c.urls) == 0 && !r.c.pause(ctx, backoff(1, min(retryAfter(last), time.Second))) {
			break
		}
		at := r.endpoint.Load()
		body, err := r.once(ctx, r.c.urls[int(at)%len(r.c.urls)], q)
		if err == nil || ctx.Err() != nil || !elsewhere(err) {
			return body, r.told(ctx, err)
		}
		last = err
		r.c.failing(err)
		if q.again != nil {
			*q.again = true
		}
		r.endpoint.CompareAndSwap(at, at+1)
	}
	return nil, r.told(ctx, last)
}

// failing notes what went wrong, for calls whose time is up before they hear of it.
func (c *Client) failing(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cause = err
}

// told is an error as the caller is told it.
func (r *rest) told(ctx context.Context, err error) error {
	_, isAPI := errors.AsType[*APIError](err)
	switch {
	case err == nil, isAPI:
		return err
	case r.c.life.Err() != nil:
		return ErrClosed
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return unavailable(err)
}

// elsewhere reports whether another endpoint may do better.
func elsewhere(err error) bool {
	e, ok := errors.AsType[*APIError](err)
	return !ok || e.Code == codeUnavailable || e.Code == codeDraining || e.Code == codeUnknown || e.Code == codeInternal
}

// once makes a call to one endpoint.
func (r *rest) once(ctx context.Context, u *url.URL, q restCall) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, r.c.s.httpTimeout+q.wait)
	defer cancel()
	defer context.AfterFunc(r.c.life, cancel)()
	address := *u
	address.RawPath = u.EscapedPath() + q.path
	path, err := url.PathUnescape(address.RawPath)
	if err != nil {
		return nil, invalid("url", err.Error())
	}
	address.Path, address.RawQuery = path, q.query.Encode()
	req, err := http.NewRequestWithContext(ctx, q.method, address.String(), bytes.NewReader(q.body))
	if err != nil {
		return nil, invalid("url", err.Error())
	}
	req.Header = r.c.header()
	if q.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := r.http.Do(req)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	_ = res.Body.Close() // it was read
	switch {
	case err != nil:
		return nil, err
	case res.StatusCode == http.StatusOK:
		return body, nil
	}
	e := readError(body, res.StatusCode)
	e.RetryAfter, e.LockName = retryAfterHeader(res.Header), q.name
	return body, e
}

// lives asks a node for a sign of life.
func (r *rest) lives(u *url.URL) bool {
	ctx, cancel := context.WithTimeout(r.c.life, dialPatience)
	defer cancel()
	_, err := r.once(ctx, u, restCall{method: http.MethodGet, path: "/livez"})
	return err == nil
}

// get reads something.
func get[T any](ctx context.Context, c *Client, q restCall) (*T, error) {
	if err := c.ready(ctx); err != nil {
		return nil, err
	}
	q.method = http.MethodGet
	body, err := c.rest.do(ctx, q)
	if err != nil {
		return nil, err
	}
	into := new(T)
	if err := json.Unmarshal(body, into); err != nil {
		return nil, unavailable(fmt.Errorf("an answer that is not the service's: %w", err))
	}
	return into, nil
}

// body begins a body with the clientId.
func (c *Client) body() []byte { return appendString([]byte(`{"clientId":`), c.s.clientID) }

func (c *Client) post(ctx context.Context, name, verb string, body []byte, wait time.Duration) (g grant, err error) {
	return c.postAgain(ctx, name, verb, body, wait, nil)
}

func (c *Client) postAgain(ctx context.Context, name, verb string, body []byte, wait time.Duration, again *bool) (g grant, err error) {
	q := restCall{method: http.MethodPost, path: lockPath(name, verb), body: append(body, '}'), name: name, wait: wait, again: again}
	b, err := c.rest.do(ctx, q)
	if err == nil {
		g.read(b)
	}
	return g, err
}

// releaseREST says too whether more than one try was made.
func (c *Client) releaseREST(ctx context.Context, name, lockID string) (heldFor time.Duration, again bool, err error) {
	g, err := c.postAgain(ctx, name, "release", appendText(c.body(), "lockId", lockID), 0, &again)
	return g.held, again, err
}

func (c *Client) renewREST(ctx context.Context, name, token string, ttl time.Duration) (grant, error) {
	b := appendText(c.body(), "renewalToken", token)
	if ttl != 0 {
		b = appendSeconds(b, "timeout", ttl)
	}
	return c.post(ctx, name, "renew", b, 0)
}
