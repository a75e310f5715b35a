package queue

import (
	"context"
	"crypto/sha1" //nolint:gosec // Redis names scripts by SHA-1
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"
)

//go:embed lua/*.lua
var sources embed.FS

// script is one Lua file with what it includes, ready to run.
type script struct {
	name, text, sha string
	// number is its place in Store.scripts.
	number int
	// grants is whether it may grant anything, or make a lease longer, that somebody is then told of.
	grants bool
}

// evenFull is the first line of a script that Redis runs even when it is out of memory.
const evenFull = "#!lua flags=allow-oom"

// loadScript reads lua/NAME.lua and what it includes. A first line "#!lua flags=…" stays first; a server that knows
// no flags gets none.
func loadScript(name string, opts *Options) script {
	shebang, body, _ := strings.Cut(source(name), "\n")
	return makeScript(name, shebang, body, opts)
}

// makeScript has the script begin with another first line than its file.
func makeScript(name, shebang, body string, opts *Options) script {
	for _, part := range []string{"clock", "short", "head", "lib", "acquire", "release"} {
		body = strings.Replace(body, "-- include "+part+"\n", source(part), 1)
	}
	text := prelude + fmt.Sprintf("local WITHHOLD = %d\n", opts.Quarantine.Milliseconds()) + body
	if opts.Patch != nil {
		text = opts.Patch(name, text)
	}
	if !opts.Embedded {
		text = shebang + "\n" + text
	}
	return script{name: name, text: text, sha: hashOf(text)}
}

func hashOf(text string) string {
	sum := sha1.Sum([]byte(text)) //nolint:gosec // as above
	return hex.EncodeToString(sum[:])
}

func source(name string) string {
	text, err := sources.ReadFile("lua/" + name + ".lua")
	if err != nil {
		panic(err) // the files are part of the program
	}
	return string(text)
}

// run calls a script on a partition and reads the head of its answer. The deadline is the store's, so that a call
// is never given up halfway because a client went away.
func (s *Store) run(ctx context.Context, sc *script, partition int, args ...string) (reply, error) {
	if sc.grants && s.opts.Replicas > 0 {
		return s.lanes.call(job{sc: sc, partition: partition, args: args}) // with the others' wait for the replicas
	}
	for attempt := 0; ; attempt++ {
		begin := time.Now()
		r, err := s.once(ctx, sc, partition, args)
		if s.opts.Observe != nil {
			s.opts.Observe(sc.name, time.Since(begin), err)
		}
		if err != nil || r.word != "late" {
			return r, err
		}
		if attempt == lateTries-1 {
			return r, errLate
		}
		if err := s.late(ctx, partition, &r, time.Since(begin)); err != nil {
			return r, err
		}
	}
}

func (s *Store) once(ctx context.Context, sc *script, partition int, args []string) (reply, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.opts.CommandTimeout)
	defer cancel()
	sha := s.shaOf(sc, partition)
	res := s.client.Do(ctx, s.command(sc, sha, partition, args))
	if isNoScript(res.Error()) {
		if s.eras == nil || sc.number == 0 {
			sha = ""
		} else if err := s.witness(ctx, partition, sha, sc); err != nil {
			return reply{}, err
		} else {
			sha = s.shaOf(sc, partition)
		}
		res = s.client.Do(ctx, s.command(sc, sha, partition, args))
	}
	return s.read(sc, partition, res)
}

// command runs a script that Redis knows by its hash; with "", one that it may not know.
func (s *Store) command(sc *script, sha string, partition int, args []string) rueidis.Completed {
	head, keys := s.head(partition), s.keys.declared[partition]
	if sha == "" {
		return s.client.B().Eval().Script(sc.text).Numkeys(int64(len(keys))).Key(keys...).Arg(head[:]...).Arg(args...).Build()
	}
	return s.client.B().Evalsha().Sha1(sha).Numkeys(int64(len(keys))).Key(keys...).Arg(head[:]...).Arg(args...).Build()
}

// head is what every call of a script begins with.
func (s *Store) head(partition int) [3]string {
	return s.headAfter(s.clockOf(partition).now()/1000 + s.opts.CommandTimeout.Milliseconds())
}

func (s *Store) headAfter(notAfter int64) [3]string {
	return [3]string{strconv.FormatInt(notAfter, 10), strconv.FormatInt(s.floor.Load(), 10), s.opts.Node}
}

// read reads an answer, and learns the time and the tokens in it.
func (s *Store) read(sc *script, partition int, res rueidis.RedisResult) (reply, error) {
	msgs, err := res.ToArray()
	if err != nil {
		s.heed(err)
		return reply{}, explain(sc.name, err)
	}
	return s.understand(sc.name, partition, msgs)
}

func (s *Store) understand(what string, partition int, msgs []rueidis.RedisMessage) (reply, error) {
	r, err := readReply(msgs)
	if err != nil {
		return reply{}, fmt.Errorf("%s: %w", what, err)
	}
	if r.word != "late" || s.eras == nil { // see stepped
		s.clockOf(partition).learn(r.micros)
	}
	for i := range r.Handed {
		s.remember(r.Handed[i].Token)
	}
	return r, nil
}

// remember raises the floor under all tokens to come.
func (s *Store) remember(token int64) {
	for {
		seen := s.floor.Load()
		if token <= seen || s.floor.CompareAndSwap(seen, token) {
			return
		}
	}
}

// heed sees whether a Redis refuses to write as it is no master any more.
func (s *Store) heed(err error) {
	if e, ok := rueidis.IsRedisErr(err); ok && strings.HasPrefix(e.Error(), "READONLY") {
		s.links.refused()
	}
}

func isNoScript(err error) bool {
	e, ok := rueidis.IsRedisErr(err)
	return ok && strings.HasPrefix(e.Error(), "NOSCRIPT")
}

// explain sorts an error of a command into one that changed nothing and one that may have.
func explain(what string, err error) error {
	var op *net.OpError
	switch e, ok := rueidis.IsRedisErr(err); {
	case ok && refused(e.Error()):
		return fmt.Errorf("%w: %w: %s: %w", ErrUnavailable, ErrRefused, what, err)
	case ok:
		return fmt.Errorf("%s: %w", what, err)
	case errors.As(err, &op) && op.Op == "dial", errors.Is(err, rueidis.ErrClosing):
		return fmt.Errorf("%w: %s: %w", ErrUnavailable, what, err)
	default:
		return fmt.Errorf("%w: %s: %w", ErrUnknown, what, err)
	}
}

func refusedByRedis(err error) bool {
	e, ok := rueidis.IsRedisErr(err)
	return ok && refused(e.Error())
}

// refused are the answers of a Redis that did not run the script at all.
func refused(message string) bool {
	for _, word := range []string{"LOADING", "OOM", "READONLY", "BUSY", "MASTERDOWN", "NOREPLICAS", "CLUSTERDOWN",
		"TRYAGAIN", "MISCONF", "NOSCRIPT", "NOAUTH", "WRONGPASS", "NOPERM"} {
		if strings.HasPrefix(message, word) {
			return true
		}
	}
	return false
}
