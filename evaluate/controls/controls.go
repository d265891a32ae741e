// Package controls makes networks that no training has made better: what a training
// gains counts only above what these gain. They are the controls of a comparison of
// weights.
//
//   - [Uniform] multiplies all features of layers 1 to 3 by one number, which a training that
//     changes the norm of features does besides (C1).
//   - [Noise] moves weights as far as a training did, somewhere else (C2).
//   - [Remeasure] gives batch norm the statistics of the product's own good images (C3).
package controls

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/tensor"
)

// ErrControl reports networks, numbers or images that a control cannot be made of.
var ErrControl = errors.New("no control can be made")

// Factors are the factors that Uniform is tried with: their squares, which is what
// covariances are multiplied by, are 1/16, 1/4, 1, 4 and 16.
func Factors() []float64 { return []float64{0.25, 0.5, 1, 2, 4} }

// Uniform multiplies the features of layers 1 to 3 by s, 1e-6 to 1e6, and leaves what
// layer 4 gives as it is. A detector that adds a number to variances, as PaDiM does, sees
// another network. After an error that is not ErrControl some layers may be scaled.
func Uniform(ctx context.Context, net *backbone.ResNet, s float64) error {
	if !(s >= 1e-6 && s <= 1e6) {
		return fmt.Errorf("controls: uniform: %w: the factor is %g, want 1e-6 to 1e6", ErrControl, s)
	}
	if net.Channels(backbone.Layer3) == 0 {
		return fmt.Errorf("controls: uniform: %w: the network ends before layer 3", ErrControl)
	}
	for l := backbone.Layer1; l <= backbone.Layer3; l++ {
		if err := net.ScaleChannels(ctx, l, slices.Repeat([]float32{float32(s)}, net.Channels(l))); err != nil {
			return fmt.Errorf("controls: uniform: %w", err)
		}
	}
	return nil
}

// Noise sets dst to the start with normal noise, tensor by tensor as long (in the L2
// norm) as the way that trained went from start. What training left alone stays, and so do
// running statistics, which are no weights. All three hold the same names and shapes; dst
// may be start or trained. rng is drawn from in the order of the names. What does not
// fit together wraps ErrControl and leaves dst alone; what keeps values from being read or written, such as an ended
// ctx, does not wrap it.
func Noise(ctx context.Context, dst, start, trained *tensor.Params, rng *rand.Rand) error {
	from, err := start.Arrays(ctx)
	if err != nil {
		return fmt.Errorf("controls: noise: start: %w", err)
	}
	to, err := trained.Arrays(ctx)
	if err != nil {
		return fmt.Errorf("controls: noise: trained: %w", err)
	}
	if len(from) != len(to) {
		return fmt.Errorf("controls: noise: %w: the start has %d tensors, the trained network %d", ErrControl, len(from), len(to))
	}
	out := make([]tensor.Array, len(from))
	for i, a := range from {
		b := to[i]
		if a.Name != b.Name || a.DType != b.DType || !slices.Equal(a.Shape, b.Shape) {
			return fmt.Errorf("controls: noise: %w: %s %v of the start is %s %v in the trained network", ErrControl, a.Name, a.Shape, b.Name, b.Shape)
		}
		out[i] = a
		if start.IsBuffer(a.Name) || string(a.Data) == string(b.Data) {
			continue
		}
		if out[i], err = noisy(a, b, rng); err != nil {
			return fmt.Errorf("controls: noise: %w", err)
		}
	}
	if err := dst.SetArrays(ctx, out, nil); err != nil {
		return fmt.Errorf("controls: noise: %w", content(err))
	}
	return nil
}

// content adds ErrControl to an error of what arrays hold: names, shapes, or numbers that are not finite.
func content(err error) error {
	if errors.Is(err, tensor.ErrWeights) {
		return fmt.Errorf("%w: %w", ErrControl, err)
	}
	return err
}

// noisy is a with noise as long as the way to b.
func noisy(a, b tensor.Array, rng *rand.Rand) (tensor.Array, error) {
	x, err := a.Floats()
	if err != nil {
		return a, fmt.Errorf("%w: %w", ErrControl, err)
	}
	y, err := b.Floats()
	if err != nil {
		return a, fmt.Errorf("%w: %w", ErrControl, err)
	}
	way, length := 0.0, 0.0
	noise := make([]float64, len(x))
	for i := range x {
		d := float64(y[i]) - float64(x[i])
		way += d * d
		noise[i] = rng.NormFloat64()
		length += noise[i] * noise[i]
	}
	f := math.Sqrt(way / length)
	for i := range x {
		x[i] = float32(float64(x[i]) + f*noise[i])
	}
	return tensor.FloatArray(a.Name, x, a.Shape...), nil
}

