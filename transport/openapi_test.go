package transport

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/pb33f/libopenapi-validator/config"
	"github.com/pb33f/libopenapi-validator/schema_validation"

	"distributedlock/queue"
)

const (
	clientToken = "client-token"
	adminToken  = "admin-token"
	// What no setting can make yet: a token that may only read, and one that may use some locks.
	readerToken   = "reader-token"
	prefixedToken = "prefixed-token"
)

var restricted = []credential{
	{sha256.Sum256([]byte(readerToken)), principal{name: "watcher", role: reader}},
	{sha256.Sum256([]byte(prefixedToken)), principal{name: "team", role: client, prefixes: []string{"user:", "team:"}}},
}

// contract holds requests and answers against the document.
type contract struct {
	validator.Validator
	document libopenapi.Document
	seen     map[string]bool
}

func newContract(t *testing.T) *contract {
	t.Helper()
	doc, err := libopenapi.NewDocument(document)
	if err != nil {
		t.Fatal(err)
	}
	v, errs := validator.NewValidator(doc, config.WithFormatAssertions())
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	t.Cleanup(v.Release)
	return &contract{Validator: v, document: doc, seen: map[string]bool{}}
}

// answered checks a live answer, and notes that its operation and status were seen.
func (c *contract) answered(t *testing.T, req *http.Request, res *http.Response, operation string) {
	t.Helper()
	if ok, errs := c.ValidateHttpResponse(req, res); !ok {
		for _, e := range errs {
			t.Errorf("%s: %s: %s", operation, e.Message, e.Reason)
			for _, s := range e.SchemaValidationErrors {
				t.Errorf("  %s at %s", s.Reason, s.FieldPath)
			}
		}
	}
	c.seen[operation] = true
}

func TestDocumentIsValid(t *testing.T) {
	c := newContract(t)
	ok, errs := c.ValidateDocument()
	if !ok {
		for _, e := range errs {
			t.Error(e)
		}
	}
	if !strings.HasPrefix(c.document.GetVersion(), "3.1") {
		t.Errorf("the document is of version %s", c.document.GetVersion())
	}
}

// spec is the part of the document that the tests read.
type spec struct {
	Paths map[string]map[string]struct {
		Responses map[string]any `json:"responses"`
	} `json:"paths"`
	Components struct {
		Schemas map[string]struct {
			Properties map[string]struct {
				Enum []string `json:"enum"`
			} `json:"properties"`
		} `json:"schemas"`
	} `json:"components"`
}

func readSpec(t *testing.T) (d spec) {
	t.Helper()
	if err := json.Unmarshal(document, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDocumentHasEveryRouteAndNoOther(t *testing.T) {
	var documented, routed []string
	for path, methods := range readSpec(t).Paths {
		for method := range methods {
			documented = append(documented, strings.ToUpper(method)+" "+path)
		}
	}
	s := newServer(newFake(), Options{})
	for _, rt := range s.routes {
		routed = append(routed, rt.method+" "+rt.pattern)
		if handle, _, _ := s.router.Lookup(rt.method, strings.ReplaceAll(rt.pattern, "{name}", "a")); handle == nil {
			t.Errorf("%s %s is not routed", rt.method, rt.pattern)
		}
	}
	slices.Sort(documented)
	slices.Sort(routed)
	if !slices.Equal(documented, routed) {
		t.Errorf("documented %q\nrouted     %q", documented, routed)
	}
}

func TestDocumentHasEveryCodeAndNoOther(t *testing.T) {
	documented := readSpec(t).Components.Schemas["Problem"].Properties["code"].Enum
	var known []string
	for _, p := range problems {
		if !p.frame {
			known = append(known, p.code)
		}
	}
	slices.Sort(documented)
	slices.Sort(known)
	known = slices.Compact(known) // one code may stand for several causes
	if !slices.Equal(documented, known) {
		t.Errorf("documented %q\nknown      %q", documented, known)
	}
}

// TestAnswersAreAsDocumented makes every operation give every answer that the document has for it.
func TestAnswersAreAsDocumented(t *testing.T) {
	c := newContract(t)
	for _, live := range liveAnswers() {
		fake := newFake()
		fake.status, fake.listed, fake.next = oneHolder(), []queue.Status{oneHolder()}, "x"
		fake.totals = someTotals()
		fake.shown, fake.redis = someGraph(), queue.Health{Mode: "standalone", Role: "master", Latency: time.Millisecond,
			Warnings: []string{"maxmemory-policy is \"allkeys-lru\"", "another"}}
		if live.set != nil {
			live.set(fake)
		}
		opts := Options{ClientToken: clientToken, AdminToken: adminToken, Version: "1.2.3"}
		if live.code == "admin_disabled" {
			opts.AdminToken = ""
		}
		method, path, _ := strings.Cut(live.operation, " ")
		path = strings.ReplaceAll(path, "{name}", cmp.Or(live.lock, "user%3A1")) + live.query
		req := httptest.NewRequest(method, path, strings.NewReader(live.body))
		req.Header.Set("Content-Type", "application/json")
		if live.token != "" {
			req.Header.Set("Authorization", "Bearer "+live.token)
		}
		if live.operation == wsOp {
			opts.MaxConns = live.handshake(req)
		}
		rec := &hijackable{ResponseRecorder: httptest.NewRecorder()}
		s := newServer(fake, opts)
		s.auth.known = append(s.auth.known, restricted...)
		s.ServeHTTP(rec, req)
		res := rec.answer(t)
		(&Handler{s}).Close()
		text, _ := io.ReadAll(res.Body)
		res.Body = io.NopCloser(bytes.NewReader(text))
		if res.StatusCode != live.status || (live.code != "" && !bytes.Contains(text, []byte(`"code":"`+live.code+`"`))) {
			t.Errorf("%s %s: got %d %s", live.operation, live.code, res.StatusCode, text)
			continue
		}
		if bytes.Contains(text, []byte("SECRET")) {
			t.Errorf("%s tells a secret: %s", live.operation, text)
		}
		req.Body = io.NopCloser(strings.NewReader(live.body))
		c.answered(t, req, res, live.operation+" "+res.Status[:3])
	}
	for path, methods := range readSpec(t).Paths {
		for method, operation := range methods {
			for status := range operation.Responses {
				if key := strings.ToUpper(method) + " " + path + " " + status; !c.seen[key] {
					t.Errorf("no answer was seen for %s", key)
				}
			}
		}
	}
}

// TestUnroutedProblemsAreAsDocumented checks the problems that belong to no operation.
func TestUnroutedProblemsAreAsDocumented(t *testing.T) {
	c := newContract(t)
	model, err := c.document.BuildV3Model()
	if err != nil {
		t.Fatal(err)
	}
	schema := model.Model.Components.Schemas.GetOrZero("Problem").Schema()
	for _, target := range []string{"GET /nowhere", "PUT /locks"} {
		method, path, _ := strings.Cut(target, " ")
		rec := httptest.NewRecorder()
		New(newFake(), Options{}).ServeHTTP(rec, httptest.NewRequest(method, path, nil))
		ok, errs := schema_validation.NewSchemaValidator().ValidateSchemaString(schema, rec.Body.String())
		if !ok {
			t.Errorf("%s: %s %v", target, rec.Body, errs)
		}
	}
}

// TestTheContractBites makes sure that the checks above would find a wrong answer.
func TestTheContractBites(t *testing.T) {
	c := newContract(t)
	for name, body := range map[string]string{
		"too much":   `{"released":true,"lockName":"a","lockId":"x","heldFor":1,"more":1}`,
		"too little": `{"released":true,"lockName":"a","heldFor":1}`,
		"wrong type": `{"released":true,"lockName":"a","lockId":"x","heldFor":"1"}`,
	} {
		req := httptest.NewRequest(http.MethodPost, "/locks/a/release", strings.NewReader(`{}`))
		res := &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": typeJSON, "X-Request-Id": {"a"}},
			Body: io.NopCloser(strings.NewReader(body)), Request: req}
		if ok, _ := c.ValidateHttpResponse(req, res); ok {
			t.Errorf("%s: %s passes", name, body)
		}
	}
}

// handshake makes the request one for a WebSocket. It returns how many connections the server should take.
func (live *liveAnswer) handshake(req *http.Request) int {
	if live.status == http.StatusBadRequest {
		return 0
	}
	req.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"},
		"Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="}, "Sec-Websocket-Protocol": {subprotocol + ", bearer." + live.token}}
	if live.status == http.StatusForbidden {
		req.Header.Set("Origin", "https://elsewhere.example")
	}
	if live.status == http.StatusTooManyRequests {
		return -1
	}
	return 0
}

