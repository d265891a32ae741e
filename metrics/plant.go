package metrics

import (
	"fmt"
	"math"
	"slices"
)

// Cut is what a threshold does to the parts of a line: a part that scores at least
// Threshold is rejected, every other is shipped.
type Cut struct {
	Threshold     float64
	Defects, Good int // parts that are defective and that are good
	Missed        int // defects that are shipped
	Overkilled    int // good parts that are rejected
}

// EscapeRate is the fraction of the defects that are shipped, from 0 to 1.
func (c Cut) EscapeRate() float64 { return float64(c.Missed) / float64(c.Defects) }

// OverkillRate is the fraction of the good parts that are rejected, from 0 to 1.
func (c Cut) OverkillRate() float64 { return float64(c.Overkilled) / float64(c.Good) }

// String says it in a sentence with the counts, because a rate of few parts says
// little.
func (c Cut) String() string {
	return fmt.Sprintf("at threshold %.6g: escape %.2f %% (%d of %d defects), overkill %.2f %% (%d of %d good parts)",
		c.Threshold, 100*c.EscapeRate(), c.Missed, c.Defects, 100*c.OverkillRate(), c.Overkilled, c.Good)
}

// CutAt counts what threshold does. Both kinds of parts are needed, else it is
// ErrOneClass; a NaN among scores, or as threshold, is ErrNaN. Infinite thresholds are
// allowed.
func CutAt(scores []float64, defective []bool, threshold float64) (Cut, error) {
	pos, neg, err := split(scores, defective)
	if err != nil {
		return Cut{}, fmt.Errorf("metrics: cut: %w", err)
	}
	if math.IsNaN(threshold) {
		return Cut{}, fmt.Errorf("metrics: cut: threshold: %w", ErrNaN)
	}
	return cut(pos, neg, threshold), nil
}

// cut counts in rising lists.
func cut(pos, neg []float64, threshold float64) Cut {
	missed, _ := slices.BinarySearch(pos, threshold)
	shipped, _ := slices.BinarySearch(neg, threshold)
	return Cut{threshold, len(pos), len(neg), missed, len(neg) - shipped}
}

// CutForEscape returns the highest threshold at which at most the fraction rate of
// the defects escapes: of all such thresholds the one with the least overkill. It is
// the score of a defect; +Inf where every defect may escape. Choose it on other images than
// those whose rates are reported: on its own images it looks better than it is.
//
// A rate outside of 0 to 1 is ErrRange. Other errors are those of CutAt.
func CutForEscape(scores []float64, defective []bool, rate float64) (Cut, error) {
	pos, neg, err := splitForRate(scores, defective, rate)
	if err != nil {
		return Cut{}, fmt.Errorf("metrics: cut for escape: %w", err)
	}
	threshold := math.Inf(1)
	if may := allowed(rate, len(pos)); may < len(pos) {
		threshold = pos[may]
	}
	return cut(pos, neg, threshold), nil
}

// CutForOverkill returns the lowest threshold at which at most the fraction rate of
// the good parts is rejected, which is [OverkillThreshold] of them: no threshold that
// keeps to the rate lets fewer defects escape. Choose it on other images than those
// whose rates are reported. Errors are those of OverkillThreshold and CutAt.
func CutForOverkill(scores []float64, defective []bool, rate float64) (Cut, error) {
	pos, neg, err := splitForRate(scores, defective, rate)
	if err != nil {
		return Cut{}, fmt.Errorf("metrics: cut for overkill: %w", err)
	}
	threshold, err := overkillThreshold(neg, rate)
	if err != nil {
		return Cut{}, fmt.Errorf("metrics: cut for overkill: %w", err)
	}
	return cut(pos, neg, threshold), nil
}

// OverkillThreshold returns the lowest threshold at which at most the fraction rate
// of good parts is rejected, from the scores of good parts alone, which is what a
// plant has before the first defect: the next number above the highest score that has
// to be shipped. Where all may be rejected it is -Inf. Score parts that the detector
// was not fitted on: those it knows look better than others. Of n parts a rate below
// 1/n cannot be told from 0.
//
// No score is ErrEmpty, a NaN ErrNaN, a rate outside of 0 to 1 ErrRange. If so many
// parts score +Inf that nothing helps, it is ErrUnreachable.
func OverkillThreshold(good []float64, rate float64) (float64, error) {
	threshold, err := func() (float64, error) {
		switch {
		case !(rate >= 0 && rate <= 1):
			return 0, fmt.Errorf("%w: rate is %g, must be from 0 to 1", ErrRange, rate)
		case len(good) == 0:
			return 0, fmt.Errorf("%w: no score of a good part", ErrEmpty)
		}
		for i, s := range good {
			if math.IsNaN(s) {
				return 0, fmt.Errorf("%w: number %d of %d", ErrNaN, i, len(good))
			}
		}
		return overkillThreshold(slices.Sorted(slices.Values(good)), rate)
	}()
	if err != nil {
		return 0, fmt.Errorf("metrics: threshold for overkill: %w", err)
	}
	return threshold, nil
}

// overkillThreshold is OverkillThreshold for a rising list.
func overkillThreshold(good []float64, rate float64) (float64, error) {
	may := allowed(rate, len(good))
	if may == len(good) {
		return math.Inf(-1), nil
	}
	last := good[len(good)-1-may]
	if math.IsInf(last, 1) {
		return 0, fmt.Errorf("%w: more than %d of %d good parts score +Inf", ErrUnreachable, may, len(good))
	}
	return math.Nextafter(last, math.Inf(1)), nil
}

// splitForRate is split for a wanted rate.
func splitForRate(scores []float64, defective []bool, rate float64) (pos, neg []float64, err error) {
	if !(rate >= 0 && rate <= 1) {
		return nil, nil, fmt.Errorf("%w: rate is %g, must be from 0 to 1", ErrRange, rate)
	}
	return split(scores, defective)
}

// allowed is how many of n may be lost so that the rate, as it is printed, is kept:
// by division, because 0.29 * 100 is less than 29.
func allowed(rate float64, n int) int {
	k := min(n, int(rate*float64(n))+1)
	for float64(k)/float64(n) > rate {
		k--
	}
	return k
}
