package train

import (
	"context"
	"fmt"
	"image"
	"strconv"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/downstream/internal/feed"
	"github.com/gotab/gotab/downstream/internal/network"
	"github.com/gotab/gotab/downstream/internal/sentinel"
	"github.com/gotab/gotab/internal/pipeline"
	"github.com/gotab/gotab/tensor"
)

// Frozen gives the maps that an extractor, which is not trained, makes of the
// images of a training set. They are the same in every epoch: those of the first
// images, as many as fit into a budget, are kept on the host, those of the others
// are made anew. Each image goes through the network alone, so that neither the
// budget nor the company in a batch changes a bit.
//
// What is kept is native memory: as Go's it would count for the collector, which
// then lets as much garbage pile up beside it. close frees it.
type Frozen struct {
	fe     network.Extractor
	layers []backbone.Layer
	in     *feed.Reader
	dev    tensor.Device
	from   feed.Pictures
	N      int
	made   feed.Spares        // memory of maps
	Size   image.Point        // of the transformed images
	Shapes []network.MapShape // of the layers
	per    int                // values of an image
	Kept   *tensor.Params     // on the host: the maps of an image, one layer after the other, under its number
	count  int                // images 0 to count-1 are kept
}

// HostMaps is how many bytes the maps of so many images, of per values each, take
// on the host: in the cache and, where that does not take all, as three batches,
// one in a step's hands and two ahead of it.
func HostMaps(images int, per int64, batch int, cache int64) int64 {
	all := 4 * int64(images) * per
	if all <= cache {
		return all
	}
	return cache + 3*4*int64(batch)*per
}

// Close frees what is kept; no load may follow.
func (f *Frozen) Close() error { return f.Kept.Close() }

// NewFrozen makes the maps of the images that are kept, in at most budget bytes,
// and reports how far it is.
func NewFrozen(ctx context.Context, fe network.Extractor, layers []backbone.Layer, in *feed.Reader, dev tensor.Device, from feed.Pictures, n int,
	budget int64, report func(done, total int)) (_ *Frozen, err error) {
	f := &Frozen{fe: fe, layers: layers, in: in, dev: dev, from: from, N: n, Kept: tensor.NewParams(tensor.CPU)}
	defer func() {
		if err != nil {
			_ = f.Close() // frees memory, cannot fail
		}
	}()
	if f.Size, err = in.InputSize(ctx, from); err != nil {
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
		if err := f.Keep(ctx, maps); err != nil {
			return err
		}
		f.made.Put(maps)
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

// Keep keeps the maps of the next image.
func (f *Frozen) Keep(ctx context.Context, maps []float32) error {
	err := tensor.Run(ctx, tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
		return f.Kept.PutBuffer(s, strconv.Itoa(f.count), s.FromFloats(maps, int64(len(maps))))
	})
	if err == nil {
		f.count++
	}
	return err
}

// make runs the network over image i, to memory of f.made. It does so on one
// thread whoever asks, as the number of threads changes bits; who wants more of
// the processor makes several images at once.
func (f *Frozen) make(ctx context.Context, i int) ([]float32, error) {
	ctx = tensor.WithThreads(ctx, 1)
	b, err := f.in.Pack(ctx, f.from, i, i+1, f.Size)
	if err != nil {
		return nil, err
	}
	defer f.in.Put(b.Pixels)
	var out []float32
	err = tensor.Run(ctx, f.dev, tensor.Evaluation, func(s *tensor.Scope) error {
		maps := f.fe.Forward(s, s.FromNHWC(b.Pixels, 1, f.Size.Y, f.Size.X, 3), f.layers...)
		if err := s.Err(); err != nil {
			return err
		}
		shapes, err := network.ShapesOf(f.fe, f.layers, maps)
		if err != nil {
			return err
		}
		per := 0
		for _, sh := range shapes {
			per += sh.Len()
		}
		if f.per == 0 { // the first image, before any other is asked for
			f.Shapes, f.per = shapes, per
		}
		if per != f.per {
			return fmt.Errorf("features of image %s: %w: maps of %v, before they were %v", b.Names[0], sentinel.ErrLayers, shapes, f.Shapes)
		}
		out = f.made.Get(per)
		at := out
		for i, m := range maps {
			n := shapes[i].Len()
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
	if v, ok := network.NotFinite(out); ok {
		return nil, fmt.Errorf("features of image %s: %w: %v", b.Names[0], sentinel.ErrNotFinite, v)
	}
	return out, nil
}

// MapBatch is the maps of several images on the host. Who has copied them calls
// done.
type MapBatch struct {
	from   *Frozen
	kept   []*tensor.Tensor // of each image; nil where it is made
	made   [][]float32
	shapes []network.MapShape
}

// Load returns the maps of the images at the given indices. Those that are not
// kept it makes as many at once as there are cores: steps that go on meanwhile
// share them.
func (f *Frozen) Load(ctx context.Context, at []int) (*MapBatch, error) {
	b := &MapBatch{from: f, kept: make([]*tensor.Tensor, len(at)), made: make([][]float32, len(at)), shapes: f.Shapes}
	var missing []int // of the places in at
	for k, i := range at {
		if i < f.count {
			b.kept[k] = f.Kept.Get(strconv.Itoa(i))
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

// Done gives the memory of what was made back; tensors must not follow.
func (b *MapBatch) Done() {
	for k, v := range b.made {
		if v != nil {
			b.from.made.Put(v)
			b.made[k] = nil
		}
	}
}

// Tensors returns the maps as the extractor would, [N, C, h, w] in channels-last
// memory, in the order of the layers.
func (b *MapBatch) Tensors(s *tensor.Scope) []*tensor.Tensor {
	return s.SubN(func(s *tensor.Scope) []*tensor.Tensor {
		out := make([]*tensor.Tensor, len(b.shapes))
		start := 0
		for i, sh := range b.shapes {
			n := sh.Len()
			parts := make([]*tensor.Tensor, len(b.kept))
			for k, kept := range b.kept {
				if kept != nil {
					parts[k] = s.To(s.Narrow(kept, 0, int64(start), int64(n)), s.Device())
				} else {
					parts[k] = s.FromFloats(b.made[k][start:start+n], int64(n))
				}
			}
			start += n
			rows := s.Reshape(s.Cat(0, parts...), int64(len(parts)), int64(sh.H), int64(sh.W), int64(sh.C))
			out[i] = s.Permute(rows, 0, 3, 1, 2)
		}
		return out
	})
}
