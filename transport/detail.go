package transport

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"distributedlock/queue"
)

// A problem's detail says what happened, who is in the way and for how long, and what to do.

func fixed(text string) func(*call, error) string {
	return func(*call, error) string { return text }
}

func named(before, after string) func(*call, error) string {
	return func(c *call, _ error) string { return before + quoted(c.name) + after }
}

func quoted(s string) string { return `"` + s + `"` }

func heldDetail(c *call, err error) string {
	e, _ := errors.AsType[*queue.BusyError](err)
	return quoted(c.name) + " is " + heldBy(e.Holders) + ", and " + inLine(e.Queue) +
		". Send a waitTimeout to wait in line, or ask again later."
}

func timeoutDetail(c *call, err error) string {
	e, _ := errors.AsType[*queue.BusyError](err)
	return quoted(c.name) + " did not come free within " + inSeconds(e.Waited) + ": it is " + heldBy(e.Holders) + ", and " +
		inLine(e.Queue) + ". Ask again, with a longer waitTimeout if you can."
}

func fullDetail(c *call, err error) string {
	text := "The line for " + quoted(c.name) + " is as long as it may be"
	if e, ok := errors.AsType[*queue.FullError](err); ok {
		text += ": " + inLine(e.Queue) + ", and the lock is " + heldBy(e.Holders)
	}
	return text + ". Ask again in a second."
}

// heldBy names the first holder and how long its lease still runs.
func heldBy(holders []queue.Grant) string {
	if len(holders) == 0 {
		return "promised to those in line"
	}
	g := &holders[0]
	text := "held by client " + quoted(g.Client)
	if g.Owner != g.Client {
		text += " (owner " + quoted(g.Owner) + ")"
	}
	if n := len(holders) - 1; n > 0 {
		text += " and " + strconv.Itoa(n) + " more"
	}
	text += " for up to " + inSeconds(g.TTL)
	if g.AutoRenew {
		text += ", renewed by itself"
	}
	return text
}

func inLine(n int) string {
	switch n {
	case 0:
		return "nobody waits for it"
	case 1:
		return "1 request waits for it"
	}
	return strconv.Itoa(n) + " requests wait for it"
}

func inSeconds(d time.Duration) string {
	return strconv.FormatFloat(max(d, 0).Round(time.Millisecond).Seconds(), 'f', -1, 64) + " s"
}

func heldExtras(c *call, err error) {
	e, _ := errors.AsType[*queue.BusyError](err)
	c.out.bool("acquired", false)
	c.out.holders(e.Holders)
	c.out.num("queueLength", int64(e.Queue))
	if e.TimedOut {
		c.out.seconds("waitTime", e.Waited)
	}
}

// shownSteps is how many steps of a cycle its text tells; the cycle itself has all.
const shownSteps = 4

func deadlockDetail(_ *call, err error) string {
	e, _ := errors.AsType[*queue.DeadlockError](err)
	if len(e.Cycle) == 1 {
		return ownerText(&e.Cycle[0]) + " holds " + quoted(e.Cycle[0].Holds) + " already and would wait for itself for ever, as locks " +
			"are not re-entrant. Go on with the grant that it has, or release that first; give each thread or task an ownerId of its own."
	}
	var text strings.Builder
	text.WriteString("Each of these waits for the next, and the last for the first, for ever: ")
	for i := range e.Cycle[:min(len(e.Cycle), shownSteps)] {
		s := &e.Cycle[i]
		text.WriteString(ownerText(s) + " holds " + quoted(s.Holds) + " and waits for " + quoted(s.WaitsFor) + "; ")
	}
	if more := len(e.Cycle) - shownSteps; more > 0 {
		text.WriteString("and " + strconv.Itoa(more) + " more in cycle; ")
	}
	text.WriteString("this request is the newest and was failed to let the others go on. Release what you hold, then ask again; " +
		"taking locks in one order everywhere avoids it.")
	return text.String()
}

func ownerText(s *queue.CycleStep) string {
	if s.Owner == s.Client {
		return quoted(s.Client)
	}
	return quoted(s.Client) + " (owner " + quoted(s.Owner) + ")"
}

func deadlockExtras(c *call, err error) {
	e, _ := errors.AsType[*queue.DeadlockError](err)
	c.out.bool("acquired", false)
	c.out.key("cycle")
	c.out.cycle(e.Cycle)
}

