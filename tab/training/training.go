// Package training makes weights of settings: it looks at all images first, measures twins,
// trains, keeps a checkpoint and logs, and leaves the weights with a card that says what they
// are made of. It is what examples/pretrain does behind flags; package tab is the training
// itself.
//
// [Run] writes, for weights FILE: FILE; FILE.ckpt, from which a run goes on (that of an older run becomes FILE.ckpt.old, and
// [GoesOn] writes FILE.ckpt.run, which says whose it is); FILE.card.json (tab/card), but for a Config.Untrained; FILE.projection where image and text features differ in width; FILE.twins.json,
// what twins are in the network, where they were measured; and FILE.scale.json, the factors of
// channels, where these are weighed.
package training

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/scalars"
	"github.com/gotab/gotab/synth"
	"github.com/gotab/gotab/tab"
	"github.com/gotab/gotab/tab/card"
	"github.com/gotab/gotab/tensor"
)

// Config says what is trained, on what, and what is written of it.
type Config struct {
	// Data are folders with one folder a class, or in MVTec AD's layout; their good images
	// are trained on.
	Data []string
	// Reading says how they are read. Its View and its decoder's Bits16 become those of
	// Train.Transform, as Reading.Transform does it.
	Reading dataset.Reading
	// Init is the file of the weights to start with, Prefix what stands before their names in a
	// file of several networks; an empty Init draws weights from Train.Seed.
	Init, Prefix string
	Device       tensor.Device
	// Train are the settings of the training ([Recipe]). Where a run is resumed its
	// checkpoint's count, and Agree is asked whether they are what was meant; nil for yes. The mixture (Synth
	// nil) is drawn before the checkpoint is read: Train.Seed and the transform must be those that the run
	// began with, else it is tab.ErrCheckpoint.
	Train tab.Config
	Agree func(checkpoint tab.Config) error
	// Anchors makes the text anchors of classes before a run begins; nil for an objective that needs
	// none. [FromBank] is one.
	Anchors func(ctx context.Context, classes []string) (Anchors, error)
	// Synth makes the damaged twins. Nil takes a mixture of many kinds for each class, in which
	// what is foreign is material of the other classes, and Twins says how.
	Synth synth.Generator
	Twins Twins
	// Scale weighs the channels of layers 1 to 3 in the end by what twins do to them; nil for as they
	// are. Untrained does nothing else with the weights of Init.
	Scale     *tab.ScaleConfig
	Untrained bool
	// Interpolate is the share of the trained weights in what is written, 0 to 1; the rest are those of
	// the start, which Init names also where a run is resumed that did not begin with random weights. Below 1
	// all statistics of batch norm must be frozen ([ErrInterpolate]).
	Interpolate float64
	// Probe is a folder of classes in MVTec AD's layout, on which PaDiM is fitted and scored
	// before, after and every Train.ProbeEvery epochs; empty for none.
	Probe string
	// Watch keeps this share of each class's good images out of the training, at least one of a class, and tells what has become of them and of the
	// others, as often as Probe does ([tab.Watch]); 0 for none, at most 0.5. Images of one Group stay together. Which are kept apart depends on Train.Seed and their
	// names, or groups. A class of which fewer than four would be left is trained on whole, and not watched. What is
	// told is of the trained network, before Interpolate and Scale. It never ends a training: where nothing can be told of a network, that is logged. A
	// resumed run needs it again, Train.Seed as it was, and Init where that is what the run began with.
	Watch float64

	// Out is the file of the weights; Names by whose names they are written.
	Out   string
	Names backbone.Names
	// Resume goes on from the checkpoint beside Out. MaxSteps ends the run with a checkpoint
	// after so many steps; 0 for never.
	Resume   bool
	MaxSteps int
	// Journal is a file that gets a JSON object a step, and Curves get its figures; empty for none. Where a run goes on from a
	// checkpoint, what they hold of later steps makes way.
	Journal string
	Curves  scalars.Places
	// Licences, Measured (a file with a table of figures) and Options (settings as they were asked
	// for) are told by the card.
	Licences []string
	Measured string
	Options  map[string]string
	// Group are the processes that train one network together; nil for this one alone. The first of
	// them writes and speaks. Where one fails outside of a step, the others wait for it until
	// the group's timeout unless the caller closes Group once Run has returned an error.
	Group tab.Group
	// Statistics are batch norm's of a Group where they are not frozen; empty for tab.StatisticsMean.
	Statistics tab.Statistics
	// Print gets tables and a line an epoch, Log a line now and then; nil for nowhere.
	Print, Log io.Writer
}

