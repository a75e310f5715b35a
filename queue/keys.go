package queue

import (
	"fmt"
	"hash/fnv"
	"strconv"
	"time"
)

// Everything about a lock lives in its name's partition. The partition number is the hash tag, so that all keys of
// a partition lie in one slot of a Redis Cluster and one script can change them together:
//
//	dl:{7}:lock:NAME                      hash: lockId -> holder; ends retain after its last lease
//	dl:{7}:queue:NAME                     sorted set: "client\nrequest" by ticket: the line
//	dl:{7}:waiters:NAME                   hash: "client\nrequest" -> waiter
//	dl:{7}:parked:NAME\nclient\nrequest   string: a place kept for a client to come back to; ends with its grace
//	dl:{7}:names                          sorted set, by name: the locks held (listing, counting)
//	dl:{7}:due                            sorted set: "NAME\nlockId\nnode" by when to look at that lease again
//	dl:{7}:contended                      set: the locks that somebody waits for
//	dl:{7}:ticket                         string: the last ticket drawn
//	dl:{7}:node:ID                        string: that node is there; "claim" if it may have grants; ends when it is silent for nodeTTL
//	dl:{7}:away                           string: Redis did not answer for long until just now; ends when all nodes should be back
//	dl:{7}:grants:ID                      set: "NAME\nlockId" granted to that node's waiters, not yet claimed; and
//	                                      "NAME\nlockId\ncycle" for one that was failed
//	dl:{7}:moves                          set: the nodes that want to hear of the next move of a line
//	dl:{7}:watched                        string: some node listens to the events; ends when none has said so for watchedTTL
//	dl:{7}:session:SID                    hash: a session's own here: "NAME\nclient\nrequest" -> "", or "lockId why" if lost;
//	                                      ends with the session's grace while its connection is away
//	dl:{7}:home:SID                       string, in the session's own partition: the node it is on, and its client; ends likewise
//	dl:{7}:sessions:ID                    set: the sessions on that node that are at home here
//	dl:{7}:waits                          sorted set, by name: "client\nowner\nNAME\nrequest\nclient\nowner\nnode": which owners, at
//	                                      home in this partition, have waited for a while, where, and behind whom; hints, may be stale
//	dl:{7}:era                            string: the life of the master that these data were last seen on: see era.lua
//	dl:{7}:quarantine                     string: until when nothing is granted here (ms), and why; ends then
//	dl:{0}:turn:WHAT                      string: the node whose turn it is to do WHAT, which one does at a time
//	dl:{0}:fleet                          hash: node -> what it says of itself
//	dl:{0}:stats                          hash: the cluster's counters
//	dl:partitions                         string: how many partitions this store was made with
//
// and the channels dl:node:ID (a node's doorbell: see notify.Options), dl:{7}:events, and dl:lost (what sessions lost).
const (
	keyLock      = "lock:"
	keyQueue     = "queue:"
	keyWaiters   = "waiters:"
	keyParked    = "parked:"
	keyNames     = "names"
	keyDue       = "due"
	keyContended = "contended"
	keyTicket    = "ticket"
	keyNode      = "node:"
	keyGrants    = "grants:"
	keyFleet     = "fleet"
	keyStats     = "stats"
	keyEvents    = "events"
	keyMoves     = "moves"
	keyWatched   = "watched"
	keySession   = "session:"
	keyHome      = "home:"
	keySessions  = "sessions:"
	keyLost      = "lost"
	keyWaits     = "waits"
	keyTurn      = "turn:"
	keyEra       = "era"
	keyBarred    = "quarantine"
	keyAway      = "away"
)

// The times that the scripts and the nodes agree on.
const (
	// Beat is how often a node shows itself.
	Beat = 1200 * time.Millisecond
	// nodeTTL is how long a silent node counts as there: three beats less a little, so that one late beat is no death.
	nodeTTL = 3500 * time.Millisecond
	// claim is how long a grant to another node waits for that node. A live node beats, and looks, twice in it.
	claim = 2500 * time.Millisecond
	// away is how long Redis was away, at the least, when claims may have run out that nobody could make. Who was silent for
	// less than lively has been there meanwhile.
	away, lively = 2 * Beat, Beat + 300*time.Millisecond
	// retain is how long a holder's record outlives its lease, so that the expiry can say who lost what.
	retain = 10 * time.Second
	// batch is the most that one script does at one go.
	batch = 64
)

// prelude tells the scripts the names above.
var prelude = fmt.Sprintf(`local LOCK, QUEUE, WAITERS, PARKED, NAMES, DUE, CONTENDED = %q, %q, %q, %q, %q, %q, %q
local TICKET, NODE, GRANTS, EVENTS = %q, %q, %q, %q
local MOVES, WATCHED, SESSION, HOME, SESSIONS, LOST = %q, %q, %q, %q, %q, %q
local ERA, QUARANTINE, AWAY, FLEET = %q, %q, %q, %q
local CLAIM, RETAIN, BATCH, LIVELY = %d, %d, %d, %d
`, keyLock, keyQueue, keyWaiters, keyParked, keyNames, keyDue, keyContended, keyTicket, keyNode, keyGrants, keyEvents,
	keyMoves, keyWatched, keySession, keyHome, keySessions, keyLost, keyEra, keyBarred, keyAway, keyFleet,
	claim.Milliseconds(), retain.Milliseconds(), batch, (nodeTTL - lively).Milliseconds())

// keyspace names the keys of one store.
type keyspace struct {
	prefix     string
	partitions int
	bases      []string
	// declared are what a script on each partition declares.
	declared [][]string
}

// newKeyspace names the keys. In a cluster, scripts declare two keys that never exist: while a slot moves from one master to
// another, key by key, Redis then refuses them at both ends (TRYAGAIN), where it would run one that declares a single
// key on whatever part of the partition it has.
// https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#multi-key-operations
func newKeyspace(prefix string, partitions int, cluster bool) keyspace {
	k := keyspace{prefix: prefix + ":", partitions: partitions}
	for p := range partitions {
		base := k.prefix + "{" + strconv.Itoa(p) + "}:"
		keys := []string{base}
		if cluster {
			keys = append(keys, base+"moving")
		}
		k.bases, k.declared = append(k.bases, base), append(k.declared, keys)
	}
	return k
}

// of is the partition of a lock.
func (k *keyspace) of(name string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name))
	return int(h.Sum32() % uint32(k.partitions))
}

func (k *keyspace) nodeChannel(node string) string { return k.prefix + keyNode + node }
func (k *keyspace) partitionsKey() string          { return k.prefix + "partitions" }

// memberOf is a request's name in a line: unique for a lock, as no id holds a control character.
func memberOf(client, request string) string { return client + "\n" + request }
