package metrics

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"slices"

	"github.com/gotab/gotab/internal/pipeline"
)

// Trustworthiness says how far the k nearest neighbours of points in an image are
// neighbours in truth: 1 if all of them are among the k nearest there, less by how far down
// the true ranking the others stand, 0 at worst (for k below half of the points):
//
//	1 - 2 / (n k (2n - 3k - 1)) sum_i sum_{j in U_i} (r(i, j) - k)
//
// with U_i the points that are among the k nearest of i in shown and not in truth, and
// r(i, j) the rank of j among the neighbours of i in truth, from 1. Distances are
// Euclidean; of points at one distance the first comes first. truth and shown hold one
// row for each point, of any two lengths.
//
// Other numbers of rows return ErrLength, as rows of different lengths; none ErrEmpty; k
// below 1, or half of the points or more, ErrRange; values that are not finite ErrNaN or
// ErrRange. It compares all pairs, on all processors, in memory for a few rows, and
// obeys ctx.
//
// Source: Venna and Kaski, "Neighborhood preservation in nonlinear projection methods",
// 2001. scikit-learn's sklearn.manifold.trustworthiness is the same.
func Trustworthiness(ctx context.Context, truth, shown [][]float64, k int) (float64, error) {
	fail := func(err error) (float64, error) { return 0, fmt.Errorf("metrics: trustworthiness: %w", err) }
	n := len(truth)
	if n != len(shown) {
		return fail(fmt.Errorf("%w: %d points, %d shown", ErrLength, n, len(shown)))
	}
	for _, rows := range [][][]float64{truth, shown} {
		if err := checkRows(ctx, rows); err != nil {
			return fail(err)
		}
	}
	if k < 1 || 2*k >= n {
		return fail(fmt.Errorf("%w: k is %d, want 1 to below half of %d points", ErrRange, k, n))
	}
	lost := 0.0
	for v, err := range eachPoint(ctx, n, func(i int) float64 { return intruders(truth, shown, i, k) }) {
		if err != nil {
			return fail(err)
		}
		lost += v // of whole numbers, so exact
	}
	return 1 - 2*lost/(float64(n)*float64(k)*(2*float64(n)-3*float64(k)-1)), nil
}

// intruders is the sum of r - k over the neighbours of i that are none in truth.
func intruders(truth, shown [][]float64, i, k int) float64 {
	near := nearest(shown, i, k)
	all := make([]pointAt, len(truth))
	for j := range truth {
		all[j] = pointAt{j, squared(truth[i], truth[j])}
	}
	// How many stand before each of the k: counted between them, then added up.
	ranked := make([]pointAt, k)
	for m, p := range near {
		ranked[m] = all[p.at]
	}
	slices.SortFunc(ranked, pointAt.compare)
	before := make([]int, k+1)
	for j, p := range all {
		if j != i {
			m, _ := slices.BinarySearchFunc(ranked, p, pointAt.compare)
			before[m]++ // p is ranked[m] or stands right before it
		}
	}
	sum, rank := 0, 0
	for m := range ranked {
		rank += before[m]
		sum += max(0, rank-k)
	}
	return float64(sum)
}

// Silhouette says how far classes are apart: the mean over points of (b - a) / max(a, b),
// where a is the mean distance to the others of its class and b that to the nearest other
// class; -1 to 1, more is farther apart, and about 0 where they overlap. A point alone in
// its class counts 0, as does one at whose place all are. Distances are Euclidean; rows
// hold one point each, class its number, which may be any.
//
// Fewer than two classes return ErrOneClass, other numbers of rows and classes ErrLength; values
// and ctx are as in [Trustworthiness]. It compares all pairs, on all processors. Where one class
// surrounds the other, as damage surrounds good parts, the silhouette is low though neighbours
// agree: see [NeighbourAccuracy].
//
// Source: Rousseeuw, "Silhouettes: a graphical aid to the interpretation and validation of
// cluster analysis", 1987. scikit-learn's silhouette_score is the same.
func Silhouette(ctx context.Context, rows [][]float64, class []int) (float64, error) {
	fail := func(err error) (float64, error) { return 0, fmt.Errorf("metrics: silhouette: %w", err) }
	of, counts, err := numbered(ctx, rows, class)
	if err != nil {
		return fail(err)
	}
	sum := 0.0
	for v, err := range eachPoint(ctx, len(rows), func(i int) float64 { return silhouette(rows, of, counts, i) }) {
		if err != nil {
			return fail(err)
		}
		sum += v
	}
	return sum / float64(len(rows)), nil
}

func silhouette(rows [][]float64, of, counts []int, i int) float64 {
	if counts[of[i]] == 1 {
		return 0
	}
	to := make([]float64, len(counts)) // sums of distances
	for j := range rows {
		to[of[j]] += math.Sqrt(squared(rows[i], rows[j]))
	}
	a, b := to[of[i]]/float64(counts[of[i]]-1), math.Inf(1)
	for c, s := range to {
		if c != of[i] {
			b = min(b, s/float64(counts[c]))
		}
	}
	if m := max(a, b); m > 0 {
		return (b - a) / m
	}
	return 0
}

