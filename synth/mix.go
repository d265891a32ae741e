package synth

import (
	"errors"
	"fmt"
	"image"
	"math"
	"math/rand/v2"
)

// Mix chooses one of several generators for every call, by weight. Pair.Kind says which kind it was. It is safe for
// concurrent use as long as its parts are.
type Mix struct {
	Parts []Part // at least one
}

// Part is a generator of a Mix. Weight is relative to the other weights: not negative, not all zero.
type Part struct {
	Generator Generator
	Weight    float64
}

// MixOf is a Mix of these generators with the same weight each.
func MixOf(gs ...Generator) Mix {
	var m Mix
	for _, g := range gs {
		m.Parts = append(m.Parts, Part{Generator: g, Weight: 1})
	}
	return m
}

// Validate says what is wrong with the parts, if anything, and asks those that have a Validate of their own.
func (m Mix) Validate() error {
	_, err := m.total()
	if err != nil {
		return err
	}
	for i, p := range m.Parts {
		if v, ok := p.Generator.(interface{ Validate() error }); ok {
			if err := v.Validate(); err != nil {
				return fmt.Errorf("synth: Mix.Parts[%d]: %w", i, err)
			}
		}
	}
	return nil
}

func (m Mix) total() (float64, error) {
	total := 0.0
	for i, p := range m.Parts {
		if p.Generator == nil {
			return 0, fieldErr("Mix", fmt.Sprintf("Parts[%d].Generator", i), p.Generator, "must not be nil")
		}
		if !(p.Weight >= 0) {
			return 0, fieldErr("Mix", fmt.Sprintf("Parts[%d].Weight", i), p.Weight, "must not be negative")
		}
		total += p.Weight
	}
	if !(total > 0) || math.IsInf(total, 0) {
		return 0, fieldErr("Mix", "Parts", len(m.Parts), "must have weights with a finite sum above 0")
	}
	return total, nil
}

// Generate implements Generator: one number of rng chooses the part, the rest is the part's.
func (m Mix) Generate(dst, src image.Image, rng *rand.Rand) (Pair, error) {
	return fresh(m, dst, src, rng)
}

// GenerateInto implements Reuser; see Generate.
func (m Mix) GenerateInto(p *Pair, dst, src image.Image, rng *rand.Rand) error {
	total, err := m.total()
	if err != nil {
		return err
	}
	if rng == nil {
		return fmt.Errorf("synth: Mix: %w", ErrNoRand)
	}
	u := rng.Float64() * total
	pick := 0
	for i, part := range m.Parts {
		if part.Weight == 0 {
			continue
		}
		pick = i
		if u < part.Weight {
			break
		}
		u -= part.Weight
	}
	return generateInto(m.Parts[pick].Generator, p, dst, src, rng)
}

// Visible draws from Generator again until the change can be seen. On even material seamless blending often leaves nothing
// that an eye or a network could find; the articles keep such twins, which then carry a wrong label. With Least 0 it does
// what Generator does, which is the articles' behaviour. A normal pair is not to be seen, and passes. It is safe for concurrent use as long as Generator is.
type Visible struct {
	Generator
	Least    float64 // least Pair.Change, in grey levels, 0 to 255; 0: off. Sensor noise is some 2 to 5 of them
	Attempts int     // draws at most, at least 1; draws that Generator could not place count
}

// Validate says which field is out of its range, if any, and asks Generator where it has a Validate of its own.
func (v Visible) Validate() error {
	switch {
	case v.Generator == nil:
		return fieldErr("Visible", "Generator", nil, "must not be nil")
	case !(v.Least >= 0 && v.Least <= 255):
		return fieldErr("Visible", "Least", v.Least, "must be from 0 to 255")
	case v.Attempts < 1:
		return fieldErr("Visible", "Attempts", v.Attempts, "must be at least 1")
	}
	if g, ok := v.Generator.(interface{ Validate() error }); ok {
		return g.Validate()
	}
	return nil
}

// Generate implements Generator. ErrInvisible says that some draw was placed and none could be seen; where no draw was
// placed the error is Generator's last one.
func (v Visible) Generate(dst, src image.Image, rng *rand.Rand) (Pair, error) {
	return fresh(v, dst, src, rng)
}

// GenerateInto implements Reuser; see Generate.
func (v Visible) GenerateInto(p *Pair, dst, src image.Image, rng *rand.Rand) error {
	if err := v.Validate(); err != nil {
		return err
	}
	if v.Least == 0 {
		return generateInto(v.Generator, p, dst, src, rng)
	}
	most, placed := 0.0, false
	var last error
	for range v.Attempts {
		err := generateInto(v.Generator, p, dst, src, rng)
		switch {
		case err == nil && (p.Normal || p.Change >= v.Least):
			return nil
		case err == nil:
			most, placed = max(most, p.Change), true
		case errors.Is(err, ErrNotPlaced):
			last = err
		default:
			return err
		}
	}
	if !placed {
		return fmt.Errorf("synth: Visible: %d draws: %w", v.Attempts, last)
	}
	return fmt.Errorf("synth: Visible: the strongest of %d draws changed %.2f grey levels, %g are asked for: %w", v.Attempts, most, v.Least, ErrInvisible)
}
