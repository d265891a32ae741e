package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/examples/internal/inputs"
	packing "github.com/gotab/gotab/inspect/pack"
	"github.com/gotab/gotab/metrics"
)

// packFlags are the flags of pack.
type packFlags struct {
	packing.Config
	reading inputs.Flags
}

func parsePack(args []string, stderr io.Writer) (packFlags, error) {
	p := packFlags{Config: packing.Default()}
	p.Provenance = map[string]string{}
	set := flag.NewFlagSet("inspectd pack", flag.ContinueOnError)
	set.SetOutput(stderr)
	set.StringVar(&p.Data, "data", "", "`FOLDER` or zip file of images, in any layout that dataset.Open finds: images alone, or good and defective ones")
	set.StringVar(&p.Class, "class", "", "`NAME` of the class to take where there are several")
	set.TextVar(&p.Precision, "precision", backbone.Float32, "`precision` of the network: float32, or bfloat16, which is two to three times as fast where packing and serving have AVX512-BF16")
	set.StringVar(&p.Weights, "weights", "", "`FILE` of the backbone's weights: torchvision's .pth, safetensors, what examples/pretrain writes")
	set.StringVar(&p.Product, "product", "", "`NAME` of the product (default: the class)")
	set.StringVar(&p.Out, "out", "", "`FILE` for the bundle (default: the product's name with .gotab)")
	set.StringVar(&p.ONNX, "onnx", "", "`FILE` for the detector as an ONNX model as well, for programs in other languages (padim)")
	set.StringVar(&p.Detector, "detector", packing.Detectors()[0], "`NAME` of the detector: "+strings.Join(packing.Detectors(), ", "))
	p.reading.AddDevice(set)
	set.TextVar(&p.Rule.Kind, "rule", p.Rule.Kind, "`RULE` for the threshold: overkill, conformal, tail; with labelled defects also escape, youden, f1")
	set.Float64Var(&p.Rule.Rate, "rate", p.Rule.Rate, "the rule's `share` of good parts that are rejected, or of defects that escape")
	set.Float64Var(&p.Holdout, "holdout", 0, "`share` of the good images that is kept from the fit, for the threshold (default: 0.3, and up to 0.5 where the rule needs more images)")
	set.Uint64Var(&p.Seed, "seed", 1, "`number` that chooses them")
	set.Func("note", "`KEY=VALUE` to be kept in the bundle, such as licence=own; may be given several times", func(s string) error {
		k, v, ok := strings.Cut(s, "=")
		if !ok || k == "" {
			return errors.New("want KEY=VALUE")
		}
		if slices.Contains(packing.OwnNotes(), k) {
			return errors.New("pack writes that itself")
		}
		p.Provenance[k] = v
		return nil
	})
	set.BoolVar(&p.Force, "force", false, "replace files that are there")
	p.reading.AddReading(set)
	p.reading.AddPrefix(set)
	p.reading.AddTransform(set)
	if err := set.Set("transform", "square"); err != nil { // a line's defects may lie at the border
		return p, err
	}
	transform := set.Lookup("transform")
	transform.DefValue, transform.Usage = "square", "what the network sees: `square` (the whole image, stretched), centre (cut out of the resized image) or WxH (the whole image, of so many pixels)"
	if err := set.Parse(args); err != nil {
		return p, err
	}
	switch {
	case set.NArg() > 0:
		return p, fmt.Errorf("%q: pack takes flags only, see -help", set.Arg(0))
	case p.Data == "" || p.Weights == "":
		return p, errors.New("-data FOLDER and -weights FILE are needed")
	case !slices.Contains(packing.Detectors(), p.Detector):
		return p, fmt.Errorf("-detector is %q, want %s", p.Detector, strings.Join(packing.Detectors(), " or "))
	case p.ONNX != "" && p.Detector != packing.Detectors()[0]:
		return p, fmt.Errorf("-onnx: only %s can be written as an ONNX model, and -detector is %s", packing.Detectors()[0], p.Detector)
	case !(p.Holdout >= 0 && p.Holdout < 1):
		return p, fmt.Errorf("-holdout is %v, want above 0 and below 1, or 0 for what the rule needs", p.Holdout)
	}
	if p.Rule.Kind == metrics.RuleYouden || p.Rule.Kind == metrics.RuleF1 {
		p.Rule.Rate = 0
	}
	if err := p.Rule.Validate(); err != nil {
		return p, fmt.Errorf("-rule %s, -rate %g: %w", p.Rule.Kind, p.Rule.Rate, err)
	}
	if err := p.reading.Validate(); err != nil {
		return p, err
	}
	if _, tiled := p.reading.View.Tiles(); tiled {
		return p, fmt.Errorf("-transform is %s, want square, centre or WxH: pack makes no bundle of a detector on tiles", p.reading.View)
	}
	p.Reading, p.Prefix, p.Log = p.reading.Reading, p.reading.Prefix, stderr
	return p, nil
}

// pack fits and calibrates a detector and writes its bundle.
func pack(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	p, err := parsePack(args, stderr)
	if err != nil {
		return err
	}
	if p.Device, err = p.reading.Start(); err != nil {
		return err
	}
	r, err := packing.Run(ctx, p.Config)
	switch {
	case errors.Is(err, fs.ErrExist):
		return fmt.Errorf("-out, -onnx: %w; -force replaces it", err)
	case errors.Is(err, packing.ErrClass):
		return fmt.Errorf("-class: %w", err)
	case errors.Is(err, downstream.ErrTooFewImages):
		return fmt.Errorf("%w (-rate, -holdout)", err)
	case err != nil:
		return inputs.Hint(err)
	}
	_, err = fmt.Fprintln(stdout, r)
	return err
}