// hijackable is a recorder of an answer that may be a WebSocket's.
type hijackable struct {
	*httptest.ResponseRecorder
	client net.Conn
	head   chan *http.Response
}

func (h *hijackable) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	client, server := net.Pipe()
	h.client, h.head = client, make(chan *http.Response, 1)
	go func() {
		res, _ := http.ReadResponse(bufio.NewReader(client), nil)
		h.head <- res
	}()
	return server, bufio.NewReadWriter(bufio.NewReader(server), bufio.NewWriter(server)), nil
}

func (h *hijackable) answer(t *testing.T) *http.Response {
	if h.client == nil {
		return h.Result()
	}
	_ = h.client.SetDeadline(time.Now().Add(patience))
	res := receive(t, h.head, "the handshake")
	if res == nil {
		t.Fatal("the handshake was not answered")
	}
	res.Body = http.NoBody
	_ = h.client.Close()
	return res
}

func oneHolder() queue.Status {
	return queue.Status{Name: "user:1", Holders: []queue.Grant{held("c1")}, Queue: 1,
		Waiters: []queue.Waiter{{Position: 1, Client: "c2", Owner: "o2", Waiting: 1500 * time.Millisecond}}}
}

func someTotals() queue.Totals {
	return queue.Totals{Active: 1, Contended: 1, Waiting: 2, Counters: map[string]int64{"acquired": 9, "released": 8,
		"expired": 1, "forceReleased": 2, "renewed": 3, "deadlocks": 4}, Nodes: map[string]string{"n2": "", "n1": `{"addr":"a:1","id":"no"}`}}
}

func someGraph() Graph {
	a, b := queue.Owner{Client: "c1", ID: "a"}, queue.Owner{Client: "c2", ID: `b"`}
	return Graph{Owners: []queue.Owner{a, b}, Edges: []GraphEdge{{Waiter: a, Holder: b, Lock: `l\2`, Since: since}},
		Cycles: [][]queue.CycleStep{{{Client: "c1", Owner: "a", Holds: "l1", HeldSince: since, WaitsFor: "l2", WaitingSince: since},
			{Client: "c2", Owner: "b", Holds: "l2", HeldSince: since, WaitsFor: "l1", WaitingSince: since}}}}
}

func failing(err error) func(*fakeLocks) {
	return func(f *fakeLocks) {
		f.err = err
		f.acquire = func(context.Context, *queue.Request) (queue.Grant, time.Duration, error) {
			return queue.Grant{}, 0, err
		}
	}
}
