package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/julienschmidt/httprouter"

	"distributedlock/queue"
)

// bareServer is the yardstick: the least that serves the same two calls through the same two scripts. It checks
// nothing, knows no tokens, counts nothing, logs nothing, and lets nobody wait.
type bareServer struct{ store *queue.Store }

type (
	bareAcquire struct {
		ClientID    string          `json:"clientId"`
		Timeout     float64         `json:"timeout"`
		WaitTimeout float64         `json:"waitTimeout"`
		AutoRenew   bool            `json:"autoRenew"`
		Metadata    json.RawMessage `json:"metadata"`
	}
	bareAcquired struct {
		Acquired     bool            `json:"acquired"`
		LockID       string          `json:"lockId"`
		LockName     string          `json:"lockName"`
		ClientID     string          `json:"clientId"`
		OwnerID      string          `json:"ownerId"`
		RequestID    string          `json:"requestId"`
		ExpiresAt    time.Time       `json:"expiresAt"`
		TTLMs        int64           `json:"ttlMs"`
		FencingToken int64           `json:"fencingToken"`
		RenewalToken string          `json:"renewalToken"`
		WaitTime     float64         `json:"waitTime"`
		AutoRenew    bool            `json:"autoRenew"`
		Metadata     json.RawMessage `json:"metadata"`
	}
	bareRelease struct {
		ClientID string `json:"clientId"`
		LockID   string `json:"lockId"`
	}
	bareReleased struct {
		Released bool    `json:"released"`
		LockName string  `json:"lockName"`
		LockID   string  `json:"lockId"`
		HeldFor  float64 `json:"heldFor"`
	}
)

// serveBare runs the bare server until the context ends.
func serveBare(ctx context.Context, addr, redis string) error {
	// Keys of its own: the nodes that are measured beside it know nothing of it.
	store, err := queue.Open(ctx, queue.Options{Node: "bare", Prefix: "bare", Redis: queue.At("tcp", redis)})
	if err != nil {
		return err
	}
	defer store.Close()
	s := bareServer{store}
	router := httprouter.New()
	router.POST("/locks/:name/acquire", s.acquire)
	router.POST("/locks/:name/release", s.release)
	router.GET("/readyz", func(http.ResponseWriter, *http.Request, httprouter.Params) {})
	server := &http.Server{Addr: addr, Handler: router}
	unhook := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer unhook()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (s bareServer) acquire(w http.ResponseWriter, r *http.Request, params httprouter.Params) {
	var in bareAcquire
	if !read(w, r, &in) {
		return
	}
	seconds := func(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
	a, err := s.store.Acquire(r.Context(), &queue.Request{
		Name: params[0].Value, Client: in.ClientID, Owner: in.ClientID, ID: queue.NewSecret(),
		LockID: queue.NewSecret(), RenewalToken: queue.NewSecret(), Lease: seconds(in.Timeout), Wait: seconds(in.WaitTimeout),
		AutoRenew: in.AutoRenew, Grace: 10 * time.Second, Mode: queue.Exclusive, Limit: 1, Metadata: in.Metadata,
	}, 10_000)
	if err == nil && a.Word != queue.Granted {
		err = fmt.Errorf("the bare server lets nobody wait: %s", a.Word)
	}
	g := &a.Grant
	answer(w, err, bareAcquired{Acquired: true, LockID: g.LockID, LockName: g.Name, ClientID: g.Client, OwnerID: g.Owner,
		RequestID: g.Request, ExpiresAt: g.End, TTLMs: g.TTL.Milliseconds(), FencingToken: g.Token,
		RenewalToken: g.RenewalToken, AutoRenew: g.AutoRenew, Metadata: g.Metadata})
}

func (s bareServer) release(w http.ResponseWriter, r *http.Request, params httprouter.Params) {
	var in bareRelease
	if !read(w, r, &in) {
		return
	}
	held, _, err := s.store.Release(r.Context(), params[0].Value, in.ClientID, in.LockID)
	answer(w, err, bareReleased{Released: true, LockName: params[0].Value, LockID: in.LockID, HeldFor: held.Seconds()})
}

func read(w http.ResponseWriter, r *http.Request, into any) bool {
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = json.Unmarshal(body, into)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return false
	}
	return true
}

func answer(w http.ResponseWriter, err error, v any) {
	b, e := json.Marshal(v)
	if err = errors.Join(err, e); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(b)
}
