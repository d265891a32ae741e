package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/examples/internal/inputs"
	"github.com/gotab/gotab/prompt"
	"github.com/gotab/gotab/synth"
	"github.com/gotab/gotab/tab"
	"github.com/gotab/gotab/tab/card"
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
		terms, _ := cfg.Objective.(tab.Mix)
		for i, t := range terms {
			if k, ok := t.Objective.(tab.Keep); ok && o.tieWeight != 1 {
				k.TiedWeight = o.tieWeight
				terms[i].Objective = k
			}
		}
	}
	cfg.Transform = o.Reading.Transform(cfg.Transform)
	var gen synth.Generator
	if o.synth != "mixture" {
		if gen, err = training.Generator(o.synth, nsa, o.least); err != nil {
			return cfg, nil, wrong("-synth %s -least %g: %w", o.synth, o.least, err)
		}
	}
	cfg.Epochs, cfg.Seed, cfg.ProbeEvery, cfg.Precision = o.epochs, o.seed, o.every, o.precision
	if o.set["objective"] {
		obj, err := training.Objective(o.objective)
		if err != nil {
			return cfg, gen, wrong("-objective: %w", err)
		}
		cfg.Objective = obj
	}
	given(o, "batch", &cfg.Batch, o.batch)
	given(o, "epochs", &cfg.Steps, 0)
	given(o, "steps", &cfg.Steps, o.steps)
	given(o, "crop", &cfg.Crop, o.crop)
	given(o, "warmup", &cfg.Schedule.WarmupSteps, o.warmup)
	given(o, "lr", &cfg.LR, o.lr)
	given(o, "repeat", &cfg.Repeat, o.repeat)
	if o.head > 0 {
		cfg.HeadFirst(o.head)
	}
	if o.freeze != "" {
		last, err := backbone.ParseLayer(o.freeze)
		if err != nil {
			return cfg, gen, err
		}
		cfg.Freeze(last)
	}
	if o.affine {
		cfg.AffineOnly(backbone.Layer3)
	}
	if o.bn == "frozen" {
		cfg.FreezeStatistics(backbone.Layer3)
	}
	return cfg, gen, cfg.Validate()
}

// given puts what a flag says in the place of the recipe's, where the flag was given.
func given[T any](o options, flag string, to *T, value T) {
	if o.set[flag] {
		*to = value
	}
}

// choose takes the recipe of a run that -recipe names none for: that of the run that goes on, by its card; the article's where
// other flags ask for an objective or for twins that are no mixture; else the recommended one. anew is why the run
// begins anew, nil where there is a checkpoint that it goes on from.
func (o *options) choose() (anew, err error) {
	anew = fs.ErrNotExist
	if o.Resume || o.again {
		_, anew = os.Stat(training.Checkpoint(o.Out))
	}
	switch {
	case o.set["recipe"]:
	case anew == nil:
		o.recipe, err = o.begun()
	case o.set["objective"] || o.synth != "mixture" && (o.set["synth"] || o.set["least"]):
		o.recipe = "paper"
	default:
		o.recipe = "amplify"
	}
	o.Options["recipe"] = o.recipe
	return anew, err
}

// begun is the recipe of the run whose checkpoint is there.
func (o options) begun() (string, error) {
	switch c, err := card.Open(card.Name(o.Out)); {
	case errors.Is(err, fs.ErrNotExist):
		return "", wrong("%s is missing, which says by which recipe the run was begun: give -recipe", card.Name(o.Out))
	case err != nil:
		return "", err
	case c.Options["recipe"] == "":
		return "paper", nil // the default of the programs that did not write it
	default:
		return c.Options["recipe"], nil
	}
}

// useTwins reads the flags of the mixture and of -scale, before the hours that lead to them.
func (o *options) useTwins() error {
	o.Twins.Measured, o.Twins.Misplaced = o.twins == "auto", o.control != ""
	if !oneOf(o.twins, "auto", "plain") {
		o.Twins.Table = o.twins
	}
	m := synth.DefaultMixture()
	var err error
	if o.Twins.Without, err = m.FindAll(o.without...); err == nil && len(o.without) > 0 {
		_, err = m.Without(o.Twins.Without...)
	}
	if err != nil {
		return wrong("-without: %w", err)
	}
	if o.Untrained = o.recipe == "none"; o.scale == "" {
		return nil
	}
	cfg, err := tab.ParseScale(o.scale)
	if err != nil {
		return wrong("-scale %s: %w", o.scale, err)
	}
	o.Scale = &cfg
	return nil
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
	return wrong("objective %s needs anchors, and neither -bank nor -clip is given: %s", o.Train.Objective.Name(), remedy)
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

// flagsOf are the flags that decide a setting of a training, by its name in training.Difference.
var flagsOf = map[string]string{"Epochs": "epochs", "Batch": "batch", "LR": "lr", "Repeat": "repeat", "Seed": "seed", "Precision": "precision",
	"Objective.Name": "objective recipe", "ProbeEvery": "probe-every", "Transform": "size transform bits recipe", "Stages": "affine bn freeze head-epochs",
	"Steps": "steps", "Crop": "crop", "Schedule.WarmupSteps": "warmup", "Objective": "amplify text keep tie-weight"}

// agree refuses flags that say something else than the checkpoint that a run is
// resumed from, whose settings count.
func (o options) agree(has tab.Config, stderr io.Writer) error {
	var other []string
	for _, d := range training.Differences(o.Train, has) {
		var named []string
		for _, name := range strings.Fields(flagsOf[d.Setting]) {
			if o.set[name] {
				named = append(named, "-"+name)
			}
		}
		if len(named) > 0 {
			other = append(other, fmt.Sprintf("%s (%v, the checkpoint has %v)", strings.Join(named, " "), d.Asked, d.Has))
		}
	}
	if len(other) > 0 {
		return wrong("-resume goes on with the settings of %s, and other ones are given: %s; leave these flags out, or begin anew without -resume and with another -out",
			training.Checkpoint(o.Out), strings.Join(other, "; "))
	}
	for _, name := range []string{"init", "bank", "clip"} {
		if o.set[name] && (name != "init" || o.Interpolate == 1 && o.Watch == 0) {
			fmt.Fprintf(stderr, "note: -%s is not read, %s has weights and anchors\n", name, training.Checkpoint(o.Out))
		}
	}
	return nil
}
