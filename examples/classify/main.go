// Classify trains classifiers of defects and reports them as the article's
// Table 3 does: with the backbone frozen and trained, and with several sets of
// weights side by side.
//
//	classify -data FILE.npz|FOLDER -weights A[,B...] [-test FILE.npz|FOLDER]
//	         [-backbone frozen|trained|both] [-model sigmoids|softmax|both]
//	         [-split plain|stratified|both] [-size N] [-epochs N] [-device auto|cpu|cuda|cuda:N]
//	         [-bits N] [-max-pixels N] [-skip-broken] [-prefix TEXT] [-threads N]
//	         [-neighbour] [-out DIR [-force]] [-save] [-tensorboard DIR] [-csv FILE] ...
//	classify generate -out FILE.npz -seed N (-per N | -published SCALE) [-sheet FILE.png]
//
// FILE.npz holds wafer maps in MixedWM38's format. Two protocols are reported
// for them, because articles do not say which is theirs: the share of maps whose
// eight labels are all right, with macro precision, recall and F1 over the
// labels; and the share whose combination of labels is right, one of those that
// occur (38 in the published file), with macro rates over the combinations. A
// model of eight sigmoids answers both: its labels together are a combination,
// or one that does not occur, which is counted as wrong under the name "other".
// -model softmax trains one output for each combination instead.
//
// FOLDER holds images in one of the library's layouts (-layout); what is told
// apart is their class or, with -label defect, their kind of defect, by a
// softmax.
//
// A folder with good and bad images apart (good/ and others) is told apart by these
// folders, unless -layout or -label says otherwise. All files are looked at first.
//
// The data are divided 80:20 by a seeded draw (-split), or -test names what is
// tested on. A, B, ... are files with a ResNet's weights under torchvision's
// names, or "random", which draws a ResNet-18's from -seed. A table goes to the
// standard output, progress to the standard error. -out writes report.txt, with
// the table and each model's tables of labels and of confusions, and
// report.json; -save puts the classifiers beside them. A folder that has a report is
// left alone without -force. -tensorboard and -csv get loss, accuracy and rate of every step,
// of each model in a folder below DIR or a file beside FILE that is named after it.
//
// generate draws wafer maps in MixedWM38's format from a seed, the same number
// of each combination or in the published proportions.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream/classify/compare"
	"github.com/gotab/gotab/examples/internal/inputs"
	"github.com/gotab/gotab/examples/internal/process"
)

func main() { process.Main("", errUsage, run) }

var (
	errUsage = errors.New("classify: wrong arguments")
	wrong    = process.Wrong(errUsage)
)

const both = "both"

// options are the flags.
type options struct {
	compare.Config
	weights, backbone, model, splitChoice, turn string
	reading                                     inputs.Flags
}

