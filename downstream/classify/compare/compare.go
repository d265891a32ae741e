// Package compare trains classifiers side by side, with the backbone frozen and trained and
// on several sets of weights, and reports them as the article's Table 3 does.
//
// Wafer maps have two protocols, because articles do not say which is theirs: the share of maps
// whose eight labels are all right, with macro precision, recall and F1 over the labels; and the
// share whose combination of labels is right, one of those that occur, with macro rates over the
// combinations. A model of eight sigmoids answers both: its labels together are a combination, or one
// that does not occur, which is counted as wrong under the name "other". A softmax has one
// output for each combination instead. Folders of images are told apart by a softmax.
package compare

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream/classify"
	"github.com/gotab/gotab/scalars"
	"github.com/gotab/gotab/tensor"
)

// What is compared: values of Config.Backbones, Models and Splits.
const (
	Frozen     = "frozen"
	Trained    = "trained"
	Sigmoids   = "sigmoids" // eight labels
	Softmax    = "softmax"  // one combination or class
	Plain      = "plain"
	Stratified = "stratified" // each class alike
)

// Config says what is compared, and on what.
type Config struct {
	// Data is an npz file of wafer maps in MixedWM38's format, or a folder of images. Test,
	// where it is not empty, is what is tested on; else Data is divided 80:20, once for each of Splits.
	Data, Test string
	Splits     []string
	// Layout and Label ("class" or "defect") say what the images of a folder are told apart by. Where
	// both are empty, a folder that has good images apart from others is read by these (LayoutGoodBad and
	// "defect"). Else an empty Layout is LayoutFolders, and an empty Label "class".
	Layout  dataset.Layout
	Label   string
	Reading dataset.Reading // without a View: Size says what is seen
	// Weights are files with a ResNet's weights, or "random", a ResNet-18's from Seed. Prefix
	// stands before their names in a file of several networks.
	Weights []string
	Prefix  string
	Device  tensor.Device
	// Each of Backbones is trained with each of Models on each of Weights.
	Backbones, Models []string
	// Encoding of wafer maps is "grey" (blank, passed and failed at 0, 1/2 and 1) or "dies" (a
	// channel each).
	Encoding string
	// Turn shows training images in all turns and reflections, of a trained backbone.
	Turn bool
	// Size is the side of the network's input in pixels, 32 or more. Epochs train a backbone, HeadEpochs
	// a layer on a frozen one.
	Size, Epochs, HeadEpochs, Batch int
	LR, BackboneLR, WeightDecay     float64
	Balance                         bool   // weighs rare classes up
	Seed                            uint64 // of split, layer, order and random weights
	Neighbour                       bool   // reports the nearest neighbour on pixels too, of wafer maps
	// Out is the folder of report.txt and report.json, written after every row, and with Save of the
	// classifiers; empty for none. One that has a report is left alone without Force.
	Out         string
	Save, Force bool
	Curves      scalars.Places // of each model in places of its own
	// Log gets a line now and then; nil for nowhere.
	Log io.Writer
}

// ErrConfig reports settings that make no sense, or do not go together.
var ErrConfig = errors.New("wrong settings")

// ErrExists reports a folder that has a report already.
var ErrExists = errors.New("there is a report already")

// Default compares both backbones on wafer maps (wafers) by sigmoids, or on images by a softmax, on a
// stratified split; Layout and Label are found out. Data and Weights are the caller's.
func Default(wafers bool) Config {
	c := classify.Default()
	o := Config{Splits: []string{Stratified}, Reading: dataset.DefaultReading(),
		Backbones: []string{Frozen, Trained}, Models: []string{Softmax}, Encoding: "grey", Size: 224, Epochs: 20, HeadEpochs: 100, Batch: 64,
		LR: 1e-3, BackboneLR: c.BackboneLR, WeightDecay: 0.01, Seed: 1}
	if wafers {
		o.Models, o.Turn, o.BackboneLR = []string{Sigmoids}, true, classify.DefaultWafer(o.Size).BackboneLR
	}
	return o
}

// wafers reports whether the data are wafer maps.
func (o Config) wafers() bool { return ofWafers(o.Data) }

func ofWafers(path string) bool { return strings.HasSuffix(path, ".npz") }

// Validate names the first field that makes no sense; the error wraps [ErrConfig].
func (o Config) Validate() error {
	wrong := func(format string, a ...any) error {
		return fmt.Errorf("compare: %w: "+format, append([]any{ErrConfig}, a...)...)
	}
	among := func(field string, has []string, known ...string) error {
		for _, v := range has {
			if !slices.Contains(known, v) {
				return wrong("%s has %q, want %s", field, v, strings.Join(known, " or "))
			}
		}
		if len(has) == 0 {
			return wrong("%s is empty", field)
		}
		return nil
	}
	switch {
	case o.Data == "":
		return wrong("Data is empty")
	case !o.wafers() && slices.Contains(o.Models, Sigmoids):
		return wrong("Sigmoids are for wafer maps; a folder's images are told apart by a softmax")
	case !o.wafers() && (o.Neighbour || o.Encoding != "grey"):
		return wrong("Neighbour and Encoding are for wafer maps")
	case o.Test != "" && ofWafers(o.Test) != o.wafers():
		return wrong("Data and Test must both be wafer maps or both be folders")
	case len(o.Weights) == 0:
		return wrong("Weights is empty, files or \"random\"")
	case o.Reading.View != dataset.View{}:
		return wrong("Reading.View is %s, and Size says what a classifier sees", o.Reading.View)
	case o.Save && o.Out == "":
		return wrong("Save needs Out, the folder to save to")
	case o.Size < 32 || o.Epochs < 1 || o.HeadEpochs < 1 || o.Batch < 1:
		return wrong("Size is %d, Epochs %d, HeadEpochs %d, Batch %d: want 32 or more, and 1 or more", o.Size, o.Epochs, o.HeadEpochs, o.Batch)
	}
	if o.Label != "" {
		if err := among("Label", []string{o.Label}, "class", "defect"); err != nil {
			return err
		}
	}
	if o.Test == "" {
		if err := among("Splits", o.Splits, Plain, Stratified); err != nil {
			return err
		}
	}
	return firstOf(among("Backbones", o.Backbones, Frozen, Trained), among("Models", o.Models, Sigmoids, Softmax),
		among("Encoding", []string{o.Encoding}, "grey", "dies"))
}

// firstOf is the first error.
func firstOf(all ...error) error {
	for _, err := range all {
		if err != nil {
			return err
		}
	}
	return nil
}

// Run compares. It returns the rows that are done with an error too: one that wraps [ErrConfig],
// dataset.ErrBroken, the errors of package classify, or that of ctx.
func Run(ctx context.Context, o Config) (*Report, error) {
	r := o.report()
	if o.Log == nil {
		o.Log = io.Discard
	}
	if o.Test != "" {
		o.Splits = []string{"of " + o.Test}
	}
	if err := o.Validate(); err != nil {
		return r, err
	}
	if err := o.tryOut(); err != nil {
		return r, err
	}
	return r, judge(ctx, o, r)
}
