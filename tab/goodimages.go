package tab

import (
	"context"
	"fmt"
	"image"
	"runtime"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
)

// goodImages are some images of one product as a network sees them. The first one that is read says what size all have, unless size
// does; that one is read before others are read at once.
type goodImages struct {
	ds    dataset.Dataset
	order []int // in ds
	tr    dataset.Transform
	norm  dataset.Normalize
	size  image.Point
}

// imagesByClass are the images of a data set by their class.
func imagesByClass(ds dataset.Dataset) map[string][]int {
	out := map[string][]int{}
	for i := range ds.Len() {
		class := ds.Item(i).Class
		out[class] = append(out[class], i)
	}
	return out
}

// image reads image i at the network's size.
func (g *goodImages) image(ctx context.Context, i int) (*image.RGBA, error) {
	s, err := g.ds.Sample(ctx, g.order[i])
	if err != nil {
		return nil, err
	}
	img, err := transformed(g.ds, g.tr, s)
	if err != nil {
		return nil, err
	}
	if g.size == (image.Point{}) {
		g.size = img.Rect.Size()
	}
	if img.Rect.Size() != g.size {
		return nil, fmt.Errorf("%s: %w: it comes out as %v, the first image as %v; choose a Transform with one size for all (a crop, or an exact size)",
			s.Name, ErrConfig, img.Rect.Size(), g.size)
	}
	return img, nil
}

// pack writes image i, normalised, as rows of pixels of three channels.
func (g *goodImages) pack(ctx context.Context, i int, dst []float32) error {
	img, err := g.image(ctx, i)
	if err != nil {
		return err
	}
	return g.norm.Pack(dst, img)
}

// spreads measures how far they lie from one another in a network, after the first one has said their size.
func (g *goodImages) spreads(ctx context.Context, visual VisualEncoder, layers []backbone.Layer, ridge float64, batch int) ([]*spread, error) {
	if _, err := g.image(ctx, 0); err != nil {
		return nil, err
	}
	return measureSpread(ctx, visual, len(g.order), g.size.Y, g.size.X, g.pack, spreadConfig{Layers: layers, Ridge: ridge, Batch: batch, Workers: runtime.GOMAXPROCS(0)})
}
