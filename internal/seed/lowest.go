package seed

import (
	"crypto/sha256"
	"slices"
	"strings"
)

// Lowest returns the places, rising, of the share of the keys whose SHA-256 is lowest, at least one of them: a choice by
// chance that hangs on each key alone, and neither on their order nor on a generator. A share below 0 or that is not a
// number counts as 0, one above 1 as 1.
func Lowest(keys []string, share float64) []int {
	type ranked struct {
		place int
		rank  string
	}
	all := make([]ranked, len(keys))
	for i, k := range keys {
		sum := sha256.Sum256([]byte(k))
		all[i] = ranked{i, string(sum[:])}
	}
	slices.SortFunc(all, func(a, b ranked) int { return strings.Compare(a.rank, b.rank) })
	n := 0
	if share > 0 {
		n = int(min(share, 1)*float64(len(all)) + 0.5)
	}
	var out []int
	for _, r := range all[:min(len(all), max(1, n))] {
		out = append(out, r.place)
	}
	slices.Sort(out)
	return out
}
