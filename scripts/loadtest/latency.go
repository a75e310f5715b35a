package main

import (
	"slices"
	"time"
)

// summary describes a set of durations.
type summary struct {
	n                       int
	min, p50, p90, p99, max time.Duration
}

// summarize sorts the durations and picks percentiles by nearest rank: the smallest value that at least that share
// of all does not exceed (https://en.wikipedia.org/wiki/Percentile#The_nearest-rank_method).
func summarize(d []time.Duration) summary {
	if len(d) == 0 {
		return summary{}
	}
	slices.Sort(d)
	return summary{n: len(d), min: d[0], p50: rank(d, 50), p90: rank(d, 90), p99: rank(d, 99), max: d[len(d)-1]}
}

func rank(sorted []time.Duration, percent int) time.Duration {
	return sorted[max(0, (len(sorted)*percent+99)/100-1)]
}
