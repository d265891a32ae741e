package dataset

import (
	"context"
	"fmt"
	"image"
	"iter"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"

	"github.com/gotab/gotab/internal/pipeline"
	"github.com/gotab/gotab/internal/seed"
)

// LoaderConfig says how batches are made.
type LoaderConfig struct {
	// Batch is the number of pictures in a batch, at least 1. Default 32
	// (PaDiM's and TAB's evaluation).
	Batch int
	// Workers is the number of goroutines that decode, transform and pack, at
	// least 1. It changes the speed and nothing else. Default GOMAXPROCS.
	Workers int
	// AheadBytes bounds the packed pixels that wait ahead of the batch in the
	// loop's hands, in bytes; one batch is always prepared ahead. Default 64 MiB.
	AheadBytes int64
	// DecodeBytes bounds what pictures take on their way from file to batch, in
	// bytes, counted as 24 a pixel of the file's size, mask included. Workers
	// wait for one another within it; a picture that is larger than all of it is
	// decoded alone. 0 sets no bound but one picture a worker. It holds for
	// pictures of files; files are read in full before, one a worker. Default
	// 512 MiB.
	DecodeBytes int64
	// DropLast leaves out a last batch that is not full.
	DropLast bool
	// Transform is applied to pictures and masks, unless the data set says that it
	// has been ([Transformed]). All pictures of a batch must
	// come out with the same size. Default PaDiM224.
	Transform Transform
	// Augment, if not nil, changes each sample between Transform and Normalize.
	// It is called on several goroutines. It may return the sample that it got,
	// or one with pixels of its own and the same size; it must not write to the
	// pixels it got. The generator depends on Seed, the place in the order and the
	// sample's number alone, so workers change nothing. Default nil.
	Augment func(s Sample, rng *rand.Rand) (Sample, error)
	// Seed starts Augment's generators. Give every epoch its own.
	Seed uint64
	// Normalize turns bytes into floats. Default ImageNet.
	Normalize Normalize
}

// DefaultLoader returns the defaults that the fields name.
func DefaultLoader() LoaderConfig {
	return LoaderConfig{
		Batch:       32,
		Workers:     runtime.GOMAXPROCS(0),
		AheadBytes:  64 << 20,
		DecodeBytes: 512 << 20,
		Transform:   PaDiM224(),
		Normalize:   ImageNet(),
	}
}

// Validate reports settings that make no sense; the error wraps [ErrConfig].
func (c LoaderConfig) Validate() error {
	switch {
	case c.Batch < 1:
		return fmt.Errorf("dataset: loader: %w: Batch is %d, want at least 1", ErrConfig, c.Batch)
	case c.Workers < 1:
		return fmt.Errorf("dataset: loader: %w: Workers is %d, want at least 1", ErrConfig, c.Workers)
	case c.AheadBytes < 0:
		return fmt.Errorf("dataset: loader: %w: AheadBytes is %d, want at least 0", ErrConfig, c.AheadBytes)
	case c.DecodeBytes < 0:
		return fmt.Errorf("dataset: loader: %w: DecodeBytes is %d, want at least 0", ErrConfig, c.DecodeBytes)
	}
	if err := c.Transform.Validate(); err != nil {
		return err
	}
	return c.Normalize.Validate()
}

// Batch is what a network takes at once.
type Batch struct {
	Index   []int     // number of each sample in the data set
	Items   []Item    // what is known of each sample
	N, H, W int       // pictures, and rows and columns of each
	Pixels  []float32 // N*H*W*3 normalised values, channels innermost (NHWC)
	// Masks are the transformed masks, nil where a sample has none.
	Masks []*image.Gray
}

// Loader turns a data set into batches, ahead of whoever consumes them. It is
// safe for concurrent use.
type Loader struct {
	ds    Dataset
	cfg   LoaderConfig
	table *normTable
	// scratch holds transformed pictures on their way into a batch.
	scratch sync.Pool
	budget  *budget // nil where there is none
}

