package network

import (
	"context"
	"fmt"
	"image"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/downstream/internal/sentinel"
	"github.com/gotab/gotab/tensor"
)

// MapShape is the shape of one layer's map of one image.
type MapShape struct{ H, W, C int }

// Len is the number of values.
func (m MapShape) Len() int { return m.H * m.W * m.C }

// Probe returns the shapes of the maps that fe makes of one image of a size, which is
// black. A size that no transform gives is [sentinel.ErrImage].
func Probe(ctx context.Context, fe Extractor, layers []backbone.Layer, input image.Point) (shapes []MapShape, err error) {
	const most = 1 << 14 // pixels of a side
	if input.X < 1 || input.Y < 1 || input.X > most || input.Y > most {
		return nil, fmt.Errorf("%w: an image of %dx%d, want sides of 1 to %d", sentinel.ErrImage, input.X, input.Y, most)
	}
	if _, err := TotalChannels(fe, layers); err != nil {
		return nil, err
	}
	err = tensor.Run(ctx, fe.Device(), tensor.Evaluation, func(s *tensor.Scope) error {
		maps := fe.Forward(s, s.Zeros(1, 3, int64(input.Y), int64(input.X)), layers...)
		if err := s.Err(); err != nil {
			return err
		}
		shapes, err = ShapesOf(fe, layers, maps)
		return err
	})
	return shapes, err
}

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

// NotFinite returns the first value that is NaN or infinite, if there is one.
func NotFinite(v []float32) (float32, bool) {
	for _, x := range v {
		if x-x != 0 {
			return x, true
		}
	}
	return 0, false
}
