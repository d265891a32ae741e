package metrics

import "slices"

// smallSort is the length, in keys, below which the library's sort is quicker than
// counting into 256 buckets.
const smallSort = 256

// sortKeys sorts in place, rising, by most significant byte first. In place,
// because a second list would double what a test set of pixels takes; by bytes,
// because that is several times as fast as comparing.
//
// Source: McIlroy, Bostic and McIlroy, "Engineering Radix Sort", Computing Systems
// 6, 1993 (American flag sort).
func sortKeys(keys []uint32) { sortByte(keys, 24) }

// sortByte sorts keys that agree above the byte at shift.
func sortByte(keys []uint32, shift uint) {
	if len(keys) < smallSort {
		slices.Sort(keys)
		return
	}
	var next, end [256]int // of each bucket: where its next key goes, where it ends
	for _, k := range keys {
		end[k>>shift&0xff]++
	}
	at := 0
	for b, n := range end {
		next[b] = at
		at += n
		end[b] = at
	}
	start := next
	for b := range end {
		for i := next[b]; i < end[b]; i = next[b] {
			// Follow the cycle of displaced keys until one belongs here.
			k := keys[i]
			for d := k >> shift & 0xff; d != uint32(b); d = k >> shift & 0xff {
				j := next[d]
				next[d]++
				keys[j], k = k, keys[j]
			}
			keys[i] = k
			next[b]++
		}
	}
	if shift == 0 {
		return
	}
	for b := range end {
		if end[b]-start[b] > 1 {
			sortByte(keys[start[b]:end[b]], shift-8)
		}
	}
}
