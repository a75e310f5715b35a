package transport

import (
	"net/http"
	"slices"
	"strings"

	"github.com/julienschmidt/httprouter"
)

// route is a call of the API.
type route struct {
	method string
	// pattern is the path as the OpenAPI document and the metrics show it.
	pattern string
	// role is the least that may call it.
	role role
	// named is whether the path holds a lock's name; body whether a body is read.
	named, body bool
	// upgrades is whether it becomes a WebSocket.
	upgrades bool
	// acquires is whether problems carry the acquire's own requestId.
	acquires bool
	handle   func(*call) error
	seconds  histograms
}

func routeTable() []*route {
	return []*route{
		{method: http.MethodPost, pattern: "/locks/{name}/acquire", role: client, named: true, body: true, acquires: true, handle: (*call).acquire},
		{method: http.MethodPost, pattern: "/locks/{name}/release", role: client, named: true, body: true, handle: (*call).release},
		{method: http.MethodPost, pattern: "/locks/{name}/renew", role: client, named: true, body: true, handle: (*call).renew},
		{method: http.MethodGet, pattern: "/locks/{name}/status", role: reader, named: true, handle: (*call).lockStatus},
		{method: http.MethodDelete, pattern: "/locks/{name}", role: admin, named: true, body: true, handle: (*call).forceRelease},
		{method: http.MethodGet, pattern: "/locks", role: reader, handle: (*call).list},
		{method: http.MethodGet, pattern: "/locks/stats", role: reader, handle: (*call).stats},
		{method: http.MethodGet, pattern: "/graph", role: reader, handle: (*call).graph},
		{method: http.MethodGet, pattern: "/health", handle: (*call).health},
		{method: http.MethodGet, pattern: "/livez", handle: (*call).live},
		{method: http.MethodGet, pattern: "/readyz", handle: (*call).ready},
		{method: http.MethodGet, pattern: "/metrics", handle: (*call).metrics},
		{method: http.MethodGet, pattern: "/openapi.json", handle: (*call).openapi},
		{method: http.MethodGet, pattern: "/asyncapi.json", handle: (*call).asyncapi},
		{method: http.MethodGet, pattern: "/ws", role: reader, upgrades: true, handle: (*call).websocket},
	}
}

const (
	statsPattern = "/locks/stats"
	// statsName is what the router sees in a lock's place: it knows no fixed path beside a parameter.
	statsName = "stats"
)

func (s *server) route() {
	s.routes = routeTable()
	s.unmatched = &route{pattern: "unmatched", handle: (*call).unmatched}
	s.router = httprouter.New()
	for _, rt := range s.routes {
		handle := func(w http.ResponseWriter, r *http.Request, params httprouter.Params) { s.serve(rt, w, r, params) }
		if rt.pattern == statsPattern {
			s.router.Handle(rt.method, "/locks/:name", func(w http.ResponseWriter, r *http.Request, params httprouter.Params) {
				if !isStats(params) {
					s.serve(s.unmatched, w, r, nil)
					return
				}
				handle(w, r, nil)
			})
			continue
		}
		s.router.Handle(rt.method, strings.ReplaceAll(rt.pattern, "{name}", ":name"), handle)
	}
}

func isStats(params httprouter.Params) bool {
	name, err := unescapeName(params[0].Value)
	return err == nil && name == statsName
}

// ServeHTTP routes on the escaped path, so that a name's %2F is no slash. HEAD is served as GET; net/http drops the body.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	if handle, params, _ := s.router.Lookup(method, r.URL.EscapedPath()); handle != nil {
		handle(w, r, params)
		return
	}
	s.serve(s.unmatched, w, r, nil)
}

// unmatched answers 405 where another method would have done, otherwise 404.
func (c *call) unmatched() error {
	path := c.r.URL.EscapedPath()
	var allow []string
	for _, method := range []string{http.MethodDelete, http.MethodGet, http.MethodPost} {
		handle, params, _ := c.s.router.Lookup(method, path)
		if handle == nil || (method == http.MethodGet && len(params) == 1 && strings.Count(path, "/") == 2 && !isStats(params)) {
			continue
		}
		allow = append(allow, method)
		if method == http.MethodGet {
			allow = append(allow, http.MethodHead)
		}
	}
	if len(allow) == 0 {
		return errNoPath
	}
	slices.Sort(allow)
	return &methodError{allow: strings.Join(allow, ", ")}
}
