package backbone

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/gotab/gotab/internal/layers"
	"github.com/gotab/gotab/tensor"
)

// classes is the number of rows of the unused classification layer.
const classes = 1000

// New returns a network with fresh weights, drawn from rng in the order of the
// parameters as torchvision draws its own: convolutions normal with deviation
// sqrt(2/(out k k)), batch norm 1 and 0, the classification layer uniform. The
// last is never used; it is there so that Python loads the weights strictly. The
// same seed gives the same weights on every device. An unknown arch is an error
// that wraps [ErrArch].
func New(arch Arch, dev tensor.Device, rng *rand.Rand) (*ResNet, error) {
	if err := arch.check(); err != nil {
		return nil, fmt.Errorf("backbone: new: %w", err)
	}
	var arrays []tensor.Array
	for _, u := range describe(arch, Pooled).units() {
		a, err := u.Fresh(rng)
		if err != nil {
			return nil, fmt.Errorf("backbone: new %s: %w", arch, err)
		}
		arrays = append(arrays, a...)
	}
	in := int64(arch.Channels(Pooled))
	w, b, err := layers.Linear(rng, in, classes)
	if err != nil {
		return nil, fmt.Errorf("backbone: new %s: %w", arch, err)
	}
	arrays = append(arrays, tensor.FloatArray("fc.weight", w, classes, in), tensor.FloatArray("fc.bias", b, classes))
	return build(arch, Pooled, arrays, dev)
}

// NewResNet18 is [New] for ResNet-18.
func NewResNet18(dev tensor.Device, rng *rand.Rand) (*ResNet18, error) {
	return New(ArchResNet18, dev, rng)
}

// build makes a network that ends with last of exactly the arrays it needs.
func build(arch Arch, last Layer, arrays []tensor.Array, dev tensor.Device) (*ResNet, error) {
	byName := make(map[string]tensor.Array, len(arrays))
	for _, a := range arrays {
		byName[a.Name] = a
	}
	m := describe(arch, last)
	m.params = tensor.NewParams(dev)
	err := tensor.Run(context.Background(), dev, tensor.Evaluation, func(s *tensor.Scope) error {
		for _, u := range m.units() {
			if n := u.Norm + layers.Counter; byName[n].Name == "" {
				byName[n] = tensor.IntArray(n, []int64{0})
			}
			if err := layers.Put(s, m.params, u.Specs(), byName); err != nil {
				return err
			}
			if err := u.Bind(m.params); err != nil {
				return err
			}
		}
		if last < Pooled {
			return nil
		}
		fc := []layers.Spec{{Name: "fc.weight", Buffer: true}, {Name: "fc.bias", Buffer: true}}
		return layers.Put(s, m.params, fc, byName)
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("backbone: build %s: %w", arch, err), m.params.Close())
	}
	return m, nil
}