// NewLoader checks the settings, and that files are read with the Bits16 of the
// transform. It starts nothing.
func NewLoader(ds Dataset, cfg LoaderConfig) (*Loader, error) {
	if ds == nil {
		return nil, fmt.Errorf("dataset: loader: %w: the data set is nil", ErrConfig)
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if err := cfg.Transform.Agrees(ds); err != nil {
		return nil, err
	}
	if cfg.Transform.AppliedTo(ds) {
		cfg.Transform = Transform{}
	}
	if cfg.Transform.shared == nil {
		cfg.Transform = cfg.Transform.Shared()
	}
	l := &Loader{ds: ds, cfg: cfg, table: cfg.Normalize.table()}
	if cfg.DecodeBytes > 0 {
		l.budget = newBudget(cfg.DecodeBytes)
	}
	return l, nil
}

// Len is the number of batches that n samples make.
func (l *Loader) Len(n int) int {
	if l.cfg.Batch < 1 || n < 1 { // a Loader that NewLoader did not make has no batches
		return 0
	}
	if l.cfg.DropLast {
		return n / l.cfg.Batch
	}
	return (n + l.cfg.Batch - 1) / l.cfg.Batch
}

// Batches yields the samples with the numbers in order, Batch at a time; nil
// stands for all, from the first to the last.
//
// The Pixels of a batch are valid until the loop asks for the next one or
// ends: their memory is used again. Everything else is the caller's to keep.
//
// The first failure in the order of the samples is yielded with a nil batch
// and ends the iteration; so does the end of ctx. When the iteration ends,
// however it does, all its goroutines have ended.
func (l *Loader) Batches(ctx context.Context, order []int) iter.Seq2[*Batch, error] {
	return func(yield func(*Batch, error) bool) {
		if l.ds == nil {
			yield(nil, fmt.Errorf("dataset: loader: %w: it was not made by NewLoader", ErrConfig))
			return
		}
		order, err := l.order(order)
		if err != nil {
			yield(nil, err)
			return
		}
		l.sequence(ctx, len(order), func(i int) int { return order[i] }, yield)
	}
}

// BatchesFrom is Batches of all samples from number first on, for data sets that are too
// long for a list of numbers, or whose order is their own, such as [Window]. A first of Len or more gives no
// batch, one below 0 an error that wraps [ErrIndex].
func (l *Loader) BatchesFrom(ctx context.Context, first int) iter.Seq2[*Batch, error] {
	return func(yield func(*Batch, error) bool) {
		if l.ds == nil {
			yield(nil, fmt.Errorf("dataset: loader: %w: it was not made by NewLoader", ErrConfig))
			return
		}
		if first < 0 {
			yield(nil, fmt.Errorf("dataset: load: %w", indexError(first, l.ds.Len())))
			return
		}
		n := max(l.ds.Len()-first, 0)
		if l.cfg.DropLast {
			n -= n % l.cfg.Batch
		}
		l.sequence(ctx, n, func(i int) int { return first + i }, yield)
	}
}

// sequence yields the batches of n samples, of which sample i has the number at(i).
func (l *Loader) sequence(ctx context.Context, n int, at func(i int) int, yield func(*Batch, error) bool) {
	if ctx == nil {
		yield(nil, ended(ctx))
		return
	}
	if n == 0 {
		return
	}
	per, err := l.imageBytes(ctx, at(0))
	if err != nil {
		yield(nil, err)
		return
	}
	l.run(ctx, sampleOrder{n, at}, per, yield)
}

// sampleOrder is the order of n samples: at(i) is the number of the i-th.
type sampleOrder struct {
	n  int
	at func(i int) int
}

// order checks and copies the numbers of the samples.
func (l *Loader) order(order []int) ([]int, error) {
	n := l.ds.Len()
	if order == nil {
		order = make([]int, n)
		for i := range order {
			order[i] = i
		}
	} else {
		order = slices.Clone(order)
	}
	for _, i := range order {
		if i < 0 || i >= n {
			return nil, fmt.Errorf("dataset: load: %w", indexError(i, n))
		}
	}
	if l.cfg.DropLast {
		order = order[:len(order)/l.cfg.Batch*l.cfg.Batch]
	}
	return order, nil
}

// imageBytes is the size of one packed picture. Where the transform does not
// fix it, the first picture is read to learn it.
func (l *Loader) imageBytes(ctx context.Context, first int) (int, error) {
	size, fixed := l.cfg.Transform.fixed()
	if !fixed {
		s, err := l.ds.Sample(ctx, first)
		if err != nil {
			return 0, loadError(first, err)
		}
		if err := s.check(); err != nil {
			return 0, loadError(first, err)
		}
		if size, err = l.cfg.Transform.Size(s.Image.Rect.Dx(), s.Image.Rect.Dy()); err != nil {
			return 0, loadError(first, fmt.Errorf("%s: %w", s.Name, err))
		}
	}
	return size.X * size.Y * 3 * 4, nil
}

func loadError(i int, err error) error {
	return fmt.Errorf("dataset: load sample %d: %w", i, err)
}

// loaded is one sample whose pixels have been packed.
type loaded struct {
	item Item
	mask *image.Gray
	size image.Point
}

func (l *Loader) run(ctx context.Context, order sampleOrder, per int, yield func(*Batch, error) bool) {
	full := int64(l.cfg.Batch) * int64(per)
	batches := int(min(max(l.cfg.AheadBytes/full, 1), int64(l.Len(order.n))))
	// One buffer more, for the batch in the loop's hands. The pipeline starts
	// sample i only after i-ahead has been handed over, and the first sample of
	// a batch is handed over only after the loop has let go of the batch before:
	// so no buffer is written while the loop holds it.
	bufs := newBuffers(batches+1, l.cfg.Batch, order.n)
	ahead := batches * l.cfg.Batch
	var b *Batch
	var size image.Point
	for r, err := range pipeline.Ordered(ctx, order.n, l.cfg.Workers, ahead, func(ctx context.Context, i int) (loaded, error) {
		return l.load(ctx, bufs, order, i)
	}) {
		if err != nil {
			yield(nil, err)
			return
		}
		if b == nil {
			size = r.size
			b = &Batch{H: size.Y, W: size.X}
		}
		if r.size != size {
			yield(nil, fmt.Errorf("dataset: load: %w: %s comes out as %s, %s in the same batch as %s; set Exact or Crop",
				ErrSize, r.item.Name, sizeText(r.size), b.Items[0].Name, sizeText(size)))
			return
		}
		at := len(b.Index)
		first := bufs.first
		b.Index = append(b.Index, order.at(first+at))
		b.Items = append(b.Items, r.item)
		b.Masks = append(b.Masks, r.mask)
		if at+1 < min(l.cfg.Batch, order.n-first) {
			continue
		}
		b.N = at + 1
		b.Pixels = bufs.take()
		done := b
		b = nil
		if !yield(done, nil) {
			return
		}
	}
}

// sample reads a sample. Of grey files the image comes as it is where nobody else sees it: to spread it over four
// bytes a pixel takes a fifth of the time of reading and resizing it.
func (l *Loader) sample(ctx context.Context, number int) (grey *image.Gray, s Sample, err error) {
	if f, ok := l.ds.(*Files); ok {
		return f.grey(ctx, number)
	}
	s, err = l.ds.Sample(ctx, number)
	return nil, s, err
}

// load reads, transforms and packs the i-th sample of order.
func (l *Loader) load(ctx context.Context, bufs *buffers, order sampleOrder, i int) (loaded, error) {
	if l.budget != nil {
		var release func()
		ctx, release = withBudget(ctx, l.budget)
		defer release()
	}
	number := order.at(i)
	grey, s, err := l.sample(ctx, number)
	if err != nil {
		return loaded{}, loadError(number, err)
	}
	scratch, ok := l.scratch.Get().(*image.RGBA)
	if !ok {
		scratch = new(image.RGBA)
	}
	defer l.scratch.Put(scratch)
	if grey != nil {
		if err := l.cfg.Transform.into(scratch, grey); err != nil {
			return loaded{}, loadError(number, fmt.Errorf("dataset: sample %s: %w", s.Name, err))
		}
		s.Image = scratch
	} else if s, err = l.cfg.Transform.sample(s, scratch); err != nil {
		return loaded{}, loadError(number, err)
	}
	if l.cfg.Augment != nil {
		was := s
		if s, err = l.cfg.Augment(s, seed.Rand(l.cfg.Seed, "augment", uint64(i), uint64(number))); err != nil {
			return loaded{}, loadError(number, err)
		}
		if err = s.check(); err == nil && s.Image.Rect != was.Image.Rect {
			err = fmt.Errorf("%w: Augment made %v of %v pixels", ErrSize, s.Image.Rect, was.Image.Rect)
		}
		if err != nil {
			return loaded{}, loadError(number, err)
		}
	}
	size := s.Image.Rect.Size()
	if dst := bufs.place(i, size); dst != nil {
		l.table.pack(dst, s.Image)
	}
	return loaded{item: s.Item, mask: s.Mask, size: size}, nil
}

// buffers is a ring of batches in the making.
type buffers struct {
	mu    sync.Mutex
	ring  []buffer
	batch int // samples in a batch
	n     int // samples in all
	first int // number of the first sample that has not been taken
}

type buffer struct {
	number int // of the batch that it is for
	size   image.Point
	pixels []float32
}

func newBuffers(count, batch, n int) *buffers {
	b := &buffers{ring: make([]buffer, count), batch: batch, n: n}
	for i := range b.ring {
		b.ring[i].number = -1
	}
	return b
}

// place returns where sample i is packed. The first sample of a batch to arrive
// sets the size for all; it returns nil for one of another size, which whoever
// collects the batch reports.
func (b *buffers) place(i int, size image.Point) []float32 {
	number, at := i/b.batch, i%b.batch
	per := size.X * size.Y * 3
	b.mu.Lock()
	defer b.mu.Unlock()
	buf := &b.ring[number%len(b.ring)]
	if buf.number != number {
		need := per * min(b.batch, b.n-number*b.batch)
		if cap(buf.pixels) < need {
			buf.pixels = make([]float32, need)
		}
		buf.number, buf.size, buf.pixels = number, size, buf.pixels[:need]
	}
	if buf.size != size {
		return nil
	}
	return buf.pixels[at*per : (at+1)*per : (at+1)*per]
}

// take returns the pixels of the batch that begins at first, which is complete,
// and goes on to the next.
func (b *buffers) take() []float32 {
	b.mu.Lock()
	defer b.mu.Unlock()
	number := b.first / b.batch
	b.first += b.batch
	return b.ring[number%len(b.ring)].pixels
}
