package synth

import (
	"errors"
	"fmt"
	"image"
	"math"
	"math/rand/v2"
	"slices"
)

// Mixture draws among named kinds of damage by weight, and a stated share of twins that changed nothing that matters. The
// kind that was drawn stays drawn until it is placed, so that kinds that are hard to place keep their share. Pair.Kind is
// the name of the kind in the mixture, Pair.Normal says whether it is one of the normal kinds. Kinds can be kept out
// (Without), for a validation by the kind that training never saw (Only). A Mixture is a value: its methods return new ones
// and leave it as it is. It is safe for concurrent use as long as its generators are.
type Mixture struct {
	Kinds  []Ingredient // kinds of damage, at least one
	Share  float64      // share of normal twins, 0 to 1, 1 excluded
	Normal []Ingredient // kinds of normal twins; may be empty where Share is 0

	Attempts int // draws of the kind until it is placed, at least 1
}

// Ingredient is a kind of a Mixture. Weight is relative to the other weights: not negative, not all zero.
type Ingredient struct {
	Kind      Kind // its name, which no other ingredient has
	Generator Generator
	Weight    float64
}

// DefaultMixture is NewMixture with SmallDefects and drawn textures.
func DefaultMixture() Mixture { return NewMixture(SmallDefects(), nil) }

// NewMixture is seven kinds of damage whose sides follow side, and two of normal twins: NSA .3, a pasted rectangle .1 and a
// scar .1 of the product's own material, a foreign texture .15, noise .15, stains .1, local warps .1; a fifth of all twins is
// normal, half of these unchanged but for the exposure, half blended into their own place. textures is where foreign
// texture comes from, for example TextureCrops of other products; nil: DrawnTextures. Masks are what changed by more than 6
// grey levels in the mean of the channels; labels are left out. Kinds that cannot be as small as the rest begin at 8 pixels
// (NSA and what is blended back, which lose their rim) and 10 (warps).
func NewMixture(side Size, textures Textures) Mixture {
	if textures == nil {
		textures = DrawnTextures{}
	}
	from := func(least float64) Size { return Size{Least: max(side.Least, least), Share: side.Share} }
	nsa := DefaultNSA()
	nsa.Box = Box{Side: from(8), Aspect: Span{0.5, 2}}
	nsa.Patches, nsa.Erode, nsa.MinPixels = 2, 1, 4
	patch := DefaultCutPaste()
	patch.Box, patch.Other, patch.Attempts = Box{Side: side, Aspect: Span{1. / 3, 3}}, true, 10
	scar := ShapeOverlay()
	scar.Outlines.Kinds = []Outline{OutlineLine}
	texture := TextureOverlay()
	texture.Textures = textures
	texture.Outlines.Kinds = []Outline{OutlinePerlin, OutlineBlob, OutlineBezier}
	noise, stain, warp := DefaultNoise(), DefaultStain(), DefaultWarp()
	for _, o := range []*Outlines{&scar.Outlines, &texture.Outlines, &noise.Outlines, &stain.Outlines} {
		o.Side = side
	}
	warp.Side = from(10)
	unchanged, seam := DefaultUnchanged(), DefaultReseam()
	seam.Box.Side = from(8)
	nsa.Tol, patch.Tol = paintTol, paintTol
	for _, l := range []*LabelMode{&nsa.Label, &patch.Label, &scar.Label, &texture.Label, &noise.Label, &stain.Label, &warp.Label, &unchanged.Label, &seam.Label} {
		*l = LabelNone
	}
	return Mixture{
		Kinds: []Ingredient{
			{KindNSA, nsa, 0.3}, {KindCutPatch, patch, 0.1}, {KindCutScar, scar, 0.1}, {KindTexture, texture, 0.15},
			{KindNoise, noise, 0.15}, {KindStain, stain, 0.1}, {KindWarp, warp, 0.1},
		},
		Share: 0.2, Normal: []Ingredient{{KindUnchanged, unchanged, 0.5}, {KindSeam, seam, 0.5}},
		Attempts: 10,
	}
}

// Validate says what is wrong with the settings, if anything, and asks generators that have a Validate of their own.
func (m Mixture) Validate() error {
	if !(m.Share >= 0 && m.Share < 1) {
		return fieldErr("Mixture", "Share", m.Share, "must be from 0 to 1, 1 excluded")
	}
	if m.Attempts < 1 {
		return fieldErr("Mixture", "Attempts", m.Attempts, "must be at least 1")
	}
	if err := checkIngredients("Kinds", m.Kinds, true); err != nil {
		return err
	}
	if err := checkIngredients("Normal", m.Normal, m.Share > 0); err != nil {
		return err
	}
	seen := map[Kind]bool{}
	for _, k := range m.List() {
		if seen[k] {
			return fieldErr("Mixture", "Kinds", k, "is there twice")
		}
		seen[k] = true
	}
	return nil
}

