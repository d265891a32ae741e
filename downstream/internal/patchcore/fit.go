package patchcore

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/gotab/gotab/downstream/internal/sentinel"
	"github.com/gotab/gotab/tensor"
)

// Bank is the memory bank: M patches of C values.
type Bank struct {
	Patches *tensor.Tensor // [M, C], less their mean
	Mean    *tensor.Tensor // [C]
	half    *tensor.Tensor // [M]: half the squared lengths of patches, negated
	// axes [C, K] and low [M, K+1] are what tensor.Scope.Nearest leaves patches out by; nil
	// where all are compared.
	axes, low *tensor.Tensor
	count     int // M
}

// NewBank puts patches [M, C], less their mean, and the mean into params, with what
// follows from them.
func NewBank(ctx context.Context, params *tensor.Params, patches, mean []float32) (Bank, error) {
	c := len(mean)
	count := len(patches) / c
	half := make([]float32, count)
	for i := range half {
		sum := 0.0
		for _, v := range patches[i*c:][:c] {
			sum += float64(v) * float64(v)
		}
		half[i] = float32(-sum / 2)
	}
	err := tensor.Run(ctx, params.Device(), tensor.Evaluation, func(s *tensor.Scope) error {
		return errors.Join(
			params.PutBuffer(s, "patches", s.FromFloats(patches, int64(count), int64(c))),
			params.PutBuffer(s, "mean", s.FromFloats(mean, int64(c))),
			params.PutBuffer(s, "half", s.FromFloats(half, int64(count))),
		)
	})
	if err != nil {
		return Bank{}, err
	}
	g := Bank{Patches: params.Get("patches"), Mean: params.Get("mean"), half: params.Get("half"), count: count}
	if k := Shortened(params.Device(), count, c); k > 0 {
		if err := g.shorten(ctx, params, patches, k); err != nil {
			return Bank{}, err
		}
	}
	return g, nil
}

// Size is how many of n patches a share keeps, rounded down.
func Size(n int, share float64) int { return int(float64(n) * share) }

// Count is how many patches n images have on a grid. Those among which is
// chosen are numbered by 31 bits ([farthest]).
func Count(n, h, w int) (int, error) {
	if all := int64(n) * int64(h*w); all <= math.MaxInt32 {
		return int(all), nil
	}
	return 0, fmt.Errorf("%w: %d images of %dx%d positions are more patches than the %d that can be chosen from; take fewer images, a smaller input or a deeper first layer",
		sentinel.ErrConfig, n, w, h, math.MaxInt32)
}

// Centre shifts rows of c values to mean 0, in place, and returns the mean.
// Distances stay, and products of rows are then no larger than distances.
func Centre(values []float32, c int) []float32 {
	sum := make([]float64, c)
	for at := 0; at < len(values); at += c {
		for i, v := range values[at : at+c] {
			sum[i] += float64(v)
		}
	}
	mean := make([]float32, c)
	for i, v := range sum {
		mean[i] = float32(v / float64(len(values)/c))
	}
	for at := 0; at < len(values); at += c {
		for i, m := range mean {
			values[at+i] -= m
		}
	}
	return mean
}

// Choose makes the choice of [Coreset] on the processor or on another device, whichever
// way is the faster there. x changes.
func Choose(ctx context.Context, dev tensor.Device, x []float32, k, count int, starts []int64, workers int, report func(done int)) ([]int64, error) {
	if dev.IsCUDA() {
		return Coreset(ctx, dev, x, k, count, starts, report)
	}
	if err := alongAxes(ctx, x, k); err != nil {
		return nil, err
	}
	return CoresetOnHost(ctx, x, k, count, starts, workers, report)
}
