package main

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"math"
	"strings"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/prompt"
	"github.com/gotab/gotab/synth"
	"github.com/gotab/gotab/tab"
	"github.com/gotab/gotab/tensor"
)

// settings turns flags into a configuration and a generator: the recipe first,
// then what is given besides.
func settings(o options) (tab.Config, synth.Generator, error) {
	cfg, nsa := tab.DefaultConfig(), synth.DefaultNSA()
	short := int(math.Round(float64(o.size) * 256 / 224))
	cfg.Transform = dataset.Transform{Shorter: short, Filter: dataset.Lanczos, Crop: image.Pt(o.size, o.size)}
	switch o.recipe {
	case "official":
		cfg, nsa = tab.OfficialConfig(), synth.OfficialTAB()
		cfg.Transform = dataset.Transform{Shorter: short, Filter: dataset.Lanczos, Crop: image.Pt(o.size, o.size)}
	case "ref":
		// One softmax over all anchors, the temperature as a raw parameter of 1/0.07,
		// images stretched to the size, one patch of up to two fifths of the side.
		cfg.Objective = tab.Alignment{Form: tab.FormJoint, Scale: 1 / 0.07}
		cfg.LR, cfg.Batch = 1e-2, 32
		cfg.Transform = dataset.Transform{Exact: image.Pt(o.size, o.size), Filter: dataset.Lanczos}
		nsa = synth.Reference()
	case "amplify":
		transform := cfg.Transform
		cfg = tab.AmplifyDense()
		cfg.Transform, cfg.Objective = transform, terms(o)
	}
	cfg.Transform = o.reading.Tune(cfg.Transform)
	gen, err := generator(o, nsa)
	if err != nil {
		return cfg, nil, err
	}
	cfg.Epochs, cfg.Seed, cfg.ProbeEvery, cfg.Precision = o.epochs, o.seed, o.every, o.precision
	if o.set["objective"] {
		obj, err := objective(o.objective)
		if err != nil {
			return cfg, gen, err
		}
		cfg.Objective = obj
	}
	if o.set["batch"] {
		cfg.Batch = o.batch
	}
	if o.set["epochs"] {
		cfg.Steps = 0
	}
	if o.set["steps"] {
		cfg.Steps = o.steps
	}
	if o.set["crop"] {
		cfg.Crop = o.crop
	}
	if o.set["warmup"] {
		cfg.Schedule.WarmupSteps = o.warmup
	}
	if o.set["lr"] {
		cfg.LR = o.lr
	}
	if o.set["repeat"] {
		cfg.Repeat = o.repeat
	}
	if o.head > 0 {
		cfg.HeadFirst(o.head)
	}
	if o.affine {
		cfg.AffineOnly(backbone.Layer3)
	}
	if o.bn == "frozen" {
		cfg.FreezeStatistics(backbone.Layer3)
	}
	if err := cfg.Validate(); err != nil {
		return cfg, gen, err
	}
	if o.interpolate < 1 {
		for l, st := range cfg.Stages {
			if st.Rate > 0 && !st.FreezeStatistics {
				return cfg, gen, fmt.Errorf("%w: -interpolate mixes weights over one set of batch norm statistics, and this run moves those of %s; take -recipe amplify", errUsage, backbone.Layer(l))
			}
		}
	}
	return cfg, gen, nil
}

// terms are the parts of the recipe amplify whose weights are not 0.
func terms(o options) tab.Objective {
	weights := map[string]float64{"amplify": o.amplify, "dense": o.text, "keep": o.keep}
	var m tab.Mix
	for _, t := range tab.AmplifyDense().Objective.(tab.Mix) {
		if t.Weight = weights[t.Objective.Name()]; t.Weight != 0 {
			m = append(m, t)
		}
	}
	return m
}

// generator makes the damaged twins: the recipe's unless another is asked for, drawn again until the change shows if -least is given. Labels are left
// out, no objective here reads them.
func generator(o options, nsa synth.NSA) (synth.Generator, error) {
	var gen synth.Generator
	switch o.synth {
	case "", "nsa":
		nsa.Label = synth.LabelNone
		gen = nsa
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
		cut.Label, nsa.Label = synth.LabelNone, synth.LabelNone
		gen = synth.MixOf(nsa, cut)
	case "mixture":
		m, err := mixture(o, nil)
		if err != nil {
			return nil, err
		}
		gen = m // of each class's own once the data are there, see twins
	default:
		return nil, fmt.Errorf("%w: -synth is %q, want nsa, cutpaste, perlin, mask, mix or mixture", errUsage, o.synth)
	}
	if o.least == 0 {
		return gen, nil
	}
	v := synth.Visible{Generator: gen, Least: o.least, Attempts: 10}
	if err := v.Validate(); err != nil {
		return nil, fmt.Errorf("%w: -least: %w", errUsage, err)
	}
	return v, nil
}

// objectives are the values of -objective.
var objectives = []string{"paper", "official", "joint", "normal", "binary", "classes"}

func objective(name string) (tab.Objective, error) {
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
	return nil, fmt.Errorf("%w: -objective is %q, want paper, official, joint, normal, binary or classes", errUsage, name)
}

// prompts are the sentences that -clip encodes.
func prompts(o options) prompt.IDPA {
	if o.recipe == "official" {
		return prompt.OfficialIDPA()
	}
	return prompt.DefaultIDPA()
}

// banks makes the anchors of the classes, from the bank or from CLIP, whose encoder is
// closed again before the training begins. An objective without anchors has none.
func (o options) banks(ctx context.Context, cfg tab.Config, classes []string, dev tensor.Device, stderr io.Writer) (a tab.Anchors, from string, err error) {
	switch {
	case o.bank != "":
		b, err := tab.OpenBank(o.bank)
		if err != nil {
			return nil, "", err
		}
		if _, _, err := b.Anchors(ctx, classes); cfg.Objective.Needs().Anchors && err != nil {
			if errors.Is(err, tab.ErrUnknownClass) {
				err = fmt.Errorf("-bank %s: %w; %s", o.bank, err, remedy)
			}
			return nil, "", err
		}
		return b, fmt.Sprintf("text bank %s (%s), %d wide", o.bank, b.Model, len(b.Normal[0])), nil
	case o.clip.Weights != "":
		b, err := o.clip.Bank(ctx, classes, prompts(o), dev, stderr)
		if err != nil {
			return nil, "", err
		}
		return b, fmt.Sprintf("CLIP text encoder %s, %d wide", o.clip.Weights, len(b.Normal[0])), nil
	case cfg.Objective.Needs().Anchors:
		return nil, "", fmt.Errorf("%w: objective %s needs anchors, and neither -bank nor -clip is given: %s", errUsage, cfg.Objective.Name(), remedy)
	}
	return nil, "none", nil
}

// remedy is what helps whose classes have no anchors.
var remedy = "examples/bank makes a bank of your own classes from the weights of a CLIP model, which -clip takes too; " +
	"no bank is needed with -objective " + strings.Join(unanchored(), " or ") + ", and with -recipe amplify -text 0"

// unanchored are the values of -objective that need no anchors.
func unanchored() []string {
	var names []string
	for _, n := range objectives {
		if o, err := objective(n); err == nil && !o.Needs().Anchors {
			names = append(names, n)
		}
	}
	return names
}
