package tab

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/gotab/gotab/tensor"
)

// Interpolate sets dst to (1-a) start + a trained, weight by weight, with a from 0
// (the start, exactly) to 1 (trained, exactly). A network part of the way back to
// its start keeps much of what training gave and forgets less of what was
// (arXiv 2109.01903). All three hold the same names and shapes; dst may be trained
// or start. Batch norm statistics must be the same in both, as they are where
// training froze them (Config.FreezeStatistics): a mean of two networks' statistics
// is no network's. It returns an error that wraps [ErrConfig], and changes nothing,
// where something does not fit.
func Interpolate(ctx context.Context, dst, start, trained *tensor.Params, a float64) error {
	if !(a >= 0 && a <= 1) {
		return fmt.Errorf("tab: interpolate: a is %g: %w: want 0 to 1", a, ErrConfig)
	}
	from, err := start.Arrays(ctx)
	if err != nil {
		return fmt.Errorf("tab: interpolate: start: %w", err)
	}
	to, err := trained.Arrays(ctx)
	if err != nil {
		return fmt.Errorf("tab: interpolate: trained: %w", err)
	}
	byName := make(map[string]tensor.Array, len(from))
	for _, x := range from {
		byName[x.Name] = x
	}
	var faults []error
	out := make([]tensor.Array, 0, len(to))
	for _, y := range to {
		x, ok := byName[y.Name]
		delete(byName, y.Name)
		switch {
		case !ok:
			faults = append(faults, fmt.Errorf("%s is not in the start", y.Name))
		case x.DType != y.DType || !slices.Equal(x.Shape, y.Shape):
			faults = append(faults, fmt.Errorf("%s is %s %v in the start, %s %v in the trained network", y.Name, x.DType, x.Shape, y.DType, y.Shape))
		case string(x.Data) == string(y.Data):
			out = append(out, y)
		case trained.IsBuffer(y.Name):
			faults = append(faults, fmt.Errorf("%s differs: statistics must be frozen in training", y.Name))
		default:
			z, err := between(x, y, a)
			if err != nil {
				faults = append(faults, err)
			}
			out = append(out, z)
		}
	}
	for _, x := range from {
		if _, left := byName[x.Name]; left {
			faults = append(faults, fmt.Errorf("%s is not in the trained network", x.Name))
		}
	}
	if len(faults) > 0 {
		const most = 12 // another architecture differs in hundreds of names
		n := len(faults)
		if n > most {
			faults = append(faults[:most:most], fmt.Errorf("and %d more", n-most))
		}
		return fmt.Errorf("tab: interpolate: %w: %w", ErrConfig, errors.Join(faults...))
	}
	if err := dst.SetArrays(ctx, out, nil); err != nil {
		return fmt.Errorf("tab: interpolate: %w: %w", ErrConfig, err)
	}
	return nil
}

// between mixes one weight, in double precision.
func between(x, y tensor.Array, a float64) (tensor.Array, error) {
	u, err := x.Floats()
	if err != nil {
		return y, fmt.Errorf("%s: %w", x.Name, err)
	}
	v, err := y.Floats()
	if err != nil {
		return y, fmt.Errorf("%s: %w", y.Name, err)
	}
	w := make([]float32, len(u))
	for i := range w {
		w[i] = float32((1-a)*float64(u[i]) + a*float64(v[i]))
	}
	return tensor.FloatArray(y.Name, w, y.Shape...), nil
}
