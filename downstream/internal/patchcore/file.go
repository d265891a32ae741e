package patchcore

import (
	"context"
	"errors"

	"github.com/gotab/gotab/tensor"
)

// Arrays copies patches and mean to the host, as a file has them.
func (g Bank) Arrays(ctx context.Context, dev tensor.Device) ([]tensor.Array, error) {
	c := g.Mean.Len()
	patches, mean := make([]float32, int64(g.count)*c), make([]float32, c)
	err := tensor.Run(ctx, dev, tensor.Evaluation, func(s *tensor.Scope) error {
		return errors.Join(s.FloatsInto(patches, g.Patches), s.FloatsInto(mean, g.Mean))
	})
	if err != nil {
		return nil, err
	}
	return []tensor.Array{tensor.FloatArray("patches", patches, int64(g.count), c), tensor.FloatArray("mean", mean, c)}, nil
}
