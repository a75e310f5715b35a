package distributedlock

import (
	"crypto/tls"
	"log/slog"
	"time"
)

const (
	// DefaultWait is how long [Client.Acquire] waits in line.
	DefaultWait = 30 * time.Second
	// DefaultTTL is the lease that [Client.Do] asks for.
	DefaultTTL = 30 * time.Second
)

// ClientOption is a choice for [NewDistributedLockClient].
type ClientOption func(*settings)

type settings struct {
	endpoints   []string
	token       string
	clientID    string
	tls         *tls.Config
	noWebSocket bool
	log         *slog.Logger
	httpTimeout time.Duration
}

// WithEndpoints adds more nodes, or more addresses of the service. The client uses one at a time and goes to the next,
// in the order given, when one fails.
func WithEndpoints(urls ...string) ClientOption {
	return func(s *settings) { s.endpoints = append(s.endpoints, urls...) }
}

// WithToken is the bearer token.
func WithToken(token string) ClientOption { return func(s *settings) { s.token = token } }

// WithClientID is who the client is to the service, 1 to 256 bytes. The default is made of host, process id and chance.
func WithClientID(id string) ClientOption { return func(s *settings) { s.clientID = id } }

// WithTLS is how to speak TLS, for https addresses.
func WithTLS(config *tls.Config) ClientOption { return func(s *settings) { s.tls = config } }

// WithoutWebSocket has the client use REST alone: each wait is then a connection of its own, and a loss that is not
// the lease's end is noticed late.
func WithoutWebSocket() ClientOption { return func(s *settings) { s.noWebSocket = true } }

// WithLogger is where the client tells of connections that broke and locks that were lost. The default is silence.
func WithLogger(log *slog.Logger) ClientOption { return func(s *settings) { s.log = log } }

// WithHTTPTimeout is how long a REST call and a WebSocket's handshake may take, waits in line aside. Default 10 s.
func WithHTTPTimeout(d time.Duration) ClientOption { return func(s *settings) { s.httpTimeout = d } }

// Option is a choice for one acquire.
type Option func(*request)

// WithWait is how long to wait in line. 0 tries once.
func WithWait(d time.Duration) Option {
	return func(q *request) { q.wait, q.bounded = max(d, 0), true }
}

// WithAutoRenew has the client renew the lease, every third of it, until the lock is released or lost.
func WithAutoRenew() Option { return func(q *request) { q.autoRenew = true } }

// WithMaxHold ends the renewal of [WithAutoRenew] so long after the grant; the lease then runs out.
func WithMaxHold(d time.Duration) Option { return func(q *request) { q.maxHold = d } }

// WithMetadata is for people who look at the lock, 4 KiB as JSON at most.
func WithMetadata(m map[string]any) Option { return func(q *request) { q.metadata = m } }

// WithShared asks for the lock together with others who do: readers together, writers alone.
func WithShared() Option { return func(q *request) { q.shared = true } }

// WithLimit asks for one of n permits, 1 to 10,000. All who use the lock must say the same.
func WithLimit(n int) Option { return func(q *request) { q.limit, q.hasLimit = n, true } }

// WithOwner says who would hold the lock, for finding deadlocks: a thread, task or job. It goes before the context's.
func WithOwner(id string) Option { return func(q *request) { q.owner = id } }

// WithRequestID names the request, so that asking again, even by another process with the same client id, gets the same
// grant or place in line. The default is a new random one for each acquire.
func WithRequestID(id string) Option { return func(q *request) { q.id = id } }

// WithTTL is the lease that [Client.Do] asks for.
func WithTTL(d time.Duration) Option { return func(q *request) { q.ttl = d } }

// OnQueued is called at once when the request is queued, and whenever the line moves: one call after another, by the
// goroutine that waits. It must not block.
func OnQueued(f func(Place)) Option { return func(q *request) { q.onQueued = f } }

// request is one logical acquire, over all its retries.
type request struct {
	name, owner, id string
	ttl             time.Duration
	// wait is how long to wait in line; without bounded, until the context ends.
	wait             time.Duration
	bounded          bool
	autoRenew        bool
	maxHold          time.Duration
	metadata         map[string]any
	meta             []byte // the same as JSON
	shared, hasLimit bool
	limit            int
	onQueued         func(Place)
}