// NeighbourAccuracy says how often a point's k nearest neighbours tell its class, the point
// itself left out: the share of points whose class most of the k have, taken class by class
// and averaged over the classes, so that many good parts do not hide few damaged ones. Two
// classes with as many neighbours are decided by the nearer neighbour. 1 is perfect; what guessing
// gives is 1 by the number of classes.
//
// k below 1, or not below the number of points, returns ErrRange; the rest is as in [Silhouette].
func NeighbourAccuracy(ctx context.Context, rows [][]float64, class []int, k int) (float64, error) {
	fail := func(err error) (float64, error) { return 0, fmt.Errorf("metrics: neighbour accuracy: %w", err) }
	of, counts, err := numbered(ctx, rows, class)
	if err != nil {
		return fail(err)
	}
	if k < 1 || k >= len(rows) {
		return fail(fmt.Errorf("%w: k is %d, want 1 to below %d points", ErrRange, k, len(rows)))
	}
	right := make([]float64, len(counts))
	i := 0
	for v, err := range eachPoint(ctx, len(rows), func(i int) float64 {
		if vote(nearest(rows, i, k), of, len(counts)) == of[i] {
			return 1
		}
		return 0
	}) {
		if err != nil {
			return fail(err)
		}
		right[of[i]] += v
		i++
	}
	sum := 0.0
	for c, r := range right {
		sum += r / float64(counts[c])
	}
	return sum / float64(len(counts)), nil
}

// vote returns the class that most of the points have, which are nearest first.
func vote(near []pointAt, of []int, classes int) int {
	votes := make([]int, classes)
	for _, p := range near {
		votes[of[p.at]]++
	}
	most := slices.Max(votes)
	for _, p := range near {
		if votes[of[p.at]] == most {
			return of[p.at]
		}
	}
	return 0
}

// pointAt is a point and the square of its distance.
type pointAt struct {
	at int
	d2 float64
}

func (a pointAt) compare(b pointAt) int {
	switch {
	case a.d2 < b.d2:
		return -1
	case a.d2 > b.d2:
		return 1
	}
	return a.at - b.at
}

// nearest returns the k points nearest to point i, nearest first.
func nearest(rows [][]float64, i, k int) []pointAt {
	out := make([]pointAt, 0, k+1)
	for j := range rows {
		if j == i {
			continue
		}
		p := pointAt{j, squared(rows[i], rows[j])}
		if len(out) == k && p.compare(out[k-1]) > 0 {
			continue
		}
		at, _ := slices.BinarySearchFunc(out, p, pointAt.compare)
		if out = slices.Insert(out, at, p); len(out) > k {
			out = out[:k]
		}
	}
	return out
}

// squared is the square of the distance of two rows of one length.
func squared(a, b []float64) float64 {
	sum := 0.0
	b = b[:len(a)]
	for k, v := range a {
		d := v - b[k]
		sum += d * d
	}
	return sum
}

// maxCoordinate keeps squares of distances finite.
const maxCoordinate = 1e150

// checkRows refuses rows that have no distances.
func checkRows(ctx context.Context, rows [][]float64) error {
	switch {
	case ctx == nil:
		return fmt.Errorf("%w: the context is nil; pass context.Background()", ErrRange)
	case len(rows) == 0:
		return fmt.Errorf("%w: there are no points", ErrEmpty)
	}
	for i, r := range rows {
		if len(r) != len(rows[0]) {
			return fmt.Errorf("%w: point %d has %d values, point 0 has %d", ErrLength, i, len(r), len(rows[0]))
		}
		for k, v := range r {
			if math.IsNaN(v) {
				return fmt.Errorf("value %d of point %d: %w", k, i, ErrNaN)
			}
			if math.Abs(v) > maxCoordinate/math.Sqrt(float64(len(r))) {
				return fmt.Errorf("%w: value %d of point %d is %g", ErrRange, k, i, v)
			}
		}
	}
	return nil
}

// numbered checks points with classes, and returns classes that count from 0 in the
// order in which they come, with the number of points of each.
func numbered(ctx context.Context, rows [][]float64, class []int) (of, counts []int, err error) {
	if len(rows) != len(class) {
		return nil, nil, fmt.Errorf("%w: %d points, %d classes", ErrLength, len(rows), len(class))
	}
	if err := checkRows(ctx, rows); err != nil {
		return nil, nil, err
	}
	known := map[int]int{}
	for _, c := range class {
		k, ok := known[c]
		if !ok {
			k = len(counts)
			known[c] = k
			counts = append(counts, 0)
		}
		counts[k]++
		of = append(of, k)
	}
	if len(counts) < 2 {
		return nil, nil, fmt.Errorf("%w: all %d points are of one class", ErrOneClass, len(rows))
	}
	return of, counts, nil
}

// eachPoint yields f of 0 to n-1 in that order, computed on all processors.
func eachPoint(ctx context.Context, n int, f func(i int) float64) func(func(float64, error) bool) {
	const block = 64
	workers := runtime.GOMAXPROCS(0)
	return func(yield func(float64, error) bool) {
		for part, err := range pipeline.Ordered(ctx, (n+block-1)/block, workers, workers+1, func(ctx context.Context, b int) ([]float64, error) {
			var out []float64
			for i := b * block; i < min(n, (b+1)*block); i++ {
				out = append(out, f(i))
			}
			return out, ctx.Err()
		}) {
			if err != nil {
				yield(0, err)
				return
			}
			for _, v := range part {
				if !yield(v, nil) {
					return
				}
			}
		}
	}
}