// Twins says how twins of a mixture are chosen.
type Twins struct {
	// Without are kinds that are kept out.
	Without []synth.Kind
	// Measured weighs the kinds by what they are to each class in the network as it is. Table
	// takes the table of another run in place of measuring; empty for measuring.
	Measured bool
	Table    string
	// WhereBlind trains on those classes alone on which, by the table, the start hardly sees damage
	// ([tab.Detectability]). The others are left out of the data, and so is their material: where it is measured, the
	// table is measured once more without it, and the weights are those of a run on these classes alone. Where none is
	// left it is [ErrNoneBlind]. It needs Measured or Table. A resumed run needs it again, and trains the classes that
	// it was begun with.
	WhereBlind bool
	// Tie keeps the classes that WhereBlind would leave out in the data, as tied ones ([tab.Config].Tied): they hold the
	// network to its start where that is good already, so that one network serves all of them. It needs WhereBlind,
	// and an objective that can, such as the recipe amplify's.
	Tie bool
	// Draws is the number of twins of each kind and class that are measured, for Scale too.
	Draws int
	// Misplaced gives every damaged twin the mask of another one: a control, and no recipe.
	Misplaced bool
}

// Anchors are text anchors, with words for logs and for the card.
type Anchors struct {
	tab.Anchors
	About string
	Card  *card.Anchors
}

// ErrConfig reports settings that make no sense, or do not go together.
var ErrConfig = errors.New("wrong settings")

// ErrInterpolate reports a run whose weights cannot be mixed with those of its start, because it moves the statistics of
// batch norm or because the start is not known. It wraps [ErrConfig].
var ErrInterpolate = fmt.Errorf("%w: weights cannot be mixed with those of the start", ErrConfig)

// ErrNoneBlind reports a run with [Twins].WhereBlind of which no class is left. Nothing was trained and nothing written.
var ErrNoneBlind = errors.New("there is no class on which the start hardly sees damage")

// Default is the recipe "amplify" ([tab.Recommended]) at 224 pixels, with twins that are measured first. Data, Device, Out,
// Anchors and Init, weights that know something already, are the caller's.
func Default() Config {
	c := Config{Reading: dataset.DefaultReading(), Interpolate: 1, Twins: Twins{Measured: true, Draws: tab.DefaultTwins().Draws}}
	c.Train, _, _ = Recipe("amplify", 224) // which is known
	return c
}

// Validate names the first field that makes no sense; the error wraps [ErrConfig], or is that of
// a part.
func (o Config) Validate() error {
	wrong := func(format string, a ...any) error {
		return fmt.Errorf("training: %w: "+format, append([]any{ErrConfig}, a...)...)
	}
	switch {
	case len(o.Data) == 0:
		return wrong("Data is empty, the folders of good images")
	case o.Out == "":
		return wrong("Out is empty, the file for the weights")
	case o.MaxSteps < 0:
		return wrong("MaxSteps is %d, want 0 or more", o.MaxSteps)
	case o.Untrained && (o.Scale == nil || o.Init == "" || o.Resume || many(o.Group)):
		return wrong("Untrained needs weights, Init, and what to do with them, Scale, and is not resumed, nor of several processes")
	case o.Prefix != "" && o.Init == "":
		return wrong("Prefix is %q, for the file of Init, which is empty", o.Prefix)
	case !(o.Watch >= 0 && o.Watch <= 0.5):
		return wrong("Watch is %g, want 0 to 0.5", o.Watch)
	case o.Watch > 0 && o.Untrained:
		return wrong("Watch looks at a training, and Untrained has none")
	case !(o.Interpolate >= 0 && o.Interpolate <= 1):
		return wrong("Interpolate is %g, want 0 to 1", o.Interpolate)
	case o.Synth != nil && (o.Twins.Measured || o.Twins.Table != "" || o.Twins.Misplaced || o.Twins.WhereBlind):
		return wrong("Twins are of the mixture, and Synth is another generator")
	case o.Twins.WhereBlind && (!o.Twins.Measured && o.Twins.Table == "" || o.Untrained):
		return wrong("Twins.WhereBlind goes by the table of twins, so it needs Twins.Measured or Twins.Table, and a training")
	case o.Twins.WhereBlind && slices.Contains(o.Twins.Without, synth.KindTexture) && slices.Contains(o.Twins.Without, synth.KindNoise):
		return wrong("Twins.WhereBlind goes by the kinds texture and noise, and Twins.Without keeps out both")
	case o.Twins.Tie && !o.Twins.WhereBlind:
		return wrong("Twins.Tie says what becomes of the classes that Twins.WhereBlind sorts out, so it needs that")
	case o.Twins.Tie && o.Train.Objective != nil && !o.Resume && o.Train.Objective.Needs().Tied != tab.TiedHeld:
		return wrong("Twins.Tie needs an objective that holds tied classes to the start, such as the recipe amplify's, and %s does not", o.Train.Objective.Name())
	case len(o.Train.Tied) > 0 && o.Twins.WhereBlind:
		return wrong("Train.Tied is %q, and Twins.WhereBlind sorts the classes itself", o.Train.Tied)
	case o.Twins.Draws < 1 && (o.Scale != nil || o.Twins.Measured):
		return wrong("Twins.Draws is %d, want 1 or more", o.Twins.Draws)
	}
	if _, err := o.Names.Rename(nil); err != nil {
		return wrong("Names: %w", err)
	}
	if err := o.lost(); err != nil {
		return wrong("%w", err)
	}
	if o.Synth == nil || o.Scale != nil {
		if _, err := o.mixture(nil); err != nil {
			return wrong("Twins.Without: %w", err)
		}
	}
	if err := o.Reading.Decoder.Validate(); err != nil {
		return err
	}
	train := o.Train
	train.Transform = o.Reading.Transform(train.Transform)
	if err := train.Validate(); err != nil {
		return err
	}
	if !o.Resume && !o.Untrained && !slices.ContainsFunc(train.Stages[:], func(st tab.Stage) bool { return st.Rate > 0 }) {
		return wrong("Train.Stages all have the rate 0, so that nothing of the network would be trained")
	}
	if o.Anchors == nil && !o.Resume && !o.Untrained && train.Objective.Needs().Anchors {
		return wrong("objective %s needs anchors, and there are none", train.Objective.Name())
	}
	if !o.Resume { // else the checkpoint's count
		if at := train.Objective.Needs().Stages; o.Twins.WhereBlind && o.Twins.Table == "" && len(at) > 0 && !slices.Contains(at, backbone.Layer2) {
			return wrong("Twins.WhereBlind goes by layer 2, and objective %s, at whose layers twins are measured, looks at %v", train.Objective.Name(), at)
		}
		if err := o.mixable(train); err != nil {
			return err
		}
	}
	if o.Scale != nil {
		return o.Scale.Validate()
	}
	return nil
}

