package backbone

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

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
	for _, u := range describe(arch).units() {
		shape := []int64{u.out, u.in, u.kernel, u.kernel}
		w, err := tensor.Normal(rng, u.out*u.in*u.kernel*u.kernel, tensor.KaimingFanOut(shape))
		if err != nil {
			return nil, fmt.Errorf("backbone: new %s: %w", arch, err)
		}
		one, zero := make([]float32, u.out), make([]float32, u.out)
		for i := range one {
			one[i] = 1
		}
		arrays = append(arrays, tensor.FloatArray(u.name+".weight", w, shape...),
			tensor.FloatArray(u.norm+".weight", one, u.out), tensor.FloatArray(u.norm+".bias", zero, u.out),
			tensor.FloatArray(u.norm+".running_mean", zero, u.out), tensor.FloatArray(u.norm+".running_var", one, u.out))
	}
	in := int64(arch.Channels(Pooled))
	w, err := tensor.Uniform(rng, classes*in, tensor.LinearBound(in))
	if err != nil {
		return nil, fmt.Errorf("backbone: new %s: %w", arch, err)
	}
	b, err := tensor.Uniform(rng, classes, tensor.LinearBound(in))
	if err != nil {
		return nil, fmt.Errorf("backbone: new %s: %w", arch, err)
	}
	arrays = append(arrays, tensor.FloatArray("fc.weight", w, classes, in), tensor.FloatArray("fc.bias", b, classes))
	return build(arch, arrays, dev)
}

// NewResNet18 is [New] for ResNet-18.
func NewResNet18(dev tensor.Device, rng *rand.Rand) (*ResNet18, error) {
	return New(ArchResNet18, dev, rng)
}

// build makes a network of exactly the arrays it needs.
func build(arch Arch, arrays []tensor.Array, dev tensor.Device) (*ResNet, error) {
	byName := make(map[string]tensor.Array, len(arrays))
	for _, a := range arrays {
		byName[a.Name] = a
	}
	m := describe(arch)
	m.params = tensor.NewParams(dev)
	err := tensor.Run(context.Background(), dev, tensor.Evaluation, func(s *tensor.Scope) error {
		put := func(name string, buffer bool) (*tensor.Tensor, error) {
			a, ok := byName[name]
			if !ok {
				return nil, fmt.Errorf("backbone: build: %w: %s is missing", ErrWeights, name)
			}
			t := s.FromArray(a)
			if len(a.Shape) == 4 {
				rows := t
				t = s.ChannelsLast(rows)
				s.Free(rows) // a large network need not lie in memory twice
			}
			if err := s.Err(); err != nil {
				return nil, err
			}
			if buffer {
				return t, m.params.PutBuffer(s, name, t)
			}
			return t, m.params.Put(s, name, t)
		}
		for _, u := range m.units() {
			if _, ok := byName[u.norm+".num_batches_tracked"]; !ok {
				byName[u.norm+".num_batches_tracked"] = tensor.IntArray("", []int64{0})
			}
			for _, f := range []struct {
				name   string
				buffer bool
				to     **tensor.Tensor
			}{
				{u.name + ".weight", false, &u.w}, {u.norm + ".weight", false, &u.gamma}, {u.norm + ".bias", false, &u.beta},
				{u.norm + ".running_mean", true, &u.mean}, {u.norm + ".running_var", true, &u.sigma2},
				{u.norm + ".num_batches_tracked", true, &u.seen},
			} {
				t, err := put(f.name, f.buffer)
				if err != nil {
					return err
				}
				*f.to = t
			}
		}
		for _, n := range []string{"fc.weight", "fc.bias"} {
			if _, err := put(n, true); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, m.params.Close())
	}
	return m, nil
}
