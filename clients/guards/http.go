package guards

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"sync"
)

// Header is a precondition in the manner of If-Match (RFC 9110, section 13): serve this only if the resource has seen
// no higher token.
const Header = "If-Fencing-Token"

// Raise raises a resource's mark to a token, or returns [ErrStale] where the mark is higher. It may be called for many
// resources at once, for one resource it is called by one request at a time.
type Raise func(ctx context.Context, resource string, token int64) error

// Remember is a Raise that keeps its marks in memory. They are gone with the process: where the data outlives it, keep
// the marks with the data.
func Remember() Raise {
	var mu sync.Mutex
	marks := map[string]int64{}
	return func(_ context.Context, resource string, token int64) error {
		mu.Lock()
		defer mu.Unlock()
		if marks[resource] > token {
			return ErrStale
		}
		marks[resource] = token
		return nil
	}
}

// HTTP guards a handler whose resources are its URL paths. A request without [Header] is answered with 428 (RFC 6585),
// one with something else than a token there with 400, a stale one with 412; next sees none of them. Reading wants a token as
// writing does. While one request of a path is served, the others of that path wait, so that none comes in between
// the check and what next does; with several processes before the same data, check where the data is.
func HTTP(raise Raise, next http.Handler) http.Handler {
	var paths sync.Map // of *sync.Mutex, one a path
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		given := r.Header.Get(Header)
		if given == "" {
			http.Error(w, Header+" is missing: take the lock first", http.StatusPreconditionRequired)
			return
		}
		token, err := strconv.ParseInt(given, 10, 64)
		if err != nil || token <= 0 {
			http.Error(w, Header+" is no fencing token", http.StatusBadRequest)
			return
		}
		held, _ := paths.LoadOrStore(r.URL.Path, new(sync.Mutex))
		mu, _ := held.(*sync.Mutex)
		mu.Lock()
		defer mu.Unlock()
		switch err := raise(r.Context(), r.URL.Path, token); {
		case errors.Is(err, ErrStale):
			http.Error(w, ErrStale.Error(), http.StatusPreconditionFailed)
		case err != nil:
			http.Error(w, "the token cannot be checked", http.StatusServiceUnavailable)
		default:
			next.ServeHTTP(w, r)
		}
	})
}
