package main

import (
	"fmt"
	"image"
	"math/rand/v2"

	"github.com/gotab/gotab/synth"
	"github.com/gotab/gotab/tab"
)

// misplaced gives a damaged twin the mask of another one: the control that tells what
// a network owes to knowing where the damage is.
type misplaced struct{ synth.Generator }

// controlled is what -control makes of the twins of each class.
func controlled(o options, by tab.TwinsByClass) tab.TwinsByClass {
	if o.control == "" {
		return by
	}
	out := tab.TwinsByClass{}
	for class, g := range by {
		out[class] = misplaced{g}
	}
	return out
}

// Generate implements synth.Generator. A normal twin has no mask and stays as it is.
func (m misplaced) Generate(dst, src image.Image, rng *rand.Rand) (synth.Pair, error) {
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
	return synth.Pair{}, fmt.Errorf("the mask of another twin: %w in %d draws", synth.ErrNotPlaced, tries)
}

// Fingerprint implements synth.Fingerprinter.
func (m misplaced) Fingerprint() string {
	f, ok := m.Generator.(synth.Fingerprinter)
	if !ok || f.Fingerprint() == "" {
		return ""
	}
	return "misplaced " + f.Fingerprint()
}
