package tab

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"image"
	"iter"
	"math/rand/v2"
	"slices"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/internal/pipeline"
	"github.com/gotab/gotab/internal/seed"
	"github.com/gotab/gotab/synth"
)

// feed prepares the batches of one epoch ahead of the device: decoding,
// transforming, synthesis and packing run on Config.Workers goroutines. Memory is
// two batches and what the workers have in hand. Each place of each batch has a
// generator of its own, so the number of workers changes nothing.
type feed struct {
	p       *Pretrainer
	ds      dataset.Dataset
	byClass map[string][]int
	class   map[string]int
	epoch   int
	order   []int
	full    image.Point // of a transformed image
	size    image.Point // of the network's input: full, or the crop
	bufs    [2]Batch
	tr      dataset.Transform
	applied bool // ds has done tr already
	// Of each batch this rank has mine places, the first of which is number off.
	mine, off int
}

func (p *Pretrainer) newFeed(ds dataset.Dataset, epoch int) (*feed, error) {
	f := &feed{p: p, ds: ds, epoch: epoch, byClass: map[string][]int{}, class: map[string]int{}, tr: p.cfg.Transform.Shared(), applied: p.cfg.Transform.AppliedTo(ds)}
	f.mine = p.cfg.Batch / p.ranks.size()
	f.off = f.mine * p.ranks.rank()
	for i, c := range p.classes {
		f.class[c] = i
	}
	if err := dataset.RequireGood(ds); err != nil {
		return nil, fmt.Errorf("tab: data: %w: pre-training takes good images only: %w", ErrConfig, err)
	}
	var err error
	for i := range ds.Len() {
		it := ds.Item(i)
		if _, ok := f.class[it.Class]; !ok {
			return nil, fmt.Errorf("tab: data: %w: %s is of class %q, prepared were %q", ErrUnknownClass, it.Name, it.Class, p.classes)
		}
		f.byClass[it.Class] = append(f.byClass[it.Class], i)
	}
	if f.order, err = f.places(); err != nil {
		return nil, err
	}
	n := len(f.order)
	seed.Rand(p.cfg.Seed, "order", uint64(epoch)).Shuffle(n, func(i, j int) { f.order[i], f.order[j] = f.order[j], f.order[i] })
	return f, nil
}

// batches returns the number of whole batches; what is left over is dropped, as
// the released code does, and comes up in another place of the next epoch.
func (f *feed) batches() int { return len(f.order) / f.p.cfg.Batch }

// placed is what a worker reports of one place: everything else it has written
// into the batch.
type placed struct {
	redrawn int
}

// run yields this rank's share of the batches from number first on. It is valid until
// the next is asked for.
func (f *feed) run(ctx context.Context, first int) iter.Seq2[Batch, error] {
	return func(yield func(Batch, error) bool) {
		b := f.mine
		if err := f.measure(ctx); err != nil {
			yield(Batch{}, err)
			return
		}
		n := (f.batches() - first) * b
		redrawn, i := 0, 0
		// At most b places are ahead of the loop: with the batch in its hands these
		// are at most the next one's, so two buffers are enough.
		for r, err := range pipeline.Ordered(ctx, n, f.p.cfg.Workers, b, func(ctx context.Context, i int) (placed, error) {
			return f.place(ctx, first+i/b, i%b)
		}) {
			if err != nil {
				yield(Batch{}, err)
				return
			}
			redrawn += r.redrawn
			if i++; i%b != 0 {
				continue
			}
			out := f.bufs[(first+i/b-1)%2]
			out.Redrawn, redrawn = redrawn, 0
			if !yield(out, nil) {
				return
			}
		}
	}
}

// measure learns the size of the network's input from the first image and makes
// the two buffers.
func (f *feed) measure(ctx context.Context) error {
	if err := f.sizes(ctx); err != nil {
		return err
	}
	n := f.mine
	per := n * f.size.X * f.size.Y
	for i := range f.bufs {
		f.bufs[i] = Batch{H: f.size.Y, W: f.size.X, Normal: make([]float32, 3*per), Class: make([]int, n)}
		if f.p.needs.Twin {
			f.bufs[i].Abnormal = make([]float32, 3*per)
		}
		if f.p.needs.Masks {
			f.bufs[i].Masks = make([]uint8, per)
		}
	}
	return nil
}

// image returns sample i at the network's size. Where the data set has done the
// same transform already, that is the sample as it is.
func (f *feed) image(ctx context.Context, i int) (*image.RGBA, error) {
	s, err := f.ds.Sample(ctx, i)
	if err != nil {
		return nil, err
	}
	img := s.Image
	if !f.applied {
		if img, err = f.tr.Image(s.Image); err != nil {
			return nil, fmt.Errorf("tab: %s: %w", s.Name, err)
		}
	}
	if f.full != (image.Point{}) && img.Rect.Size() != f.full {
		return nil, fmt.Errorf("tab: %s: %w: it comes out as %v, the first image as %v; choose a Transform with one size for all (a crop, or an exact size)",
			s.Name, ErrConfig, img.Rect.Size(), f.full)
	}
	return img, nil
}

