package downstream

import (
	"context"
	"errors"
	"fmt"
	"image"
	"iter"
	"strconv"
	"sync"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/internal/pipeline"
	"github.com/gotab/gotab/tensor"
)

// Score judges images of any size, in their order. Several images are read and
// scored in parallel: cut into batches of nearly equal size, each a Run of one
// thread, as many at once as tensor's thread budget has cores. A single image
// takes one Run with the threads of ctx or the budget.
//
// The score of an image does not depend on its company but for float32 rounding
// (below 1e-5 relative). Errors wrap [ErrNotFitted], [ErrImage] or
// [ErrNotFinite], or are ctx's; there is no partial result.
func (p *PaDiM) Score(ctx context.Context, imgs ...image.Image) ([]Result, error) {
	out := make([]Result, 0, len(imgs))
	from := func(_ context.Context, i int) (image.Image, string, error) { return imgs[i], strconv.Itoa(i), nil }
	for r, err := range p.results(ctx, len(imgs), from) {
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

// ScoreSet scores a whole data set and yields its samples in order. Reading,
// transforming and scoring go on in parallel and a few batches ahead of the
// loop; memory does not grow with the data set. An error, also ctx's, is yielded
// once and ends the iteration. When the iteration ends, for whatever reason, all
// its goroutines have ended.
func (p *PaDiM) ScoreSet(ctx context.Context, ds dataset.Dataset) iter.Seq2[Scored, error] {
	return func(yield func(Scored, error) bool) {
		if ds == nil {
			yield(Scored{}, fmt.Errorf("downstream: score PaDiM: %w: the data set is nil", ErrImage))
			return
		}
		n := ds.Len()
		masks := make(map[int]*image.Gray) // of samples that have not been handed over
		var mu sync.Mutex
		from := func(ctx context.Context, i int) (image.Image, string, error) {
			s, err := ds.Sample(ctx, i)
			if err != nil {
				return nil, ds.Item(i).Name, err
			}
			if s.Mask != nil {
				mu.Lock()
				masks[i] = s.Mask
				mu.Unlock()
			}
			return s.Image, s.Name, nil
		}
		i := 0
		for r, err := range p.results(ctx, n, from) {
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

// results is what Score and ScoreSet share.
func (p *PaDiM) results(ctx context.Context, n int, from pictures) iter.Seq2[Result, error] {
	return func(yield func(Result, error) bool) {
		g, err := p.acquire("score")
		if err != nil {
			yield(Result{}, err)
			return
		}
		defer func() { _ = p.release(g) }() // frees memory, cannot fail
		cores := tensor.GetThreads().Cores
		cut := spans(n, p.cfg.Batch, cores)
		inner := ctx
		if len(cut) > 1 {
			inner = tensor.WithThreads(ctx, 1)
		}
		for rs, err := range pipeline.Ordered(inner, len(cut), cores+1, cores+1, func(ctx context.Context, i int) ([]Result, error) {
			b, err := p.in.pack(ctx, from, cut[i][0], cut[i][1], image.Pt(g.inW, g.inH))
			if err != nil {
				return nil, err
			}
			defer p.in.put(b.pixels)
			return p.score(ctx, g, b)
		}) {
			if err != nil {
				if cause := ctx.Err(); cause == nil || !errors.Is(err, cause) {
					err = fmt.Errorf("downstream: score PaDiM: %w", err)
				}
				yield(Result{}, err)
				return
			}
			for _, r := range rs {
				if !yield(r, nil) {
					return
				}
			}
		}
	}
}

// score runs one batch.
func (p *PaDiM) score(ctx context.Context, g *gaussians, b *packed) ([]Result, error) {
	out := make([]Result, b.n)
	for i := range out {
		out[i].Map = Map{W: g.inW, H: g.inH, Data: make([]float32, g.inW*g.inH), Rect: b.rects[i]}
	}
	err := tensor.Run(ctx, p.dev, tensor.Evaluation, func(s *tensor.Scope) error {
		maps := s.Sub(func(s *tensor.Scope) *tensor.Tensor {
			dist := s.Sub(func(s *tensor.Scope) *tensor.Tensor {
				white := s.Sub(func(s *tensor.Scope) *tensor.Tensor { return p.whiten(s, g, b) })
				return s.Norm(white, 2) // [P, n]
			})
			grid := s.Reshape(s.Transpose(dist, 0, 1), int64(b.n), int64(g.gridH), int64(g.gridW))
			return s.MatMul(s.MatMul(g.rows, grid), g.columns)
		})
		for i := range out {
			if err := s.FloatsInto(out[i].Map.Data, s.Select(maps, 0, int64(i))); err != nil {
				return err
			}
		}
		return s.Err()
	})
	if err != nil {
		return nil, err
	}
	for i := range out {
		out[i].Score = out[i].Map.Max()
		if x := out[i].Score; x-x != 0 {
			return nil, fmt.Errorf("image %s: %w: its score is %v", b.names[i], ErrNotFinite, x)
		}
	}
	return out, nil
}

// whiten returns L^-1 (x-m) for every position and image, [P, n, C]: vectors
// whose lengths are the distances.
func (p *PaDiM) whiten(s *tensor.Scope, g *gaussians, b *packed) *tensor.Tensor {
	e := p.sel.embed(s, s.FromNHWC(b.pixels, b.n, g.inH, g.inW, 3))
	if s.Err() != nil {
		return nil
	}
	if int(e.Size(1)) != g.gridH || int(e.Size(2)) != g.gridW {
		s.Fail(fmt.Errorf("%w: the grid is %dx%d, when fitted it was %dx%d", ErrLayers, e.Size(2), e.Size(1), g.gridW, g.gridH))
		return nil
	}
	d := s.Reshape(e, int64(b.n), int64(g.gridH*g.gridW), int64(p.sel.count))
	s.AddInto(d, g.mean, -1)
	return s.Bmm(s.Permute(d, 1, 0, 2), g.whitening)
}
