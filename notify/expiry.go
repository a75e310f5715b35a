package notify

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"
	"go.uber.org/zap"
)

// Redis tells of an expired key on this channel, where notify-keyspace-events has E and x:
// https://redis.io/docs/latest/develop/pubsub/keyspace-notifications/. It tells when it notices, which may be
// seconds late, so this is the net under the nodes' own timers and nothing more.
func expiredChannel(database int) string {
	return "__keyevent@" + strconv.Itoa(database) + "__:expired"
}

// enableExpiry switches the notifications on, and keeps what is switched on already. Where Redis does not allow it,
// the service does without.
func (h *Hub) enableExpiry(ctx context.Context, client rueidis.Client) {
	const setting = "notify-keyspace-events"
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	have, err := client.Do(ctx, client.B().ConfigGet().Parameter(setting).Build()).AsStrMap()
	if err != nil {
		h.opts.Log.Debug("expiry notifications are left as they are", zap.Error(err))
		return
	}
	want := have[setting]
	if !strings.Contains(want, "E") {
		want += "E"
	}
	if !strings.ContainsAny(want, "xA") {
		want += "x"
	}
	if want == have[setting] {
		return
	}
	if err := client.Do(ctx, client.B().ConfigSet().ParameterValue().ParameterValue(setting, want).Build()).Error(); err != nil {
		h.opts.Log.Info("expiry notifications stay off: redis does not allow to switch them on", zap.Error(err))
	}
}
