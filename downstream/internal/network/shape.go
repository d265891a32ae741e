package network

import (
	"fmt"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/downstream/internal/sentinel"
	"github.com/gotab/gotab/tensor"
)

// MapShape is the shape of one layer's map of one image.
type MapShape struct{ H, W, C int }

func (m MapShape) Len() int { return m.H * m.W * m.C }

// ShapesOf returns the shapes of the maps that fe gave for one image.
func ShapesOf(fe Extractor, layers []backbone.Layer, maps []*tensor.Tensor) ([]MapShape, error) {
	shapes := make([]MapShape, len(maps))
	for i, m := range maps {
		l, sh := layers[i], m.Shape()
		if len(sh) != 4 || sh[0] != 1 || sh[1] != int64(fe.Channels(l)) || sh[2] < 1 || sh[3] < 1 {
			return nil, fmt.Errorf("features of %s: %w: the extractor gave %v for one image and %d channels", l, sentinel.ErrLayers, sh, fe.Channels(l))
		}
		shapes[i] = MapShape{H: int(sh[2]), W: int(sh[3]), C: int(sh[1])}
	}
	return shapes, nil
}

func NotFinite(v []float32) (float32, bool) {
	for _, x := range v {
		if x-x != 0 {
			return x, true
		}
	}
	return 0, false
}
