package downstream

import (
	"context"
	"fmt"
	"image"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream/internal/engine"
	"github.com/gotab/gotab/downstream/internal/feed"
	"github.com/gotab/gotab/downstream/internal/network"
	"github.com/gotab/gotab/downstream/internal/patchcore"
	"github.com/gotab/gotab/internal/pipeline"
	"github.com/gotab/gotab/tensor"
)

// Fit fills the memory bank from good images, at least one, and replaces that of
// an earlier Fit. With a Share below 1 it reads every image twice: to choose the
// patches that are kept, by their random projections, and to keep them. Memory
// is therefore that of the projections ([PatchCoreConfig.Estimate]); the data set must
// give the same images both times. Choosing M of N patches in K dimensions takes
// up to N M K multiplications; on the processor, and for patches of real images,
// less than half of them. Only so many patches can be chosen from as fit into 31
// bits; with a Share below 1 more are [ErrConfig].
//
// A sample that says it is anomalous is [ErrNotNormal], features that are not
// finite are [ErrNotFinite]; both name the sample. A bank without a patch, or
// with fewer than Neighbours, is [ErrTooFewImages]. After an error, or the end
// of ctx, the detector is as it was before. Concurrent Fits run one after another,
// in the order of the calls; ctx ends the wait too. A Fit that Close ends is
// [ErrClosed].
func (p *PatchCore) Fit(ctx context.Context, normal dataset.Dataset) error {
	return p.core.Refit(ctx, "fit", func(ctx context.Context) (*patchBank, error) { return p.fit(ctx, normal) })
}

// patchFit is a fit that is going on.
type patchFit struct {
	p     *PatchCore
	from  feed.Pictures
	n     int // images
	cut   [][2]int
	cores int
	size  image.Point // of the transformed images
	h, w  int         // of the grid, 0 before the first batch
}

func (p *PatchCore) fit(ctx context.Context, normal dataset.Dataset) (*patchBank, error) {
	if normal == nil {
		return nil, fmt.Errorf("%w: the data set is nil", ErrTooFewImages)
	}
	n := normal.Len()
	if n < 1 {
		return nil, fmt.Errorf("%w: have none, a memory bank needs 1 or more", ErrTooFewImages)
	}
	from, seen, err := feed.FitImages(normal, p.cfg.Transform)
	if err != nil {
		return nil, err
	}
	size, err := p.core.In.InputSize(ctx, from)
	if err != nil {
		return nil, err
	}
	f := &patchFit{p: p, from: from, n: n, cut: feed.Spans(n, p.cfg.Batch, 1), cores: tensor.GetThreads().Cores, size: size}
	var chosen []int64 // nil keeps all
	if p.cfg.Share < 1 {
		if chosen, err = f.choose(ctx); err != nil {
			return nil, err
		}
	}
	g, err := f.keep(ctx, chosen)
	if err == nil {
		g.seen = seen.With(nil)
	}
	return g, err
}

// patchRows are rows that one batch gives, on the host.
type patchRows struct {
	values []float32
	h, w   int
}

// pass runs all images through the network and hands the rows that pick makes of
// a batch's patches [n h w, C] over in the order of the data set. pick returns
// also which patch of the batch each row is, nil for all in their order; a batch
// of which only says that nothing is wanted is passed over. stage names the pass
// to whoever watches the progress.
func (f *patchFit) pass(ctx context.Context, stage string, only func(batch int) bool,
	pick func(s *tensor.Scope, patches *tensor.Tensor, batch int) (rows *tensor.Tensor, of []int64),
	take func(batch int, r *patchRows) error) error {
	p := f.p
	// One thread a Run and as many Runs as cores: convolutions of one batch
	// scale worse over threads than batches do over cores.
	ctx = tensor.WithThreads(ctx, 1)
	i := 0
	for r, err := range pipeline.Ordered(ctx, len(f.cut), f.cores+1, f.cores+1, func(ctx context.Context, i int) (*patchRows, error) {
		if !only(i) {
			return nil, nil
		}
		b, err := p.core.In.Pack(ctx, f.from, f.cut[i][0], f.cut[i][1], f.size)
		if err != nil {
			return nil, err
		}
		defer p.core.In.Put(b.Pixels)
		r := &patchRows{}
		var of []int64
		c := 0
		err = tensor.Run(ctx, p.core.Dev, tensor.Evaluation, func(s *tensor.Scope) error {
			e := p.emb.Embed(s, s.FromNHWC(b.Pixels, b.N, f.size.Y, f.size.X, 3))
			if err := s.Err(); err != nil {
				return err
			}
			r.h, r.w = int(e.Size(1)), int(e.Size(2))
			var rows *tensor.Tensor
			rows, of = pick(s, s.Reshape(e, int64(b.N*r.h*r.w), int64(p.emb.Count)), i)
			if err := s.Err(); err != nil {
				return err
			}
			c = int(rows.Size(1))
			r.values = p.core.In.Get(int(rows.Len()))
			return s.FloatsInto(r.values, rows)
		})
		if err != nil {
			return nil, err
		}
		for row := 0; row*c < len(r.values); row++ {
			if v, ok := network.NotFinite(r.values[row*c:][:c]); ok {
				at := row
				if of != nil {
					at = int(of[row])
				}
				return nil, fmt.Errorf("features of image %s: %w: %v", b.Names[at/(r.h*r.w)], ErrNotFinite, v)
			}
		}
		return r, nil
	}) {
		if err != nil {
			return err
		}
		if r != nil {
			if f.h == 0 {
				f.h, f.w = r.h, r.w
			}
			if r.h != f.h || r.w != f.w {
				return fmt.Errorf("%w: the grid is %dx%d, before it was %dx%d", ErrLayers, r.w, r.h, f.w, f.h)
			}
			if err := take(i, r); err != nil {
				return err
			}
			p.core.In.Put(r.values)
		}
		p.core.Report(stage, f.cut[i][1], f.n)
		i++
	}
	return nil
}

