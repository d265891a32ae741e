package downstream

import (
	"context"
	"fmt"
	"image"
	"iter"
	"strconv"
	"sync"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/internal/pipeline"
	"github.com/gotab/gotab/tensor"
)

// scoring fills the scores and the maps, which are there and empty, of one batch.
type scoring[M fitted] func(ctx context.Context, g M, b *packed, out []Result) error

// scoreImages is Score of a detector.
func (d *core[M]) scoreImages(ctx context.Context, imgs []image.Image, score scoring[M]) ([]Result, error) {
	g, err := d.acquire("score")
	if err != nil {
		return nil, err
	}
	defer func() { _ = d.release(g) }() // frees memory, cannot fail
	calibration := g.common().calibration()
	out := make([]Result, 0, len(imgs))
	from := func(_ context.Context, i int) (image.Image, string, error) { return imgs[i], strconv.Itoa(i), nil }
	for r, err := range d.results(ctx, g, "score", len(imgs), from, score) {
		if err != nil {
			return nil, d.failed(ctx, "score", err)
		}
		out = append(out, calibration.Mark(r))
	}
	return out, nil
}

// scoreSet is ScoreSet of a detector, with the model that is in force when it
// begins.
func (d *core[M]) scoreSet(ctx context.Context, ds dataset.Dataset, score scoring[M]) iter.Seq2[Scored, error] {
	return func(yield func(Scored, error) bool) {
		g, err := d.acquire("score")
		if err != nil {
			yield(Scored{}, err)
			return
		}
		defer func() { _ = d.release(g) }() // frees memory, cannot fail
		if ds == nil {
			yield(Scored{}, fmt.Errorf("downstream: score %s: %w: the data set is nil", d.name, ErrImage))
			return
		}
		calibration := g.common().calibration()
		for sc, err := range d.scored(ctx, g, "score", ds, nil, score) {
			if err != nil {
				yield(Scored{}, d.failed(ctx, "score", err))
				return
			}
			sc.Result = calibration.Mark(sc.Result)
			if !yield(sc, nil) {
				return
			}
		}
	}
}

// scoreSeq is ScoreSeq of a detector, with the model that is in force when it begins.
func (d *core[M]) scoreSeq(ctx context.Context, imgs iter.Seq[image.Image], score scoring[M]) iter.Seq2[Result, error] {
	return func(yield func(Result, error) bool) {
		g, err := d.acquire("score")
		if err != nil {
			yield(Result{}, err)
			return
		}
		defer func() { _ = d.release(g) }() // frees memory, cannot fail
		if imgs == nil {
			yield(Result{}, fmt.Errorf("downstream: score %s: %w: the sequence is nil", d.name, ErrImage))
			return
		}
		calibration := g.common().calibration()
		// Each image is a Run of its own, whose threads follow from how many there are:
		// a lone one is answered soon, and when they queue they go side by side.
		cores := tensor.GetThreads().Cores
		for r, err := range pipeline.Sequence(ctx, imgs, cores+1, cores+1, func(ctx context.Context, i int, img image.Image) (Result, error) {
			one := func(context.Context, int) (image.Image, string, error) { return img, strconv.Itoa(i), nil }
			rs, err := d.scoreBatch(ctx, g, one, [2]int{0, 1}, score)
			if err != nil {
				return Result{}, err
			}
			return rs[0], nil
		}) {
			if err != nil {
				yield(Result{}, d.failed(ctx, "score", err))
				return
			}
			if !yield(calibration.Mark(r), nil) {
				return
			}
		}
	}
}

