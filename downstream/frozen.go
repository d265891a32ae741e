package downstream

import (
	"context"
	"fmt"
	"image"
	"strconv"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/internal/pipeline"
	"github.com/gotab/gotab/tensor"
)

// frozen gives the maps that an extractor, which is not trained, makes of the
// images of a training set. They are the same in every epoch: those of the first
// images, as many as fit into a budget, are kept on the host, those of the others
// are made anew. Each image goes through the network alone, so that neither the
// budget nor the company in a batch changes a bit.
//
// What is kept is native memory: as Go's it would count for the collector, which
// then lets as much garbage pile up beside it. close frees it.
type frozen struct {
	fe     Extractor
	layers []backbone.Layer
	in     *reader
	dev    tensor.Device
	from   pictures
	n      int
	size   image.Point    // of the transformed images
	shapes []mapShape     // of the layers
	per    int            // values of an image
	kept   *tensor.Params // on the host: the maps of an image, one layer after the other, under its number
	count  int            // images 0 to count-1 are kept
}

// close frees what is kept; no load may follow.
func (f *frozen) close() error { return f.kept.Close() }

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
	budget int64, report func(done, total int)) (_ *frozen, err error) {
	f := &frozen{fe: fe, layers: layers, in: in, dev: dev, from: from, n: n, kept: tensor.NewParams(tensor.CPU)}
	defer func() {
		if err != nil {
			_ = f.close() // frees memory, cannot fail
		}
	}()
	if f.size, err = in.inputSize(ctx, from); err != nil {
		return nil, err
	}
	first, err := f.make(ctx, 0)
	if err != nil {
		return nil, err
	}
	total := int(min(int64(n), budget/(4*int64(f.per))))
	if total < 1 {
		return f, nil
	}
	keep := func(maps []float32) error {
		if err := f.keep(ctx, maps); err != nil {
			return err
		}
		in.put(maps)
		report(f.count, total)
		return nil
	}
	if err := keep(first); err != nil {
		return nil, err
	}
	ctx = tensor.WithThreads(ctx, 1)
	cores := tensor.GetThreads().Cores
	for maps, err := range pipeline.Ordered(ctx, total-1, cores+1, cores+1, func(ctx context.Context, i int) ([]float32, error) {
		return f.make(ctx, i+1)
	}) {
		if err == nil {
			err = keep(maps)
		}
		if err != nil {
			return nil, err
		}
	}
	return f, nil
}

// keep keeps the maps of the next image.
func (f *frozen) keep(ctx context.Context, maps []float32) error {
	err := tensor.Run(ctx, tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
		return f.kept.PutBuffer(s, strconv.Itoa(f.count), s.FromFloats(maps, int64(len(maps))))
	})
	if err == nil {
		f.count++
	}
	return err
}

// make runs the network over image i. The result is of the reader's memory.
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
		out = f.in.get(per)
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
	kept   []*tensor.Tensor // of each image; nil where it is made
	made   [][]float32
	shapes []mapShape
}

// load returns the maps of the images at the given indices.
func (f *frozen) load(ctx context.Context, at []int) (*mapBatch, error) {
	b := &mapBatch{kept: make([]*tensor.Tensor, len(at)), made: make([][]float32, len(at)), shapes: f.shapes}
	for k, i := range at {
		if i < f.count {
			b.kept[k] = f.kept.Get(strconv.Itoa(i))
			continue
		}
		v, err := f.make(tensor.WithThreads(ctx, 1), i)
		if err != nil {
			return nil, err
		}
		b.made[k] = v
	}
	return b, nil
}

// tensors returns the maps as the extractor would, [N, C, h, w] in channels-last
// memory, in the order of the layers.
func (b *mapBatch) tensors(s *tensor.Scope) []*tensor.Tensor {
	return s.SubN(func(s *tensor.Scope) []*tensor.Tensor {
		out := make([]*tensor.Tensor, len(b.shapes))
		start := 0
		for i, sh := range b.shapes {
			n := sh.len()
			parts := make([]*tensor.Tensor, len(b.kept))
			for k, kept := range b.kept {
				if kept != nil {
					parts[k] = s.To(s.Narrow(kept, 0, int64(start), int64(n)), s.Device())
				} else {
					parts[k] = s.FromFloats(b.made[k][start:start+n], int64(n))
				}
			}
			start += n
			rows := s.Reshape(s.Cat(0, parts...), int64(len(parts)), int64(sh.h), int64(sh.w), int64(sh.c))
			out[i] = s.Permute(rows, 0, 3, 1, 2)
		}
		return out
	})
}
