package distributedlock

import (
	"encoding/json"
	"time"
)

// Holder holds a lock.
type Holder struct {
	ClientID     string         `json:"clientId"`
	OwnerID      string         `json:"ownerId"`
	AcquiredAt   time.Time      `json:"acquiredAt"`
	ExpiresAt    time.Time      `json:"expiresAt"` // by the service's clock
	TTLMs        int64          `json:"ttlMs"`     // what is left of the lease, in milliseconds
	FencingToken int64          `json:"fencingToken"`
	AutoRenew    bool           `json:"autoRenew"`
	Metadata     map[string]any `json:"metadata"`
}

// Waiter waits in line for a lock.
type Waiter struct {
	Position int     `json:"position"` // from 1
	ClientID string  `json:"clientId"`
	OwnerID  string  `json:"ownerId"`
	Waiting  float64 `json:"waiting"` // seconds so far
}

// Place is where a request stands in line.
type Place struct {
	Position int      `json:"position"` // from 1
	Holders  []Holder `json:"holders"`  // up to 100 of those in the way, as told when the request was queued
}

// Status is a lock as it is now. A free lock has no mode, limit and holders; one with a single holder tells its
// ClientID, ExpiresAt and FencingToken here too.
type Status struct {
	LockName     string     `json:"lockName"`
	Locked       bool       `json:"locked"`
	Mode         string     `json:"mode,omitempty"` // exclusive or shared
	Limit        int        `json:"limit,omitempty"`
	ClientID     string     `json:"clientId,omitempty"`
	ExpiresAt    *time.Time `json:"expiresAt,omitempty"`
	FencingToken int64      `json:"fencingToken,omitempty"`
	Holders      []Holder   `json:"holders"`
	QueueLength  int        `json:"queueLength"`
	Waiters      []Waiter   `json:"waiters,omitempty"` // the first 100 in line; not in a listing
}

// Stats are of the whole cluster, at most 2 s old.
type Stats struct {
	ActiveLocks        int    `json:"activeLocks"`
	WaitingClients     int    `json:"waitingClients"`
	ContendedLocks     int    `json:"contendedLocks"`
	AcquiredTotal      int64  `json:"acquiredTotal"`
	ReleasedTotal      int64  `json:"releasedTotal"`
	ExpiredTotal       int64  `json:"expiredTotal"`
	ForceReleasedTotal int64  `json:"forceReleasedTotal"`
	RenewedTotal       int64  `json:"renewedTotal"`
	DeadlocksDetected  int64  `json:"deadlocksDetected"`
	Nodes              []Node `json:"nodes"`
}

// Node is a node that lives: its id, and all it says of itself.
type Node struct {
	ID   string
	Says map[string]any // everything, the id too
}

// UnmarshalJSON reads a node.
func (n *Node) UnmarshalJSON(b []byte) error {
	if err := json.Unmarshal(b, &n.Says); err != nil {
		return err
	}
	n.ID, _ = n.Says["id"].(string)
	return nil
}

// MarshalJSON writes a node as it was read.
func (n Node) MarshalJSON() ([]byte, error) {
	if n.Says == nil {
		return json.Marshal(map[string]string{"id": n.ID})
	}
	return json.Marshal(n.Says)
}

// Graph says who waits for whom.
type Graph struct {
	Owners    []Owner       `json:"owners"`
	Edges     []Edge        `json:"edges"`
	Cycles    [][]CycleStep `json:"cycles"`
	Truncated bool          `json:"truncated,omitempty"` // there are more edges than are shown
	Note      string        `json:"note,omitempty"`
}

// Owner holds or waits.
type Owner struct {
	ClientID string `json:"clientId"`
	OwnerID  string `json:"ownerId"`
}

// Edge is a waiter and a holder that it waits for; both are owner ids.
type Edge struct {
	Waiter         string    `json:"waiter"`
	WaiterClientID string    `json:"waiterClientId"`
	Holder         string    `json:"holder"`
	HolderClientID string    `json:"holderClientId"`
	LockName       string    `json:"lockName"`
	Since          time.Time `json:"since"`
}

// Health is how a node is.
type Health struct {
	Status  string      `json:"status"` // ok, degraded or, where Redis does not answer, whatever the node says
	Redis   RedisHealth `json:"redis"`
	Version string      `json:"version"`
	Uptime  float64     `json:"uptime"` // seconds
}

// RedisHealth is how the Redis behind a node is.
type RedisHealth struct {
	Mode      string  `json:"mode"`
	LatencyMs float64 `json:"latencyMs"`
	Role      string  `json:"role"`
	// Warnings are what in its settings may cost locks.
	Warnings []string `json:"warnings"`
}

// Renewal is a new lease.
type Renewal struct {
	ExpiresAt    time.Time     `json:"expiresAt"` // by the service's clock
	TTL          time.Duration `json:"-"`
	FencingToken int64         `json:"fencingToken"`
}

// Subscription says what to be told of.
type Subscription struct {
	Locks  []string `json:"locks"`            // names; with a * at the end, beginnings; none: all
	Events []string `json:"events,omitempty"` // kinds; none: all
}

// Event is something that happened to a lock.
type Event struct {
	// Kind is granted, released, expired, renewed, force_released, queued, dequeued, deadlock; quarantine, which is about
	// no lock, for those who name it; or gap, where some may have been missed: read the state anew.
	Kind         string      `json:"event"`
	LockName     string      `json:"lockName,omitempty"`
	ClientID     string      `json:"clientId,omitempty"` // whose; the former holder's for expired and force_released
	OwnerID      string      `json:"ownerId,omitempty"`
	FencingToken int64       `json:"fencingToken,omitempty"`
	Seq          int64       `json:"seq,omitempty"` // rises with every event of the lock
	At           time.Time   `json:"at"`
	Reason       string      `json:"reason,omitempty"`
	Cycle        []CycleStep `json:"cycle,omitempty"`
	Seconds      float64     `json:"seconds,omitempty"` // what is left of a quarantine; 0 at its end
}