// place fills place at of this rank's share of a batch. What is drawn for it depends on
// its number in the epoch, which the number of ranks does not change.
func (f *feed) place(ctx context.Context, batch, at int) (placed, error) {
	buf, pos := &f.bufs[batch%2], batch*f.p.cfg.Batch+f.off+at
	rng := seed.Rand(f.p.cfg.Seed, "place", uint64(f.epoch), uint64(pos))
	index := f.order[pos]
	lk := f.look(pos)
	var r placed
	for attempt := 0; ; attempt++ {
		img, err := f.image(ctx, index)
		if err != nil {
			return r, err
		}
		img = f.cut(img, lk)
		class := f.ds.Item(index).Class
		ok, err := f.twin(ctx, buf, at, img, index, class, rng, lk)
		if err != nil {
			return r, err
		}
		if ok {
			buf.Class[at] = f.class[class]
			return r, f.pack(buf.Normal, at, img, lk)
		}
		if attempt+1 >= f.p.cfg.TwinAttempts {
			return r, fmt.Errorf("tab: class %q: %w: %d images were tried with %d draws each, the last was %s; "+
				"the material may be too even for this generator", class, ErrNoTwin, attempt+1, f.p.cfg.TwinAttempts, f.ds.Item(index).Name)
		}
		r.redrawn++
		same := f.byClass[class]
		index = same[rng.IntN(len(same))]
	}
}

// twin makes and packs the damaged twin of img with another image of its class as
// source (the image itself where the class has only one). It returns false where
// no draw left a mark.
func (f *feed) twin(ctx context.Context, buf *Batch, at int, img *image.RGBA, index int, class string, rng *rand.Rand, lk *look) (bool, error) {
	if !f.p.needs.Twin {
		return true, nil
	}
	gen, err := twinsOf(f.p.parts.Synth, class)
	if err != nil {
		return false, err
	}
	for range f.p.cfg.TwinAttempts {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		src := img
		if same := f.byClass[class]; len(same) > 1 {
			other := same[rng.IntN(len(same))]
			for other == index {
				other = same[rng.IntN(len(same))]
			}
			var err error
			if src, err = f.image(ctx, other); err != nil {
				return false, err
			}
			src = f.cut(src, lk)
		}
		pair, err := gen.Generate(img, src, rng)
		if errors.Is(err, synth.ErrNotPlaced) {
			continue
		}
		if err == nil && pair.Normal && !f.p.needs.Masks {
			continue // without masks every twin counts as damaged
		}
		if err != nil {
			return false, fmt.Errorf("tab: damaged twin of %s: %w", f.ds.Item(index).Name, err)
		}
		if err := f.take(buf, at, pair); err != nil {
			return false, fmt.Errorf("tab: damaged twin of %s: %w: the generator (a %T) returned %w", f.ds.Item(index).Name, ErrConfig, f.p.parts.Synth, err)
		}
		return true, f.pack(buf.Abnormal, at, pair.Image, lk)
	}
	return false, nil
}

// take copies a pair's mask where the objective asks for it, after it has held the
// pair against what synth.Generator promises: generators come from anywhere.
func (f *feed) take(buf *Batch, at int, pair synth.Pair) error {
	w, h := f.size.X, f.size.Y
	if pair.Image == nil {
		return errors.New("no image")
	}
	if err := checkRaster("an image", pair.Image.Rect, pair.Image.Stride, len(pair.Image.Pix), 4, f.size); err != nil {
		return err
	}
	if !f.p.needs.Masks {
		return nil
	}
	if pair.Mask == nil {
		return errors.New("no mask")
	}
	if err := checkRaster("a mask", pair.Mask.Rect, pair.Mask.Stride, len(pair.Mask.Pix), 1, f.size); err != nil {
		return err
	}
	marked := false
	for y := range h {
		row := buf.Masks[(at*h+y)*w:][:w]
		copy(row, pair.Mask.Pix[y*pair.Mask.Stride:])
		marked = marked || slices.ContainsFunc(row, func(v uint8) bool { return v != 0 })
	}
	if !marked && !pair.Normal {
		return errors.New("a mask that marks no pixel; where nothing was damaged it must return synth.ErrNotPlaced, or say that the pair is Normal")
	}
	return nil
}

// checkRaster refuses a raster of another size, or one whose rows, of so many bytes
// a pixel, do not lie in its memory.
func checkRaster(what string, r image.Rectangle, stride, have, each int, want image.Point) error {
	switch {
	case r.Size() != want:
		return fmt.Errorf("%s of %dx%d pixels, want %dx%d", what, r.Dx(), r.Dy(), want.X, want.Y)
	case stride < each*want.X || stride > have || (want.Y-1)*stride+each*want.X > have:
		return fmt.Errorf("%s whose %d rows with a stride of %d do not lie in its %d bytes", what, want.Y, stride, have)
	}
	return nil
}

func (f *feed) pack(dst []float32, at int, img *image.RGBA, lk *look) error {
	img = lk.apply(img)
	n := 3 * f.size.X * f.size.Y
	return f.p.cfg.Normalize.Pack(dst[at*n:(at+1)*n], img)
}

// dataHash identifies a data set by its items, not its pixels: a checkpoint is
// resumed with the same list of images in the same order.
func dataHash(ds dataset.Dataset) string {
	h := sha256.New()
	for i := range ds.Len() {
		it := ds.Item(i)
		fmt.Fprintf(h, "%q %q %q\n", it.Name, it.Class, it.Split)
	}
	return hex.EncodeToString(h.Sum(nil))
}
