package evaluate

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/gotab/gotab/metrics"
)

// RuleKind says what a [Rule] keeps to.
type RuleKind string

// Kinds of rules.
const (
	// RuleOverkill is the lowest threshold that rejects at most Rate of the good parts.
	RuleOverkill RuleKind = "overkill"
	// RuleEscape is the highest threshold that lets at most Rate of the defects through.
	RuleEscape RuleKind = "escape"
	// RuleF1 is the threshold of the highest F1. It has no rate.
	RuleF1 RuleKind = "f1"
)

// Rule chooses the threshold from which a part is rejected. The zero Rule is none.
type Rule struct {
	Kind RuleKind
	Rate float64 // of parts, at least 0 and below 1; 0 for RuleF1
}

// Validate returns [ErrConfig] for a rule that there is not.
func (r Rule) Validate() error {
	switch r.Kind {
	case RuleF1:
		if r.Rate != 0 {
			return fmt.Errorf("evaluate: %w: rule f1 with the rate %v, want none", ErrConfig, r.Rate)
		}
		return nil
	case RuleOverkill, RuleEscape:
		if !(r.Rate >= 0 && r.Rate < 1) {
			return fmt.Errorf("evaluate: %w: rate %v of rule %s, want 0 to below 1", ErrConfig, r.Rate, r.Kind)
		}
		return nil
	}
	return noRule(string(r.Kind))
}

func noRule(text string) error {
	return fmt.Errorf("evaluate: %w: rule %q, want overkill:RATE, escape:RATE or f1", ErrConfig, text)
}

// ParseRule reads overkill:RATE, escape:RATE or f1. It returns [ErrConfig] for
// anything else.
func ParseRule(text string) (Rule, error) {
	kind, rate, rated := strings.Cut(text, ":")
	r := Rule{Kind: RuleKind(kind)}
	switch {
	case r.Kind == RuleF1 && !rated:
		return r, nil
	case r.Kind != RuleOverkill && r.Kind != RuleEscape || !rated:
		return Rule{}, noRule(text)
	}
	v, err := strconv.ParseFloat(rate, 64)
	if err != nil {
		return Rule{}, fmt.Errorf("evaluate: %w: rate %q of rule %s, want 0 to below 1", ErrConfig, rate, kind)
	}
	r.Rate = v
	return r, r.Validate()
}

// String returns what [ParseRule] reads.
func (r Rule) String() string {
	if r.Kind == RuleOverkill || r.Kind == RuleEscape {
		return string(r.Kind) + ":" + strconv.FormatFloat(r.Rate, 'g', -1, 64)
	}
	return string(r.Kind)
}

// Words says the rule as one would to the person who runs the line.
func (r Rule) Words() string {
	switch r.Kind {
	case RuleOverkill:
		return fmt.Sprintf("lowest threshold that rejects at most %.3g %% of the good parts", 100*r.Rate)
	case RuleEscape:
		return fmt.Sprintf("highest threshold that lets at most %.3g %% of the defects through", 100*r.Rate)
	}
	return "threshold of the highest F1"
}

// Meaning says what escape and overkill are, for the foot of a table that has them.
func (r Rule) Meaning() string {
	return "Escape: defects that would be shipped; overkill: good parts that would be rejected, at the " + r.Words() +
		", which is chosen on one half of the test images and counted on the other, and the other way round."
}

// Threshold chooses the threshold on some images. On these very images it looks
// better than it is: see [Rule.CrossFit]. Errors are those of Validate and of
// metrics.CutForOverkill, CutForEscape and F1Max.
func (r Rule) Threshold(scores []float64, defective []bool) (float64, error) {
	if err := r.Validate(); err != nil {
		return 0, err
	}
	switch r.Kind {
	case RuleOverkill:
		c, err := metrics.CutForOverkill(scores, defective, r.Rate)
		return c.Threshold, err
	case RuleEscape:
		c, err := metrics.CutForEscape(scores, defective, r.Rate)
		return c.Threshold, err
	}
	_, threshold, err := metrics.F1Max(scores, defective)
	return threshold, err
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

// CrossFit applies the rule to the scores of test images. It returns nil where a
// kind has one image only, because there are no halves. The halves depend on the
// labels alone, so all methods are judged on the same ones. It returns
// metrics.ErrLength if scores and labels are not as many. Other errors are those of
// [Rule.Threshold].
func (r Rule) CrossFit(scores []float64, defective []bool) (*CrossFit, error) {
	if err := r.Validate(); err != nil {
		return nil, err
	}
	if len(scores) != len(defective) {
		return nil, fmt.Errorf("evaluate: cross-fit: %w: %d scores and %d labels", metrics.ErrLength, len(scores), len(defective))
	}
	c := &CrossFit{Rule: r.String()}
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
	var err error
	if c.Threshold, err = r.Threshold(scores, defective); err != nil {
		return nil, err
	}
	half := halves(defective)
	for h := range half {
		s, d := pick(scores, half[h]), pick(defective, half[h])
		if c.Thresholds[h], err = r.Threshold(s, d); err != nil {
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
	rule, err := ParseRule(c.Rule)
	words := rule.Words()
	if err != nil { // of a file that another program wrote
		words = c.Rule
	}
	return fmt.Sprintf("of %d defects %d would be shipped (escape %.2f %%), of %d good parts %d would be rejected (overkill %.2f %%): "+
		"%s, chosen on one half of the images and counted on the other (%.6g and %.6g; %.6g on all)",
		c.Defects, c.Escaped, 100*c.EscapeRate(), c.Good, c.Overkilled, 100*c.OverkillRate(),
		words, c.Thresholds[0], c.Thresholds[1], c.Threshold)
}
