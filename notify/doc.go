// Package notify brings Redis's messages to the node: the doorbell that tells of grants to claim, the expiry of
// keys, and the events of locks.
//
// Messages are hints and may be lost; the queue in Redis is the truth. So the hub says whenever it has (re)subscribed,
// which is when something may have been missed, and its callbacks only ever leave a note: they never wait.
package notify
