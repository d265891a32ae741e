package downstream

import (
	"fmt"
)

// Verdict is what a calibrated detector decides about one image, and why.
type Verdict struct {
	// Reject says that the part is to be rejected: its score is not below Threshold.
	Reject    bool
	Score     float64
	Threshold float64
	// Rule says what the threshold was chosen for.
	Rule string
	// AsHigh of the Good parts that the detector was calibrated on score at least as
	// high as this one.
	AsHigh, Good int
}

// PValue is the conformal p-value of the part, above 0 to 1: the share of good parts,
// itself counted among them, that score at least as high ([metrics.ConformalP]).
func (v Verdict) PValue() float64 { return float64(v.AsHigh+1) / float64(v.Good+1) }

// String gives the reason in a sentence, such as "rejected: score 14.2 is not below the
// threshold 12.8 (overkill of at most 5 %); 0 of 41 good parts score as high".
func (v Verdict) String() string {
	decision, relation := "passed", "below"
	if v.Reject {
		decision, relation = "rejected", "not below"
	}
	return fmt.Sprintf("%s: score %.6g is %s the threshold %.6g (%s); %d of %d good parts score as high",
		decision, v.Score, relation, v.Threshold, v.Rule, v.AsHigh, v.Good)
}

// Verdict returns what the detector that gave the result decides, by the calibration
// that it had when scoring began. It returns [ErrNotCalibrated] if it had none, or one
// of images that were cut into other tiles.
func (r Result) Verdict() (Verdict, error) {
	switch {
	case r.calibration == nil:
		return Verdict{}, fmt.Errorf("downstream: verdict: %w", ErrNotCalibrated)
	case r.calibration.tiles != r.tiles:
		return Verdict{}, fmt.Errorf("downstream: verdict: %w: the calibration is of %s, the result of %s", ErrNotCalibrated, seenAs(r.calibration.tiles), seenAs(r.tiles))
	}
	return r.calibration.Verdict(r.Score), nil
}

func seenAs(tiles string) string {
	if tiles == "" {
		return "images that are seen whole"
	}
	return "images that are seen as " + tiles
}
