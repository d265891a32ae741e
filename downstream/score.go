package downstream

import (
	"context"
	"fmt"
	"image"
	"iter"
	"strconv"
	"sync"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream/internal/engine"
	"github.com/gotab/gotab/downstream/internal/feed"
	"github.com/gotab/gotab/internal/pipeline"
	"github.com/gotab/gotab/tensor"
)

// method is the arithmetic of one detector.
type method[M fitted] interface {
	// score fills the scores and the maps, which are there and empty, of one batch.
	score(ctx context.Context, g M, b *feed.Batch, out []Result) error
	// contents is what a file says of g.
	contents(g M) (*engine.Contents, error)
}

// scoreImages is Score of a detector.
func scoreImages[M fitted](ctx context.Context, d *engine.Core[M], by method[M], imgs []image.Image) ([]Result, error) {
	g, err := d.Acquire("score")
	if err != nil {
		return nil, err
	}
	defer d.Release(g)
	calibration := g.own().calibration()
	out := make([]Result, 0, len(imgs))
	from := func(_ context.Context, i int) (image.Image, string, error) { return imgs[i], strconv.Itoa(i), nil }
	for r, err := range results(ctx, d, by, g, "score", len(imgs), from) {
		if err != nil {
			return nil, d.Failed(ctx, "score", err)
		}
		out = append(out, calibration.Mark(r))
	}
	return out, nil
}

// scoreSet is ScoreSet of a detector, with the model that is in force when it
// begins.
func scoreSet[M fitted](ctx context.Context, d *engine.Core[M], by method[M], ds dataset.Dataset) iter.Seq2[Scored, error] {
	return func(yield func(Scored, error) bool) {
		g, err := d.Acquire("score")
		if err != nil {
			yield(Scored{}, err)
			return
		}
		defer d.Release(g)
		if ds == nil {
			yield(Scored{}, fmt.Errorf("%s: %w: the data set is nil", d.Who.Doing("score"), ErrImage))
			return
		}
		calibration := g.own().calibration()
		for sc, err := range scored(ctx, d, by, g, "score", ds, nil) {
			if err != nil {
				yield(Scored{}, d.Failed(ctx, "score", err))
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
func scoreSeq[M fitted](ctx context.Context, d *engine.Core[M], by method[M], imgs iter.Seq[image.Image]) iter.Seq2[Result, error] {
	return func(yield func(Result, error) bool) {
		g, err := d.Acquire("score")
		if err != nil {
			yield(Result{}, err)
			return
		}
		defer d.Release(g)
		if imgs == nil {
			yield(Result{}, fmt.Errorf("%s: %w: the sequence is nil", d.Who.Doing("score"), ErrImage))
			return
		}
		calibration := g.own().calibration()
		// Each image is a Run of its own, whose threads follow from how many there are:
		// a lone one is answered soon, and when they queue they go side by side.
		cores := tensor.GetThreads().Cores
		for r, err := range pipeline.Sequence(ctx, imgs, cores+1, cores+1, func(ctx context.Context, i int, img image.Image) (Result, error) {
			one := func(context.Context, int) (image.Image, string, error) { return img, strconv.Itoa(i), nil }
			rs, err := scoreBatch(ctx, d, by, g, one, [2]int{0, 1})
			if err != nil {
				return Result{}, err
			}
			return rs[0], nil
		}) {
			if err != nil {
				yield(Result{}, d.Failed(ctx, "score", err))
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
func scored[M fitted](ctx context.Context, d *engine.Core[M], by method[M], g M, doing string, ds dataset.Dataset, seen *feed.Sightings) iter.Seq2[Scored, error] {
	return func(yield func(Scored, error) bool) {
		masks := make(map[int]*image.Gray) // of samples that have not been handed over
		var mu sync.Mutex
		mark := feed.Marked(ds)
		var from feed.Pictures = func(ctx context.Context, i int) (image.Image, string, error) {
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
			from = seen.Watch(from)
		}
		i := 0
		for r, err := range results(ctx, d, by, g, doing, ds.Len(), from) {
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
func results[M fitted](ctx context.Context, d *engine.Core[M], by method[M], g M, doing string, n int, from feed.Pictures) iter.Seq2[Result, error] {
	return engine.Stream(ctx, d, doing, n, func(ctx context.Context, span [2]int) ([]Result, error) {
		return scoreBatch(ctx, d, by, g, from, span)
	})
}

// scoreBatch reads and scores images span[0] to span[1]-1.
func scoreBatch[M fitted](ctx context.Context, d *engine.Core[M], by method[M], g M, from feed.Pictures, span [2]int) ([]Result, error) {
	m := g.Common()
	b, err := d.In.Pack(ctx, from, span[0], span[1], image.Pt(m.InW, m.InH))
	if err != nil {
		return nil, err
	}
	defer d.In.Put(b.Pixels)
	out := make([]Result, b.N)
	for i := range out {
		out[i].Map = Map{W: m.InW, H: m.InH, Data: make([]float32, m.InW*m.InH), Rect: b.Rects[i]}
	}
	if err := by.score(ctx, g, b, out); err != nil {
		return nil, err
	}
	for i, r := range out {
		if x := r.Score; x-x != 0 {
			return nil, fmt.Errorf("image %s: %w: its score is %v", b.Names[i], ErrNotFinite, x)
		}
	}
	return out, nil
}
