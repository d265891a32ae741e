package downstream

import (
	"context"
	"fmt"
	"image"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/downstream/internal/engine"
	"github.com/gotab/gotab/downstream/internal/feed"
	"github.com/gotab/gotab/downstream/internal/patchcore"
	"github.com/gotab/gotab/tensor"
)

// FitBanks fills the memory bank from the banks of detectors that were fitted on parts of the
// images, such as on several machines and read from their files: of all their patches it keeps
// Share of those that the images had, by the greedy choice of [PatchCore.Fit] once more. The parts stay as
// they are.
//
// The choice is not that of a Fit on all images, which sees all patches. Where the parts have the Share of the
// whole, all that they chose is kept: every patch is as near to the bank as to that of its part, and patches that
// several parts have alike are there several times. Where they have more, a second choice is made of it, and a patch
// may be as far from it as both choices are wide together: at most four times the least radius, if every part kept as
// many patches as the whole does (Malkomes et al., "Fast distributed k-center clustering with outliers on massive
// data", 2015), where a Fit is within twice. On real images the same Share loses least: docs/scale-data.md has
// figures.
//
// It returns [ErrConfig] for parts of other layers, patches, transforms or sizes, or of the same images,
// [ErrExtractor] for those of another network, [ErrNotFitted], [ErrTooFewImages], and the errors
// of [PatchCore.Fit] but for what is about images. The turn is that of a Fit.
func (p *PatchCore) FitBanks(ctx context.Context, parts ...*PatchCore) error {
	return p.core.Refit(ctx, "fit", func(ctx context.Context) (*patchBank, error) { return p.fitBanks(ctx, parts) })
}

// union is what several banks have together.
type union struct {
	size         image.Point
	h, w, images int
	values       []float32 // [M, C]
	fingerprint  []float32
	precision    backbone.Precision
	seen         []uint64
}

func (p *PatchCore) fitBanks(ctx context.Context, parts []*PatchCore) (*patchBank, error) {
	if len(parts) == 0 {
		return nil, fmt.Errorf("%w: there are no banks", ErrTooFewImages)
	}
	var u union
	for i, part := range parts {
		if part == nil || slices.Contains(parts[:i], part) {
			return nil, fmt.Errorf("%w: bank %d is nil, or given twice", ErrConfig, i)
		}
		if err := p.take(ctx, &u, part); err != nil {
			return nil, fmt.Errorf("bank %d: %w", i, err)
		}
	}
	c := p.emb.Count
	// The patches of the images decide how many are kept, not those of the banks.
	total := int64(u.images) * int64(u.h*u.w)
	count := len(u.values) / c
	if want := float64(total) * p.cfg.Share; want < float64(count) {
		count = int(want)
	}
	if count < 1 || count < p.cfg.Neighbours {
		return nil, fmt.Errorf("%w: a Share of %v of %d patches leaves %d, Neighbours is %d", ErrTooFewImages, p.cfg.Share, total, count, p.cfg.Neighbours)
	}
	values := u.values
	if count < len(u.values)/c {
		chosen, err := p.chooseOf(ctx, u.values, count)
		if err != nil {
			return nil, err
		}
		values = make([]float32, 0, len(chosen)*c)
		for _, i := range chosen {
			values = append(values, u.values[int(i)*c:][:c]...)
		}
	}
	g := &patchBank{state: state{seen: u.seen, Model: engine.Model{Params: tensor.NewParams(p.core.Dev), GridH: u.h, GridW: u.w,
		InW: u.size.X, InH: u.size.Y, Images: u.images, Fingerprint: u.fingerprint, Precision: u.precision}}}
	return p.complete(ctx, g, values, patchcore.Centre(values, c))
}

// take adds the bank of a part.
func (p *PatchCore) take(ctx context.Context, u *union, part *PatchCore) error {
	a, b := p.cfg, part.cfg
	if !slices.Equal(a.Layers, b.Layers) || a.Neighbourhood != b.Neighbourhood || a.Dim != b.Dim || p.emb.Count != part.emb.Count ||
		a.Transform.Fingerprint() != b.Transform.Fingerprint() || a.Normalize != b.Normalize {
		return fmt.Errorf("%w: it has other layers, patches or transforms", ErrConfig)
	}
	g, err := part.core.Acquire("read the bank of")
	if err != nil {
		return err
	}
	defer part.core.Release(g)
	if u.images == 0 {
		u.size, u.h, u.w, u.fingerprint, u.precision = image.Pt(g.InW, g.InH), g.GridH, g.GridW, g.Fingerprint, g.Precision
	}
	if u.size != image.Pt(g.InW, g.InH) || u.h != g.GridH || u.w != g.GridW {
		return fmt.Errorf("%w: its images are %dx%d, those of the first one %dx%d", ErrConfig, g.InW, g.InH, u.size.X, u.size.Y)
	}
	if err := engine.SameExtractor(u.fingerprint, g.Fingerprint, u.precision, g.Precision); err != nil {
		return err
	}
	known := len(u.seen)
	all := append(slices.Clone(u.seen), g.seen...)
	slices.Sort(all)
	if all = slices.Compact(all); known > 0 && len(g.seen) > 0 && len(all) == known {
		return fmt.Errorf("%w: it is of images that others have already", ErrConfig)
	}
	u.seen = all[:min(len(all), feed.MaxSightings)]
	arrays, err := g.Arrays(ctx, part.core.Dev)
	if err != nil {
		return err
	}
	patches, err := engine.FloatsOf(arrays, "patches", -1, int64(p.emb.Count))
	if err != nil {
		return err
	}
	mean, err := engine.FloatsOf(arrays, "mean", int64(p.emb.Count))
	if err != nil {
		return err
	}
	for at := 0; at < len(patches); at += len(mean) {
		for i, m := range mean {
			patches[at+i] += m
		}
	}
	u.values = append(u.values, patches...)
	u.images += g.Images
	return nil
}

// chooseOf returns count of the rows of values [M, C], rising, by their random projections.
func (p *PatchCore) chooseOf(ctx context.Context, values []float32, count int) ([]int64, error) {
	c, k := p.emb.Count, p.cfg.projected(p.emb.Count)
	n := len(values) / c
	if n > math.MaxInt32 {
		return nil, fmt.Errorf("%w: %d patches are more than can be chosen from", ErrConfig, n)
	}
	rng := rand.New(rand.NewPCG(p.seed[0], p.seed[1]))
	projected := slices.Clone(values) // the choice changes them
	if k < c {
		projection, err := tensor.Uniform(rng, int64(c*k), 1/math.Sqrt(float64(c)))
		if err != nil {
			return nil, err
		}
		projected = make([]float32, n*k)
		const rows = 1 << 16 // at a time
		for lo := 0; lo < n; lo += rows {
			m := min(rows, n-lo)
			err := tensor.Run(ctx, p.core.Dev, tensor.Evaluation, func(s *tensor.Scope) error {
				return s.FloatsInto(projected[lo*k:][:m*k], s.MatMul(s.FromFloats(values[lo*c:][:m*c], int64(m), int64(c)), s.FromFloats(projection, int64(c), int64(k))))
			})
			if err != nil {
				return nil, err
			}
		}
	}
	var starts []int64
	for _, i := range rng.Perm(n)[:min(p.cfg.Starts, n)] {
		starts = append(starts, int64(i))
	}
	chosen, err := patchcore.Choose(ctx, p.core.Dev, projected, k, count, starts, tensor.GetThreads().Cores, func(done int) { p.core.Report("choose", done, count) })
	slices.Sort(chosen)
	return chosen, err
}