// checkIngredients checks one list; needed says that something must come of it.
func checkIngredients(field string, list []Ingredient, needed bool) error {
	total := 0.0
	for i, g := range list {
		name := fmt.Sprintf("%s[%d]", field, i)
		switch {
		case g.Kind == KindOther:
			return fieldErr("Mixture", name+".Kind", "empty", "must have a name")
		case g.Generator == nil:
			return fieldErr("Mixture", name+".Generator", nil, "must not be nil")
		case !(g.Weight >= 0):
			return fieldErr("Mixture", name+".Weight", g.Weight, "must not be negative")
		}
		if v, ok := g.Generator.(interface{ Validate() error }); ok {
			if err := v.Validate(); err != nil {
				return fmt.Errorf("synth: Mixture.%s (%s): %w", name, g.Kind, err)
			}
		}
		total += g.Weight
	}
	if needed && (!(total > 0) || math.IsInf(total, 0)) {
		return fieldErr("Mixture", field, len(list), "must have weights with a finite sum above 0")
	}
	return nil
}

// List names the kinds of damage, then those of normal twins, in their order.
func (m Mixture) List() []Kind {
	var out []Kind
	for _, list := range [][]Ingredient{m.Kinds, m.Normal} {
		for _, g := range list {
			out = append(out, g.Kind)
		}
	}
	return out
}

// Without is m less these kinds, of damage or normal. ErrSettings says that a kind is not in m, or that no damage is left.
// Where no normal kind is left, Share becomes 0.
func (m Mixture) Without(kinds ...Kind) (Mixture, error) { return m.pick("Without", kinds, false) }

// Only is m with these kinds of damage alone, and without normal twins: what a validation is made of. ErrSettings says that
// a kind is not in m's Kinds.
func (m Mixture) Only(kinds ...Kind) (Mixture, error) {
	m.Normal, m.Share = nil, 0
	return m.pick("Only", kinds, true)
}

// pick keeps the ingredients whose being in kinds is as wanted.
func (m Mixture) pick(of string, kinds []Kind, wanted bool) (Mixture, error) {
	all := m.List()
	for _, k := range kinds {
		if !slices.Contains(all, k) {
			return Mixture{}, fmt.Errorf("synth: Mixture.%s: there is no kind %q here, only %q: %w", of, k, all, ErrSettings)
		}
	}
	keep := func(list []Ingredient) []Ingredient {
		var out []Ingredient
		for _, g := range list {
			if slices.Contains(kinds, g.Kind) == wanted {
				out = append(out, g)
			}
		}
		return out
	}
	m.Kinds, m.Normal = keep(m.Kinds), keep(m.Normal)
	if len(m.Normal) == 0 {
		m.Share = 0
	}
	if len(m.Kinds) == 0 {
		return Mixture{}, fmt.Errorf("synth: Mixture.%s(%q): no kind of damage is left: %w", of, kinds, ErrSettings)
	}
	return m, m.Validate()
}

// Weighted is m with other weights of these kinds; the others keep theirs. ErrSettings says that a kind is not in m or that
// the weights make no sense.
func (m Mixture) Weighted(weights map[Kind]float64) (Mixture, error) {
	m.Kinds, m.Normal = slices.Clone(m.Kinds), slices.Clone(m.Normal)
	found := 0
	for _, list := range [][]Ingredient{m.Kinds, m.Normal} {
		for i := range list {
			if w, ok := weights[list[i].Kind]; ok {
				list[i].Weight = w
				found++
			}
		}
	}
	if found != len(weights) {
		return Mixture{}, fmt.Errorf("synth: Mixture.Weighted: weights for %d kinds, %d of which are here; the kinds are %q: %w", len(weights), found, m.List(), ErrSettings)
	}
	return m, m.Validate()
}

// Generate implements Generator: two numbers of rng choose the kind, the rest is the kind's.
func (m Mixture) Generate(dst, src image.Image, rng *rand.Rand) (Pair, error) {
	return fresh(m, dst, src, rng)
}

// GenerateInto implements Reuser; see Generate. ErrNotPlaced names the kind that found no place.
func (m Mixture) GenerateInto(p *Pair, dst, src image.Image, rng *rand.Rand) error {
	if err := m.Validate(); err != nil {
		return err
	}
	if rng == nil {
		return fmt.Errorf("synth: Mixture: %w", ErrNoRand)
	}
	list := m.Kinds
	if rng.Float64() < m.Share {
		list = m.Normal
	}
	total := 0.0
	for _, g := range list {
		total += g.Weight
	}
	u := rng.Float64() * total
	var pick Ingredient
	for _, g := range list {
		if g.Weight == 0 {
			continue
		}
		pick = g
		if u < g.Weight {
			break
		}
		u -= g.Weight
	}
	var last error
	for range m.Attempts {
		err := generateInto(pick.Generator, p, dst, src, rng)
		if err == nil {
			p.Kind = pick.Kind
			return nil
		}
		if last = err; !errors.Is(err, ErrNotPlaced) {
			break
		}
	}
	return fmt.Errorf("synth: Mixture: %s: %w", pick.Kind, last)
}
