// Package regad is the arithmetic of RegAD (Huang et al., arXiv 2207.07361).
package regad

import (
	"context"
	"errors"
	"fmt"
	"image"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/downstream/internal/engine"
	"github.com/gotab/gotab/downstream/internal/network"
	"github.com/gotab/gotab/downstream/internal/sentinel"
	"github.com/gotab/gotab/internal/layers"
	"github.com/gotab/gotab/tensor"
)

// Trunk is the backbone of RegAD: a network that it owns and trains and that runs
// stage by stage. The stages of a backbone.ResNet are one.
type Trunk interface {
	Channels(l backbone.Layer) int
	Stage(s *tensor.Scope, x *tensor.Tensor, l backbone.Layer) *tensor.Tensor
	Params() *tensor.Params
	Close() error
}

// Grower makes a trunk of its weights.
type Grower func(arrays []tensor.Array) (Trunk, error)

// TrunkPrefix tells the trunk's weights from the others in a list.
const TrunkPrefix = "backbone."

// Network is RegAD's network: the stages of a trunk with a spatial
// transformer after each of some of them, and the Siamese head that trains both.
type Network struct {
	Trunk        Trunk
	Params       *tensor.Params // of transformers and head
	layers       []backbone.Layer
	transformers []*transformer // one a layer
	head         siamese
	Size         image.Point        // of the images
	Maps         []network.MapShape // of the layers
	Classes      []string           // that it has been trained on, sorted
	folded       *tensor.Params
	refs         int
}

// Holders is the count of those who hold the network: see package life.
func (n *Network) Holders() *int { return &n.refs }

// Free frees all of it.
func (n *Network) Free() error {
	return errors.Join(n.Trunk.Close(), n.Params.Close(), n.folded.Close())
}

// Shape is what of downstream.RegADConfig the network depends on.
type Shape struct {
	Layers []backbone.Layer
	Warp   Warp
	Hidden int
}

// Describe lays a network on a trunk out without its own weights,
// for images of a size.
func Describe(ctx context.Context, dev tensor.Device, t Trunk, of Shape, size image.Point) (*Network, error) {
	n := &Network{Trunk: t, layers: of.Layers, Size: size}
	if err := n.Probe(ctx, dev); err != nil {
		return nil, err
	}
	for i, l := range n.layers {
		n.transformers = append(n.transformers, newTransformer(transformerPrefix(l), of.Warp, n.Maps[i], of.Hidden))
	}
	n.head = newSiamese(t.Channels(n.deepest()))
	return n, nil
}

// Probe runs the trunk alone in evaluation on one black image, to see what its
// layers give. It is also what makes the trunk's evaluation weights: always for
// one image, whatever comes first afterwards, so that a network that was read
// from a file has the same bits as the one that was written.
func (n *Network) Probe(ctx context.Context, dev tensor.Device) error {
	n.Maps = nil
	return tensor.Run(ctx, dev, tensor.Evaluation, func(s *tensor.Scope) error {
		x := s.Zeros(1, 3, int64(n.Size.Y), int64(n.Size.X))
		for l := backbone.Stem; l <= n.deepest(); l++ {
			in := x
			x = s.Sub(func(s *tensor.Scope) *tensor.Tensor { return n.Trunk.Stage(s, in, l) })
			s.Free(in)
			if err := s.Err(); err != nil {
				return err
			}
			if slices.Contains(n.layers, l) {
				n.Maps = append(n.Maps, network.MapShape{H: int(x.Size(2)), W: int(x.Size(3)), C: n.Trunk.Channels(l)})
			}
		}
		return nil
	})
}

// transformerPrefix is what the parameters of a layer's transformer are named by.
func transformerPrefix(l backbone.Layer) string { return fmt.Sprintf("stn%d.", l) }

func (n *Network) deepest() backbone.Layer { return n.layers[len(n.layers)-1] }

// specs are the network's own parameters, without the trunk's.
func (n *Network) specs() (out []layers.Spec) {
	for _, t := range n.transformers {
		out = append(out, t.specs()...)
	}
	return append(append(out, n.head.encoder.specs()...), n.head.predictor.specs()...)
}

// Fresh draws the network's own parameters in the order of specs.
func (n *Network) Fresh(rng *rand.Rand) (out []tensor.Array, err error) {
	draw := func(fresh func(*rand.Rand) ([]tensor.Array, error)) {
		if err == nil {
			var a []tensor.Array
			a, err = fresh(rng)
			out = append(out, a...)
		}
	}
	for _, t := range n.transformers {
		draw(t.fresh)
	}
	draw(n.head.encoder.fresh)
	draw(n.head.predictor.fresh)
	return out, err
}

// Give makes the network's own tensors of arrays, which must be exactly those of
// specs; an error names the first that is not.
func (n *Network) Give(ctx context.Context, dev tensor.Device, arrays []tensor.Array) error {
	byName, err := engine.ArraysOf(n.specs(), arrays)
	if err != nil {
		return err
	}
	n.Params = tensor.NewParams(dev)
	return tensor.Run(ctx, dev, tensor.Evaluation, func(s *tensor.Scope) error {
		if err := layers.Put(s, n.Params, n.specs(), byName); err != nil {
			return err
		}
		for _, t := range n.transformers {
			if err := t.bind(n.Params); err != nil {
				return err
			}
		}
		return errors.Join(n.head.encoder.bind(n.Params), n.head.predictor.bind(n.Params))
	})
}

