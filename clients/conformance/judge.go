package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"syscall"
	"time"

	"github.com/gorilla/websocket"
)

// A judge is a node of its own, which no client knows and no case hurts: it sees every event of every lock, and answers
// what is held and who waits.
type judge struct {
	node *process
	conn *websocket.Conn
	http *http.Client
	done chan struct{}

	mu     sync.Mutex
	events []witnessed
	news   chan struct{}
	down   bool
}

// witnessed is one event as the service tells it.
type witnessed struct {
	Event        string    `json:"event"`
	LockName     string    `json:"lockName"`
	ClientID     string    `json:"clientId"`
	FencingToken int64     `json:"fencingToken"`
	At           time.Time `json:"at"`
}

func newJudge(ctx context.Context, node *process) (*judge, error) {
	j := &judge{node: node, http: &http.Client{Timeout: 5 * time.Second}, done: make(chan struct{}), news: make(chan struct{})}
	dialer := websocket.Dialer{Subprotocols: []string{"distributed-lock.v1"}, HandshakeTimeout: 5 * time.Second}
	conn, resp, err := dialer.DialContext(ctx, "ws://"+node.addr+"/ws", nil)
	if err != nil {
		return nil, fmt.Errorf("judge: %w", err)
	}
	_ = resp.Body.Close()
	j.conn = conn
	if err := conn.WriteJSON(map[string]any{"type": "subscribe", "id": "1", "locks": []string{"*"}}); err != nil {
		return nil, err
	}
	var first struct{ Type string }
	if err := conn.ReadJSON(&first); err != nil {
		return nil, err
	}
	if first.Type != "subscribed" {
		return nil, fmt.Errorf("judge: subscribe is answered %q", first.Type)
	}
	go j.listen()
	return j, nil
}

func (j *judge) listen() {
	defer close(j.done)
	for {
		var w witnessed
		err := j.conn.ReadJSON(&w)
		j.mu.Lock()
		if err != nil {
			j.down = true
		} else {
			j.events = append(j.events, w)
		}
		close(j.news)
		j.news = make(chan struct{})
		j.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// mark says how many events there were; since returns those after a mark, and whether none can be missing among them.
func (j *judge) mark() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.events)
}

func (j *judge) since(mark int) (events []witnessed, whole bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	events = append(events, j.events[mark:]...)
	for _, e := range events {
		if e.Event == "gap" {
			return events, false
		}
	}
	return events, !j.down
}

// await returns when an event after mark is as wanted, or does not come in time.
func (j *judge) await(mark int, within time.Duration, wanted func(witnessed) bool) {
	t := time.NewTimer(within)
	defer t.Stop()
	for {
		j.mu.Lock()
		events, news, down := j.events, j.news, j.down
		j.mu.Unlock()
		for ; mark < len(events); mark++ {
			if wanted(events[mark]) {
				return
			}
		}
		if down {
			return
		}
		select {
		case <-news:
		case <-t.C:
			return
		}
	}
}

// rest makes a call to the judge's node as an admin. A problem is an answer like any other.
func (j *judge) rest(ctx context.Context, method, path string, body any) (int, map[string]any, error) {
	var r io.Reader = http.NoBody
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return 0, nil, err
		}
		r = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+j.node.addr+path, r)
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Authorization", "Bearer "+judgeToken)
	resp, err := j.http.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	var answer map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return 0, nil, fmt.Errorf("%s %s answers %s: %w", method, path, resp.Status, err)
	}
	return resp.StatusCode, answer, nil
}

func (j *judge) status(ctx context.Context, name string) (map[string]any, error) {
	code, answer, err := j.rest(ctx, http.MethodGet, "/locks/"+url.PathEscape(name)+"/status", nil)
	if err == nil && code != http.StatusOK {
		err = fmt.Errorf("status of %q: %v", name, answer)
	}
	return answer, err
}

// held lists the names and tokens of all that is held, at most a thousand.
func (j *judge) held(ctx context.Context) (map[int64]string, error) {
	code, answer, err := j.rest(ctx, http.MethodGet, "/locks?limit=1000", nil)
	if err != nil {
		return nil, err
	}
	locks, is := answer["locks"].([]any)
	if code != http.StatusOK || !is {
		return nil, fmt.Errorf("the list of locks: %d %v", code, answer)
	}
	held := map[int64]string{}
	for _, l := range locks {
		lock, _ := l.(map[string]any)
		name, _ := lock["lockName"].(string)
		holders, _ := lock["holders"].([]any)
		for _, h := range holders {
			holder, _ := h.(map[string]any)
			if token := number(holder["fencingToken"]); token != nil {
				held[int64(*token)] = name
			}
		}
	}
	return held, nil
}

func (j *judge) end() error {
	err := j.conn.Close()
	<-j.done
	j.http.CloseIdleConnections()
	_ = j.node.cmd.Process.Signal(syscall.SIGKILL)
	<-j.node.ended
	if err != nil && !errors.Is(err, websocket.ErrCloseSent) {
		return fmt.Errorf("judge: %w", err)
	}
	return nil
}