// lost says which file would be written over another one that a run reads or writes.
func (o Config) lost() error {
	type file struct{ is, path string }
	written := []file{{"Out", o.Out}, {"the checkpoint of Out", Checkpoint(o.Out)}, {"the card of Out", card.Name(o.Out)},
		{"the projection of Out", projectionFile(o.Out)}, {"the table of twins of Out", tableFile(o)}, {"the factors of Out", scaleFile(o)},
		{"Journal", o.Journal}, {"Curves.CSV", o.Curves.CSV}}
	for i, w := range written {
		for _, r := range append([]file{{"Init", o.Init}, {"Measured", o.Measured}, {"Twins.Table", o.Twins.Table}}, written[:i]...) {
			if r.is == "Twins.Table" && w.path == tableFile(o) && (o.Resume || !o.Twins.WhereBlind || o.Twins.Tie) { // it stays as it is
				continue
			}
			if w.path != "" && r.path != "" && sameFile(w.path, r.path) {
				return fmt.Errorf("%s and %s are the same file, %s, whose contents would be lost", w.is, r.is, r.path)
			}
		}
	}
	return nil
}

// sameFile says whether two names are of one file, which need not be there.
func sameFile(a, b string) bool {
	if filepath.Clean(a) == filepath.Clean(b) {
		return true
	}
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

// mixable refuses an Interpolate below 1 for a training that moves the statistics of batch norm.
func (o Config) mixable(cfg tab.Config) error {
	if o.Interpolate == 1 {
		return nil
	}
	for l, st := range cfg.Stages {
		if st.Rate > 0 && !st.FreezeStatistics {
			return fmt.Errorf("training: %w: there is one set of batch norm statistics, and this run moves those of %s; the recipe amplify does not", ErrInterpolate, backbone.Layer(l))
		}
	}
	return nil
}

// Checkpoint is the file from which the run of some weights goes on.
func Checkpoint(weights string) string { return weights + ".ckpt" }

// FromBank are the anchors of a text bank's file. Classes that it lacks are
// tab.ErrUnknownClass; an objective that looks at no anchors, as needed says, takes any bank.
func FromBank(file string, needed bool) func(ctx context.Context, classes []string) (Anchors, error) {
	return func(ctx context.Context, classes []string) (a Anchors, err error) {
		b, err := tab.OpenBank(file)
		if err != nil {
			return a, err
		}
		if _, _, err := b.Anchors(ctx, classes); needed && err != nil {
			return a, err
		}
		at, err := card.FileAt(file)
		return Anchors{b, fmt.Sprintf("text bank %s (%s), %d wide", file, b.Model, len(b.Normal[0])), &card.Anchors{Model: b.Model, Prompts: b.Prompts, File: at}}, err
	}
}

// FromCLIP are the anchors that a bank made of a CLIP model at weights holds; prompts is the
// hash of its sentences. A folder of weights is named and not summed up.
func FromCLIP(b *tab.Bank, weights, prompts string) (Anchors, error) {
	about := &card.Anchors{Model: filepath.Base(weights), Prompts: prompts}
	var err error
	if regular(weights) {
		about.File, err = card.FileAt(weights)
	}
	return Anchors{b, fmt.Sprintf("CLIP text encoder %s, %d wide", weights, len(b.Normal[0])), about}, err
}
