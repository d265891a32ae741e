package rd4ad

import (
	"context"

	"github.com/gotab/gotab/downstream/internal/engine"
	"github.com/gotab/gotab/internal/layers"
	"github.com/gotab/gotab/tensor"
)

// Check says whether the arrays of a file are those of a student.
func Check(channels []int, b Blocks, arrays []tensor.Array) error {
	_, err := engine.ArraysOf(Describe(channels, b).Specs(), arrays)
	return err
}

// Load makes a student of arrays that Check has seen.
func Load(ctx context.Context, dev tensor.Device, channels []int, b Blocks, arrays []tensor.Array) (*Student, error) {
	return New(ctx, dev, channels, b, func(*layers.ConvNorm) ([]tensor.Array, error) { return arrays, nil })
}
