package padim

import (
	"context"
	"encoding/binary"
	"errors"
	"math"

	"github.com/gotab/gotab/downstream/internal/gaussian"
	"github.com/gotab/gotab/internal/layers"
	"github.com/gotab/gotab/tensor"
)

// whiteningName is what a file calls the triangles.
const whiteningName = "whitening"

// Specs are the arrays of a file: mean [P, C] and whitening [P, C(C+1)/2], the lower
// triangles of L^-1, row by row.
func Specs(positions, channels int) []layers.Spec {
	p, c := int64(positions), int64(channels)
	return []layers.Spec{{Name: meanName, Shape: []int64{p, c}}, {Name: whiteningName, Shape: []int64{p, int64(half(channels))}}}
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
		{Name: whiteningName, DType: tensor.Float32, Shape: []int64{int64(grid), int64(half(c))}, Data: triangles},
	}, nil
}

// Load puts the arrays of a file, which are as Specs say, into p.
func Load(ctx context.Context, p *tensor.Params, arrays map[string]tensor.Array) (g Gaussians, err error) {
	mean := arrays[meanName]
	grid, c := int(mean.Shape[0]), int(mean.Shape[1])
	dev := p.Device()
	err = tensor.Run(ctx, dev, tensor.Evaluation, func(s *tensor.Scope) error {
		if err := errors.Join(
			p.PutBuffer(s, meanName, s.FromArray(mean)),
			p.PutBuffer(s, factorName, newFactor(s, dev, int64(grid), int64(c))),
		); err != nil {
			return err
		}
		g = of(p)
		data, shape := arrays[whiteningName].Data, g.Factor.Shape()
		buffer := make([]float32, gaussian.Block*entries(dev, c))
		for _, b := range blocks(grid) {
			if err := s.Err(); err != nil {
				return err
			}
			k := b[1] - b[0]
			pack(dev, buffer, k, c, func(_, _, _ int) float32 { // called in the order of the file
				v := math.Float32frombits(binary.LittleEndian.Uint32(data))
				data = data[4:]
				return v
			})
			part := s.FromFloats(buffer[:k*entries(dev, c)], append([]int64{int64(k)}, shape[1:]...)...)
			place := s.Narrow(g.Factor, 0, int64(b[0]), int64(k))
			s.CopyInto(place, part)
			s.Free(part, place)
		}
		return s.Err()
	})
	return g, err
}