func limitDetail(c *call, err error) string {
	e, _ := errors.AsType[*queue.LimitError](err)
	return quoted(c.name) + " is in use with limit " + strconv.Itoa(e.Limit) +
		". Ask with that limit, or wait until nobody holds or waits for the lock."
}

func limitExtras(c *call, err error) {
	e, _ := errors.AsType[*queue.LimitError](err)
	c.out.num("limit", int64(e.Limit))
}

func mismatchDetail(c *call, _ error) string {
	return "The requestId " + quoted(c.problemID()) + " was used for " + quoted(c.name) +
		" before, with a different body. Send that body to repeat the request, or another requestId for a new one."
}

func invalidDetail(_ *call, err error) string {
	e, _ := errors.AsType[*invalidError](err)
	var text strings.Builder
	for i, f := range e.faults {
		if i == 3 {
			text.WriteString("; and " + strconv.Itoa(len(e.faults)-i) + " more in errors")
			break
		}
		if i > 0 {
			text.WriteString("; ")
		}
		text.WriteString(f.field + " " + f.detail)
	}
	return text.String() + ". Nothing was done; correct the request and send it again."
}

func invalidExtras(c *call, err error) {
	e, _ := errors.AsType[*invalidError](err)
	c.out.key("errors")
	c.out.open('[')
	for _, f := range e.faults {
		c.out.open('{')
		c.out.text("field", f.field)
		c.out.text("detail", f.detail)
		c.out.close('}')
	}
	c.out.close(']')
}

func unauthorizedDetail(c *call, _ error) string {
	if len(c.credentials()) > 0 {
		return "The token in " + c.tokenPlace() + " is not one that this service knows. Send Authorization: Bearer and a valid token."
	}
	return "This call needs a token. Send it as Authorization: Bearer <token>."
}

func forbiddenDetail(c *call, err error) string {
	if errors.Is(err, errOrigin) {
		return "Pages of that Origin may not connect here. Serve them from this host, or add the Origin to ALLOWED_ORIGINS."
	}
	if c.who.role >= c.route.role {
		return "The prefixes of " + quoted(c.who.name) + " do not allow this lock. Use a token that may use it."
	}
	return "The role of " + quoted(c.who.name) + " is " + c.who.role.String() + ", and this call needs " +
		c.route.role.String() + ". Use a token with that role."
}

func busyDetail(_ *call, err error) string {
	switch {
	case errors.Is(err, errConnections):
		return "This node has as many WebSocket connections as it takes. Connect again in a second, or to another node."
	case errors.Is(err, errSubscriptions):
		return "A connection may have " + strconv.Itoa(maxSubscriptions) +
			" subscriptions. End one, or put more names and prefixes into one."
	}
	return "This node or session has as many requests under way as it takes. Ask again in a second, or ask another node."
}

func internalDetail(c *call, _ error) string {
	where := ""
	if c.r != nil {
		where = " under the X-Request-Id of this answer"
	}
	return "The service failed in a way it should not; its log has more" + where +
		". The outcome is unknown: ask again with the same requestId."
}

func unknownDetail(c *call, _ error) string {
	what := "Redis got the command and gave no answer in time, so it may or may not have been carried out. "
	if c.route.acquires {
		return what + "Ask again with the same requestId: that settles it, and never takes a second grant."
	}
	return what + "Send the same request again: that settles it, and does no harm."
}

// unavailableDetail keeps what Redis's driver says for the log: it may hold addresses.
func unavailableDetail(_ *call, err error) string {
	if e, ok := errors.AsType[*notReadyError](err); ok && !errors.Is(err, queue.ErrUnavailable) {
		return "This node should get no requests: " + e.cause.Error() + "."
	}
	return "Redis did not answer or refused, and nothing was changed. Ask again in a second."
}

func quarantineDetail(_ *call, err error) string {
	return "Redis may have forgotten who holds what: no lock is granted for another " + inSeconds(quarantineLeft(err)) +
		", until all leases of that time have run out. Ask again then, or now with a waitTimeout that is longer, to stand in line."
}

func quarantineLeft(err error) time.Duration {
	e, ok := errors.AsType[*queue.QuarantineError](err)
	if !ok {
		return 0
	}
	return e.Left
}

func notAcquired(c *call, _ error) { c.out.bool("acquired", false) }

func methodDetail(c *call, err error) string {
	e, _ := errors.AsType[*methodError](err)
	return "This path does not take " + c.r.Method + "; it takes " + e.allow + "."
}
