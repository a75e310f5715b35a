package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// leaseEnd asks the service when the lease of a grant ends. Redis's clock is this machine's.
func (r *run) leaseEnd(ctx context.Context, k *call) (time.Time, error) {
	name, _ := k.args["name"].(string)
	token := number(k.ok["fencingToken"])
	if token == nil { // a do still under way told it when it entered
		token = r.entered(k)
	}
	answer, err := r.env.judge.status(ctx, name)
	if err != nil {
		return time.Time{}, err
	}
	holders, _ := answer["holders"].([]any)
	for _, h := range holders {
		m, _ := h.(map[string]any)
		if t := number(m["fencingToken"]); t != nil && (token == nil && len(holders) == 1 || token != nil && *t == *token) {
			text, _ := m["expiresAt"].(string)
			return time.Parse(time.RFC3339Nano, text)
		}
	}
	return time.Time{}, fmt.Errorf("%w: %v", errGone, answer)
}

var errGone = errors.New("the grant is gone")

// expiry is when the service found that the lease of a grant had ended.
func (r *run) expiry(k *call) (time.Time, error) {
	token := number(k.ok["fencingToken"])
	ended := func(w witnessed) bool {
		return w.Event == "expired" && token != nil && w.FencingToken == int64(*token)
	}
	r.env.judge.await(r.mark, time.Second, ended)
	seen, _ := r.env.judge.since(r.mark)
	for _, w := range seen {
		if ended(w) {
			return w.At, nil
		}
	}
	return time.Time{}, errors.New("the grant is gone, and not by its end")
}

// honest wants that a lease ends no sooner than its grant said: `honest: g`.
func honest(ctx context.Context, r *run, s *step) error {
	k, err := r.call(s)
	if err != nil {
		return err
	}
	ends := number(k.ok["endsAt"])
	if ends == nil {
		return errors.New("the grant does not say endsAt")
	}
	end, err := r.leaseEnd(ctx, k)
	if err != nil {
		return err
	}
	told, _ := k.client.when(*ends)
	r.script.add("judge", fmt.Sprintf("believed to end %v before it does", end.Sub(told)))
	if late := told.Sub(end); late > time.Millisecond { // times on the wire have no less
		return fmt.Errorf("believed to end %v later than it does", late)
	}
	return nil
}
