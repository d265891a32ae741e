package training

import (
	"fmt"
	"image"
	"math"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/synth"
	"github.com/gotab/gotab/tab"
)

// Recipes are the names that [Recipe] takes, the recommended one first.
func Recipes() []string { return []string{"amplify", "paper", "official", "ref"} }

// Recipe returns the settings of a training and its generator of twins, by name, for images
// of size x size pixels:
//
//   - "amplify", tab.Recommended, which takes its twins of a mixture;
//   - "paper", what the article says;
//   - "official", what its released code does;
//   - "ref", one softmax over all anchors, the temperature as a raw parameter of 1/0.07,
//     images stretched to the size, one patch of up to two fifths of the side, a rate of
//     0.01 and batches of 32.
//
// Other names are an error that wraps [ErrConfig].
func Recipe(name string, size int) (tab.Config, synth.NSA, error) {
	cfg, nsa := tab.DefaultConfig(), synth.DefaultNSA()
	centre := dataset.Transform{Shorter: int(math.Round(float64(size) * 256 / 224)), Filter: dataset.Lanczos, Crop: image.Pt(size, size)}
	switch name {
	case "paper":
	case "official":
		cfg, nsa = tab.OfficialConfig(), synth.OfficialTAB()
	case "ref":
		cfg.Objective = tab.Alignment{Form: tab.FormJoint, Scale: 1 / 0.07}
		cfg.LR, cfg.Batch = 1e-2, 32
		centre = dataset.Transform{Exact: image.Pt(size, size), Filter: dataset.Lanczos}
		nsa = synth.Reference()
	case "amplify":
		cfg = tab.Recommended()
	default:
		return cfg, nsa, fmt.Errorf("training: %w: recipe %q, want one of %v", ErrConfig, name, Recipes())
	}
	cfg.Transform = centre
	return cfg, nsa, nil
}

// Objectives are the names that [Objective] takes.
func Objectives() []string {
	return []string{"paper", "official", "joint", "normal", "binary", "classes"}
}

// Objective returns an objective of package tab by name. Other names are an error that wraps
// [ErrConfig].
func Objective(name string) (tab.Objective, error) {
	switch name {
	case "paper":
		return tab.Paper(), nil
	case "official":
		return tab.Official(), nil
	case "joint":
		return tab.Joint(), nil
	case "normal":
		return tab.NormalOnly(), nil
	case "binary":
		return tab.Classification{Binary: true}, nil
	case "classes":
		return tab.Classification{}, nil
	}
	return nil, fmt.Errorf("training: %w: objective %q, want one of %v", ErrConfig, name, Objectives())
}

// AmplifyTerms is the objective of the recipe amplify with other weights of its terms; one of
// weight 0 is left out.
func AmplifyTerms(amplify, text, keep float64) tab.Objective {
	weights := map[string]float64{"amplify": amplify, "dense": text, "keep": keep}
	var m tab.Mix
	for _, t := range tab.Recommended().Objective.(tab.Mix) {
		if t.Weight = weights[t.Objective.Name()]; t.Weight != 0 {
			m = append(m, t)
		}
	}
	return m
}

// Generators are the names that [Generator] takes.
func Generators() []string { return []string{"nsa", "cutpaste", "perlin", "mask", "mix"} }

// Generator returns a generator of damaged twins by name, without labels, which no objective
// of package tab reads: "nsa" is the recipe's own, "mix" that and CutPaste by halves. least is the
// least change of a twin that counts as seen, in grey levels, mean over its mask; it is drawn
// again until then, ten times; 0 takes it as it is drawn. Other names, and numbers that make no
// sense, are an error that wraps [ErrConfig].
func Generator(name string, own synth.NSA, least float64) (synth.Generator, error) {
	own.Label = synth.LabelNone
	var gen synth.Generator = own
	switch name {
	case "nsa":
	case "cutpaste":
		g := synth.ThreeWayCutPaste()
		g.Label = synth.LabelNone
		gen = g
	case "perlin":
		g := synth.DefaultPerlin()
		g.Label = synth.LabelNone
		gen = g
	case "mask":
		g := synth.DefaultMask()
		g.Label = synth.LabelNone
		gen = g
	case "mix":
		cut := synth.ThreeWayCutPaste()
		cut.Label = synth.LabelNone
		gen = synth.MixOf(own, cut)
	default:
		return nil, fmt.Errorf("training: %w: generator %q, want one of %v", ErrConfig, name, Generators())
	}
	if least == 0 {
		return gen, nil
	}
	v := synth.Visible{Generator: gen, Least: least, Attempts: 10}
	if err := v.Validate(); err != nil {
		return nil, fmt.Errorf("training: %w: %w", ErrConfig, err)
	}
	return v, nil
}
