package downstream

import (
	"context"
	"io"
	"math/rand/v2"
	"strings"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/downstream/internal/life"
	"github.com/gotab/gotab/downstream/internal/regad"
	"github.com/gotab/gotab/tensor"
)

// Trunk lets tests put a small network in a ResNet's place.
type Trunk = regad.Trunk

// NewRegADOn is NewRegAD on a trunk of weights by the trunk's names.
func NewRegADOn(weights []tensor.Array, grow func([]tensor.Array) (Trunk, error), cfg RegADConfig, rng *rand.Rand, opts ...Option) (*RegAD, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	var first []tensor.Array
	for _, a := range weights {
		a.Name = regad.TrunkPrefix + a.Name
		first = append(first, a)
	}
	return newRegAD(first, grow, "tiny", tensor.CPU, cfg, [2]uint64{rng.Uint64(), rng.Uint64()}, opts...), nil
}

// WriteCheckpoint writes the checkpoint of a training that has come to the network
// in force, after so many epochs.
func (r *RegAD) WriteCheckpoint(path string, epochs int) error {
	n, err := r.network("save")
	if err != nil {
		return err
	}
	defer func() { _ = r.trained.Release(n) }() // frees memory, cannot fail
	learners, err := r.learners(n)
	if err != nil {
		return err
	}
	defer func() {
		for _, l := range learners {
			_ = l.Optimizer.Close() // frees memory, cannot fail
		}
	}()
	return (&regadCheckpoint{path: path, data: "images", first: "weights"}).write(context.Background(), r, n, learners, epochs)
}

// ReadRegADOn is ReadRegAD for what NewRegADOn made.
func ReadRegADOn(ctx context.Context, r io.Reader, grow func([]tensor.Array) (Trunk, error), opts ...Option) (*RegAD, error) {
	return readRegAD(ctx, r, tensor.CPU, func(string, backbone.Layer) (regad.Grower, error) { return grow, nil }, opts...)
}

// HeldBytes returns the bytes of all tensors and arrays of the model in force, but
// the tables of smoothing; 0 where there is none.
func HeldBytes(d any) (n int64) {
	switch d := d.(type) {
	case *PaDiM:
		return heldBytes(&d.core.Current, nil)
	case *PatchCore:
		return heldBytes(&d.core.Current, nil)
	case *RD4AD:
		return heldBytes(&d.core.Current, func(g *distilled) int64 { return 4 * (g.net.Params.Len() + g.packed.Len()) })
	case *SimpleNet:
		return heldBytes(&d.core.Current, func(g *simpleModel) (n int64) {
			for _, a := range g.trained {
				n += int64(len(a.Data))
			}
			return n
		})
	case *RegAD:
		return heldBytes(&d.core.Current, nil)
	}
	return 0
}

func heldBytes[M fitted](s *life.Slot[M], more func(g M) int64) (n int64) {
	g, ok := s.Hold()
	if !ok {
		return 0
	}
	defer func() { _ = s.Release(g) }() // frees memory, cannot fail
	p := g.Common().Params
	for _, name := range p.Names() {
		if !strings.HasSuffix(name, "rows") && !strings.HasSuffix(name, "columns") {
			size := int64(4)
			if p.Get(name).DType() == tensor.BFloat16 {
				size = 2
			}
			n += size * p.Get(name).Len()
		}
	}
	if more != nil {
		n += more(g)
	}
	return n
}

// The arithmetic of the estimates, for numbers that no network of a test gives.
var (
	EstimatePaDiM     = estimatePaDiM
	EstimatePatchCore = estimatePatchCore
	EstimateRD4AD     = estimateRD4AD
	EstimateSimpleNet = estimateSimpleNet
	EstimateRegAD     = estimateRegAD
)
