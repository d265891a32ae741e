package downstream

import (
	"fmt"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/tensor"
)

// patchEmbedding makes patch vectors of an extractor's features.
type patchEmbedding struct {
	fe     Extractor
	layers []backbone.Layer
	side   int // of a neighbourhood
	count  int // values of a vector
	// weights are the convolutions that pool channels and neighbourhoods to Dim,
	// [Dim/layers, C, side, side] for each layer; nil averages neighbourhoods.
	weights [][]float32
}

func newPatchEmbedding(fe Extractor, layers []backbone.Layer, side, dim int) (*patchEmbedding, error) {
	all, err := totalChannels(fe, layers)
	if err != nil {
		return nil, err
	}
	e := &patchEmbedding{fe: fe, layers: layers, side: side, count: all}
	if dim == 0 {
		return e, nil
	}
	e.count = dim
	for _, l := range layers {
		// The second pooling takes len(layers)*dim values to dim: each output is the
		// mean of len(layers) neighbouring ones, all of one layer.
		group := len(layers)
		in := fe.Channels(l) * side * side
		w := make([]float32, dim/group*in)
		for o := range dim / group {
			for j := range group {
				lo, hi := adaptiveBin(o*group+j, in, dim)
				for i := lo; i < hi; i++ {
					w[o*in+i] += float32(1 / float64((hi-lo)*group))
				}
			}
		}
		e.weights = append(e.weights, w)
	}
	return e, nil
}

// adaptiveBin returns which of in values adaptive average pooling to out values
// averages for output i: from lo to hi-1.
func adaptiveBin(i, in, out int) (lo, hi int) {
	return i * in / out, ((i+1)*in + out - 1) / out
}

// embed returns the vectors of all patches, [N, h, w, count] in row-major order
// on the first layer's grid.
func (e *patchEmbedding) embed(s *tensor.Scope, x *tensor.Tensor) *tensor.Tensor {
	return s.Sub(func(s *tensor.Scope) *tensor.Tensor {
		maps := e.fe.Forward(s, x, e.layers...)
		if s.Err() != nil {
			return nil
		}
		return e.pool(s, maps)
	})
}

// pool makes the vectors of embed of the maps of the layers.
func (e *patchEmbedding) pool(s *tensor.Scope, maps []*tensor.Tensor) *tensor.Tensor {
	return s.Sub(func(s *tensor.Scope) *tensor.Tensor {
		var h, w int64
		parts := make([]*tensor.Tensor, len(maps))
		for i, f := range maps {
			l := e.layers[i]
			c := int64(e.fe.Channels(l))
			if sh := f.Shape(); len(sh) != 4 || sh[0] != maps[0].Size(0) || sh[1] != c || sh[2] < 1 || sh[3] < 1 {
				s.Fail(fmt.Errorf("downstream: features of %s: %w: the extractor gave %v for %d images and %d channels",
					l, ErrLayers, sh, maps[0].Size(0), c))
				return nil
			}
			if i == 0 {
				h, w = f.Size(2), f.Size(3)
			}
			parts[i] = s.Permute(e.neighbourhoods(s, f, i, h, w), 0, 2, 3, 1)
		}
		if len(parts) == 1 {
			// A copy: with a neighbourhood of one it may still be the extractor's.
			return s.Contiguous(s.Clone(parts[0]))
		}
		return s.Contiguous(s.Cat(3, parts...))
	})
}

// neighbourhoods pools layer i, [N, C, ..], over its neighbourhoods and brings it
// to h x w positions.
func (e *patchEmbedding) neighbourhoods(s *tensor.Scope, f *tensor.Tensor, i int, h, w int64) *tensor.Tensor {
	k := int64(e.side)
	switch {
	case e.weights != nil:
		c := f.Size(1)
		kernel := s.FromFloats(e.weights[i], int64(len(e.weights[i]))/(c*k*k), c, k, k)
		f = s.Conv2d(f, kernel, nil, tensor.Conv{Padding: k / 2})
	case k > 1:
		f = s.AvgPool2d(f, k, 1, k/2)
	}
	if f.Size(2) != h || f.Size(3) != w {
		f = s.UpsampleBilinear(f, h, w)
	}
	return f
}
