package network

import (
	"fmt"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/downstream/internal/sentinel"
	"github.com/gotab/gotab/tensor"
)

// PatchEmbedding makes patch vectors of an extractor's features.
type PatchEmbedding struct {
	Fe     Extractor
	Layers []backbone.Layer
	side   int   // of a neighbourhood
	Count  int   // values of a vector
	dims   []int // of them, values of each layer
	// kernels are the convolutions that pool channels and neighbourhoods, one a
	// layer; nil averages neighbourhoods.
	kernels []poolingKernel
}

// poolingKernel is a convolution that pools channels and neighbourhoods. Bins of
// the pooling end where groups of channels do, so that it is a grouped one.
type poolingKernel struct {
	weights []float32 // [dim, channels/groups, side, side]
	dim     int
	groups  int
}

// NewPatchEmbedding returns the embedding that pools every layer to layerDim
// values and then the layers together to dim, a multiple of their number. With
// dim 0 it keeps all channels.
func NewPatchEmbedding(fe Extractor, layers []backbone.Layer, side, layerDim, dim int) (*PatchEmbedding, error) {
	all, err := TotalChannels(fe, layers)
	if err != nil {
		return nil, err
	}
	e := &PatchEmbedding{Fe: fe, Layers: layers, side: side, Count: all}
	if dim > 0 {
		e.Count = dim
	}
	for _, l := range layers {
		if dim == 0 {
			e.dims = append(e.dims, fe.Channels(l))
			continue
		}
		// The second pooling takes layerDim values of each layer to dim together: each
		// output is the mean of values of one layer.
		k := newPoolingKernel(fe.Channels(l), side*side, layerDim, dim/len(layers))
		e.dims = append(e.dims, k.dim)
		e.kernels = append(e.kernels, k)
	}
	return e, nil
}

// newPoolingKernel pools channels x area values, in this order, to middle values
// and these to out.
func newPoolingKernel(channels, area, middle, out int) poolingKernel {
	k := poolingKernel{dim: out, groups: gcd(channels, gcd(middle, out))}
	in := channels * area
	per := in / k.groups
	k.weights = make([]float32, out*per)
	for o := range out {
		skip := o / (out / k.groups) * per
		first, last := adaptiveBin(o, middle, out)
		for j := first; j < last; j++ {
			lo, hi := adaptiveBin(j, in, middle)
			for i := lo; i < hi; i++ {
				k.weights[o*per+i-skip] += float32(1 / float64((hi-lo)*(last-first)))
			}
		}
	}
	return k
}

func gcd(a, b int) int {
	for b > 0 {
		a, b = b, a%b
	}
	return a
}

// adaptiveBin returns which of in values adaptive average pooling to out values
// averages for output i: from lo to hi-1.
func adaptiveBin(i, in, out int) (lo, hi int) {
	return i * in / out, ((i+1)*in + out - 1) / out
}

// Embed returns the vectors of all patches, [N, h, w, count] in row-major order
// on the first layer's grid.
func (e *PatchEmbedding) Embed(s *tensor.Scope, x *tensor.Tensor) *tensor.Tensor {
	return s.Sub(func(s *tensor.Scope) *tensor.Tensor {
		maps := e.Fe.Forward(s, x, e.Layers...)
		if s.Err() != nil {
			return nil
		}
		return e.pool(s, maps)
	})
}

// pool makes the vectors of embed of the maps of the layers.
func (e *PatchEmbedding) pool(s *tensor.Scope, maps []*tensor.Tensor) *tensor.Tensor {
	return s.Sub(func(s *tensor.Scope) *tensor.Tensor {
		parts := e.Parts(s, maps)
		if s.Err() != nil {
			return nil
		}
		h, w := parts[0].Size(2), parts[0].Size(3)
		for i, f := range parts {
			if f.Size(2) != h || f.Size(3) != w {
				f = s.UpsampleBilinear(f, h, w)
			}
			parts[i] = s.Permute(f, 0, 2, 3, 1)
		}
		if len(parts) == 1 {
			// A copy: with a neighbourhood of one it may still be the extractor's.
			return s.Contiguous(s.Clone(parts[0]))
		}
		return s.Contiguous(s.Cat(3, parts...))
	})
}

// Parts pools each layer over its neighbourhoods: the vectors' values of that
// layer, [N, dim, h, w] on its own grid.
func (e *PatchEmbedding) Parts(s *tensor.Scope, maps []*tensor.Tensor) []*tensor.Tensor {
	out := make([]*tensor.Tensor, len(maps))
	for i, f := range maps {
		l := e.Layers[i]
		c, k := int64(e.Fe.Channels(l)), int64(e.side)
		if sh := f.Shape(); len(sh) != 4 || sh[0] != maps[0].Size(0) || sh[1] != c || sh[2] < 1 || sh[3] < 1 {
			s.Fail(fmt.Errorf("downstream: features of %s: %w: the extractor gave %v for %d images and %d channels",
				l, sentinel.ErrLayers, sh, maps[0].Size(0), c))
			return nil
		}
		switch {
		case e.kernels != nil:
			kernel := e.kernels[i]
			g := int64(kernel.groups)
			f = s.Conv2d(f, s.FromFloats(kernel.weights, int64(kernel.dim), c/g, k, k), nil, tensor.Conv{Padding: k / 2, Groups: g})
		case k > 1:
			f = s.AvgPool2d(f, k, 1, k/2)
		}
		out[i] = f
	}
	return out
}
