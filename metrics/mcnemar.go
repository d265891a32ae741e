package metrics

import (
	"fmt"
	"math"
)

// PairedShares is what [McNemar] found.
type PairedShares struct {
	N            int // trials
	OnlyA, OnlyB int // those that one of both has right
	A, B         float64
	Difference   Interval // of A-B, -1 to 1
	P            float64  // two-sided: how likely OnlyA and OnlyB as far apart were if the shares were the same
}

// McNemar compares two shares of the same trials, such as the images that a classifier names rightly with
// two backbones: a and b say of each trial whether it is right. Two separate intervals count what both have right, or both
// wrong, as if it told something of the difference; this does not.
//
// P is that of the exact test, a binomial one of the trials that only one has right (McNemar, "Note on the
// sampling error of the difference between correlated proportions or percentages", Psychometrika 12, 1947). The
// interval is Newcombe's square-and-add of two Wilson intervals ("Improved confidence intervals for the
// difference between binomial proportions based on paired data", Statistics in Medicine 17, 1998, method 10,
// whose correlation is corrected for continuity). The two can disagree where P is about one less the level.
//
// It returns an error that wraps [ErrEmpty] without trials, [ErrLength] if a and b differ in length, and
// [ErrRange] if level is not within 0 and 1. It takes O(n).
func McNemar(a, b []bool, level float64) (PairedShares, error) {
	if err := checkLevel(level); err != nil {
		return PairedShares{}, fmt.Errorf("metrics: McNemar: %w", err)
	}
	if len(a) != len(b) {
		return PairedShares{}, fmt.Errorf("metrics: McNemar: %w: %d and %d trials", ErrLength, len(a), len(b))
	}
	if len(a) == 0 {
		return PairedShares{}, fmt.Errorf("metrics: McNemar: %w", ErrEmpty)
	}
	both, neither := 0, 0
	s := PairedShares{N: len(a)}
	for i := range a {
		switch {
		case a[i] && b[i]:
			both++
		case a[i]:
			s.OnlyA++
		case b[i]:
			s.OnlyB++
		default:
			neither++
		}
	}
	p, err := Wilson(both+s.OnlyA, s.N, level)
	if err != nil {
		return PairedShares{}, err
	}
	q, err := Wilson(both+s.OnlyB, s.N, level)
	if err != nil {
		return PairedShares{}, err
	}
	s.A, s.B, s.P = p.Value, q.Value, 1
	d := float64(s.OnlyA-s.OnlyB) / float64(s.N) // less rounding than A-B has
	phi := correlation(both, s.OnlyA, s.OnlyB, neither)
	below, above := squareAndAdd(s.A-p.Low, q.High-s.B, phi), squareAndAdd(p.High-s.A, s.B-q.Low, phi)
	s.Difference = Interval{Value: d, Low: max(-1, d-below), High: min(1, d+above), Level: level, Method: "Newcombe"}
	if n := s.OnlyA + s.OnlyB; n > 0 {
		s.P = min(1, 2*binomialBelow(min(s.OnlyA, s.OnlyB), n, 0.5))
	}
	return s, nil
}

// correlation is that of two answers, from the counts of their four outcomes; 0 where one of them is
// always the same. A positive one is lessened by half a trial in each count, and not below 0.
func correlation(both, onlyA, onlyB, neither int) float64 {
	e, f, g, h := float64(both), float64(onlyA), float64(onlyB), float64(neither)
	under := (e + f) * (g + h) * (e + g) * (f + h)
	if under == 0 {
		return 0
	}
	over := e*h - f*g
	if over > 0 {
		over = max(0, over-(e+f+g+h)/2)
	}
	return over / math.Sqrt(under)
}

// squareAndAdd is the half of an interval of a difference from those of its terms, with their correlation. Rounding
// may take the sum below zero where both halves are the same and phi is 1.
func squareAndAdd(x, y, phi float64) float64 { return math.Sqrt(max(0, x*x-2*phi*x*y+y*y)) }
