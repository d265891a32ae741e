// Evaluate fits detectors on the good images of a data set, scores its test images,
// and says how well they find the defects, how sure that is, and what it means for a
// line, with speed and memory. It is package evaluate/session behind flags.
//
//	evaluate -data ROOT [-data ROOT] -weights FILE [-class NAME,...] [-method NAME,...] [-epochs N]
//	         [-seed N | -seeds N] [-layers NAME,...] [-cut RULE] [-json FILE [-resume]] [-details]
//	         [-transform centre|square|WxH|tiles] [-bits N] [-mask-above N] [-max-pixels N] [-skip-broken]
//	         [-prefix TEXT] [-threads N] [-report DIR [-compare FILE [-same-scale]]] [-maps DIR]
//	         [-part I/N|auto/N|auto] [-save DIR] [-tensorboard DIR] [-csv FILE]
//	evaluate table -json FILE [-json FILE] [-out FILE.md]
//	evaluate merge -out FILE -json FILE [FILE ...]
//
// ROOT holds one folder a class, each with train/good, test/<kind> and, where
// there are masks, ground_truth/<kind>. A root in another layout that has the splits
// train and test is known by its names (dataset.FindLayout). FILE holds a ResNet under torchvision's
// names (safetensors or .pth), whose architecture its names tell; a projection
// head in it is passed over. -weights random, or random:SEED, draws weights of
// -arch instead. -layers puts other layers, layer4 included, in place of the
// method's own.
//
// All files are looked at before the first detector is fitted, and every fault is
// listed at once; -skip-broken goes on without images that cannot be read, which the
// results name. What the centre of an image leaves out is said; -transform square or WxH
// shows all of it to the network. So does -transform tiles, or tiles:SIDE: images are cut
// into squares that overlap by a quarter, of their shorter side or of SIDE pixels, the
// detector learns tiles, an image has the score of its worst one, and their maps are
// stitched to one.
//
// # Methods
//
// padim and patchcore need no training. padim-twins is PaDiM on as many channels as
// padim draws, chosen by twins of the class's good images: those that together move
// damage farthest from good parts (padim-twins-rank: each by itself); a seed is the
// twins. rd4ad and simplenet train for -epochs, the
// article's by default, and keep the weights after the last;
// simplenet-best-on-test keeps those that the test set likes best, which flatters,
// as SimpleNet's published numbers do. regad trains on all other classes of the
// root and is then shown -shots good images of the class.
//
// # Figures
//
// For images: the area under the ROC curve with DeLong's interval, average
// precision and the largest F1 with bootstrap intervals (2,000 sets). For
// pixels, where there are masks: the area under the ROC curve, average precision
// and the per-region overlap up to a false positive rate of 0.3. They are exact up
// to 14 million pixels and counted in bins beyond, which the table shows; their
// intervals draw whole images, 2,000 times, and add up histograms of their scores
// (metrics.PixelBootstrap). Masks come to a map's size by the rule of the method's
// reference. All intervals are of 95 % over the images: they say what other test
// images of the kind would give, not what another training would.
//
// Escape (defects that are shipped) and overkill (good parts that are rejected)
// belong to a threshold. -cut says by which rule it is chosen: on one half of the
// test images, for being counted on the other, and the other way round.
//
// # Seeds
//
// -seeds N repeats everything for the seeds 1 to N of what a method draws, and
// gives mean and deviation. For PaDiM a seed is a draw of channels; the draw of the
// reference program (Python's seed 1024), the default, is the seed "reference".
// For PatchCore it is the projection and the first patches of the bank, for RD4AD
// and SimpleNet all that the training draws. RegAD is trained once a class; a seed
// is a support set. The weights of -weights do not change with it.
//
// # Results
//
// A table goes to the standard output, with -details every figure with its
// protocol; progress goes to the standard error. -json writes one object a line
// for each class, method and seed as soon as it is done, and the file is whole at
// any time, also after an interrupt; -resume goes on with it and leaves out what it
// has with equal settings, weights and images (their names and labels are compared,
// not their pixels). evaluate table turns such files into Markdown.
//
// -save writes each fitted detector to DIR/ROOT/CLASS/METHOD-SEED.safetensors, before its line
// is in the -json file: a line says that the detector is there.
//
// # Many products
//
// -part I/N does every N-th class, from the I-th of 0 to N-1, into a -json file of its own (FILE.jsonl
// becomes FILE.I-of-N.jsonl), so that N such processes, on one machine or many, do all of
// them; with -resume they go on after they have been killed. auto/N takes I from a Slurm array
// (SLURM_ARRAY_TASK_ID), an indexed job of Kubernetes (JOB_COMPLETION_INDEX) or torchrun (RANK);
// auto takes N from there too. evaluate merge puts the files together, each result once.
//
// Images per second count from opening the first file to the last image fitted, or
// the last smoothed map on the host; in a training, an image counts once an epoch.
// Metrics are not in them (of pixels, while 64 MiB hold the maps of a class).
// peak_rss_bytes is the process's largest resident memory during that line.
//
// -report writes a page, report.html, that needs nothing beside it, with its
// pictures: the table, and for each class curves, a histogram of the scores and the
// worst misses first, as image, truth, map and cut. The methods of a class stand
// beside one another; of several seeds the figures are means, and curves and pictures
// are of the first. -compare puts a second network's figures and maps beside, and the
// difference of the image AUROCs with DeLong's paired test. Its maps have the scale of
// its own good parts, so that a colour means the same multiple of what is usual on
// them; with -same-scale they have the first network's, and a colour is a value.
//
// -maps writes one picture a test image: image, truth, heat map over the image, and
// the image cut down to what the map shows. One scale a class, from its good test
// images: a place that is usual on those has no colour. Neither -report nor
// -maps goes with -resume, which has the figures of what was done before and not its
// pictures.
//
// The exit code is 0 only if every class went well.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/evaluate"
	"github.com/gotab/gotab/evaluate/detectors"
	"github.com/gotab/gotab/evaluate/session"
	"github.com/gotab/gotab/examples/internal/inputs"
	"github.com/gotab/gotab/examples/internal/process"
	"github.com/gotab/gotab/tensor"
)

