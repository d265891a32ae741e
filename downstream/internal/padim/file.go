package padim

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/gotab/gotab/downstream/internal/gaussian"
	"github.com/gotab/gotab/downstream/internal/sentinel"
	"github.com/gotab/gotab/internal/layers"
	"github.com/gotab/gotab/tensor"
)

// WhiteningName is what a file calls the triangles.
const WhiteningName = "whitening"

// Specs are the arrays of a file: mean [P, C] and whitening [P, C(C+1)/2], the lower
// triangles of L^-1, row by row.
func Specs(positions, channels int) []layers.Spec {
	p, c := int64(positions), int64(channels)
	return []layers.Spec{{Name: meanName, Shape: []int64{p, c}}, {Name: WhiteningName, Shape: []int64{p, int64(half(channels))}}}
}

// Arrays copies the Gaussians to the host, as Specs say. The matrices are there
// twice meanwhile.
func (g Gaussians) Arrays(ctx context.Context, dev tensor.Device) ([]tensor.Array, error) {
	grid, c := int(g.Mean.Size(0)), int(g.Mean.Size(1))
	mean, triangles := make([]float32, grid*c), make([]byte, 0, 4*grid*half(c))
	err := tensor.Run(ctx, dev, tensor.Evaluation, func(s *tensor.Scope) error {
		if err := s.FloatsInto(mean, g.Mean); err != nil {
			return err
		}
		buffer := make([]float32, gaussian.Block*entries(dev, c))
		for _, b := range blocks(grid) {
			value, err := g.block(s, buffer, b[0], b[1])
			if err != nil {
				return err
			}
			for at := range b[1] - b[0] {
				for row := range c {
					for column := range row + 1 {
						triangles = binary.LittleEndian.AppendUint32(triangles, math.Float32bits(value(at, row, column)))
					}
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return []tensor.Array{
		tensor.FloatArray(meanName, mean, int64(grid), int64(c)),
		{Name: WhiteningName, DType: tensor.Float32, Shape: []int64{int64(grid), int64(half(c))}, Data: triangles},
	}, nil
}

// Load puts the arrays of a file, which are as Specs say, into p, in a form. The triangles may be without their
// data: then part reads some of it, at any place. What cannot be read and what is not finite is [sentinel.ErrFile].
func Load(ctx context.Context, p *tensor.Params, arrays map[string]tensor.Array, part func(name string, b []byte, at int64) error, form Form, cores int) (g Gaussians, err error) {
	mean, triangles := arrays[meanName], arrays[WhiteningName]
	grid, c := int(mean.Shape[0]), int(mean.Shape[1])
	dev := p.Device()
	err = tensor.Run(ctx, dev, tensor.Evaluation, func(s *tensor.Scope) error {
		return errors.Join(
			p.PutBuffer(s, meanName, s.FromArray(mean)),
			p.PutBuffer(s, factorName, newFactor(s, dev, int64(grid), int64(c), form)),
		)
	})
	if err != nil {
		return g, err
	}
	g = of(p)
	each := 4 * half(c)
	buffers := make(chan []byte, cores) // of what is read at the same time
	for range cores {
		buffers <- nil
	}
	err = gaussian.EachBlock(tensor.WithThreads(ctx, 1), dev, blocks(grid), cores, func(s *tensor.Scope, lo, hi int) error {
		data := triangles.Data
		if data != nil {
			data = data[lo*each : hi*each]
		} else {
			buffer := <-buffers
			if buffer == nil {
				buffer = make([]byte, gaussian.Block*each)
			}
			defer func() { buffers <- buffer }()
			data = buffer[:(hi-lo)*each]
			if err := part(WhiteningName, data, int64(lo)*int64(each)); err != nil {
				return fmt.Errorf("%w: %w", sentinel.ErrFile, err)
			}
			if err := (tensor.Array{Name: WhiteningName, DType: tensor.Float32, Data: data}).CheckFinite(); err != nil {
				return fmt.Errorf("%w: %w", sentinel.ErrFile, err)
			}
		}
		return setTriangles(s, s.Narrow(g.Factor, 0, int64(lo), int64(hi-lo)), data, c)
	})
	return g, err
}

// setTriangles puts matrices L^-1, whose triangles are as in a file, into their place, a part of a Factor.
func setTriangles(s *tensor.Scope, place *tensor.Tensor, data []byte, c int) error {
	if s.Err() != nil {
		return s.Err()
	}
	dev, k := place.Device(), int(place.Size(0))
	if packed(dev) {
		s.PackLowerInto(place, data, c)
		return s.Err()
	}
	whole := make([]float32, k*entries(dev, c))
	pack(dev, whole, k, c, func(_, _, _ int) float32 { // called in the order of the file
		v := math.Float32frombits(binary.LittleEndian.Uint32(data))
		data = data[4:]
		return v
	})
	s.CopyInto(place, s.FromFloats(whole, place.Shape()...))
	return s.Err()
}
