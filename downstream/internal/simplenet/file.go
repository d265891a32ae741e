package simplenet

import (
	"fmt"
	"slices"

	"github.com/gotab/gotab/downstream/internal/engine"
	"github.com/gotab/gotab/downstream/internal/sentinel"
	"github.com/gotab/gotab/internal/layers"
	"github.com/gotab/gotab/tensor"
)

// Trained picks the weights for patches of dim values and a discriminator of a width out of the arrays of a file.
func Trained(dim, hidden int, arrays []tensor.Array) (trained []tensor.Array, err error) {
	for _, sp := range Specs(dim, hidden) {
		a, err := engine.ArrayOf(arrays, layers.Spec{Name: sp.Name, Shape: sp.Shape})
		if err != nil {
			return nil, err
		}
		if sp.Name == DiscriminatorPrefix+"norm.running_var" {
			v, err := a.Floats()
			if err != nil {
				return nil, err
			}
			if slices.Min(v) < 0 {
				return nil, fmt.Errorf("%w: %s holds %v, a variance is not negative", sentinel.ErrFile, sp.Name, slices.Min(v))
			}
		}
		trained = append(trained, a)
	}
	return trained, nil
}
