package queue

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

const grace = 10 * time.Second

// of has a request belong to a session.
func of(session string) change {
	return func(q *Request) { q.Session, q.Frame = session, "f-"+q.Client }
}

func sayOwns(owns []Own, err error) string {
	var b strings.Builder
	if err != nil {
		fmt.Fprintf(&b, "error: %s\n", errorName(err))
	}
	for _, o := range owns {
		fmt.Fprintf(&b, "%s of %s/%s frame %q", o.Request.Name, o.Request.Client, o.Request.ID, o.Request.Frame)
		switch {
		case o.Lost != "":
			fmt.Fprintf(&b, " lost %s: %s\n", o.Request.LockID, o.Lost)
		case o.Grant != nil:
			fmt.Fprintf(&b, " holds it after %s: %s\n", o.Waited, sayGrant(*o.Grant))
		default:
			fmt.Fprintf(&b, " waits for %s more\n", o.Left)
		}
	}
	return b.String()
}

func detaches(node, session string) func(*world) string {
	return func(w *world) string {
		var all []string
		err := w.store(node).Detach(context.Background(), 0, session, grace, func(e Effects) { all = append(all, sayEffects(e)) })
		return sayResult("detached", Effects{}, err) + strings.Join(all, "")
	}
}

func resumes(node, session string, take bool) func(*world) string {
	return func(w *world) string {
		var all []string
		owns, err := w.store(node).Resume(context.Background(), 0, session, take, func(e Effects) { all = append(all, sayEffects(e)) })
		return sayOwns(owns, err) + strings.Join(all, "")
	}
}

// gone has a session's connection to node a end.
func gone(session string) func(*world) {
	return func(w *world) { detaches("a", session)(w) }
}

// mixed has session s on node a hold one lock that renews itself, hold one plainly, and wait for one.
func mixed() func(*world) {
	return then(taken("a", ask("x", "other")), taken("a", ask("own", "c", of("s"), autoRenew(5*time.Second, time.Hour))),
		taken("a", ask("plain", "c", of("s"))), queued("a", ask("x", "c", of("s"))), queued("b", ask("x", "next")))
}

func TestSessionScripts(t *testing.T) {
	runCases(t, "session", []scriptCase{
		{"its connection ends", mixed(), detaches("a", "s")},
		{"its connection to another node ended", mixed(), detaches("b", "s")},
		{"it has nothing", nil, detaches("a", "s")},
		{"it comes to another node", then(mixed(), gone("s")), resumes("b", "s", true)},
		{"another node takes it over unannounced", mixed(), resumes("b", "s", true)},
		{"its node was thought gone", then(mixed(), gone("s")), resumes("a", "s", false)},
		{"its node is too late to keep it", then(mixed(), func(w *world) { resumes("b", "s", true)(w) }), resumes("a", "s", false)},
		{"it lost a lock while away", then(mixed(), gone("s"), func(w *world) {
			if _, _, err := w.store("b").ForceRelease(context.Background(), "own", "why"); err != nil {
				w.t.Fatal(err)
			}
		}), resumes("b", "s", true)},
		{"its lock is forced while it is there", mixed(), func(w *world) string {
			_, e, err := w.store("b").ForceRelease(context.Background(), "plain", "why")
			return sayResult("forced", e, err)
		}},
		{"its lock ends after its grace", then(mixed(), gone("s"), later(31*time.Second), func(w *world) { w.do("DEL", "dl:{0}:session:s") }), func(w *world) string {
			r, err := w.store("b").Due(context.Background(), 0)
			return fmt.Sprintf("renewed %d\n", r.Renewed) + sayResult("due", r.Effects, err)
		}},
		{"its lock came while its node was gone", then(mixed(), dead("a"), func(w *world) {
			w.do("SET", "dl:{0}:node:a", "here", "PX", "3600000")
			if _, _, err := w.store("b").Release(context.Background(), "x", "other", "L-other"); err != nil {
				w.t.Fatal(err)
			}
		}), resumes("b", "s", true)},
		{"its renewals end with its grace", then(mixed(), gone("s"), later(grace)), func(w *world) string {
			r, err := w.store("b").Due(context.Background(), 0)
			return fmt.Sprintf("renewed %d\n", r.Renewed) + sayResult("due", r.Effects, err)
		}},
		{"its renewals go on in its grace", then(mixed(), gone("s"), later(5*time.Second)), func(w *world) string {
			r, err := w.store("b").Due(context.Background(), 0)
			return fmt.Sprintf("renewed %d\n", r.Renewed) + sayResult("due", r.Effects, err)
		}},
		{"its node is gone as its lock is renewed", then(mixed(), dead("a"), later(5*time.Second)), func(w *world) string {
			r, err := w.store("b").Due(context.Background(), 0)
			return fmt.Sprintf("renewed %d\n", r.Renewed) + sayResult("due", r.Effects, err)
		}},
	})
}

func TestHomeScripts(t *testing.T) {
	ctx := context.Background()
	named := func(w *world) {
		if err := w.store("a").NameSession(ctx, "s", "c"); err != nil {
			w.t.Fatal(err)
		}
	}
	left := func(w *world) {
		if err := w.store("a").LeaveSession(ctx, "s", grace); err != nil {
			w.t.Fatal(err)
		}
	}
	takes := func(node, client string) func(*world) string {
		return func(w *world) string {
			here, err := w.store(node).TakeSession(ctx, "s", client)
			return fmt.Sprintln(here, err)
		}
	}
	keeps := func(node string) func(*world) string {
		return func(w *world) string {
			here, err := w.store(node).KeepSession(ctx, "s", "c")
			return fmt.Sprintln(here, err)
		}
	}
	runCases(t, "home", []scriptCase{
		{"it is named", nil, func(w *world) string { named(w); return "" }},
		{"its connection ends", named, func(w *world) string { left(w); return "" }},
		{"it is taken over", named, takes("b", "c")},
		{"it comes back", then(named, left), takes("b", "c")},
		{"another client asks for it", named, takes("b", "d")},
		{"there is none", nil, takes("b", "c")},
		{"it is kept", then(named, left), keeps("a")},
		{"it is kept after loss of data", nil, keeps("a")},
		{"it has moved on", then(named, func(w *world) { takes("b", "c")(w) }), keeps("a")},
		{"it has moved on as its connection ends", then(named, func(w *world) { takes("b", "c")(w) }), func(w *world) string { left(w); return "" }},
		{"its node is gone", then(named, dead("a")), func(w *world) string {
			return fmt.Sprintln(w.store("b").Orphan(ctx, 0, "a", grace))
		}},
		{"its node is there", named, func(w *world) string { return fmt.Sprintln(w.store("b").Orphan(ctx, 0, "a", grace)) }},
	})
}
