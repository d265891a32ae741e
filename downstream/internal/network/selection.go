package network

import (
	"fmt"
	"slices"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/downstream/internal/sentinel"
	"github.com/gotab/gotab/tensor"
)

// Extractor is downstream.Extractor, which says what the methods are.
type Extractor interface {
	Channels(l backbone.Layer) int
	Forward(s *tensor.Scope, x *tensor.Tensor, at ...backbone.Layer) []*tensor.Tensor
	Device() tensor.Device
}

// PrecisionOf returns a function that asks an extractor for the precision of its features.
// One that does not say, as one of a caller's own, has float32.
func PrecisionOf(fe Extractor) func() backbone.Precision {
	if p, ok := fe.(interface{ Precision() backbone.Precision }); ok {
		return p.Precision
	}
	return func() backbone.Precision { return backbone.Float32 }
}

// Selection is which channels of which layers a detector looks at.
type Selection struct {
	Fe     Extractor
	layers []backbone.Layer
	groups [][]int64 // channels of each layer, ascending
	Count  int
}

// NewSelection distributes channels, counted through the layers in their order,
// over the layers. nil takes all.
func NewSelection(fe Extractor, layers []backbone.Layer, channels []int) (*Selection, error) {
	all, err := TotalChannels(fe, layers)
	if err != nil {
		return nil, err
	}
	if channels == nil {
		channels = make([]int, all)
		for i := range channels {
			channels[i] = i
		}
	}
	sel := &Selection{Fe: fe, layers: slices.Clone(layers), Count: len(channels)}
	sorted := slices.Sorted(slices.Values(channels))
	for i, c := range sorted {
		if c < 0 || c >= all {
			return nil, fmt.Errorf("%w: channel %d, the layers %v have 0 to %d", sentinel.ErrChannels, c, layers, all-1)
		}
		if i > 0 && sorted[i-1] == c {
			return nil, fmt.Errorf("%w: channel %d is chosen twice", sentinel.ErrChannels, c)
		}
	}
	start := 0
	for _, l := range layers {
		end := start + fe.Channels(l)
		var g []int64
		for _, c := range sorted {
			if c >= start && c < end {
				g = append(g, int64(c-start))
			}
		}
		sel.groups = append(sel.groups, g)
		start = end
	}
	return sel, nil
}

// Layers are the layers in their order. The caller must not change them.
func (sel *Selection) Layers() []backbone.Layer { return sel.layers }

// Channels are the chosen channels of layer i, ascending. The caller must not change them.
func (sel *Selection) Channels(i int) []int64 { return sel.groups[i] }

// TotalChannels returns the number of channels of all layers, each of which the extractor
// must have, with positions, and once.
func TotalChannels(fe Extractor, layers []backbone.Layer) (int, error) {
	if len(layers) == 0 {
		return 0, fmt.Errorf("%w: none is named", sentinel.ErrLayers)
	}
	all := 0
	for i, l := range layers {
		n := fe.Channels(l)
		switch {
		case n < 1:
			return 0, fmt.Errorf("%w: it has no %s", sentinel.ErrLayers, l)
		case l == backbone.Pooled:
			return 0, fmt.Errorf("%w: %s has no positions", sentinel.ErrLayers, l)
		case slices.Contains(layers[:i], l):
			return 0, fmt.Errorf("%w: %s is named twice", sentinel.ErrLayers, l)
		}
		all += n
	}
	return all, nil
}

// Embed returns the chosen channels at every position of the first layer's grid,
// [N, h, w, C] in row-major order; deeper layers are repeated to that grid
// (nearest neighbour). Channels are chosen before they are enlarged, so that
// only those that are used are moved.
func (sel *Selection) Embed(s *tensor.Scope, x *tensor.Tensor) *tensor.Tensor {
	return s.Sub(func(s *tensor.Scope) *tensor.Tensor {
		maps := sel.Maps(s, x)
		if s.Err() != nil {
			return nil
		}
		return sel.Join(s, maps)
	})
}

// Join makes of the maps of Maps what Embed returns.
func (sel *Selection) Join(s *tensor.Scope, maps []*tensor.Tensor) *tensor.Tensor {
	return s.Sub(func(s *tensor.Scope) *tensor.Tensor {
		h, w := maps[0].Size(2), maps[0].Size(3)
		var parts []*tensor.Tensor
		for i, f := range maps {
			g := sel.groups[i]
			if len(g) == 0 {
				continue
			}
			// Channels innermost: a view where the network works channels-last.
			f = s.Permute(f, 0, 2, 3, 1)
			if len(g) < int(f.Size(3)) {
				f = s.IndexSelect(f, 3, s.FromInts(g, int64(len(g))))
			}
			if f.Size(1) != h || f.Size(2) != w {
				f = s.Permute(s.UpsampleNearest(s.Permute(f, 0, 3, 1, 2), h, w), 0, 2, 3, 1)
			}
			parts = append(parts, f)
		}
		if len(parts) == 1 {
			// A copy: callers change the result, and it may still be the extractor's.
			return s.Contiguous(s.Clone(parts[0]))
		}
		return s.Contiguous(s.Cat(3, parts...))
	})
}

// Maps returns the maps of the layers whole, [N, C, h, w] in their order. A failure, also
// of an extractor that gives other shapes than it says, is left in s.
func (sel *Selection) Maps(s *tensor.Scope, x *tensor.Tensor) []*tensor.Tensor {
	maps := sel.Fe.Forward(s, x, sel.layers...)
	if s.Err() != nil {
		return nil
	}
	for i, f := range maps {
		l := sel.layers[i]
		if sh := f.Shape(); len(sh) != 4 || sh[0] != x.Size(0) || sh[1] != int64(sel.Fe.Channels(l)) || sh[2] < 1 || sh[3] < 1 {
			s.Fail(fmt.Errorf("downstream: features of %s: %w: the extractor gave %v for %d images and %d channels",
				l, sentinel.ErrLayers, sh, x.Size(0), sel.Fe.Channels(l)))
			return nil
		}
	}
	return maps
}

// Groups are the chosen channels of each layer, ascending. The caller must not change them.
func (sel *Selection) Groups() [][]int64 { return sel.groups }
