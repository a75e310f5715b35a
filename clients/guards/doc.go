// Package guards shows how a resource checks the fencing tokens of the lock that protects it: rows of PostgreSQL, values in
// Redis, the URLs of an HTTP service. Each guard remembers the highest token that it has seen and refuses lower ones, so
// that a holder that was paused past its lease changes nothing. README.md says why that is needed.
//
// The guards are examples, meant to be copied. They are for exclusive locks, and each resource has one lock.
package guards