// Arrays copies all weights to the host.
func (n *Network) Arrays(ctx context.Context) ([]tensor.Array, error) {
	out, err := n.Trunk.Params().Arrays(ctx)
	if err != nil {
		return nil, err
	}
	for i := range out {
		out[i].Name = TrunkPrefix + out[i].Name
	}
	own, err := n.Params.Arrays(ctx)
	return append(out, own...), err
}

// Sizes returns what a file says of the sizes of a network without statistics.
func (n *Network) Sizes() engine.Sizes {
	return engine.Sizes{Grid: [2]int{n.Maps[0].W, n.Maps[0].H}, Input: [2]int{n.Size.X, n.Size.Y}}
}

// OfTrunk returns the trunk's weights out of a list, by the trunk's names.
func OfTrunk(arrays []tensor.Array) (out []tensor.Array) {
	for _, a := range arrays {
		if name, ok := strings.CutPrefix(a.Name, TrunkPrefix); ok {
			a.Name = name
			out = append(out, a)
		}
	}
	return out
}

// Settle prepares a network whose weights no longer change, and whose trunk has
// been probed since, for evaluation.
func (n *Network) Settle(ctx context.Context, dev tensor.Device) error {
	n.folded = tensor.NewParams(dev)
	return tensor.Run(ctx, dev, tensor.Evaluation, func(s *tensor.Scope) error {
		for i, t := range n.transformers {
			if err := t.fold(s, n.folded, n.Maps[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

// Align runs trunk and transformers on images x [N, 3, H, W] and returns the
// deepest map, channels-last. visit, where it is not nil, is told of every
// layer's transformed map and of the matrices that transformed it.
func (n *Network) Align(s *tensor.Scope, x *tensor.Tensor, visit func(s *tensor.Scope, layer int, x, theta *tensor.Tensor)) *tensor.Tensor {
	for l := backbone.Stem; l <= n.deepest(); l++ {
		in := x
		x = s.Sub(func(s *tensor.Scope) *tensor.Tensor {
			y := n.Trunk.Stage(s, in, l)
			i := slices.Index(n.layers, l)
			if i < 0 {
				return y
			}
			theta := n.transformers[i].predict(s, y)
			y = warpMap(s, y, theta)
			if visit != nil {
				visit(s, i, y, theta)
			}
			return y
		})
		if l > backbone.Stem {
			s.Free(in)
		}
	}
	return x
}

// Features returns each layer's map of images x [N, 3, H, W], brought back to
// where the image has it: the map of layer l passes through the inverse of l's
// own matrices, then through that of the layer before, and so on to the first.
// The Run is in mode Evaluation and the network settled.
func (n *Network) Features(s *tensor.Scope, x *tensor.Tensor) []*tensor.Tensor {
	return s.SubN(func(s *tensor.Scope) []*tensor.Tensor {
		out := make([]*tensor.Tensor, len(n.layers))
		back := make([]*tensor.Tensor, len(n.layers)) // inverse matrices
		n.Align(s, x, func(inner *tensor.Scope, layer int, x, theta *tensor.Tensor) {
			// These outlive the stage, so the outer scope makes them.
			back[layer] = invert(s, theta)
			out[layer] = s.Sub(func(s *tensor.Scope) *tensor.Tensor {
				for i := layer; i >= 0; i-- {
					x = warpMap(s, x, back[i])
				}
				return x
			})
		})
		if s.Err() != nil {
			return make([]*tensor.Tensor, len(n.layers))
		}
		for i, m := range n.Maps {
			if sh := out[i].Shape(); !slices.Equal(sh, []int64{x.Size(0), int64(m.C), int64(m.H), int64(m.W)}) {
				s.Fail(fmt.Errorf("features of %s: %w: the network gave %v, want %dx%d positions of %d channels",
					n.layers[i], sentinel.ErrLayers, sh, m.W, m.H, m.C))
			}
		}
		return out
	})
}

// Loss is the loss of queries [Q, 3, H, W] and of their support images
// [Q shots, 3, H, W], those of the first query first.
func (n *Network) Loss(s *tensor.Scope, queries, support *tensor.Tensor) *tensor.Tensor {
	return s.Sub(func(s *tensor.Scope) *tensor.Tensor {
		q := n.Align(s, queries, nil)
		mean := s.Sub(func(s *tensor.Scope) *tensor.Tensor {
			f := n.Align(s, support, nil)
			if s.Err() != nil {
				return nil
			}
			sh := f.Shape()
			f = s.Reshape(f, queries.Size(0), sh[0]/queries.Size(0), sh[1], sh[2], sh[3])
			return s.ChannelsLast(s.Mean(f, false, 1))
		})
		return n.head.loss(s, q, mean)
	})
}
