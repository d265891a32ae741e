package rd4ad

import (
	"context"
	"errors"
	"image"

	"github.com/gotab/gotab/downstream/internal/train"
	"github.com/gotab/gotab/internal/layers"
	"github.com/gotab/gotab/internal/seed"
	"github.com/gotab/gotab/tensor"
)

// cosineEpsilon is the least length by which a cosine divides, as in PyTorch.
const cosineEpsilon = 1e-8

// New makes a student for layers of so many channels, of the parameters that of returns for each unit.
func New(ctx context.Context, dev tensor.Device, channels []int, b Blocks, of func(u *layers.ConvNorm) ([]tensor.Array, error)) (*Student, error) {
	net := Describe(channels, b)
	err := tensor.Run(ctx, dev, tensor.Evaluation, func(s *tensor.Scope) error { return net.Build(s, of) })
	if err != nil {
		return nil, errors.Join(err, net.Params.Close())
	}
	return net, nil
}

// Fresh draws a student, unit by unit, so that its weights never lie on the
// host as a whole.
func Fresh(ctx context.Context, dev tensor.Device, channels []int, b Blocks, from [2]uint64) (*Student, error) {
	rng := seed.Rand(from[0], "student", from[1])
	return New(ctx, dev, channels, b, func(u *layers.ConvNorm) ([]tensor.Array, error) { return u.Fresh(rng) })
}

// Loss is the distance between the maps of teacher and student: the cosine of whole maps, or of the channels at each
// position.
func Loss(s *tensor.Scope, teacher, student []*tensor.Tensor, perPosition bool) *tensor.Tensor {
	return s.Sub(func(s *tensor.Scope) *tensor.Tensor {
		sum := s.Full(float64(len(teacher)), tensor.Float32)
		for i := range teacher {
			a, b := s.Permute(teacher[i], 0, 2, 3, 1), s.Permute(student[i], 0, 2, 3, 1)
			if !perPosition {
				a, b = s.Reshape(a, a.Size(0), -1), s.Reshape(b, b.Size(0), -1)
			}
			sum = s.Minus(sum, s.Mean(s.CosineSimilarity(a, b, -1, cosineEpsilon), false))
		}
		return sum
	})
}

// Bytes are what a detector takes that is fitted on so many images whose first layer has a grid, and what its fit takes: see
// downstream.RD4ADConfig.Estimate.
func Bytes(images int, channels []int, grid image.Point, b Blocks, batch int, cache int64) (fitted, fitting int64) {
	net := Describe(channels, b)
	params := int64(0)
	for _, sp := range net.Specs() {
		params += sp.Values()
	}
	maps := int64(0)
	for i, c := range channels {
		maps += int64(c) * int64(grid.X>>i) * int64(grid.Y>>i)
	}
	kept := train.HostMaps(images, maps, batch, cache)
	return 8 * params, 16*params + kept + 4*int64(batch)*(net.Held(int64(grid.Y), int64(grid.X))+3*maps)
}
