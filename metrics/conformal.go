package metrics

import (
	"fmt"
	"math"
	"slices"
)

// ConformalThreshold returns the threshold at which a good part to come is rejected with
// a probability of at most alpha: just above the ceil((n+1)(1-alpha))-th of the n scores
// of good parts, rising. It holds for any distribution of the scores and any n, on
// average over the parts that the threshold is chosen on, as long as parts to come are
// drawn as those were. See [ConformalP].
//
// It returns ErrTooFew if alpha is less than 1/(n+1), ErrRange if alpha does not lie
// between 0 and 1, and ErrEmpty, ErrNaN or ErrRange for scores that are not there or not
// finite.
//
// Sources: Vovk, Gammerman and Shafer, "Algorithmic Learning in a Random World", 2005;
// for detectors, Laxhammar and Falkman, "Conformal prediction for distribution-
// independent anomaly detection in streaming vessel data", 2010.
func ConformalThreshold(good []float64, alpha float64) (float64, error) {
	sorted, err := finiteSorted(good)
	switch {
	case err != nil:
	case len(good) == 0:
		err = fmt.Errorf("%w: no score of a good part", ErrEmpty)
	case !(alpha > 0 && alpha < 1):
		err = fmt.Errorf("%w: alpha is %g, must be between 0 and 1", ErrRange, alpha)
	default:
		var threshold float64
		if threshold, err = conformalThreshold(sorted, alpha); err == nil {
			return threshold, nil
		}
	}
	return 0, fmt.Errorf("metrics: conformal threshold: %w", err)
}

// conformalThreshold is ConformalThreshold of a rising list.
func conformalThreshold(good []float64, alpha float64) (float64, error) {
	n := len(good)
	may := allowed(alpha, n+1) // of all with the one to come, which counts as rejected
	if may < 1 {
		return 0, fmt.Errorf("%w: %d good parts, a false alarm in %s takes %s or more", ErrTooFew, n, percent(alpha), whole(1/alpha-1))
	}
	return math.Nextafter(good[n-may], math.Inf(1)), nil
}

// ConformalP returns the conformal p-value of a score, above 0 to 1: the share of the n
// good parts and the part in question that score at least as high as it. Of good parts
// at most the fraction p gets a p-value of p or less. The threshold of
// [ConformalThreshold] rejects what has a p-value of at most alpha.
//
// good must rise; it takes O(log n).
// It returns ErrEmpty if good is empty and ErrNaN if score is NaN.
func ConformalP(good []float64, score float64) (float64, error) {
	switch {
	case len(good) == 0:
		return 0, fmt.Errorf("metrics: conformal p-value: %w: no score of a good part", ErrEmpty)
	case math.IsNaN(score):
		return 0, fmt.Errorf("metrics: conformal p-value: %w", ErrNaN)
	}
	below, _ := slices.BinarySearch(good, score)
	return float64(len(good)-below+1) / float64(len(good)+1), nil
}
