package evaluate

import (
	"errors"
	"fmt"

	"github.com/gotab/gotab/metrics"
)

// MeaningOfCut says what escape and overkill are, for the foot of a table that has them
// at the threshold of a rule.
func MeaningOfCut(r metrics.Rule) string {
	return "Escape: defects that would be shipped; overkill: good parts that would be rejected, at the " + r.Words() +
		", which is chosen on one half of the test images and counted on the other, and the other way round."
}

// CrossFit is what a rule does to test images when its threshold is chosen on one
// half of them and counted on the other, and the other way round: on the images
// that it was chosen on, every threshold looks better than it is.
type CrossFit struct {
	Rule       string     `json:"rule"`
	Defects    int        `json:"defects"`
	Escaped    int        `json:"escaped"` // defects that would be shipped
	Good       int        `json:"good"`
	Overkilled int        `json:"overkilled"` // good parts that would be rejected
	Thresholds [2]float64 `json:"thresholds"` // chosen on either half
	Threshold  float64    `json:"threshold"`  // chosen on all images: the one to take along
}

// EscapeRate is the fraction of the defects that would be shipped, from 0 to 1.
func (c CrossFit) EscapeRate() float64 { return float64(c.Escaped) / float64(c.Defects) }

// OverkillRate is the fraction of the good parts that would be rejected, from 0 to 1.
func (c CrossFit) OverkillRate() float64 { return float64(c.Overkilled) / float64(c.Good) }

// NewCrossFit applies a rule to the scores of test images. It returns nil where a
// kind has one image only, because there are no halves, and where half of the images are
// too few for the rule (metrics.ErrTooFew). The halves depend on the
// labels alone, so all methods are judged on the same ones. It returns
// metrics.ErrLength if scores and labels are not as many. Other errors are those of
// metrics.Rule.Threshold.
func NewCrossFit(r metrics.Rule, scores []float64, defective []bool) (*CrossFit, error) {
	if err := r.Validate(); err != nil {
		return nil, err
	}
	if len(scores) != len(defective) {
		return nil, fmt.Errorf("evaluate: cross-fit: %w: %d scores and %d labels", metrics.ErrLength, len(scores), len(defective))
	}
	c := &CrossFit{Rule: r.Flag()}
	for _, d := range defective {
		if d {
			c.Defects++
		} else {
			c.Good++
		}
	}
	if c.Defects < 2 || c.Good < 2 {
		return nil, nil
	}
	threshold := func(scores []float64, defective []bool) (t float64, enough bool, err error) {
		t, err = r.Threshold(scores, defective)
		if errors.Is(err, metrics.ErrTooFew) {
			return 0, false, nil
		}
		return t, true, err
	}
	var err error
	var enough bool
	if c.Threshold, enough, err = threshold(scores, defective); err != nil || !enough {
		return nil, err
	}
	half := halves(defective)
	for h := range half {
		s, d := pick(scores, half[h]), pick(defective, half[h])
		if c.Thresholds[h], enough, err = threshold(s, d); err != nil || !enough {
			return nil, err
		}
		other := half[1-h]
		counted, err := metrics.CutAt(pick(scores, other), pick(defective, other), c.Thresholds[h])
		if err != nil {
			return nil, err
		}
		c.Escaped += counted.Missed
		c.Overkilled += counted.Overkilled
	}
	return c, nil
}

// halves shares the images out, each kind evenly. The draw depends on nothing but
// the labels, so that all methods are judged on the same halves.
func halves(defective []bool) (half [2][]int) {
	for _, kind := range []bool{false, true} {
		var of []int
		for i, d := range defective {
			if d == kind {
				of = append(of, i)
			}
		}
		rng := Seed{Number: 1}.rand(forHalves)
		rng.Shuffle(len(of), func(i, j int) { of[i], of[j] = of[j], of[i] })
		for i, at := range of {
			half[i%2] = append(half[i%2], at)
		}
	}
	return half
}

func pick[T any](from []T, at []int) []T {
	out := make([]T, len(at))
	for i, j := range at {
		out[i] = from[j]
	}
	return out
}

// String says what happens on the line, with the counts, because a rate of few parts
// says little.
func (c CrossFit) String() string {
	rule, err := metrics.ParseRule(c.Rule)
	words := rule.Words()
	if err != nil { // of a file that another program wrote
		words = c.Rule
	}
	return fmt.Sprintf("of %d defects %d would be shipped (escape %.2f %%), of %d good parts %d would be rejected (overkill %.2f %%): "+
		"%s, chosen on one half of the images and counted on the other (%.6g and %.6g; %.6g on all)",
		c.Defects, c.Escaped, 100*c.EscapeRate(), c.Good, c.Overkilled, 100*c.OverkillRate(),
		words, c.Thresholds[0], c.Thresholds[1], c.Threshold)
}
