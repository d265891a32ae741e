package downstream

import (
	"context"
	"fmt"
	"image"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/internal/pipeline"
	"github.com/gotab/gotab/tensor"
)

// frozen gives the maps that an extractor, which is not trained, makes of the
// images of a training set. They are the same in every epoch: those of the first
// images, as many as fit into a budget, are kept on the host, those of the others
// are made anew. Each image goes through the network alone, so that neither the
// budget nor the company in a batch changes a bit.
type frozen struct {
	fe     Extractor
	layers []backbone.Layer
	in     *reader
	dev    tensor.Device
	from   pictures
	n      int
	size   image.Point // of the transformed images
	shapes []mapShape  // of the layers
	per    int         // values of an image
	kept   [][]float32 // of the images 0 to len(kept)-1
}

// mapShape is the shape of one layer's map of one image.
type mapShape struct{ h, w, c int }

func (m mapShape) len() int { return m.h * m.w * m.c }

// shapesOf returns the shapes of the maps that fe gave for one image.
func shapesOf(fe Extractor, layers []backbone.Layer, maps []*tensor.Tensor) ([]mapShape, error) {
	shapes := make([]mapShape, len(maps))
	for i, m := range maps {
		l, sh := layers[i], m.Shape()
		if len(sh) != 4 || sh[0] != 1 || sh[1] != int64(fe.Channels(l)) || sh[2] < 1 || sh[3] < 1 {
			return nil, fmt.Errorf("features of %s: %w: the extractor gave %v for one image and %d channels", l, ErrLayers, sh, fe.Channels(l))
		}
		shapes[i] = mapShape{h: int(sh[2]), w: int(sh[3]), c: int(sh[1])}
	}
	return shapes, nil
}

// newFrozen makes the maps of the images that are kept, in at most budget bytes,
// and reports how far it is.
func newFrozen(ctx context.Context, fe Extractor, layers []backbone.Layer, in *reader, dev tensor.Device, from pictures, n int,
	budget int64, report func(done, total int)) (*frozen, error) {
	f := &frozen{fe: fe, layers: layers, in: in, dev: dev, from: from, n: n}
	var err error
	if f.size, err = in.inputSize(ctx, from); err != nil {
		return nil, err
	}
	first, err := f.make(ctx, 0)
	if err != nil {
		return nil, err
	}
	keep := min(int64(n), budget/(4*int64(f.per)))
	if keep < 1 {
		return f, nil
	}
	f.kept = append(make([][]float32, 0, keep), first)
	report(1, int(keep))
	ctx = tensor.WithThreads(ctx, 1)
	cores := tensor.GetThreads().Cores
	for v, err := range pipeline.Ordered(ctx, int(keep)-1, cores+1, cores+1, func(ctx context.Context, i int) ([]float32, error) {
		return f.make(ctx, i+1)
	}) {
		if err != nil {
			return nil, err
		}
		f.kept = append(f.kept, v)
		report(len(f.kept), int(keep))
	}
	return f, nil
}

// make runs the network over image i.
func (f *frozen) make(ctx context.Context, i int) ([]float32, error) {
	b, err := f.in.pack(ctx, f.from, i, i+1, f.size)
	if err != nil {
		return nil, err
	}
	defer f.in.put(b.pixels)
	var out []float32
	err = tensor.Run(ctx, f.dev, tensor.Evaluation, func(s *tensor.Scope) error {
		maps := f.fe.Forward(s, s.FromNHWC(b.pixels, 1, f.size.Y, f.size.X, 3), f.layers...)
		if err := s.Err(); err != nil {
			return err
		}
		shapes, err := shapesOf(f.fe, f.layers, maps)
		if err != nil {
			return err
		}
		per := 0
		for _, sh := range shapes {
			per += sh.len()
		}
		if f.per == 0 { // the first image, before any other is asked for
			f.shapes, f.per = shapes, per
		}
		if per != f.per {
			return fmt.Errorf("features of image %s: %w: maps of %v, before they were %v", b.names[0], ErrLayers, shapes, f.shapes)
		}
		out = make([]float32, per)
		at := out
		for i, m := range maps {
			n := shapes[i].len()
			if err := s.FloatsInto(at[:n], s.Permute(m, 0, 2, 3, 1)); err != nil {
				return err
			}
			at = at[n:]
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if v, ok := notFinite(out); ok {
		return nil, fmt.Errorf("features of image %s: %w: %v", b.names[0], ErrNotFinite, v)
	}
	return out, nil
}

// mapBatch is the maps of several images on the host.
type mapBatch struct {
	in     *reader // lends the memory in which they are put together
	images [][]float32
	shapes []mapShape
}

// load returns the maps of the images at the given indices.
func (f *frozen) load(ctx context.Context, at []int) (*mapBatch, error) {
	b := &mapBatch{in: f.in, shapes: f.shapes}
	for _, i := range at {
		if i < len(f.kept) {
			b.images = append(b.images, f.kept[i])
			continue
		}
		v, err := f.make(tensor.WithThreads(ctx, 1), i)
		if err != nil {
			return nil, err
		}
		b.images = append(b.images, v)
	}
	return b, nil
}

// tensors returns the maps as the extractor would, [N, C, h, w] in channels-last
// memory, in the order of the layers.
func (b *mapBatch) tensors(s *tensor.Scope) []*tensor.Tensor {
	out := make([]*tensor.Tensor, len(b.shapes))
	start := 0
	for i, sh := range b.shapes {
		v := b.in.get(len(b.images) * sh.len())
		for k, img := range b.images {
			copy(v[k*sh.len():], img[start:start+sh.len()])
		}
		start += sh.len()
		out[i] = s.FromNHWC(v, len(b.images), sh.h, sh.w, sh.c)
		b.in.put(v)
	}
	return out
}
