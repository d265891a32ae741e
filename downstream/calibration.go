package downstream

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/gotab/gotab/metrics"
)

// maxScores is how many scores of a kind a calibration keeps. 512 KB.
const maxScores = 1 << 16

// Calibration says what the scores of one fitted detector mean: from which threshold on
// a part is rejected, and which values of its maps are usual on good parts. A detector
// makes one with Calibrate, scores with it and saves it in its file; it ends with the
// fit that it belongs to.
//
// It is not changed once it is made, and safe for concurrent use. Make one with
// Calibrate, or with [NewCalibration] for a detector of your own.
type Calibration struct {
	point     metrics.OperatingPoint
	scale     ColourScale
	good      []float64 // rising
	defective []float64 // rising
	tiles     string    // how images were cut that were seen as tiles; empty where they were seen whole
}

// ColourScale says which values of a map have a colour: those from Low on, which is
// rare on good parts, and the last colour from High on. It is a heatmap.Scale:
//
//	image, err := heatmap.Overlay(img, result.Map, heatmap.Scale(calibration.Scale()))
type ColourScale struct{ Low, High float64 }

func (s ColourScale) check() error {
	if s.Low-s.Low != 0 || s.High-s.High != 0 {
		return fmt.Errorf("%w: the colour scale is from %v to %v", ErrNotFinite, s.Low, s.High)
	}
	if s.High <= s.Low {
		return fmt.Errorf("%w: the colour scale is from %v to %v: the maps of good images have no spread", ErrCalibration, s.Low, s.High)
	}
	return nil
}

// NewCalibration chooses a threshold by a rule from the scores of good parts, and of
// defective ones, which may be empty unless the rule needs some. It is for detectors
// of your own; those of this package have Calibrate.
//
// It returns the errors of [metrics.Rule.Choose], [ErrNotFinite] or [ErrCalibration]
// if the scale has no ends or no length. Too few parts for the rule are
// [ErrTooFewImages] too.
func NewCalibration(good, defective []float64, scale ColourScale, rule metrics.Rule) (*Calibration, error) {
	c, err := newCalibration(good, defective, scale, rule)
	if err != nil {
		return nil, fmt.Errorf("downstream: new calibration: %w", err)
	}
	return c, nil
}

func newCalibration(good, defective []float64, scale ColourScale, rule metrics.Rule) (*Calibration, error) {
	if err := scale.check(); err != nil {
		return nil, err
	}
	point, err := rule.Choose(good, defective)
	switch {
	case errors.Is(err, metrics.ErrTooFew) || errors.Is(err, metrics.ErrEmpty):
		return nil, fmt.Errorf("%w: %w", ErrTooFewImages, err)
	case err != nil:
		return nil, err
	}
	return &Calibration{point: point, scale: scale, good: distribution(good), defective: distribution(defective)}, nil
}

// distribution returns scores rising. Of more than maxScores it keeps so many order
// statistics at equal distances, with the lowest and the highest.
func distribution(scores []float64) []float64 {
	all := slices.Sorted(slices.Values(scores))
	if len(all) <= maxScores {
		return all
	}
	out := make([]float64, maxScores)
	for i := range out {
		out[i] = all[i*(len(all)-1)/(maxScores-1)]
	}
	return out
}

// Point returns the threshold, the rule that chose it, what it does to the parts that it
// was chosen on, and what so many parts can promise.
func (c *Calibration) Point() metrics.OperatingPoint {
	p := c.point
	if p.Tail != nil {
		tail := *p.Tail
		p.Tail = &tail
	}
	return p
}

// Threshold returns the lowest score that is rejected.
func (c *Calibration) Threshold() float64 { return c.point.Cut.Threshold }

// Scale returns the colour scale of heat maps.
func (c *Calibration) Scale() ColourScale { return c.scale }

// Good returns the scores of the good parts, rising: what later scores are to be held
// against to see whether the line drifts. Of more than 65,536 parts it has so many
// scores at equal distances in the order of all.
func (c *Calibration) Good() []float64 { return slices.Clone(c.good) }

// Defective returns the scores of the defective parts likewise; empty where there were
// none.
func (c *Calibration) Defective() []float64 { return slices.Clone(c.defective) }

// WithRule returns a calibration on the scores of Good and Defective by another rule: no
// image is scored. Errors are those of [NewCalibration].
func (c *Calibration) WithRule(rule metrics.Rule) (*Calibration, error) {
	n, err := c.withRule(rule)
	if err != nil {
		return nil, fmt.Errorf("downstream: calibration with another rule: %w", err)
	}
	return n, nil
}

func (c *Calibration) withRule(rule metrics.Rule) (*Calibration, error) {
	n, err := newCalibration(c.good, c.defective, c.scale, rule)
	if err == nil {
		n.tiles = c.tiles
	}
	return n, err
}

// Verdict decides about a part of a score. A score that is NaN is rejected.
func (c *Calibration) Verdict(score float64) Verdict {
	at := len(c.good)
	if !math.IsNaN(score) {
		at, _ = slices.BinarySearch(c.good, score)
	}
	return Verdict{
		Reject: !(score < c.Threshold()), Score: score, Threshold: c.Threshold(), Rule: c.point.Rule.String(),
		AsHigh: len(c.good) - at, Good: len(c.good),
	}
}

// Mark returns r with the calibration by which [Result.Verdict] decides. Detectors of
// this package mark their results; it is for detectors of your own.
func (c *Calibration) Mark(r Result) Result {
	r.calibration = c
	return r
}

// String says in a sentence what the threshold does and promises.
func (c *Calibration) String() string { return c.point.String() }
