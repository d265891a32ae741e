// Evaluate fits a detector on the good images of a data set in MVTec AD's
// layout, scores its test images, and reports the area under the ROC curve over
// images and over pixels, with speed and memory.
//
//	evaluate -data ROOT -weights FILE [-class NAME|all] [-method padim|patchcore]
//	         [-device auto|cpu|cuda|cuda:N] [-seed N] [-json FILE] [-maps DIR]
//
// ROOT holds one folder a class, each with train/good, test/<kind> and, where
// there are masks, ground_truth/<kind>. FILE holds a ResNet-18 under
// torchvision's names (safetensors or .pth); a projection head in it is passed
// over. -weights random draws weights from -seed instead. -seed also decides what
// a method draws at random: PatchCore's choice of patches, nothing of PaDiM.
//
// A table goes to the standard output, progress to the standard error. -json
// writes one JSON object a class and line: class, image_auroc, pixel_auroc (0 to
// 1; null where the class has no masks), fit_images_per_second,
// score_images_per_second, peak_rss_bytes, and how they were taken. Images per
// second count from opening the first file to the last image fitted, or the last
// smoothed map on the host; metrics are not in them. peak_rss_bytes is the
// process's largest resident memory up to the end of that class.
//
// -maps writes one picture a test image: image, truth, heat map over the image, and
// the image cut down to what the map shows. One scale a class, from its good test
// images: a place that is usual on those has no colour.
//
// The exit code is 0 only if every class went well.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/tensor"
)

func main() {
	// Pixels come and go quickly and the heap is small beside libtorch's memory:
	// collecting twice as often as by default keeps it at 80 MB instead of 180.
	debug.SetGCPercent(50)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return
	case errors.Is(err, errUsage):
		fmt.Fprintln(os.Stderr, err)
		stop()
		os.Exit(2)
	}
	fmt.Fprintln(os.Stderr, err)
	stop()
	os.Exit(1)
}

var errUsage = errors.New("evaluate: wrong arguments")

// options are the flags.
type options struct {
	data, class, weights, device, method, json, maps string
	seed                                             uint64
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	fs := flag.NewFlagSet("evaluate", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.StringVar(&o.data, "data", "", "`folder` that holds one folder a class, MVTec AD layout (required)")
	fs.StringVar(&o.weights, "weights", "", "`file` with ResNet-18 weights under torchvision's names, or 'random' (required)")
	fs.StringVar(&o.class, "class", "all", "class `name`, or 'all'")
	fs.StringVar(&o.method, "method", "padim", "detector: "+strings.Join(methodNames(), ", "))
	fs.StringVar(&o.device, "device", "auto", "auto, cpu, cuda or cuda:N")
	fs.StringVar(&o.json, "json", "", "`file` for one JSON object a class and line")
	fs.StringVar(&o.maps, "maps", "", "`folder` for one picture a test image")
	fs.Uint64Var(&o.seed, "seed", 1, "seed of what is drawn at random: PatchCore's choice of patches, and the weights with -weights random")
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return o, err
		}
		return o, fmt.Errorf("%w: %w", errUsage, err)
	}
	switch {
	case fs.NArg() > 0:
		return o, fmt.Errorf("%w: %q is not a flag", errUsage, fs.Arg(0))
	case o.data == "":
		return o, fmt.Errorf("%w: -data is missing, the folder that holds the class folders", errUsage)
	case o.weights == "":
		return o, fmt.Errorf("%w: -weights is missing, a file with ResNet-18 weights or 'random'", errUsage)
	case !slices.Contains(methodNames(), o.method):
		return o, fmt.Errorf("%w: -method %s is not known, want one of %s", errUsage, o.method, strings.Join(methodNames(), ", "))
	}
	return o, nil
}

// run is the program without the process around it.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	dev, err := tensor.ParseDevice(o.device)
	if err != nil {
		return fmt.Errorf("evaluate: %w", err)
	}
	classes, err := classesOf(o, stderr)
	if err != nil {
		return fmt.Errorf("evaluate: %w", err)
	}
	net, err := openNet(o, dev)
	if err != nil {
		return fmt.Errorf("evaluate: %w", err)
	}
	err = evaluateAll(ctx, o, net, classes, stdout, stderr)
	return errors.Join(err, net.Close())
}

// classesOf lists the classes to evaluate and says what was passed over.
func classesOf(o options, stderr io.Writer) ([]string, error) {
	if o.class != "all" {
		return []string{o.class}, nil
	}
	all, err := dataset.OpenMVTecAD(o.data, "", "")
	if err != nil {
		return nil, err
	}
	for _, issue := range all.Issues() {
		fmt.Fprintf(stderr, "note: %s\n", issue)
	}
	return all.Classes(), nil
}

func openNet(o options, dev tensor.Device) (*backbone.ResNet18, error) {
	if o.weights == "random" {
		return backbone.NewResNet18(dev, rand.New(rand.NewPCG(o.seed, 0)))
	}
	return backbone.OpenResNet18(o.weights, dev)
}

// evaluateAll goes on after a class that fails, so that one broken folder does
// not cost the others their numbers, and reports all failures at the end.
func evaluateAll(ctx context.Context, o options, net *backbone.ResNet18, classes []string, stdout, stderr io.Writer) error {
	var rows []row
	var failed []string
	var first error
	for i, class := range classes {
		r, err := evaluate(ctx, o, net, class, fmt.Sprintf("[%d/%d] ", i+1, len(classes)), stderr)
		if ctx.Err() != nil {
			return fmt.Errorf("evaluate: stopped in class %s: %w", class, ctx.Err())
		}
		if err != nil {
			fmt.Fprintf(stderr, "class %s failed: %v\n", class, err)
			failed = append(failed, class)
			if first == nil {
				first = err
			}
			continue
		}
		rows = append(rows, r)
		if o.json != "" {
			if err := writeJSON(o.json, rows); err != nil {
				return fmt.Errorf("evaluate: %w", err)
			}
		}
	}
	if len(rows) > 0 {
		if err := writeTable(stdout, rows); err != nil {
			return fmt.Errorf("evaluate: write the table: %w", err)
		}
	}
	switch {
	case len(failed) == 0:
		return nil
	case len(classes) == 1:
		return fmt.Errorf("evaluate: class %s: %w", classes[0], first)
	}
	return fmt.Errorf("evaluate: %d of %d classes failed (%s), the first one because: %w",
		len(failed), len(classes), strings.Join(failed, ", "), first)
}
