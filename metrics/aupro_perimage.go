package metrics

import (
	"fmt"
	"image"
	"math"
	"slices"

	"github.com/gotab/gotab/internal/pixels"
)

// perImageThresholds is how many thresholds AUPROPerImage takes from the lowest
// score of the image to below the highest, at equal steps of score.
const perImageThresholds = 200

// AUPROPerImage is the per-region overlap of one damaged image as the evaluation of
// RD4AD has it; tables in its manner give the mean over the damaged images.
// It is not comparable to AUPRO: the false positive rate is that of this image alone, only
// 200 thresholds are tried, and of those only the points whose rate is below
// the limit are kept and stretched so that the highest becomes 1.
//
// scores has W*H elements in row-major order for a mask of W x H, at which 128 and
// above is a defect. A mask of another size is ErrSize, a NaN is ErrNaN, an infinite
// score and a limit that is not above 0 and at most 1 are ErrRange. Without a defect, or
// without a pixel outside of one, it is ErrOneClass. If no rate is between 0 and the limit
// there is nothing to stretch, and it is ErrUnreachable. It takes O(n log n) and is safe for
// concurrent use.
//
// Source: Deng and Li, "Anomaly Detection via Reverse Distillation from One-Class
// Embedding", CVPR 2022, evaluation code.
func AUPROPerImage(scores []float32, mask *image.Gray, limit float64) (float64, error) {
	if err := checkLimit(limit); err != nil {
		return 0, fmt.Errorf("metrics: AUPRO per image: %w", err)
	}
	if mask == nil {
		return 0, fmt.Errorf("metrics: AUPRO per image: %w: no mask", ErrOneClass)
	}
	if err := pixels.Check(mask); err != nil {
		return 0, fmt.Errorf("metrics: AUPRO per image: %w: %w", ErrSize, err)
	}
	if b := mask.Bounds(); len(scores) != b.Dx()*b.Dy() {
		return 0, fmt.Errorf("metrics: AUPRO per image: %w: %d scores, mask of %d x %d", ErrSize, len(scores), b.Dx(), b.Dy())
	}
	labels, sizes := components(mask)
	regions := make([][]float32, len(sizes)+1) // of each label; 0 is what is no defect
	for i, s := range scores {
		if err := checkFinite(float64(s)); err != nil {
			return 0, fmt.Errorf("metrics: AUPRO per image: score %d of %d: %w", i, len(scores), err)
		}
		regions[labels[i]] = append(regions[labels[i]], s)
	}
	good := regions[0]
	if len(sizes) == 0 || len(good) == 0 {
		return 0, fmt.Errorf("metrics: AUPRO per image: %w: %d of %d pixels are positive", ErrOneClass, len(scores)-len(good), len(scores))
	}
	for _, r := range regions {
		slices.Sort(r)
	}
	low, high := float64(slices.Min(scores)), float64(slices.Max(scores))
	step := (high - low) / perImageThresholds
	var xs, ys []float64 // FPR rises
	for i := perImageThresholds - 1; i >= 0; i-- {
		threshold := low + float64(i)*step
		x := fractionAbove(good, threshold)
		if x >= limit {
			break // as it is for all lower thresholds
		}
		y := 0.0
		for _, r := range regions[1:] {
			y += fractionAbove(r, threshold)
		}
		xs, ys = append(xs, x), append(ys, y/float64(len(sizes)))
	}
	if len(xs) == 0 || xs[len(xs)-1] == 0 {
		return 0, fmt.Errorf("metrics: AUPRO per image: rate of false positives above 0 and below %g: %w", limit, ErrUnreachable)
	}
	area := 0.0
	for i := 1; i < len(xs); i++ {
		area += (xs[i] - xs[i-1]) * (ys[i] + ys[i-1]) / 2
	}
	return area / xs[len(xs)-1], nil
}

// fractionAbove is how much of a rising list is above a threshold.
func fractionAbove(rising []float32, threshold float64) float64 {
	// float32 to float64 is exact, so the comparison is.
	n, _ := slices.BinarySearchFunc(rising, math.Nextafter(threshold, math.Inf(1)), func(v float32, t float64) int {
		if float64(v) < t {
			return -1
		}
		return 1
	})
	return float64(len(rising)-n) / float64(len(rising))
}