// choose returns the patches to keep, counted through images and positions,
// ascending.
func (f *patchFit) choose(ctx context.Context) ([]int64, error) {
	p := f.p
	rng := rand.New(rand.NewPCG(p.seed[0], p.seed[1]))
	c, k := p.emb.Count, p.cfg.projected(p.emb.Count)
	var projection []float32 // [C, K]
	if k < c {
		// As a fresh linear layer has it; the scale does not matter.
		var err error
		if projection, err = tensor.Uniform(rng, int64(c*k), 1/math.Sqrt(float64(c))); err != nil {
			return nil, err
		}
	}
	var projected []float32 // [N, K], N patches of all images
	total := 0
	err := f.pass(ctx, "choose patches", func(int) bool { return true },
		func(s *tensor.Scope, patches *tensor.Tensor, _ int) (*tensor.Tensor, []int64) {
			if projection == nil {
				return patches, nil
			}
			return s.MatMul(patches, s.FromFloats(projection, int64(c), int64(k))), nil
		},
		func(_ int, r *patchRows) error {
			if projected == nil {
				n, err := patchcore.Count(f.n, f.h, f.w)
				if err != nil {
					return err
				}
				total = n
				projected = make([]float32, 0, total*k)
			}
			projected = append(projected, r.values...)
			return nil
		})
	if err != nil {
		return nil, err
	}
	count := patchcore.Size(total, p.cfg.Share)
	if count < 1 {
		return nil, fmt.Errorf("%w: a Share of %v of %d patches leaves none", ErrTooFewImages, p.cfg.Share, total)
	}
	starts := make([]int64, 0, p.cfg.Starts)
	for _, i := range rng.Perm(total)[:min(p.cfg.Starts, total)] {
		starts = append(starts, int64(i))
	}
	var chosen []int64
	report := func(done int) { p.core.Report("choose", done, count) }
	chosen, err = patchcore.Choose(ctx, p.core.Dev, projected, k, count, starts, f.cores, report)
	slices.Sort(chosen)
	return chosen, err
}

// keep fills the bank with the chosen patches, all where chosen is nil.
func (f *patchFit) keep(ctx context.Context, chosen []int64) (_ *patchBank, err error) {
	p := f.p
	c := p.emb.Count
	// local returns which patches of a batch are kept.
	local := func(batch int) []int64 {
		grid := int64(f.h * f.w)
		lo, _ := slices.BinarySearch(chosen, int64(f.cut[batch][0])*grid)
		hi, _ := slices.BinarySearch(chosen, int64(f.cut[batch][1])*grid)
		out := slices.Clone(chosen[lo:hi])
		for i := range out {
			out[i] -= int64(f.cut[batch][0]) * grid
		}
		return out
	}
	var values []float32
	if chosen != nil {
		values = make([]float32, 0, len(chosen)*c)
	}
	err = f.pass(ctx, "keep patches", func(batch int) bool { return chosen == nil || len(local(batch)) > 0 },
		func(s *tensor.Scope, patches *tensor.Tensor, batch int) (*tensor.Tensor, []int64) {
			if chosen == nil {
				return patches, nil
			}
			of := local(batch)
			return s.IndexSelect(patches, 0, s.FromInts(of, int64(len(of)))), of
		},
		func(_ int, r *patchRows) error {
			if values == nil {
				values = make([]float32, 0, f.n*f.h*f.w*c)
			}
			values = append(values, r.values...)
			return nil
		})
	if err != nil {
		return nil, err
	}
	count := len(values) / c
	if b := p.cfg.Neighbours; count < b {
		return nil, fmt.Errorf("%w: the bank has %d patches, Neighbours is %d", ErrTooFewImages, count, b)
	}
	g := &patchBank{state: state{Model: engine.Model{Params: tensor.NewParams(p.core.Dev), GridH: f.h, GridW: f.w, InW: f.size.X, InH: f.size.Y, Images: f.n}}}
	return p.complete(ctx, g, values, patchcore.Centre(values, c))
}

// complete puts patches and mean into g with what follows from them and from the
// settings. After an error g's memory is freed.
func (p *PatchCore) complete(ctx context.Context, g *patchBank, patches, mean []float32) (_ *patchBank, err error) {
	defer func() {
		if err != nil {
			_ = g.Params.Close() // frees memory, cannot fail
		}
	}()
	if g.Bank, err = patchcore.NewBank(ctx, g.Params, patches, mean); err != nil {
		return nil, err
	}
	if err := g.AddSmoothing(ctx, p.cfg.Sigma); err != nil {
		return nil, err
	}
	if err := p.core.Identify(ctx, g.Common()); err != nil {
		return nil, err
	}
	return g, nil
}
