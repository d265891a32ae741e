package downstream

import (
	"context"
	"fmt"
	"image"
	"strconv"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/downstream/internal/sentinel"
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
	fe     extractor
	layers []backbone.Layer
	in     *reader
	dev    tensor.Device
	from   pictures
	n      int
	made   spares         // memory of maps
	size   image.Point    // of the transformed images
	shapes []mapShape     // of the layers
	per    int            // values of an image
	kept   *tensor.Params // on the host: the maps of an image, one layer after the other, under its number
	count  int            // images 0 to count-1 are kept
}

// hostMaps is how many bytes the maps of so many images, of per values each, take
// on the host: in the cache and, where that does not take all, as three batches,
// one in a step's hands and two ahead of it.
func hostMaps(images int, per int64, batch int, cache int64) int64 {
	all := 4 * int64(images) * per
	if all <= cache {
		return all
	}
	return cache + 3*4*int64(batch)*per
}

// close frees what is kept; no load may follow.
func (f *frozen) close() error { return f.kept.Close() }

// mapShape is the shape of one layer's map of one image.
type mapShape struct{ h, w, c int }

func (m mapShape) len() int { return m.h * m.w * m.c }

// shapesOf returns the shapes of the maps that fe gave for one image.
func shapesOf(fe extractor, layers []backbone.Layer, maps []*tensor.Tensor) ([]mapShape, error) {
	shapes := make([]mapShape, len(maps))
	for i, m := range maps {
		l, sh := layers[i], m.Shape()
		if len(sh) != 4 || sh[0] != 1 || sh[1] != int64(fe.Channels(l)) || sh[2] < 1 || sh[3] < 1 {
			return nil, fmt.Errorf("features of %s: %w: the extractor gave %v for one image and %d channels", l, sentinel.ErrLayers, sh, fe.Channels(l))
		}
		shapes[i] = mapShape{h: int(sh[2]), w: int(sh[3]), c: int(sh[1])}
	}
	return shapes, nil
}

// newFrozen makes the maps of the images that are kept, in at most budget bytes,
// and reports how far it is.
func newFrozen(ctx context.Context, fe extractor, layers []backbone.Layer, in *reader, dev tensor.Device, from pictures, n int,
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
		f.made.put(maps)
		report(f.count, total)
		return nil
	}
	if err := keep(first); err != nil {
		return nil, err
	}
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

// make runs the network over image i, to memory of f.made. It does so on one
// thread whoever asks, as the number of threads changes bits; who wants more of
// the processor makes several images at once.
func (f *frozen) make(ctx context.Context, i int) ([]float32, error) {
	ctx = tensor.WithThreads(ctx, 1)
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
			return fmt.Errorf("features of image %s: %w: maps of %v, before they were %v", b.names[0], sentinel.ErrLayers, shapes, f.shapes)
		}
		out = f.made.get(per)
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
		return nil, fmt.Errorf("features of image %s: %w: %v", b.names[0], sentinel.ErrNotFinite, v)
	}
	return out, nil
}

// mapBatch is the maps of several images on the host. Who has copied them calls
// done.
type mapBatch struct {
	from   *frozen
	kept   []*tensor.Tensor // of each image; nil where it is made
	made   [][]float32
	shapes []mapShape
}

// load returns the maps of the images at the given indices. Those that are not
// kept it makes as many at once as there are cores: steps that go on meanwhile
// share them.
func (f *frozen) load(ctx context.Context, at []int) (*mapBatch, error) {
	b := &mapBatch{from: f, kept: make([]*tensor.Tensor, len(at)), made: make([][]float32, len(at)), shapes: f.shapes}
	var missing []int // of the places in at
	for k, i := range at {
		if i < f.count {
			b.kept[k] = f.kept.Get(strconv.Itoa(i))
		} else {
			missing = append(missing, k)
		}
	}
	cores, next := tensor.GetThreads().Cores, 0
	for maps, err := range pipeline.Ordered(ctx, len(missing), cores, max(1, len(missing)), func(ctx context.Context, j int) ([]float32, error) {
		return f.make(ctx, at[missing[j]])
	}) {
		if err != nil {
			return nil, err
		}
		b.made[missing[next]] = maps
		next++
	}
	return b, nil
}

// done gives the memory of what was made back; tensors must not follow.
func (b *mapBatch) done() {
	for k, v := range b.made {
		if v != nil {
			b.from.made.put(v)
			b.made[k] = nil
		}
	}
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
