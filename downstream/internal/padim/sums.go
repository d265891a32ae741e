package padim

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"

	"github.com/gotab/gotab/downstream/internal/gaussian"
	"github.com/gotab/gotab/downstream/internal/sentinel"
	"github.com/gotab/gotab/tensor"
)

// Sums are the moments of some images in double precision, on the host: of each of P = H W
// positions the mean of C channels and the sum of (x-mean)(x-mean)^T. Those of two sets of
// images give those of both.
type Sums struct {
	H, W, C, Images int
	Mean            []float64 // [P, C]
	Scatter         []float64 // [P, C(C+1)/2], lower triangles, row by row
}

// half is the number of values of a lower triangle.
func half(c int) int { return c * (c + 1) / 2 }

// Add adds n images, of which values are the features [n, h, w, C]. Each image is added by
// itself, so that the sums do not depend on how images are put into batches. Positions are
// shared out among cores.
func (m *Sums) Add(values []float32, n, h, w, cores int) error {
	if m.Images == 0 {
		m.H, m.W = h, w
		m.Mean, m.Scatter = make([]float64, h*w*m.C), make([]float64, h*w*half(m.C))
	}
	if h != m.H || w != m.W {
		return fmt.Errorf("%w: the grid is %dx%d, before it was %dx%d", sentinel.ErrLayers, w, h, m.W, m.H)
	}
	positions := h * w
	var wg sync.WaitGroup
	for k := range cores {
		wg.Add(1)
		go func() {
			defer wg.Done()
			d := make([]float64, m.C)
			for p := k * positions / cores; p < (k+1)*positions/cores; p++ {
				mean, scatter := m.Mean[p*m.C:][:m.C], m.Scatter[p*half(m.C):][:half(m.C)]
				for i := range n {
					add(mean, scatter, d, values[(i*positions+p)*m.C:][:m.C], float64(m.Images+i))
				}
			}
		}()
	}
	wg.Wait()
	m.Images += n
	return nil
}

// add adds x to the moments of before vectors (Welford, "Note on a method for calculating
// corrected sums of squares and products", 1962).
func add(mean, scatter, d []float64, x []float32, before float64) {
	for i, v := range x {
		d[i] = float64(v) - mean[i]
		mean[i] += d[i] / (before + 1)
	}
	scale := before / (before + 1)
	at := 0
	for r, v := range d {
		v *= scale
		row := scatter[at:][:r+1]
		for c, u := range d[:r+1] {
			row[c] += float64(v * u)
		}
		at += r + 1
	}
}

// Merge adds the images of o (Chan, Golub and LeVeque, "Updating formulae and a pairwise
// algorithm for computing sample variances", 1979).
func (m *Sums) Merge(o *Sums) {
	a, b := float64(m.Images), float64(o.Images)
	d := make([]float64, m.C)
	for p := range m.H * m.W {
		mean, other := m.Mean[p*m.C:][:m.C], o.Mean[p*m.C:][:m.C]
		scatter, more := m.Scatter[p*half(m.C):][:half(m.C)], o.Scatter[p*half(m.C):][:half(m.C)]
		for i, v := range other {
			d[i] = v - mean[i]
			mean[i] += float64(d[i] * b / (a + b))
		}
		at := 0
		for r, v := range d {
			v *= a * b / (a + b)
			for c, u := range d[:r+1] {
				scatter[at+c] += more[at+c] + float64(v*u)
			}
			at += r + 1
		}
	}
	m.Images += o.Images
}

// Fit turns the sums into Gaussians of a form on a device, a block of positions at a time, as
// [Moments.Finish] does. The sums stay. The result's Params are the caller's.
func (m *Sums) Fit(ctx context.Context, dev tensor.Device, epsilon float64, form Form, cores int) (*Fit, error) {
	positions, c := m.H*m.W, m.C
	params := tensor.NewParams(dev)
	fail := func(err error) (*Fit, error) { return nil, errors.Join(err, params.Close()) }
	err := tensor.Run(ctx, dev, tensor.Evaluation, func(s *tensor.Scope) error {
		mean := s.Cast(s.FromFloat64s(m.Mean, int64(positions), int64(c)), tensor.Float32)
		return errors.Join(params.PutBuffer(s, meanName, mean), params.PutBuffer(s, factorName, newFactor(s, dev, int64(positions), int64(c), Single)))
	})
	if err != nil {
		return fail(err)
	}
	factor := params.Get(factorName)
	err = gaussian.EachBlock(ctx, dev, blocks(positions), cores, func(s *tensor.Scope, lo, hi int) error {
		full := make([]float64, (hi-lo)*c*c)
		free := 1 / float64(m.Images-1)
		for p := lo; p < hi; p++ {
			at, to := p*half(c), full[(p-lo)*c*c:]
			for row := range c {
				for col := range row + 1 {
					v := m.Scatter[at] * free
					to[row*c+col], to[col*c+row] = v, v
					at++
				}
			}
		}
		k := int64(hi - lo)
		cov := s.FromFloat64s(full, k, int64(c), int64(c))
		return setFactors(s, s.Narrow(factor, 0, int64(lo), k), gaussian.InverseFactor(s, cov, epsilon))
	})
	if err != nil {
		return fail(err)
	}
	if params, err = formed(ctx, params, form); err != nil {
		return nil, err
	}
	return &Fit{Gaussians: of(params), Params: params, H: m.H, W: m.W, Images: m.Images}, nil
}

// Check refuses sums that no images have: values that are not finite, and squares below 0.
func (m *Sums) Check() error {
	for _, v := range m.Mean {
		if v-v != 0 || math.Abs(v) > math.MaxFloat32 {
			return fmt.Errorf("a mean is %v", v)
		}
	}
	for p := range m.H * m.W {
		scatter := m.Scatter[p*half(m.C):][:half(m.C)]
		for _, v := range scatter {
			if v-v != 0 || math.Abs(v) > math.MaxFloat32 {
				return fmt.Errorf("a sum of products is %v", v)
			}
		}
		for r := range m.C {
			if v := scatter[half(r)+r]; v < 0 {
				return fmt.Errorf("a sum of squares is %v", v)
			}
		}
	}
	return nil
}
