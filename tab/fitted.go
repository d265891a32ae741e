package tab

import (
	"context"
	"errors"
	"fmt"
	"image"
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/internal/seed"
	"github.com/gotab/gotab/synth"
)

// Fitted is a mixture of twins that fits a product: kinds are drawn by the weights
// of a [TwinTable]; a twin whose kind, size and strength lie within the spread of
// good parts counts as normal, and one that is far outside is drawn again. It is
// safe for concurrent use as long as its mixture is.
type Fitted struct {
	Mixture  synth.Mixture // weighted
	Twins    ProductTwins
	Attempts int // draws at most until one is not far outside, at least 1
}

// Fit returns the twins that fit one product, of the kinds in m. The errors are
// those of [TwinTable.Mixture].
func (t *TwinTable) Fit(class string, m synth.Mixture) (Fitted, error) {
	w, err := t.Mixture(class, m)
	if err != nil {
		return Fitted{}, err
	}
	p, _ := t.Product(class)
	return Fitted{Mixture: w, Twins: p, Attempts: 20}, nil
}

// Validate checks the mixture and the number of attempts.
func (f Fitted) Validate() error {
	if f.Attempts < 1 {
		return fmt.Errorf("tab: Fitted.Attempts is %d: %w: want 1 or more", f.Attempts, ErrConfig)
	}
	return f.Mixture.Validate()
}

// Generate implements synth.Generator. ErrNotPlaced says that the kind found no
// place, or that every draw was far outside.
func (f Fitted) Generate(dst, src image.Image, rng *rand.Rand) (synth.Pair, error) {
	if err := f.Validate(); err != nil {
		return synth.Pair{}, err
	}
	for range f.Attempts {
		p, err := f.Mixture.Generate(dst, src, rng)
		if err != nil {
			return synth.Pair{}, err
		}
		switch f.Twins.Verdict(p) {
		case VerdictFar:
			continue
		case VerdictNormal:
			if !p.Normal {
				p.Normal, p.Change = true, 0
				clear(p.Mask.Pix)
				clear(p.Label)
			}
		}
		return p, nil
	}
	return synth.Pair{}, fmt.Errorf("tab: twins of %q: all of %d draws were far outside the spread of good parts: %w", f.Twins.Class, f.Attempts, synth.ErrNotPlaced)
}

// TwinsByClass gives each product a generator of its own, for pre-training on
// several. As a synth.Generator by itself it can only refuse, because a generator
// is not told of which class its images are; [Pretrainer] asks it by class.
type TwinsByClass map[string]synth.Generator

// Fits returns the twins that fit each product of the table.
func (t *TwinTable) Fits(m synth.Mixture) (TwinsByClass, error) {
	mixtures := map[string]synth.Mixture{}
	for _, p := range t.Products {
		mixtures[p.Class] = m
	}
	return t.FitsByClass(mixtures)
}

// FitsByClass returns the twins that fit each product that has a mixture, as
// [MeasureTwinsByClass] had them. Products of the table that have none are left out: the
// table may be of more products than are trained. ErrUnknownClass says that the table
// does not hold one.
func (t *TwinTable) FitsByClass(mixtures map[string]synth.Mixture) (TwinsByClass, error) {
	out := TwinsByClass{}
	var errs []error
	for _, class := range slices.Sorted(maps.Keys(mixtures)) {
		f, err := t.Fit(class, mixtures[class])
		if err != nil {
			errs = append(errs, err)
			continue
		}
		out[class] = f
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return out, nil
}

// ForClass returns the generator of a class; ErrUnknownClass where there is none.
func (t TwinsByClass) ForClass(class string) (synth.Generator, error) {
	if g := t[class]; g != nil {
		return g, nil
	}
	return nil, fmt.Errorf("tab: twins of %q: %w: there are twins of %q", class, ErrUnknownClass, slices.Sorted(maps.Keys(t)))
}

// Generate implements synth.Generator and returns an ErrConfig.
func (t TwinsByClass) Generate(image.Image, image.Image, *rand.Rand) (synth.Pair, error) {
	return synth.Pair{}, fmt.Errorf("tab: twins by class: %w: ask ForClass for the generator of a class", ErrConfig)
}

// twinsOf returns the generator for images of a class.
func twinsOf(g synth.Generator, class string) (synth.Generator, error) {
	if by, ok := g.(TwinsByClass); ok {
		return by.ForClass(class)
	}
	return g, nil
}

// ForeignTextures reads up to n good images of the other classes of good, drawn by
// seed, at the network's size, as textures for synth.Overlay or synth.NewMixture:
// what looks like good material elsewhere is foreign on a product. class "" leaves
// none out. They stay in memory, four bytes a pixel. It returns ErrConfig where
// there is no other class.
func ForeignTextures(ctx context.Context, good dataset.Dataset, class string, tr dataset.Transform, n int, runSeed uint64) (synth.TextureCrops, error) {
	if n < 1 {
		return nil, fmt.Errorf("tab: foreign textures: %w: n is %d, want 1 or more", ErrConfig, n)
	}
	var order []int
	for i := range good.Len() {
		if it := good.Item(i); it.Class != class && it.IsGood() {
			order = append(order, i)
		}
	}
	if len(order) == 0 {
		return nil, fmt.Errorf("tab: foreign textures for %q: %w: there is no good image of another class", class, ErrConfig)
	}
	seed.Rand(runSeed, "foreign textures: "+class).Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	var out synth.TextureCrops
	for _, i := range order[:min(n, len(order))] {
		s, err := good.Sample(ctx, i)
		if err != nil {
			return nil, fmt.Errorf("tab: foreign textures: %w", err)
		}
		img, err := transformed(good, tr, s)
		if err != nil {
			return nil, fmt.Errorf("tab: foreign textures: %w", err)
		}
		out = append(out, img)
	}
	return out, nil
}
