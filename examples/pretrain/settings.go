package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/examples/internal/inputs"
	"github.com/gotab/gotab/prompt"
	"github.com/gotab/gotab/synth"
	"github.com/gotab/gotab/tab"
	"github.com/gotab/gotab/tab/training"
)

// settings turns flags into a configuration and a generator: the recipe first, then what is
// given besides. The generator is nil for the mixture.
func settings(o options) (tab.Config, synth.Generator, error) {
	name := o.recipe
	if name == "none" {
		name = "paper"
	}
	cfg, nsa, err := training.Recipe(name, o.size)
	if err != nil {
		return cfg, nil, err
	}
	if o.recipe == "amplify" {
		cfg.Objective = training.AmplifyTerms(o.amplify, o.text, o.keep)
	}
	cfg.Transform = o.Reading.Transform(cfg.Transform)
	var gen synth.Generator
	if o.synth != "mixture" {
		if gen, err = training.Generator(o.synth, nsa, o.least); err != nil {
			return cfg, nil, fmt.Errorf("%w: -synth %s -least %g: %w", errUsage, o.synth, o.least, err)
		}
	}
	cfg.Epochs, cfg.Seed, cfg.ProbeEvery, cfg.Precision = o.epochs, o.seed, o.every, o.precision
	if o.set["objective"] {
		obj, err := training.Objective(o.objective)
		if err != nil {
			return cfg, gen, fmt.Errorf("%w: -objective: %w", errUsage, err)
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
	return cfg, gen, cfg.Validate()
}

// choose reads the flags of the mixture and of -scale, before the hours that lead to them.
func (o *options) choose() error {
	o.Twins.Measured, o.Twins.Misplaced = o.twins == "auto", o.control != ""
	if !oneOf(o.twins, "auto", "plain") {
		o.Twins.Table = o.twins
	}
	m := synth.DefaultMixture()
	for _, name := range o.without {
		k, ok := m.Find(name)
		if !ok {
			return fmt.Errorf("%w: -without is %q, want one of %s", errUsage, name, kindNames(m))
		}
		o.Twins.Without = append(o.Twins.Without, k)
	}
	if _, err := m.Without(o.Twins.Without...); err != nil && len(o.without) > 0 {
		return fmt.Errorf("%w: -without: %w", errUsage, err)
	}
	if o.Untrained = o.recipe == "none"; o.scale == "" {
		return nil
	}
	cfg := tab.DefaultScale()
	a, b, ok := strings.Cut(o.scale, ",")
	var err error
	if cfg.Twins, err = strconv.ParseFloat(strings.TrimSpace(a), 64); err == nil && ok {
		cfg.Deviation, err = strconv.ParseFloat(strings.TrimSpace(b), 64)
	}
	if !ok || err != nil {
		return fmt.Errorf("%w: -scale is %q, want two numbers with a comma, such as 0.5,0.5", errUsage, o.scale)
	}
	if err := cfg.Validate(); err != nil {
		return fmt.Errorf("%w: -scale %s: %w", errUsage, o.scale, err)
	}
	o.Scale = &cfg
	return nil
}

func kindNames(m synth.Mixture) string {
	var names []string
	for _, k := range m.List() {
		names = append(names, k.Short())
	}
	return strings.Join(names, ", ")
}

// anchors makes the anchors of the classes, from the bank or from CLIP, whose encoder is
// closed again before the training begins. An objective without anchors has none.
func (o options) anchors(ctx context.Context, classes []string, stderr io.Writer) (a training.Anchors, err error) {
	needed := o.Train.Objective.Needs().Anchors
	switch {
	case o.bank != "":
		if a, err = training.FromBank(o.bank, needed)(ctx, classes); errors.Is(err, tab.ErrUnknownClass) {
			err = fmt.Errorf("-bank %s: %w; %s", o.bank, err, remedy)
		}
		return a, err
	case o.clip.Weights != "":
		p := prompt.DefaultIDPA()
		if o.recipe == "official" {
			p = prompt.OfficialIDPA()
		}
		b, err := inputs.CLIPBank(ctx, o.clip, classes, p, o.Device, stderr)
		if err != nil {
			return a, err
		}
		return training.FromCLIP(b, o.clip.Weights, p.Hash())
	}
	return training.Anchors{About: "none"}, nil
}

// anchored refuses an objective that needs anchors where nothing gives any, before all images are looked at.
func (o options) anchored() error {
	if o.Resume || o.Untrained || o.bank != "" || o.clip.Weights != "" || !o.Train.Objective.Needs().Anchors {
		return nil
	}
	return fmt.Errorf("%w: objective %s needs anchors, and neither -bank nor -clip is given: %s", errUsage, o.Train.Objective.Name(), remedy)
}

// remedy is what helps whose classes have no anchors.
var remedy = "examples/bank makes a bank of your own classes from the weights of a CLIP model, which -clip takes too; " +
	"no bank is needed with -objective " + strings.Join(unanchored(), " or ") + ", and with -recipe amplify -text 0"

// unanchored are the values of -objective that need no anchors.
func unanchored() []string {
	var names []string
	for _, n := range training.Objectives() {
		if o, err := training.Objective(n); err == nil && !o.Needs().Anchors {
			names = append(names, n)
		}
	}
	return names
}

// weightsOf is what tells the settings of an objective.
func weightsOf(o tab.Objective) string {
	b, err := json.Marshal(o)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// agrees refuses flags that say something else than the checkpoint that a run is
// resumed from, whose settings count.
func (o options) agrees(stderr io.Writer) func(has tab.Config) error {
	return func(has tab.Config) error { return o.agree(has, stderr) }
}

func (o options) agree(has tab.Config, stderr io.Writer) error {
	asked := o.Train
	var wrong []string
	for _, f := range []struct {
		flags      string
		asked, has any
	}{
		{"epochs", asked.Epochs, has.Epochs}, {"batch", asked.Batch, has.Batch}, {"lr", asked.LR, has.LR}, {"repeat", asked.Repeat, has.Repeat},
		{"seed", asked.Seed, has.Seed}, {"precision", asked.Precision, has.Precision}, {"objective recipe", asked.Objective.Name(), has.Objective.Name()}, {"probe-every", asked.ProbeEvery, has.ProbeEvery},
		{"size transform bits recipe", asked.Transform.String(), has.Transform.String()}, {"bn head-epochs", asked.Stages, has.Stages},
		{"steps", asked.Steps, has.Steps}, {"crop", asked.Crop, has.Crop}, {"warmup", asked.Schedule.WarmupSteps, has.Schedule.WarmupSteps},
		{"amplify text keep", weightsOf(asked.Objective), weightsOf(has.Objective)},
	} {
		var given []string
		for _, name := range strings.Fields(f.flags) {
			if o.set[name] {
				given = append(given, "-"+name)
			}
		}
		if len(given) > 0 && f.asked != f.has {
			wrong = append(wrong, fmt.Sprintf("%s (%v, the checkpoint has %v)", strings.Join(given, " "), f.asked, f.has))
		}
	}
	if len(wrong) > 0 {
		return fmt.Errorf("%w: -resume goes on with the settings of %s, and other ones are given: %s; leave these flags out, or begin anew without -resume and with another -out",
			errUsage, training.Checkpoint(o.Out), strings.Join(wrong, "; "))
	}
	for _, name := range []string{"init", "bank", "clip"} {
		if o.set[name] && (name != "init" || o.Interpolate == 1) {
			fmt.Fprintf(stderr, "note: -%s is not read, %s has weights and anchors\n", name, training.Checkpoint(o.Out))
		}
	}
	return nil
}
