package engine

import (
	"context"
	"fmt"
	"image"
	"math"

	"github.com/gotab/gotab/backbone"
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

// Identify gives the model of a fit the extractor's fingerprint and precision, and holds
// those of a model which has them already, as one from a file, against the present ones.
func (d *Core[M]) Identify(ctx context.Context, m *Model) error {
	return d.IdentifyBy(ctx, m, image.Pt(m.InW, m.InH))
}

// IdentifyBy is Identify with a picture of another size than the model's.
func (d *Core[M]) IdentifyBy(ctx context.Context, m *Model, size image.Point) error {
	precision := backbone.Float32
	if d.Precision != nil {
		precision = d.Precision()
	}
	if m.Fingerprint != nil && m.Precision != precision {
		return fmt.Errorf("%w: it computes in %s, and the fit was made in %s; SetPrecision changes that", sentinel.ErrExtractor, precision, m.Precision)
	}
	now, err := d.Fingerprint(ctx, size)
	if err != nil {
		return err
	}
	if m.Fingerprint == nil {
		m.Fingerprint, m.Precision = now, precision
		return nil
	}
	if !sameFingerprint(m.Fingerprint, now, tolerance(precision)) {
		return fmt.Errorf("%w: it answers a fixed image otherwise; load the backbone weights that the detector was fitted with", sentinel.ErrExtractor)
	}
	return nil
}

// tolerance allows for the rounding of other threads, devices and builds of libtorch,
// which is below 1e-5 of the largest value, and in bfloat16 some thousandths; other weights
// differ in the first digit.
func tolerance(p backbone.Precision) float64 {
	if p == backbone.BFloat16 {
		return 1e-2
	}
	return 1e-3
}

// sameFingerprint allows for a share of the largest value.
func sameFingerprint(a, b []float32, tolerance float64) bool {
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
