package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/gotab/gotab/metrics"
)

// cutRule says where the threshold lies that parts are rejected at.
type cutRule struct {
	kind string  // "overkill", "escape" or "f1"
	rate float64 // that it may reach at most, of the first two
}

func parseRule(text string) (cutRule, error) {
	kind, rate, rated := strings.Cut(text, ":")
	r := cutRule{kind: kind}
	switch {
	case kind == "f1" && !rated:
		return r, nil
	case kind != "overkill" && kind != "escape" || !rated:
		return r, fmt.Errorf("%w: rule %q, want overkill:RATE, escape:RATE or f1", metrics.ErrRange, text)
	}
	v, err := strconv.ParseFloat(rate, 64)
	if err != nil || !(v >= 0 && v < 1) {
		return r, fmt.Errorf("%w: rate %q of rule %s, want 0 to below 1", metrics.ErrRange, rate, kind)
	}
	r.rate = v
	return r, nil
}

// String is what parseRule reads.
func (r cutRule) String() string {
	if r.kind == "f1" {
		return r.kind
	}
	return r.kind + ":" + strconv.FormatFloat(r.rate, 'g', -1, 64)
}

// words says the rule as one would to whoever runs the line.
func (r cutRule) words() string {
	switch r.kind {
	case "overkill":
		return fmt.Sprintf("lowest threshold that rejects at most %.3g %% of the good parts", 100*r.rate)
	case "escape":
		return fmt.Sprintf("highest threshold that lets at most %.3g %% of the defects through", 100*r.rate)
	}
	return "threshold of the highest F1"
}

// meaning says what escape and overkill are, where a table has them.
func (r cutRule) meaning() string {
	return "Escape: defects that would be shipped; overkill: good parts that would be rejected, at the " + r.words() +
		", which is chosen on one half of the test images and counted on the other, and the other way round."
}

// at chooses the threshold on some images.
func (r cutRule) at(scores []float64, defective []bool) (float64, error) {
	switch r.kind {
	case "overkill":
		c, err := metrics.CutForOverkill(scores, defective, r.rate)
		return c.Threshold, err
	case "escape":
		c, err := metrics.CutForEscape(scores, defective, r.rate)
		return c.Threshold, err
	}
	_, threshold, err := metrics.F1Max(scores, defective)
	return threshold, err
}

// cut is what a rule does to the test images when its threshold is chosen on one
// half of them and counted on the other, and the other way round: on the images
// that it was chosen on, every threshold looks better than it is.
type cut struct {
	Rule       string     `json:"rule"`
	Defects    int        `json:"defects"`
	Escaped    int        `json:"escaped"` // defects that would be shipped
	Good       int        `json:"good"`
	Overkilled int        `json:"overkilled"` // good parts that would be rejected
	Thresholds [2]float64 `json:"thresholds"` // chosen on either half
	Threshold  float64    `json:"threshold"`  // chosen on all images: the one to take along
}

func (c *cut) rateEscaped() float64    { return float64(c.Escaped) / float64(c.Defects) }
func (c *cut) rateOverkilled() float64 { return float64(c.Overkilled) / float64(c.Good) }

// judge applies a rule. Where a kind has one image only, there are no halves, and
// the result is nil.
func (r cutRule) judge(scores []float64, defective []bool) (*cut, error) {
	c := &cut{Rule: r.String()}
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
	if c.Threshold, err = r.at(scores, defective); err != nil {
		return nil, err
	}
	half := halves(defective)
	for h := range half {
		s, d := pick(scores, half[h]), pick(defective, half[h])
		if c.Thresholds[h], err = r.at(s, d); err != nil {
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
		rng := seed{n: 1}.rand(forHalves)
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
func (c *cut) String() string {
	rule, err := parseRule(c.Rule)
	words := rule.words()
	if err != nil { // of a file that another program wrote
		words = c.Rule
	}
	return fmt.Sprintf("of %d defects %d would be shipped (escape %.2f %%), of %d good parts %d would be rejected (overkill %.2f %%): "+
		"%s, chosen on one half of the images and counted on the other (%.6g and %.6g; %.6g on all)",
		c.Defects, c.Escaped, 100*c.rateEscaped(), c.Good, c.Overkilled, 100*c.rateOverkilled(),
		words, c.Thresholds[0], c.Thresholds[1], c.Threshold)
}
