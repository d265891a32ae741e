package synth

import (
	"fmt"
	"image"
	"math/rand/v2"
)

// Misplaced gives a damaged twin the mask of another one: a control for studies, which tells what a network owes to
// knowing where the damage is.
type Misplaced struct{ Generator }

// Generate implements [Generator]. A normal twin has no mask and stays as it is. It returns an error that wraps [ErrNotPlaced] if 16
// draws give no other mask, [ErrSettings] if there is no generator, and the generator's.
func (m Misplaced) Generate(dst, src image.Image, rng *rand.Rand) (Pair, error) {
	if m.Generator == nil {
		return Pair{}, fmt.Errorf("synth: misplaced: %w: the generator is nil", ErrSettings)
	}
	pair, err := m.Generator.Generate(dst, src, rng)
	if err != nil || pair.Normal {
		return pair, err
	}
	const tries = 16 // a fifth of the twins is normal and has no mask to give
	for range tries {
		other, err := m.Generator.Generate(dst, src, rng)
		if err != nil {
			return other, err
		}
		if !other.Normal {
			pair.Mask, pair.Support, pair.Label = other.Mask, other.Support, other.Label
			return pair, nil
		}
	}
	return Pair{}, fmt.Errorf("synth: the mask of another twin: %w in %d draws", ErrNotPlaced, tries)
}

// Fingerprint implements [Fingerprinter]; it is empty where the generator tells nothing of itself.
func (m Misplaced) Fingerprint() string {
	f, ok := m.Generator.(Fingerprinter)
	if !ok || f.Fingerprint() == "" {
		return ""
	}
	return "misplaced " + f.Fingerprint()
}
