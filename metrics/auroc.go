package metrics

import (
	"fmt"
	"math"
	"math/bits"
	"slices"
)

// AUROC is the area under the ROC curve, from 0 to 1: the fraction of pairs of a
// positive and a negative in which the positive has the higher score, ties counting
// one half. The pairs are counted in integers, so the value is the exact fraction
// rounded once.
//
// scores and positive have one element for each image and are left as they are.
// Fewer than one positive or one negative is ErrOneClass, a NaN is ErrNaN, unequal
// lengths are ErrLength. It takes O(n log n) and is safe for concurrent use.
//
// Source: Hanley and McNeil, "The meaning and use of the area under a receiver
// operating characteristic (ROC) curve", Radiology 143, 1982.
func AUROC(scores []float64, positive []bool) (float64, error) {
	pos, neg, err := split(scores, positive)
	if err != nil {
		return 0, fmt.Errorf("metrics: AUROC: %w", err)
	}
	var t tally
	merge(pos, neg, func(_ float64, p, n int) { t.add(uint64(p), uint64(n)) })
	return t.auroc(), nil
}

// ROCPoint is a point of the ROC curve: with "defective" meaning a score of at
// least Threshold, FPR of the negatives and TPR of the positives are called so.
type ROCPoint struct {
	Threshold float64 // +Inf for the first point, at which nothing is called defective
	FPR, TPR  float64 // from 0 to 1
}

// ROC returns the curve from (0, 0) to (1, 1), one point for each distinct score,
// thresholds falling. The trapezoids under it have the area that AUROC returns.
// Errors are those of AUROC.
func ROC(scores []float64, positive []bool) ([]ROCPoint, error) {
	pos, neg, err := split(scores, positive)
	if err != nil {
		return nil, fmt.Errorf("metrics: ROC: %w", err)
	}
	p, n := len(pos), len(neg)
	points := []ROCPoint{}
	merge(pos, neg, func(score float64, dp, dn int) {
		points = append(points, ROCPoint{score, float64(n) / float64(len(neg)), float64(p) / float64(len(pos))})
		p -= dp
		n -= dn
	})
	points = append(points, ROCPoint{Threshold: math.Inf(1)})
	slices.Reverse(points)
	return points, nil
}

// F1Max returns the highest F1 = 2PR/(P+R) that any threshold reaches (P precision,
// R recall, from 0 to 1) and that threshold: a score of at least threshold is
// called defective. Where several thresholds reach it, the lowest is returned, as by
// an arg-max over scikit-learn's precision_recall_curve. Errors are those of AUROC.
func F1Max(scores []float64, positive []bool) (f1, threshold float64, err error) {
	pos, neg, err := split(scores, positive)
	if err != nil {
		return 0, 0, fmt.Errorf("metrics: F1Max: %w", err)
	}
	b := bestF1[float64]{pos: uint64(len(pos)), neg: uint64(len(neg)), positives: uint64(len(pos))}
	merge(pos, neg, func(score float64, p, n int) { b.add(score, uint64(p), uint64(n)) })
	return b.f1, b.threshold, nil
}

// split checks the arguments and returns the scores of the two classes, rising.
func split(scores []float64, positive []bool) (pos, neg []float64, err error) {
	if len(scores) != len(positive) {
		return nil, nil, fmt.Errorf("%w: %d scores, %d labels", ErrLength, len(scores), len(positive))
	}
	n := 0
	for _, p := range positive {
		if p {
			n++
		}
	}
	if n == 0 || n == len(scores) {
		return nil, nil, fmt.Errorf("%w: %d of %d are positive", ErrOneClass, n, len(scores))
	}
	pos, neg = make([]float64, 0, n), make([]float64, 0, len(scores)-n)
	for i, s := range scores {
		switch {
		case math.IsNaN(s):
			return nil, nil, fmt.Errorf("%w: number %d of %d", ErrNaN, i, len(scores))
		case positive[i]:
			pos = append(pos, s)
		default:
			neg = append(neg, s)
		}
	}
	slices.Sort(pos)
	slices.Sort(neg)
	return pos, neg, nil
}

// merge calls fn for each distinct value of two rising lists, rising, with how
// often each list has it.
func merge[T float64 | uint32](pos, neg []T, fn func(value T, p, n int)) {
	for i, j := 0, 0; i < len(pos) || j < len(neg); {
		var v T
		if j == len(neg) || i < len(pos) && pos[i] < neg[j] {
			v = pos[i]
		} else {
			v = neg[j]
		}
		i0, j0 := i, j
		for i < len(pos) && pos[i] == v {
			i++
		}
		for j < len(neg) && neg[j] == v {
			j++
		}
		fn(v, i-i0, j-j0)
	}
}

// tally counts pairs over groups of equal score, rising. Twice the Mann-Whitney
// statistic is an integer; it has 128 bits because two billion pixels of each
// class already fill 64.
type tally struct {
	pos, neg         uint64 // of the groups so far
	twiceHi, twiceLo uint64 // twice the pairs won
	tiedHi, tiedLo   uint64 // pairs within a group
}

func (t *tally) add(p, n uint64) {
	// Each of the p wins over all negatives below and ties with n.
	addProduct(&t.twiceHi, &t.twiceLo, p, 2*t.neg+n)
	addProduct(&t.tiedHi, &t.tiedLo, p, n)
	t.pos += p
	t.neg += n
}

func addProduct(hi, lo *uint64, a, b uint64) {
	h, l := bits.Mul64(a, b)
	var carry uint64
	*lo, carry = bits.Add64(*lo, l, 0)
	*hi, _ = bits.Add64(*hi, h, carry)
}

// float is the value of a number of 128 bits.
func float(hi, lo uint64) float64 { return float64(hi)*0x1p64 + float64(lo) }

// pairs is twice the number of pairs of both classes.
func (t *tally) pairs() float64 {
	hi, lo := bits.Mul64(t.pos, t.neg)
	return 2 * float(hi, lo)
}

func (t *tally) auroc() float64 { return float(t.twiceHi, t.twiceLo) / t.pairs() }

// halfTied is half of the fraction of pairs that lie in one group: how far the
// area can be from the truth if the members of a group are not really equal.
func (t *tally) halfTied() float64 { return float(t.tiedHi, t.tiedLo) / t.pairs() }

// bestF1 looks for the best threshold over groups of equal score, rising. pos and
// neg are what is at or above the group that comes next.
type bestF1[T any] struct {
	pos, neg, positives uint64
	found               bool
	f1                  float64
	threshold           T
}

func (b *bestF1[T]) add(score T, p, n uint64) {
	// 2PR/(P+R) with P = tp/called, R = tp/positives.
	f1 := 2 * float64(b.pos) / float64(b.pos+b.neg+b.positives)
	if !b.found || f1 > b.f1 {
		b.found, b.f1, b.threshold = true, f1, score
	}
	b.pos -= p
	b.neg -= n
}
