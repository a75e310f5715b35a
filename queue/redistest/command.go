package redistest

import (
	"context"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"distributedlock/queue/embedded"
)

// Command puts one question to a server, over a connection of its own; the password may be empty.
func Command(s *embedded.Server, password string, args ...string) rueidis.RedisResult {
	o := rueidis.ClientOption{InitAddress: []string{s.Addr()}, Password: password, ForceSingleClient: true, DisableRetry: true,
		DisableCache: true, PipelineMultiplex: -1, ConnWriteTimeout: time.Second}
	o.Dialer.Timeout = time.Second
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	c, err := rueidis.NewClient(o)
	if err != nil {
		return rueidis.NewErrorResult(err)
	}
	defer c.Close()
	return c.Do(ctx, c.B().Arbitrary(args...).Build())
}

// Until waits for something that must come about.
func Until(t testing.TB, what string, within time.Duration, is func() bool) {
	t.Helper()
	end := time.Now().Add(within)
	for !is() {
		if time.Now().After(end) {
			t.Fatalf("not within %s: %s", within, what)
		}
		time.Sleep(10 * time.Millisecond) // a poll of a condition, bounded above
	}
}
