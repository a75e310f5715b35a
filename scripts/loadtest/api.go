package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"syscall"
	"time"
)

// api speaks the REST calls that the load test needs.
type api struct {
	s    settings
	http *http.Client
}

// slack is how much longer than its wait an acquire, and how long any other call, may take.
const slack = 15 * time.Second

func newAPI(s settings) *api {
	t := &http.Transport{MaxIdleConns: s.concurrent + 1, MaxIdleConnsPerHost: s.concurrent + 1, IdleConnTimeout: time.Minute,
		DialContext: (&net.Dialer{Timeout: 5 * time.Second}).DialContext, Proxy: http.ProxyFromEnvironment}
	return &api{s: s, http: &http.Client{Transport: t}}
}

func (a *api) close() { a.http.CloseIdleConnections() }

// grant is what the load test reads of an acquire's answer.
type grant struct {
	LockID       string  `json:"lockId"`
	FencingToken int64   `json:"fencingToken"`
	WaitTime     float64 `json:"waitTime"`
}

// failure is a call that was not answered 200. Its code is the problem's (RFC 9457), or says what else it was.
type failure struct {
	code, detail string
}

func (f *failure) Error() string {
	if f.detail == "" {
		return f.code
	}
	return f.code + ": " + f.detail
}

// acquire takes a lock, waiting for it.
func (a *api) acquire(ctx context.Context, lock, client string) (grant, error) {
	var g grant
	err := a.call(ctx, a.s.wait+slack, http.MethodPost, "/locks/"+url.PathEscape(lock)+"/acquire",
		map[string]any{"clientId": client, "timeout": a.s.timeout.Seconds(), "waitTimeout": a.s.wait.Seconds()}, &g)
	if err == nil && (g.LockID == "" || g.FencingToken <= 0) {
		err = &failure{"bad_answer", "an acquire was answered without lockId or fencingToken"}
	}
	return g, err
}

// release ends a grant, even where the context has ended: a lock must not stay held when the load test is stopped.
func (a *api) release(ctx context.Context, lock, client, lockID string) error {
	return a.call(context.WithoutCancel(ctx), slack, http.MethodPost, "/locks/"+url.PathEscape(lock)+"/release",
		map[string]any{"clientId": client, "lockId": lockID}, nil)
}

// reachable says in one line why the load test cannot begin.
func (a *api) reachable(ctx context.Context) error {
	err := a.call(ctx, 5*time.Second, http.MethodGet, "/locks/stats", nil, nil)
	var f *failure
	switch {
	case err == nil:
		return nil
	case errors.As(err, &f) && f.code == codeConnection:
		return fmt.Errorf("no lock service answers at %s (%s); start one with: go run ./service/cmd/lockd -dev", a.s.url, f.detail)
	}
	return fmt.Errorf("the service at %s does not take the load test's calls: %w", a.s.url, err)
}

func (a *api) call(ctx context.Context, within time.Duration, method, path string, body, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	var content io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		content = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, a.s.url+path, content)
	if err != nil {
		return &failure{codeConnection, err.Error()}
	}
	req.Header.Set("Content-Type", "application/json")
	if a.s.token != "" {
		req.Header.Set("Authorization", "Bearer "+a.s.token)
	}
	res, err := a.http.Do(req)
	if err != nil {
		return unanswered(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	switch {
	case err != nil:
		return unanswered(err)
	case res.StatusCode != http.StatusOK:
		return problem(res.StatusCode, b)
	case answer != nil && json.Unmarshal(b, answer) != nil:
		return &failure{"bad_answer", "not the JSON that was expected: " + string(b)}
	}
	return nil
}

// Codes of calls that no problem answered.
const (
	codeConnection = "connection"
	codeTimeout    = "no_answer_in_time"
)

func unanswered(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return &failure{codeTimeout, ""}
	}
	if no, ok := errors.AsType[syscall.Errno](err); ok {
		return &failure{codeConnection, no.Error()}
	}
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	return &failure{codeConnection, err.Error()}
}

func problem(status int, body []byte) error {
	var p struct{ Code, Detail string }
	if json.Unmarshal(body, &p) != nil || p.Code == "" {
		return &failure{"http_" + strconv.Itoa(status), ""}
	}
	return &failure{p.Code, p.Detail}
}
