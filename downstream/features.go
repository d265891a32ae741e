package downstream

import (
	"context"
	"fmt"
	"image"
	"reflect"
	"slices"
	"sync"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream/internal/sentinel"
	"github.com/gotab/gotab/internal/pipeline"
	"github.com/gotab/gotab/tensor"
)

// extractor is downstream.Extractor, which says what the methods are.
type extractor interface {
	Channels(l backbone.Layer) int
	Forward(s *tensor.Scope, x *tensor.Tensor, at ...backbone.Layer) []*tensor.Tensor
	Device() tensor.Device
}

// selection is which channels of which layers a detector looks at.
type selection struct {
	fe     extractor
	layers []backbone.Layer
	groups [][]int64 // channels of each layer, ascending
	count  int
}

// newSelection distributes channels, counted through the layers in their order,
// over the layers. nil takes all.
func newSelection(fe extractor, layers []backbone.Layer, channels []int) (*selection, error) {
	all, err := totalChannels(fe, layers)
	if err != nil {
		return nil, err
	}
	if channels == nil {
		channels = make([]int, all)
		for i := range channels {
			channels[i] = i
		}
	}
	sel := &selection{fe: fe, layers: slices.Clone(layers), count: len(channels)}
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

func totalChannels(fe extractor, layers []backbone.Layer) (int, error) {
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

// embed returns the chosen channels at every position of the first layer's grid,
// [N, h, w, C] in row-major order; deeper layers are repeated to that grid
// (nearest neighbour). Channels are chosen before they are enlarged, so that
// only those that are used are moved.
func (sel *selection) embed(s *tensor.Scope, x *tensor.Tensor) *tensor.Tensor {
	return s.Sub(func(s *tensor.Scope) *tensor.Tensor {
		maps := sel.fe.Forward(s, x, sel.layers...)
		if err := s.Err(); err != nil {
			return nil
		}
		var h, w int64
		var parts []*tensor.Tensor
		for i, f := range maps {
			l := sel.layers[i]
			if sh := f.Shape(); len(sh) != 4 || sh[0] != x.Size(0) || sh[1] != int64(sel.fe.Channels(l)) || sh[2] < 1 || sh[3] < 1 {
				s.Fail(fmt.Errorf("downstream: features of %s: %w: the extractor gave %v for %d images and %d channels",
					l, sentinel.ErrLayers, sh, x.Size(0), sel.fe.Channels(l)))
				return nil
			}
			if i == 0 {
				h, w = f.Size(2), f.Size(3)
			}
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

// reader turns images into the floats that a network takes.
type reader struct {
	transform dataset.Transform
	normalize dataset.Normalize
	spares
}

// spares has memory that is free for the next batch.
type spares struct{ pool sync.Pool } // of *[]float32

// get returns n floats with undefined values; put gives them back.
func (p *spares) get(n int) []float32 {
	if v, ok := p.pool.Get().(*[]float32); ok && cap(*v) >= n {
		return (*v)[:n]
	}
	return make([]float32, n)
}

func (p *spares) put(v []float32) { p.pool.Put(&v) }

// absent says whether there is no image: a sample without one gives a nil
// *image.RGBA, which as an image.Image is not nil.
func absent(img image.Image) bool {
	v := reflect.ValueOf(img)
	return !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil()
}

// transformedImage is an image of a data set that has gone through a transform
// already.
type transformedImage struct {
	image.Image
	by string // fingerprint of the transform
}

// marked returns a function that marks images of ds as what they are: the reader
// then does not transform them a second time.
func marked(ds dataset.Dataset) func(img image.Image) image.Image {
	t, ok := dataset.TransformOf(ds)
	if !ok {
		return func(img image.Image) image.Image { return img }
	}
	by := t.Fingerprint()
	return func(img image.Image) image.Image { return transformedImage{img, by} }
}

// pictures gives image i and a name for messages.
type pictures func(ctx context.Context, i int) (img image.Image, name string, err error)

// packed is a batch for the network.
type packed struct {
	pixels []float32 // n h w 3, to be given back to the reader
	n      int
	size   image.Point
	names  []string
	rects  []dataset.Rect // what the network sees of each input
}

// pack reads, transforms and packs images lo to hi-1, which must come out with
// one size: size, unless that is the zero point.
func (r *reader) pack(ctx context.Context, from pictures, lo, hi int, size image.Point) (*packed, error) {
	b := &packed{n: hi - lo, size: size}
	for i := lo; i < hi; i++ {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		px, name, rect, err := r.read(ctx, from, i, b.size)
		if err != nil {
			return nil, err
		}
		b.size = px.Rect.Size()
		per := 3 * b.size.X * b.size.Y
		if b.pixels == nil {
			b.pixels = r.get(per * b.n)
		}
		if err := r.normalize.Pack(b.pixels[(i-lo)*per:][:per], px); err != nil {
			return nil, fmt.Errorf("image %s: %w", name, err)
		}
		b.names = append(b.names, name)
		b.rects = append(b.rects, rect)
	}
	return b, nil
}

// read reads and transforms image i, of which rect is what remains. It must come
// out with a size, unless that is the zero point.
func (r *reader) read(ctx context.Context, from pictures, i int, size image.Point) (px *image.RGBA, name string, rect dataset.Rect, err error) {
	img, name, err := from(ctx, i)
	if err != nil {
		return nil, name, rect, err
	}
	see := func(*image.RGBA) {}
	if w, ok := img.(watchedImage); ok {
		img, see = w.Image, w.see
	}
	transform := r.transform
	if t, ok := img.(transformedImage); ok {
		img = t.Image
		if t.by == transform.Fingerprint() {
			transform = dataset.Transform{} // what is left of it to do
		}
	}
	if absent(img) {
		return nil, name, rect, fmt.Errorf("image %s: %w: it is nil", name, sentinel.ErrImage)
	}
	in := img.Bounds().Size()
	if rect, err = transform.Rect(in.X, in.Y); err == nil {
		px, err = transform.Image(img)
	}
	if err != nil {
		return nil, name, rect, fmt.Errorf("image %s: %w", name, err)
	}
	if got := px.Rect.Size(); size != (image.Point{}) && got != size {
		return nil, name, rect, fmt.Errorf("image %s: %w: the transform (%s) makes it %dx%d, others are %dx%d",
			name, sentinel.ErrImage, r.transform, got.X, got.Y, size.X, size.Y)
	}
	see(px)
	return px, name, rect, nil
}

// packTogether returns the pixels of n images of a size, as pack does, of which it
// reads as many at once as there are cores.
func (r *reader) packTogether(ctx context.Context, from pictures, n int, size image.Point) ([]float32, error) {
	per := 3 * size.X * size.Y
	pixels := r.get(per * n)
	cores := tensor.GetThreads().Cores
	for _, err := range pipeline.Ordered(ctx, n, cores, max(1, n), func(ctx context.Context, i int) (struct{}, error) {
		px, name, _, err := r.read(ctx, from, i, size)
		if err != nil {
			return struct{}{}, err
		}
		if err := r.normalize.Pack(pixels[i*per:][:per], px); err != nil {
			return struct{}{}, fmt.Errorf("image %s: %w", name, err)
		}
		return struct{}{}, nil
	}) {
		if err != nil {
			return nil, err
		}
	}
	return pixels, nil
}

// spans cuts n images into batches of at most most images, of nearly equal size,
// and where it can into a multiple of workers, so that none waits at the end.
func spans(n, most, workers int) [][2]int {
	k := (n + most - 1) / most
	if workers > 1 && n >= workers {
		k = (k + workers - 1) / workers * workers
	}
	k = min(k, n)
	out := make([][2]int, k)
	for i := range out {
		out[i] = [2]int{i * n / k, (i + 1) * n / k}
	}
	return out
}