// scored yields what g says of a data set, without a calibration. doing names the stage;
// seen, unless it is nil, sees the images.
func (d *core[M]) scored(ctx context.Context, g M, doing string, ds dataset.Dataset, seen *sightings, score scoring[M]) iter.Seq2[Scored, error] {
	return func(yield func(Scored, error) bool) {
		masks := make(map[int]*image.Gray) // of samples that have not been handed over
		var mu sync.Mutex
		mark := marked(ds)
		var from pictures = func(ctx context.Context, i int) (image.Image, string, error) {
			s, err := ds.Sample(ctx, i)
			if err != nil {
				return nil, ds.Item(i).Name, err
			}
			if s.Mask != nil {
				mu.Lock()
				masks[i] = s.Mask
				mu.Unlock()
			}
			return mark(s.Image), s.Name, nil
		}
		if seen != nil {
			from = seen.watch(from)
		}
		i := 0
		for r, err := range d.results(ctx, g, doing, ds.Len(), from, score) {
			if err != nil {
				yield(Scored{}, err)
				return
			}
			sc := Scored{Item: ds.Item(i), Result: r}
			mu.Lock()
			sc.Mask = masks[i]
			delete(masks, i)
			mu.Unlock()
			i++
			if !yield(sc, nil) {
				return
			}
		}
	}
}

// results yields what g says of n images, in their order.
func (d *core[M]) results(ctx context.Context, g M, doing string, n int, from pictures, score scoring[M]) iter.Seq2[Result, error] {
	return stream(ctx, d, doing, n, func(ctx context.Context, span [2]int) ([]Result, error) {
		return d.scoreBatch(ctx, g, from, span, score)
	})
}

// stream yields what answer says of n images, a batch at a time and in their
// order. doing names the stage to those who watch the progress.
func stream[M fitted, T any](ctx context.Context, d *core[M], doing string, n int, answer func(ctx context.Context, span [2]int) ([]T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		cores := tensor.GetThreads().Cores
		cut := spans(n, d.batch, cores)
		inner := ctx
		if len(cut) > 1 {
			inner = tensor.WithThreads(ctx, 1)
		}
		done := 0
		for rs, err := range pipeline.Ordered(inner, len(cut), cores+1, cores+1, func(ctx context.Context, i int) ([]T, error) {
			return answer(ctx, cut[i])
		}) {
			if err != nil {
				yield(none, err)
				return
			}
			done += len(rs)
			d.report(doing, done, n)
			for _, r := range rs {
				if !yield(r, nil) {
					return
				}
			}
		}
	}
}

// scoreBatch reads and scores images span[0] to span[1]-1.
func (d *core[M]) scoreBatch(ctx context.Context, g M, from pictures, span [2]int, score scoring[M]) ([]Result, error) {
	m := g.common()
	b, err := d.in.pack(ctx, from, span[0], span[1], image.Pt(m.inW, m.inH))
	if err != nil {
		return nil, err
	}
	defer d.in.put(b.pixels)
	out := make([]Result, b.n)
	for i := range out {
		out[i].Map = Map{W: m.inW, H: m.inH, Data: make([]float32, m.inW*m.inH), Rect: b.rects[i]}
	}
	if err := score(ctx, g, b, out); err != nil {
		return nil, err
	}
	for i, r := range out {
		if x := r.Score; x-x != 0 {
			return nil, fmt.Errorf("image %s: %w: its score is %v", b.names[i], ErrNotFinite, x)
		}
	}
	return out, nil
}

// vectors returns what embed makes of a batch, [n, h, w, C]; a grid that is not
// the fitted one fails s.
func (d *core[M]) vectors(s *tensor.Scope, g M, b *packed) *tensor.Tensor {
	m := g.common()
	e := d.embed(s, s.FromNHWC(b.pixels, b.n, m.inH, m.inW, 3))
	if s.Err() != nil {
		return nil
	}
	if int(e.Size(1)) != m.gridH || int(e.Size(2)) != m.gridW {
		s.Fail(fmt.Errorf("%w: the grid is %dx%d, when fitted it was %dx%d", ErrLayers, e.Size(2), e.Size(1), m.gridW, m.gridH))
		return nil
	}
	return e
}
