package feed

import (
	"context"
	"fmt"
	"image"
	"reflect"
	"sync"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream/internal/sentinel"
	"github.com/gotab/gotab/internal/pipeline"
	"github.com/gotab/gotab/tensor"
)

// Reader turns images into the floats that a network takes.
type Reader struct {
	Transform dataset.Transform
	Normalize dataset.Normalize
	Spares
}

// Spares has memory that is free for the next batch.
type Spares struct{ pool sync.Pool } // of *[]float32

// Get returns n floats with undefined values; put gives them back.
func (p *Spares) Get(n int) []float32 {
	if v, ok := p.pool.Get().(*[]float32); ok && cap(*v) >= n {
		return (*v)[:n]
	}
	return make([]float32, n)
}

// Put gives memory back.
func (p *Spares) Put(v []float32) { p.pool.Put(&v) }

// Absent says whether there is no image: a sample without one gives a nil
// *image.RGBA, which as an image.Image is not nil.
func Absent(img image.Image) bool {
	v := reflect.ValueOf(img)
	return !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil()
}

// transformedImage is an image of a data set that has gone through a transform
// already.
type transformedImage struct {
	image.Image
	by string // fingerprint of the transform
}

// Marked returns a function that marks images of ds as what they are: the reader
// then does not transform them a second time.
func Marked(ds dataset.Dataset) func(img image.Image) image.Image {
	t, ok := dataset.TransformOf(ds)
	if !ok {
		return func(img image.Image) image.Image { return img }
	}
	by := t.Fingerprint()
	return func(img image.Image) image.Image { return transformedImage{img, by} }
}

// Images gives image i and a name for messages.
type Pictures func(ctx context.Context, i int) (img image.Image, name string, err error)

// Batch is a batch for the network.
type Batch struct {
	Pixels []float32 // n h w 3, to be given back to the reader
	N      int
	Size   image.Point
	Names  []string
	Rects  []dataset.Rect // what the network sees of each input
}

// Pack reads, transforms and packs images lo to hi-1, which must come out with
// one size: size, unless that is the zero point.
func (r *Reader) Pack(ctx context.Context, from Pictures, lo, hi int, size image.Point) (*Batch, error) {
	b := &Batch{N: hi - lo, Size: size}
	for i := lo; i < hi; i++ {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		px, name, rect, err := r.read(ctx, from, i, b.Size)
		if err != nil {
			return nil, err
		}
		b.Size = px.Rect.Size()
		per := 3 * b.Size.X * b.Size.Y
		if b.Pixels == nil {
			b.Pixels = r.Get(per * b.N)
		}
		if err := r.Normalize.Pack(b.Pixels[(i-lo)*per:][:per], px); err != nil {
			return nil, fmt.Errorf("image %s: %w", name, err)
		}
		b.Names = append(b.Names, name)
		b.Rects = append(b.Rects, rect)
	}
	return b, nil
}

// read reads and transforms image i, of which rect is what remains. It must come
// out with a size, unless that is the zero point.
func (r *Reader) read(ctx context.Context, from Pictures, i int, size image.Point) (px *image.RGBA, name string, rect dataset.Rect, err error) {
	img, name, err := from(ctx, i)
	if err != nil {
		return nil, name, rect, err
	}
	see := func(*image.RGBA) {}
	if w, ok := img.(WatchedImage); ok {
		img, see = w.Image, w.See
	}
	transform := r.Transform
	if t, ok := img.(transformedImage); ok {
		img = t.Image
		if t.by == transform.Fingerprint() {
			transform = dataset.Transform{} // what is left of it to do
		}
	}
	if Absent(img) {
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
			name, sentinel.ErrImage, r.Transform, got.X, got.Y, size.X, size.Y)
	}
	see(px)
	return px, name, rect, nil
}

// PackTogether returns the pixels of n images of a size, as pack does, of which it
// reads as many at once as there are cores.
func (r *Reader) PackTogether(ctx context.Context, from Pictures, n int, size image.Point) ([]float32, error) {
	per := 3 * size.X * size.Y
	pixels := r.Get(per * n)
	cores := tensor.GetThreads().Cores
	for _, err := range pipeline.Ordered(ctx, n, cores, max(1, n), func(ctx context.Context, i int) (struct{}, error) {
		px, name, _, err := r.read(ctx, from, i, size)
		if err != nil {
			return struct{}{}, err
		}
		if err := r.Normalize.Pack(pixels[i*per:][:per], px); err != nil {
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
