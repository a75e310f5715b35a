// Package service is the lock manager of one node: it lets requests wait, wakes them, renews leases, ends them,
// and stands in for nodes that died. Many nodes on one Redis are the normal case; they meet only there.
//
// What runs: one loop a partition (partition.go: grants to claim, leases due), one that beats (beat.go), one that hears
// what sessions lost (resume.go), one for each partition whose events somebody watches (watch_stream.go), and the hub's.
// Everything else happens in the calls of clients. Requests of sessions have no goroutine of their own (ask.go).
package service
