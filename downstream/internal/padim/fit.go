// Package padim is the arithmetic of PaDiM (Defard et al., arXiv 2011.08785): a Gaussian
// at each of P positions over C channels.
package padim

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/gotab/gotab/downstream/internal/gaussian"
	"github.com/gotab/gotab/downstream/internal/sentinel"
	"github.com/gotab/gotab/tensor"
)

// Names of the tensors.
const (
	meanName   = "mean"
	factorName = "factor"
)

// Gaussians are the distributions of all positions, in tensors of somebody's parameters.
type Gaussians struct {
	Mean *tensor.Tensor // [P, C]
	// Factor holds the lower triangular L^-1: on the CPU packed, [P, LowerLen(C)] or halves of
	// that, elsewhere their transposes, [P, C, C].
	Factor *tensor.Tensor
}

// of takes them from p.
func of(p *tensor.Params) Gaussians {
	return Gaussians{Mean: p.Get(meanName), Factor: p.Get(factorName)}
}

// Fit is what a fit leaves, and what an update adds images to.
type Fit struct {
	Gaussians
	Params       *tensor.Params // that the Gaussians are in; not asked for of what is updated
	H, W, Images int
}

// Moments are the streams of a fit, or of an update of what an earlier one left. With a
// the mean of the first batch, or the mean before, they are the sums of x-a and of
// (x-a)(x-a)^T.
type Moments struct {
	dev      tensor.Device
	channels int
	epsilon  float64        // on the diagonals of the covariances
	before   *Fit           // of an update, else nil: their mean is the shift
	kept     *tensor.Params // mean (the shift until Finish) and factor (the sums of products until Finish)
	passed   *tensor.Params // the vector sums
	n        int            // images, those of before included
	h, w     int
}

// NewMoments returns moments of no image. before is nil for a fit; it must live until
// Finish has returned. Close must follow.
func NewMoments(dev tensor.Device, channels int, epsilon float64, before *Fit) *Moments {
	return &Moments{dev: dev, channels: channels, epsilon: epsilon, before: before}
}

// Close frees what Finish did not hand over.
func (m *Moments) Close() {
	// Closing frees memory and cannot fail.
	_ = m.kept.Close()
	_ = m.passed.Close()
}

// Add adds n images, of which values are the features [n, h, w, C].
func (m *Moments) Add(ctx context.Context, values []float32, n, h, w int) error {
	first := m.kept == nil
	if first {
		m.h, m.w = h, w
		m.kept, m.passed = tensor.NewParams(m.dev), tensor.NewParams(m.dev)
		if b := m.before; b != nil {
			m.h, m.w, m.n = b.H, b.W, b.Images
		}
	}
	if h != m.h || w != m.w {
		return fmt.Errorf("%w: the grid is %dx%d, before it was %dx%d", sentinel.ErrLayers, w, h, m.w, m.h)
	}
	grid, c := int64(m.h*m.w), int64(m.channels)
	err := tensor.Run(ctx, m.dev, tensor.Evaluation, func(s *tensor.Scope) error {
		x := s.FromFloats(values, int64(n), grid, c)
		if first {
			shift := s.Mean(x, false, 0)
			if m.before != nil {
				shift = s.Clone(m.before.Mean)
			}
			if err := errors.Join(
				m.kept.PutBuffer(s, meanName, shift),
				m.kept.PutBuffer(s, factorName, newFactor(s, m.dev, grid, c, Single)),
				m.passed.PutBuffer(s, "sum", s.Zeros(grid, c)),
			); err != nil {
				return err
			}
		}
		s.AddInto(x, m.kept.Get(meanName), -1)
		s.AddInto(m.passed.Get("sum"), s.Sum(x, false, 0), 1)
		if packed(m.dev) {
			s.ScatterInto(m.kept.Get(factorName), x)
			return s.Err()
		}
		d := s.Permute(x, 1, 0, 2) // [P, n, C]
		s.AddBmmInto(m.kept.Get(factorName), s.Transpose(d, 1, 2), d, 1)
		return s.Err()
	})
	m.n += n
	return err
}

// Finish turns the sums into Gaussians of a form, in place and a block of positions at a time. They
// are the tensors of the result's Params, which are the caller's. Images counts those
// before too.
func (m *Moments) Finish(ctx context.Context, form Form, cores int) (*Fit, error) {
	positions, c := m.h*m.w, int64(m.channels)
	images := float64(m.n)
	g, sum := of(m.kept), m.passed.Get("sum")
	err := gaussian.EachBlock(ctx, m.dev, blocks(positions), cores, func(s *tensor.Scope, lo, hi int) error {
		k := int64(hi - lo)
		place := s.Narrow(g.Factor, 0, int64(lo), k)
		whole := place
		if packed(m.dev) {
			sums, err := g.symmetric(s, lo, hi)
			if err != nil {
				return err
			}
			whole = s.FromFloats(sums, k, c, c)
		}
		cov := s.Cast(whole, tensor.Float64)
		if m.before != nil {
			if err := m.addScatter(s, cov, lo); err != nil {
				return err
			}
		}
		v := s.Cast(s.Narrow(sum, 0, int64(lo), k), tensor.Float64)
		s.AddBmmInto(cov, s.MulScalar(s.Reshape(v, k, c, 1), -1/images), s.Reshape(v, k, 1, c), 1)
		s.ScaleInto(cov, 1/(images-1))
		return setFactors(s, place, gaussian.InverseFactor(s, cov, m.epsilon))
	})
	if err != nil {
		return nil, err
	}
	err = tensor.Run(ctx, m.dev, tensor.Evaluation, func(s *tensor.Scope) error {
		s.AddInto(g.Mean, sum, 1/images)
		return s.Err()
	})
	if err != nil {
		return nil, err
	}
	if err := m.passed.Close(); err != nil {
		return nil, err
	}
	kept := m.kept
	m.kept = nil
	if kept, err = formed(ctx, kept, form); err != nil {
		return nil, err
	}
	return &Fit{Gaussians: of(kept), Params: kept, H: m.h, W: m.w, Images: m.n}, nil
}

// addScatter adds to cov, [k, C, C] in double precision for the positions from lo
// on, the sum of squares about the mean that the images before had: (n-1) times
// their covariance without epsilon.
func (m *Moments) addScatter(s *tensor.Scope, cov *tensor.Tensor, lo int) error {
	k, c := cov.Size(0), cov.Size(1)
	transposes, err := m.before.Whole(s, lo, lo+int(k))
	if err != nil {
		return err
	}
	eye := gaussian.Eye(s, k, c)
	inverse := s.Transpose(s.Cast(s.FromFloats(transposes, k, c, c), tensor.Float64), 1, 2)
	l := s.SolveLower(inverse, eye)
	free := float64(m.before.Images - 1)
	l = s.MulScalar(l, math.Sqrt(free))
	s.AddBmmInto(cov, l, s.Transpose(l, 1, 2), 1)
	s.AddInto(cov, eye, -free*m.epsilon)
	return nil
}

// Bytes are those of the Gaussians of C channels at P positions on a device, and the most that a fit
// takes with them, for batches of so many images.
func Bytes(dev tensor.Device, positions, channels, batch, cores int) (fitted, fitting int64) {
	p, n := int64(positions), int64(channels)
	fitted = 4 * p * (n + int64(entries(dev, channels)))
	features := 4 * int64(batch) * p * n
	return fitted, fitted + 4*p*n + max(features*int64(3+cores), int64(cores)*gaussian.Block*n*n*8*4)
}