// Remeasure gives the batch norms of net the statistics of some images: means and
// variances of each batch in training mode, averaged over the batches, as PyTorch's
// update_bn makes them. Weights stay, and net is changed only when all has been measured. Each
// batch holds n images [n, h, w, 3] (normalised, row by row, channels innermost), n being
// 2 or more; batches of nearly equal size weigh alike. Errors wrap
// ErrControl where no batch, one of another form, or statistics that are not finite are the reason.
func Remeasure(ctx context.Context, net *backbone.ResNet, batches func(yield func(pixels []float32, n, h, w int) error) error) (err error) {
	own, err := net.Clone(ctx)
	if err != nil {
		return fmt.Errorf("controls: remeasure: %w", err)
	}
	defer func() { err = errors.Join(err, own.Close()) }()
	own.FreezeStatistics(nil)
	if err := own.Params().SetTrainable(func(string) bool { return false }); err != nil {
		return fmt.Errorf("controls: remeasure: %w", err)
	}
	m := &means{net: own, sums: map[string][]float64{}}
	if err := batches(func(pixels []float32, n, h, w int) error { return m.add(ctx, pixels, n, h, w) }); err != nil {
		return fmt.Errorf("controls: remeasure: %w", err)
	}
	if m.batches == 0 {
		return fmt.Errorf("controls: remeasure: %w: there is no batch", ErrControl)
	}
	if err := net.Params().SetArrays(ctx, m.arrays(1/float64(m.batches)), func(name string) bool { return !statistic(name) }); err != nil {
		return fmt.Errorf("controls: remeasure: %w", content(err))
	}
	return nil
}

// statistic says whether a name is that of a running mean or variance.
func statistic(name string) bool {
	return strings.HasSuffix(name, ".running_mean") || strings.HasSuffix(name, ".running_var")
}

// means adds up the statistics of batches.
type means struct {
	net     *backbone.ResNet
	names   []string
	shapes  map[string][]int64
	sums    map[string][]float64
	batches int
}

// momentum is how much of a batch's statistics a pass in training mode adds to the
// running ones, which are 0 before: PyTorch's default.
const momentum = 0.1

// add measures a batch.
func (m *means) add(ctx context.Context, pixels []float32, n, h, w int) error {
	if n < 2 || len(pixels) != 3*n*h*w {
		return fmt.Errorf("%w: a batch of %d images of %dx%d with %d numbers, want 2 images or more and three numbers a pixel", ErrControl, n, w, h, len(pixels))
	}
	if m.batches == 0 {
		if err := m.begin(ctx); err != nil {
			return err
		}
	}
	others := func(name string) bool { return !statistic(name) }
	if err := m.net.Params().SetArrays(ctx, m.arrays(0), others); err != nil {
		return err
	}
	deepest := backbone.Stem
	for m.net.Channels(deepest+1) > 0 && deepest < backbone.Layer4 {
		deepest++
	}
	if err := tensor.Run(ctx, m.net.Device(), tensor.Training, func(s *tensor.Scope) error {
		m.net.Forward(s, s.FromNHWC(pixels, n, h, w, 3), deepest)
		return s.Err()
	}); err != nil {
		return err
	}
	all, err := m.net.Params().Arrays(ctx)
	if err != nil {
		return err
	}
	for _, a := range all {
		if !statistic(a.Name) {
			continue
		}
		v, err := a.Floats()
		if err != nil {
			return err
		}
		for i, x := range v {
			m.sums[a.Name][i] += float64(x) / momentum
		}
	}
	m.batches++
	return nil
}

func (m *means) begin(ctx context.Context) error {
	all, err := m.net.Params().Arrays(ctx)
	if err != nil {
		return err
	}
	m.shapes = map[string][]int64{}
	for _, a := range all {
		if statistic(a.Name) {
			m.names, m.shapes[a.Name] = append(m.names, a.Name), a.Shape
			m.sums[a.Name] = make([]float64, len(a.Data)/4)
		}
	}
	return nil
}

// arrays are the sums times f.
func (m *means) arrays(f float64) []tensor.Array {
	var out []tensor.Array
	for _, name := range m.names {
		v := make([]float32, len(m.sums[name]))
		for i, x := range m.sums[name] {
			v[i] = float32(x * f)
		}
		out = append(out, tensor.FloatArray(name, v, m.shapes[name]...))
	}
	return out
}
