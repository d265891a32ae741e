package padim

import (
	"context"
	"errors"

	"github.com/gotab/gotab/downstream/internal/gaussian"
	"github.com/gotab/gotab/tensor"
)

// On the CPU covariances and the matrices L^-1 lie as [tensor.Scope.Mahalanobis] reads them, which is little more than
// their lower triangles; other devices work with whole ones.

// Form is how matrices L^-1 lie on the CPU. Either takes 4 bytes for a value and keeps it exactly.
type Form int

const (
	// Single is float32.
	Single Form = iota
	// Halves are those of [tensor.Scope.HalvesInto]: distances may be had of the first ones alone, which takes half as long.
	Halves
)

// packed says whether a device's matrices are packed.
func packed(dev tensor.Device) bool { return !dev.IsCUDA() }

// entries is the number of values of a position's matrix.
func entries(dev tensor.Device, c int) int {
	if packed(dev) {
		return tensor.LowerLen(c)
	}
	return c * c
}

// pack makes the present form of k matrices L^-1 of c rows, whose lower triangles lie in rows; dst is long
// enough, and zero where it is not written.
func pack(dev tensor.Device, dst []float32, k, c int, rows func(at, row, column int) float32) {
	n := entries(dev, c)
	for at := range k {
		to := dst[at*n : (at+1)*n]
		for row := range c {
			for column := range row + 1 {
				to[place(dev, c, row, column)] = rows(at, row, column)
			}
		}
	}
}

// place is where a value of L^-1 stands in a position's matrix; whole ones are transposes.
func place(dev tensor.Device, c, row, column int) int {
	if packed(dev) {
		return tensor.LowerAt(row, column)
	}
	return column*c + row
}

// setFactors puts matrices L^-1, [k, C, C], into their place, a part of a Factor.
func setFactors(s *tensor.Scope, place, inverse *tensor.Tensor) error {
	if s.Err() != nil {
		return s.Err()
	}
	dev, k, c := place.Device(), int(inverse.Size(0)), int(inverse.Size(1))
	if !packed(dev) {
		s.CopyInto(place, s.Transpose(inverse, 1, 2))
		return nil
	}
	rows, err := s.Floats(inverse)
	if err != nil {
		return err
	}
	triangles := make([]float32, k*entries(dev, c))
	pack(dev, triangles, k, c, func(at, row, column int) float32 { return rows[(at*c+row)*c+column] })
	s.CopyInto(place, s.FromFloats(triangles, place.Shape()...))
	return nil
}

// block reads the matrices of some positions into buffer, and returns how to find the values of L^-1 there.
func (g Gaussians) block(s *tensor.Scope, buffer []float32, lo, hi int) (func(at, row, column int) float32, error) {
	dev, c := g.Factor.Device(), int(g.Mean.Size(1))
	n := entries(dev, c)
	part := s.Narrow(g.Factor, 0, int64(lo), int64(hi-lo))
	if g.halved() {
		halves := part
		part = s.JoinHalves(halves)
		s.Free(halves)
	}
	if err := s.FloatsInto(buffer[:(hi-lo)*n], part); err != nil {
		return nil, err
	}
	s.Free(part)
	return func(at, row, column int) float32 { return buffer[at*n+place(dev, c, row, column)] }, nil
}

// Whole returns the transposes of L^-1 of the positions lo to hi-1 on the host, [hi-lo, C, C].
func (g Gaussians) Whole(s *tensor.Scope, lo, hi int) ([]float32, error) {
	c := int(g.Mean.Size(1))
	at, err := g.block(s, make([]float32, (hi-lo)*entries(g.Factor.Device(), c)), lo, hi)
	if err != nil {
		return nil, err
	}
	out := make([]float32, (hi-lo)*c*c)
	for i := range hi - lo {
		for row := range c {
			for column := range row + 1 {
				out[(i*c+column)*c+row] = at(i, row, column)
			}
		}
	}
	return out, nil
}

// symmetric returns the whole matrices of which the lower halves lie there, [hi-lo, C, C], on the host.
func (g Gaussians) symmetric(s *tensor.Scope, lo, hi int) ([]float32, error) {
	out, err := g.Whole(s, lo, hi)
	if err != nil {
		return nil, err
	}
	c := int(g.Mean.Size(1))
	for i := range hi - lo {
		m := out[i*c*c : (i+1)*c*c]
		for row := range c {
			for column := range row {
				m[row*c+column] = m[column*c+row]
			}
		}
	}
	return out, nil
}

// newFactor makes zeros for the matrices of all positions.
func newFactor(s *tensor.Scope, dev tensor.Device, positions, c int64, form Form) *tensor.Tensor {
	switch n := int64(tensor.LowerLen(int(c))); {
	case !packed(dev):
		return s.Zeros(positions, c, c)
	case form == Halves:
		return s.Full(0, tensor.BFloat16, positions, 2, n)
	default:
		return s.Zeros(positions, n)
	}
}

// halved says whether the matrices lie in halves.
func (g Gaussians) halved() bool { return g.Factor.DType() == tensor.BFloat16 }

// formed brings what a fit has made to a form, where the matrices lie, and returns the parameters that have it then. It takes over p.
func formed(ctx context.Context, p *tensor.Params, form Form) (*tensor.Params, error) {
	if form != Halves || !packed(p.Device()) {
		return p, nil
	}
	out := tensor.NewParams(p.Device())
	err := tensor.Run(ctx, p.Device(), tensor.Evaluation, func(s *tensor.Scope) error {
		g := of(p)
		return errors.Join(
			out.PutBuffer(s, meanName, s.Detach(g.Mean)), // the same memory
			out.PutBuffer(s, factorName, s.HalvesInto(g.Factor)),
		)
	})
	// Closing frees what out does not hold, and cannot fail.
	_ = p.Close()
	if err != nil {
		_ = out.Close()
		return nil, err
	}
	return out, nil
}

// blocks are the positions that are worked on at once.
func blocks(positions int) (out [][2]int) {
	for lo := 0; lo < positions; lo += gaussian.Block {
		out = append(out, [2]int{lo, min(lo+gaussian.Block, positions)})
	}
	return out
}