func parse(args []string, stderr io.Writer) (options, error) {
	o := options{Config: compare.Default(false)}
	o.Log = stderr
	fs := flag.NewFlagSet("classify", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.StringVar(&o.Data, "data", "", "`path` of an npz file in MixedWM38's format or of a folder of images (required)")
	fs.StringVar(&o.Test, "test", "", "`path` of what is tested on; empty divides -data 80:20")
	fs.StringVar((*string)(&o.Layout), "layout", string(dataset.LayoutFolders), fmt.Sprintf("`name` of a folder's layout, one of %v", dataset.Layouts()))
	fs.StringVar(&o.Label, "label", "class", "what a folder's images are told apart by: class or defect")
	fs.StringVar(&o.weights, "weights", "", "`files` with ResNet weights under torchvision's names, commas between them, or 'random' (required)")
	fs.StringVar(&o.backbone, "backbone", both, "frozen, trained or both")
	fs.StringVar(&o.model, "model", "", "wafer maps: sigmoids (eight labels), softmax (one combination) or both; default sigmoids")
	fs.StringVar(&o.splitChoice, "split", compare.Stratified, "how the data are divided: plain, stratified or both")
	fs.StringVar(&o.Encoding, "encoding", "grey", "wafer maps: grey (blank, passed and failed at 0, 1/2 and 1) or dies (a channel each)")
	fs.StringVar(&o.turn, "turn", "", "show training images in all turns and reflections, on or off; default on for wafer maps")
	o.reading.AddDevice(fs)
	fs.StringVar(&o.Out, "out", "", "`folder` for report.txt and report.json")
	fs.BoolVar(&o.Force, "force", false, "write over the reports and classifiers that -out has")
	inputs.AddCurves(fs, &o.Curves)
	o.reading.AddReading(fs)
	o.reading.AddPrefix(fs)
	fs.BoolVar(&o.Save, "save", false, "put the classifiers into -out too")
	fs.BoolVar(&o.Neighbour, "neighbour", false, "wafer maps: report the nearest neighbour on pixels too")
	fs.BoolVar(&o.Balance, "balance", false, "weigh rare classes, or rare labels' positives, up")
	fs.IntVar(&o.Size, "size", 224, "`pixels` of the network's input, 32 or more")
	fs.IntVar(&o.Epochs, "epochs", 20, "`number` of passes that train a backbone")
	fs.IntVar(&o.HeadEpochs, "head-epochs", 100, "`number` of passes over a frozen backbone's features")
	fs.IntVar(&o.Batch, "batch", 64, "`number` of images in a step")
	fs.Float64Var(&o.LR, "lr", 1e-3, "learning `rate` of the linear layer")
	fs.Float64Var(&o.BackboneLR, "backbone-lr", 0, "learning `rate` of a trained backbone; 0 for 1e-3 on wafer maps and 3e-4 on other images")
	fs.Float64Var(&o.WeightDecay, "weight-decay", 0.01, "`decay` of AdamW")
	fs.Uint64Var(&o.Seed, "seed", 1, "seed of the split, the linear layer, the order, and the weights with -weights random")
	if err := process.Parse(fs, args, errUsage); err != nil {
		return o, err
	}
	if err := o.reading.Validate(); err != nil {
		return o, wrong("%w", err)
	}
	o.Reading, o.Prefix = o.reading.Reading, o.reading.Prefix
	chosen := false
	fs.Visit(func(f *flag.Flag) { chosen = chosen || f.Name == "layout" || f.Name == "label" })
	o, err := o.checked()
	if !chosen { // compare finds out
		o.Layout, o.Label = "", ""
	}
	return o, err
}

// checked fills in what depends on other flags and refuses what does not go
// together.
func (o options) checked() (options, error) {
	choose := func(value string, from ...string) []string {
		switch {
		case value == both:
			return from
		case slices.Contains(from, value):
			return []string{value}
		}
		return nil
	}
	wafers := strings.HasSuffix(o.Data, ".npz")
	own := compare.Default(wafers)
	if o.model == "" {
		o.model = own.Models[0]
	}
	if o.turn == "" {
		o.turn = map[bool]string{false: "off", true: "on"}[own.Turn]
	}
	if o.BackboneLR == 0 {
		o.BackboneLR = own.BackboneLR
	}
	o.Turn = o.turn == "on"
	o.Backbones = choose(o.backbone, compare.Frozen, compare.Trained)
	o.Models = choose(o.model, compare.Sigmoids, compare.Softmax)
	o.Splits = choose(o.splitChoice, compare.Plain, compare.Stratified)
	switch {
	case o.Data == "":
		return o, wrong("-data is missing, an npz file of wafer maps or a folder of images")
	case o.weights == "":
		return o, wrong("-weights is missing, files with ResNet weights or 'random'")
	case o.Backbones == nil:
		return o, wrong("-backbone %s is not known, want frozen, trained or both", o.backbone)
	case o.Models == nil:
		return o, wrong("-model %s is not known, want sigmoids, softmax or both", o.model)
	case o.Splits == nil:
		return o, wrong("-split %s is not known, want plain, stratified or both", o.splitChoice)
	case !wafers && o.model != compare.Softmax:
		return o, wrong("-model %s is for wafer maps; a folder's images are told apart by a softmax", o.model)
	case !wafers && (o.Neighbour || o.Encoding != "grey"):
		return o, wrong("-neighbour and -encoding are for wafer maps")
	case o.Test != "" && strings.HasSuffix(o.Test, ".npz") != wafers:
		return o, wrong("-data and -test must both be wafer maps or both be folders")
	case o.Label != "class" && o.Label != "defect":
		return o, wrong("-label %s is not known, want class or defect", o.Label)
	case o.Encoding != "grey" && o.Encoding != "dies":
		return o, wrong("-encoding %s is not known, want grey or dies", o.Encoding)
	case o.turn != "on" && o.turn != "off":
		return o, wrong("-turn %s is not known, want on or off", o.turn)
	case o.Epochs < 1:
		return o, wrong("-epochs is %d, want 1 or more", o.Epochs)
	case o.HeadEpochs < 1:
		return o, wrong("-head-epochs is %d, want 1 or more", o.HeadEpochs)
	case o.Batch < 1:
		return o, wrong("-batch is %d, want 1 or more", o.Batch)
	case o.Force && o.Out == "":
		return o, wrong("-force is for -out, the folder to write over")
	case o.Prefix != "" && o.weights == "random":
		return o, wrong("-prefix is for a file of weights, and -weights is random")
	case o.Size < 32:
		return o, wrong("-size is %d, want 32 or more", o.Size)
	case o.Save && o.Out == "":
		return o, wrong("-save needs -out, the folder to save to")
	}
	for w := range strings.SplitSeq(o.weights, ",") {
		if w == "" || slices.Contains(o.Weights, w) {
			return o, wrong("-weights %q has an empty name, or one twice", o.weights)
		}
		o.Weights = append(o.Weights, w)
	}
	return o, nil
}

// run is the program without the process around it.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	if len(args) > 0 && args[0] == "generate" {
		return generate(ctx, args[1:], stdout, stderr)
	}
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	defer func() {
		switch err = inputs.Hint(err); {
		case errors.Is(err, compare.ErrConfig):
			err = wrong("%w", err)
		case errors.Is(err, compare.ErrExists):
			err = fmt.Errorf("classify: %w: give -out another folder, or -force to write over it", err)
		case err != nil:
			err = fmt.Errorf("classify: %w", err)
		}
	}()
	if o.Device, err = o.reading.Start(); err != nil {
		return err
	}
	r, err := compare.Run(ctx, o.Config)
	if len(r.Rows) > 0 {
		err = errors.Join(err, r.WriteTable(stdout))
	}
	return err
}
