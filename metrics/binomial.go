package metrics

import (
	"fmt"
	"math"
)

// maxTrials bounds the work of ClopperPearson, which grows with the root of it.
const maxTrials = 1 << 31

// ClopperPearson returns the share of n trials that v successes are, with the exact
// interval (Clopper and Pearson, "The use of confidence or fiducial limits illustrated
// in the case of the binomial", Biometrika 26, 1934). It holds the true share at least
// as often as its level says, for any share and any n. [Wilson] is shorter and holds it
// that often on average over shares.
//
// It returns ErrRange if n is below 1 or above 2^31, v outside of 0 to n, or level
// outside of 0 to 1.
func ClopperPearson(v, n int, level float64) (Interval, error) {
	if n < 1 || n > maxTrials || v < 0 || v > n {
		return Interval{}, fmt.Errorf("metrics: Clopper-Pearson: %w: %d of %d", ErrRange, v, n)
	}
	if err := checkLevel(level); err != nil {
		return Interval{}, fmt.Errorf("metrics: Clopper-Pearson: %w", err)
	}
	return clopperPearson(v, n, level), nil
}

// clopperPearson takes arguments that are in range.
func clopperPearson(v, n int, level float64) Interval {
	beyond := (1 - level) / 2
	p := float64(v) / float64(n)
	low, high := 1-shareAbove(n-v, n, beyond), shareAbove(v, n, beyond)
	return Interval{Value: p, Low: min(p, low), High: max(p, high), Level: level, Method: "Clopper-Pearson"}
}

// shareAbove is the share p of which v successes or fewer in n trials have the
// probability q, which is less than one half; 1 where v is n.
func shareAbove(v, n int, q float64) float64 {
	switch v {
	case n:
		return 1
	case 0: // (1-p)^n = q
		return -math.Expm1(math.Log(q) / float64(n))
	}
	lo, hi := float64(v)/float64(n), 1.0
	for {
		mid := lo + (hi-lo)/2
		if mid == lo || mid == hi {
			return mid
		}
		if binomialBelow(v, n, mid) > q { // falls with the share
			lo = mid
		} else {
			hi = mid
		}
	}
}

// binomialBelow is the probability of v successes or fewer in n trials of a share p
// that is at least v/n and less than 1: the terms then fall from the v-th down.
func binomialBelow(v, n int, p float64) float64 {
	log := func(k int) float64 { l, _ := math.Lgamma(float64(k) + 1); return l }
	term := math.Exp(log(n) - log(v) - log(n-v) + float64(v)*math.Log(p) + float64(n-v)*math.Log1p(-p))
	sum, odds := term, (1-p)/p
	for j := v; j > 0 && term > 0x1p-60*sum; j-- {
		term *= float64(j) / float64(n-j+1) * odds
		sum += term
	}
	return sum
}
