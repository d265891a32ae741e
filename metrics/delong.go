package metrics

import (
	"fmt"
	"math"
	"slices"
)

// DeLong returns the area under the ROC curve, as AUROC does, with the confidence
// interval of the given level (such as 0.95) from DeLong's variance: area plus and
// minus so many standard errors, cut to 0 and 1.
//
// The interval is that of the images as a sample of all images; it says nothing
// about training again with another seed. It rests on a normal distribution: with few
// images or an area near 1 it is too short, and where the classes are separated
// completely it has no length at all. Bootstrap does not help against the last.
//
// Arguments and errors are those of AUROC; besides, a class of one image has no
// variance and is ErrOneClass, and a level that is none is ErrRange. It takes
// O(n log n).
//
// Sources: DeLong, DeLong and Clarke-Pearson, "Comparing the areas under two or more
// correlated receiver operating characteristic curves", Biometrics 44, 1988; by ranks
// instead of pairs: Sun and Xu, IEEE Signal Processing Letters 21, 2014.
func DeLong(scores []float64, positive []bool, level float64) (Interval, error) {
	if err := checkLevel(level); err != nil {
		return Interval{}, fmt.Errorf("metrics: DeLong: %w", err)
	}
	p, err := place(scores, positive)
	if err != nil {
		return Interval{}, fmt.Errorf("metrics: DeLong: %w", err)
	}
	half := normalQuantile(level) * math.Sqrt(p.covariance(p))
	return Interval{Value: p.area, Low: math.Max(0, p.area-half), High: math.Min(1, p.area+half), Level: level, Method: "DeLong"}, nil
}

// Comparison is what DeLongTest found.
type Comparison struct {
	A, B       float64  // the two areas
	Difference Interval // of A-B
	Z          float64  // the difference in standard errors; 0 or infinite where there is no error
	P          float64  // two-sided: how likely a Z as large were if the areas were the same
}

// DeLongTest compares two detectors, or one detector on two backbones, on the same
// images: a and b are their scores, positive the labels common to both. As the
// same images are hard for both, their areas err together, which two separate
// intervals would not see. Errors are those of DeLong.
func DeLongTest(a, b []float64, positive []bool, level float64) (Comparison, error) {
	if err := checkLevel(level); err != nil {
		return Comparison{}, fmt.Errorf("metrics: DeLong test: %w", err)
	}
	pa, err := place(a, positive)
	if err != nil {
		return Comparison{}, fmt.Errorf("metrics: DeLong test: first scores: %w", err)
	}
	pb, err := place(b, positive)
	if err != nil {
		return Comparison{}, fmt.Errorf("metrics: DeLong test: second scores: %w", err)
	}
	// The variance of a difference, from the differences of the placements: adding
	// the three covariances instead would leave rounding where a equals b.
	d := pa.minus(pb)
	se := math.Sqrt(d.covariance(d))
	half := normalQuantile(level) * se
	c := Comparison{A: pa.area, B: pb.area, P: 1,
		Difference: Interval{Value: d.area, Low: math.Max(-1, d.area-half), High: math.Min(1, d.area+half), Level: level, Method: "DeLong"}}
	if d.area != 0 {
		c.Z = d.area / se
		c.P = math.Erfc(math.Abs(c.Z) / math.Sqrt2)
	}
	return c, nil
}

// placements has, for each positive, the fraction of negatives below it, and for
// each negative the fraction of positives above it, ties counting one half. The mean
// of either is the area.
type placements struct {
	area     float64
	pos, neg []float64 // in the order of the images
}

func place(scores []float64, positive []bool) (placements, error) {
	pos, neg, err := split(scores, positive)
	if err != nil {
		return placements{}, err
	}
	if len(pos) < 2 || len(neg) < 2 {
		return placements{}, fmt.Errorf("%w, two of each for a variance: %d of %d are positive", ErrOneClass, len(pos), len(scores))
	}
	var t tally
	merge(pos, neg, func(_ float64, p, n int) { t.add(uint64(p), uint64(n)) })
	p := placements{area: t.auroc()}
	for i, s := range scores {
		if positive[i] {
			p.pos = append(p.pos, below(neg, s)/float64(len(neg)))
		} else {
			p.neg = append(p.neg, 1-below(pos, s)/float64(len(pos)))
		}
	}
	return p, nil
}

// below counts the elements of a rising list that are less than s, and half of
// those that equal it.
func below(rising []float64, s float64) float64 {
	lo, _ := slices.BinarySearch(rising, s)
	n, _ := slices.BinarySearchFunc(rising[lo:], s, func(v, s float64) int {
		if v <= s {
			return -1
		}
		return 1
	})
	return float64(lo) + float64(n)/2
}

func (p placements) minus(q placements) placements {
	d := placements{area: p.area - q.area, pos: slices.Clone(p.pos), neg: slices.Clone(p.neg)}
	for i, v := range q.pos {
		d.pos[i] -= v
	}
	for i, v := range q.neg {
		d.neg[i] -= v
	}
	return d
}

// covariance of the areas of p and q, which are of the same images.
func (p placements) covariance(q placements) float64 {
	return covariance(p.pos, q.pos)/float64(len(p.pos)) + covariance(p.neg, q.neg)/float64(len(p.neg))
}

// covariance of a sample, with n-1.
func covariance(a, b []float64) float64 {
	var ma, mb, sum float64
	for i := range a {
		ma += a[i]
		mb += b[i]
	}
	ma /= float64(len(a))
	mb /= float64(len(b))
	for i := range a {
		sum += (a[i] - ma) * (b[i] - mb)
	}
	return sum / float64(len(a)-1)
}