func main() {
	// Pixels come and go quickly and the heap is small beside libtorch's memory:
	// collecting twice as often as by default keeps it at 80 MB instead of 180.
	debug.SetGCPercent(50)
	process.Main("", errUsage, run)
}

// run is the program without the process around it.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) > 0 && args[0] == "table" {
		return table(args[1:], stdout, stderr)
	}
	if len(args) > 0 && args[0] == "merge" {
		return merge(args[1:], stdout, stderr)
	}
	return program{methods: detectors.Kinds(), open: openNetwork}.run(ctx, args, stdout, stderr)
}

// program is what the program knows: methods and networks.
type program struct {
	methods []detectors.Kind
	open    func(o options, weights string, dev tensor.Device) (*detectors.Network, error)
}

func (p program) run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	o, err := parse(args, p.methods, stderr)
	if err != nil {
		return err
	}
	defer func() {
		switch err = inputs.Hint(err); {
		case err == nil || errors.Is(err, errUsage):
		case errors.Is(err, session.ErrConfig):
			err = fmt.Errorf("%w: %w", errUsage, err)
		case errors.Is(err, evaluate.ErrExists):
			err = fmt.Errorf("evaluate: %w; -resume goes on with them, another -json starts anew", err)
		case errors.Is(err, evaluate.ErrLocked):
			err = fmt.Errorf("evaluate: %w: wait until it has ended, or give another -json", err)
		default:
			err = fmt.Errorf("evaluate: %w", err)
		}
	}()
	dev, err := o.reading.Start()
	if err != nil {
		return err
	}
	if o.Net, err = p.open(o, o.Path, dev); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.Net.Close()) }()
	if o.SecondPath != "" {
		if o.Second, err = p.open(o, o.SecondPath, dev); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, o.Second.Close()) }()
	}
	r, err := session.Run(ctx, o.Config)
	if perr := r.Write(stdout, o.details); perr != nil {
		err = errors.Join(err, fmt.Errorf("write the table: %w", perr))
	}
	return err
}

// openNetwork reads or draws a network that the flags name.
func openNetwork(o options, weights string, dev tensor.Device) (*detectors.Network, error) {
	n, err := detectors.OpenNetwork(weights, detectors.NetworkOptions{Arch: o.arch, Prefix: o.reading.Prefix, Precision: o.precision,
		Layers: detectors.LayersOf(o.Methods, o.Layers)}, dev)
	switch {
	case errors.Is(err, downstream.ErrConfig):
		return nil, wrong("-weights: %w", err)
	case errors.Is(err, backbone.ErrArch) && o.arch != "":
		return nil, fmt.Errorf("-arch %s: %w", o.arch, err)
	}
	return n, err
}
