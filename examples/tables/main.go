// Tables makes the tables of the article (TAB, arXiv 2312.09480) on data and weights of
// your own: it pre-trains what a table compares, fits the detectors, and writes the table
// with paired differences from the weights that all began with.
//
//	tables -table N -data ROOT -start FILE -out FOLDER (-bank FILE | -clip FILE | -banks FOLDER)
//	       [-recipe paper|official|amplify] [-seeds N] [-draws N] [-methods NAME,...] [-layers NAME,...] [-epochs N]
//	       [-small] [-tools FOLDER] [-device D] [-threads N] [-- FLAGS OF PRETRAIN]
//
// N is a table's number in the article: 1 detection, 2 localisation (both with few-shot
// columns), 3 classification of wafer maps, 4 other data sets, 5 ways to pre-train, 6 kinds of
// damaged twins, 7 what the loss aligns, 8 sentences.
//
// ROOT is one data set in a layout that dataset.Open knows, or a folder of several:
// BTAD, KolektorSDD2 and MixedWM38 are what a network is carried over to, any other with
// test images is what it is trained and tested on. README.md has the rest.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/evaluate/article"
	"github.com/gotab/gotab/evaluate/study"
	"github.com/gotab/gotab/examples/internal/inputs"
	"github.com/gotab/gotab/examples/internal/process"
)

func main() { process.Main("tables: ", errUsage, run) }

var (
	errUsage = errors.New("wrong arguments")
	wrong    = process.Wrong(errUsage)
)

func parse(args []string, stderr io.Writer) (article.Config, error) {
	o := article.Default()
	fs := flag.NewFlagSet("tables", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.IntVar(&o.Table, "table", 0, "`number` of a table of the article, 1 to 8 (required)")
	fs.StringVar(&o.Data, "data", "", "`folder` of a data set, or of several (required)")
	fs.StringVar(&o.Start, "start", "", "`file` with the weights that all begin with, a ResNet-18's, such as ImageNet's (required)")
	fs.StringVar(&o.Out, "out", "", "`folder` for weights, logs, records and tables; all tables may share one (required)")
	fs.StringVar(&o.Bank, "bank", "", "`file` of a text bank with the classes of the data (examples/bank makes one)")
	fs.StringVar(&o.CLIP, "clip", "", "`file` or folder with a CLIP model's weights, in place of -bank")
	fs.StringVar(&o.Banks, "banks", "", "`folder` of text banks, one for each list of sentences of table 8 (one-class.safetensors and so on), in place of -clip")
	fs.StringVar(&o.Recipe, "recipe", o.Recipe, "the `recipe` of pretrain for the column TAB: paper, official or amplify")
	fs.IntVar(&o.Seeds, "seeds", o.Seeds, "`trainings` of each network")
	fs.IntVar(&o.Draws, "draws", 0, "`seeds` of each detector; 0: one, PaDiM's the reference's draw of channels")
	fs.IntVar(&o.Epochs, "epochs", 0, "`epochs` of detectors that train; 0: their articles'")
	var layers inputs.List
	fs.Var(&layers, "layers", "`layers` that detectors read in place of their own, for example layer2,layer3,layer4")
	methods := fs.String("methods", "", "`names` of detectors with commas, to leave out others of the table")
	fs.BoolVar(&o.Small, "small", false, "few steps of each training, whatever classes are there: to try the whole way")
	fs.StringVar(&o.Tools, "tools", "", "`folder` of the programs pretrain, bank and classify; default: beside this one or in the PATH")
	var reading inputs.Flags
	reading.AddDevice(fs)
	reading.AddThreads(fs)
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return o, err
		}
		return o, wrong("%w", err)
	}
	o.Pretrain, o.Log = fs.Args(), stderr
	if *methods != "" {
		o.Methods = strings.Split(*methods, ",")
	}
	switch {
	case len(o.Pretrain) > 0 && !strings.HasPrefix(o.Pretrain[0], "-"):
		return o, wrong("%q is not a flag", o.Pretrain[0])
	case o.Table < 1 || o.Table > 8:
		return o, wrong("-table is %d, want 1 to 8", o.Table)
	case o.Data == "" || o.Start == "" || o.Out == "":
		return o, wrong("-data, -start and -out are all needed")
	case reading.Threads < 0:
		return o, wrong("-threads is %d, want 0 or more", reading.Threads)
	case !slices.Contains(article.Recipes(), o.Recipe):
		return o, wrong("-recipe is %q, want paper, official or amplify", o.Recipe)
	}
	if reading.Threads > 0 {
		o.Machine = append(o.Machine, "-threads", fmt.Sprint(reading.Threads))
	}
	var err error
	if o.Layers, err = backbone.ParseLayers(layers...); err != nil {
		return o, wrong("-layers: %w", err)
	}
	o.Device, err = reading.Start()
	return o, err
}

// run is the program without the process around it.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	text, err := article.Run(ctx, o)
	switch {
	case errors.Is(err, study.ErrProgram):
		err = wrong("%w; or name their folder with -tools", err)
	case errors.Is(err, article.ErrConfig):
		err = wrong("%w", err)
	}
	_, werr := io.WriteString(stdout, text)
	return errors.Join(err, werr)
}
