package engine

import (
	"context"
	"fmt"
	"image"
	"math"

	"github.com/gotab/gotab/downstream/internal/sentinel"
	"github.com/gotab/gotab/tensor"
)

// Fingerprint is the mean vector of a fixed image over the grid: it tells
// extractors apart.
func (d *Core[M]) Fingerprint(ctx context.Context, size image.Point) ([]float32, error) {
	px := make([]float32, 3*size.X*size.Y)
	if err := d.In.Normalize.Pack(px, picture(size)); err != nil {
		return nil, err
	}
	var out []float32
	err := tensor.Run(ctx, d.Dev, tensor.Evaluation, func(s *tensor.Scope) error {
		var err error
		out, err = s.Floats(s.Mean(d.Embed(s, s.FromNHWC(px, 1, size.Y, size.X, 3)), false, 0, 1, 2))
		return err
	})
	return out, err
}

// Identify gives the model of a fit the extractor's fingerprint, and holds that of
// a model which has one already, as one from a file, against it.
func (d *Core[M]) Identify(ctx context.Context, m *Model) error {
	now, err := d.Fingerprint(ctx, image.Pt(m.InW, m.InH))
	if err != nil {
		return err
	}
	if m.Fingerprint == nil {
		m.Fingerprint = now
	}
	return SameExtractor(m.Fingerprint, now)
}

// SameExtractor holds the fingerprint of a fit against that of now.
func SameExtractor(then, now []float32) error {
	if !sameFingerprint(then, now) {
		return fmt.Errorf("%w: it answers a fixed image otherwise; load the backbone weights that the detector was fitted with", sentinel.ErrExtractor)
	}
	return nil
}

// sameFingerprint allows for the rounding of other threads, devices and
// builds of libtorch, which is below 1e-5; other weights differ in the first
// digit.
func sameFingerprint(a, b []float32) bool {
	const tolerance = 1e-3
	if len(a) != len(b) {
		return false
	}
	var top, diff float64
	for i := range a {
		top = max(top, math.Abs(float64(a[i])))
		diff = max(diff, math.Abs(float64(a[i])-float64(b[i])))
	}
	return diff <= tolerance*top
}
