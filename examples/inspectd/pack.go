package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"image"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/examples/internal/inputs"
	"github.com/gotab/gotab/inspect"
	"github.com/gotab/gotab/metrics"
	"github.com/gotab/gotab/tab/card"
	"github.com/gotab/gotab/tensor"
)

// packing are the flags of pack.
type packing struct {
	data, class, weights, product, out string
	precision                          backbone.Precision
	onnx                               string // "" for none
	detector, device                   string
	kind                               metrics.RuleKind
	rate, holdout                      float64
	seed                               uint64
	provenance                         map[string]string
	force                              bool
	reading                            inputs.Flags
}

// detectors are the ones that are fitted in one pass, without training.
func detectors() []string { return []string{"padim", "patchcore"} }

// goldens is how many good pictures a bundle is verified with.
const goldens = 2

func parsePack(args []string, stderr io.Writer) (packing, error) {
	p := packing{kind: metrics.RuleOverkill, provenance: map[string]string{}}
	fs := flag.NewFlagSet("inspectd pack", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.StringVar(&p.data, "data", "", "`FOLDER` or zip file of pictures, in any layout that dataset.Open finds: pictures alone, or good and defective ones")
	fs.StringVar(&p.class, "class", "", "`NAME` of the class to take where there are several")
	fs.TextVar(&p.precision, "precision", backbone.Float32, "`precision` of the network: float32, or bfloat16, which is two to three times as fast where packing and serving have AVX512-BF16")
	fs.StringVar(&p.weights, "weights", "", "`FILE` of the backbone's weights: torchvision's .pth, safetensors, what examples/pretrain writes")
	fs.StringVar(&p.product, "product", "", "`NAME` of the product (default: the class)")
	fs.StringVar(&p.out, "out", "", "`FILE` for the bundle (default: the product's name with .gotab)")
	fs.StringVar(&p.onnx, "onnx", "", "`FILE` for the detector as an ONNX model as well, for programs in other languages (padim)")
	fs.StringVar(&p.detector, "detector", detectors()[0], "`NAME` of the detector: "+strings.Join(detectors(), ", "))
	fs.StringVar(&p.device, "device", "auto", "`DEVICE` to compute on: auto, cpu, cuda or cuda:N")
	fs.TextVar(&p.kind, "rule", p.kind, "`RULE` for the threshold: overkill, conformal, tail; with labelled defects also escape, youden, f1")
	fs.Float64Var(&p.rate, "rate", 0.05, "the rule's `share` of good parts that are rejected, or of defects that escape")
	fs.Float64Var(&p.holdout, "holdout", 0, "`share` of the good pictures that is kept from the fit, for the threshold (default: 0.3, and up to 0.5 where the rule needs more pictures)")
	fs.Uint64Var(&p.seed, "seed", 1, "`number` that chooses them")
	fs.Func("note", "`KEY=VALUE` to be kept in the bundle, such as licence=own; may be given several times", func(s string) error {
		k, v, ok := strings.Cut(s, "=")
		if !ok || k == "" {
			return errors.New("want KEY=VALUE")
		}
		if slices.Contains(ownNotes(), k) {
			return errors.New("pack writes that itself")
		}
		p.provenance[k] = v
		return nil
	})
	fs.BoolVar(&p.force, "force", false, "replace a bundle that is there")
	p.reading.AddReading(fs)
	p.reading.AddPrefix(fs)
	p.reading.AddTransform(fs)
	if err := fs.Set("transform", "square"); err != nil { // a line's defects may lie at the border
		return p, err
	}
	fs.Lookup("transform").DefValue = "square"
	if err := fs.Parse(args); err != nil {
		return p, err
	}
	switch {
	case fs.NArg() > 0:
		return p, fmt.Errorf("%q: pack takes flags only, see -help", fs.Arg(0))
	case p.data == "" || p.weights == "":
		return p, errors.New("-data FOLDER and -weights FILE are needed")
	case !slices.Contains(detectors(), p.detector):
		return p, fmt.Errorf("-detector is %q, want %s", p.detector, strings.Join(detectors(), " or "))
	case p.onnx != "" && p.detector != detectors()[0]:
		return p, fmt.Errorf("-onnx: only %s can be written as an ONNX model, and -detector is %s", detectors()[0], p.detector)
	case !(p.holdout >= 0 && p.holdout < 1):
		return p, fmt.Errorf("-holdout is %v, want above 0 and below 1, or 0 for what the rule needs", p.holdout)
	}
	if err := p.rule().Validate(); err != nil {
		return p, err
	}
	return p, p.reading.Validate()
}

// rule is -rule and -rate.
func (p packing) rule() metrics.Rule {
	r := metrics.Overkill(p.rate)
	r.Kind = p.kind
	if p.kind == metrics.RuleYouden || p.kind == metrics.RuleF1 {
		r.Rate = 0
	}
	return r
}

// pack fits and calibrates a detector and writes its bundle.
func pack(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	p, err := parsePack(args, stderr)
	if err != nil {
		return err
	}
	if err := p.reading.UseThreads(); err != nil {
		return err
	}
	dev, err := tensor.ParseDevice(p.device)
	if err != nil {
		return err
	}
	cfg := dataset.DefaultConfig()
	cfg.Decoder = p.reading.Decoder()
	all, closer, err := dataset.Open(ctx, p.data, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closer.Close()) }()
	for _, i := range all.Issues() {
		if _, err := fmt.Fprintf(stderr, "note: %s\n", i); err != nil {
			return err
		}
	}
	one, err := p.oneClass(all)
	if err != nil {
		return err
	}
	if p.out == "" {
		p.out = p.product + ".gotab"
	}
	if _, err := os.Stat(p.out); err == nil && !p.force {
		return fmt.Errorf("-out: %s is there already; -force replaces it", p.out)
	}
	if err := inputs.CheckFile(p.out); err != nil {
		return err
	}
	if p.onnx != "" {
		if err := inputs.CheckFile(p.onnx); err != nil {
			return err
		}
	}
	seen, err := p.reading.Look(ctx, one, stderr)
	if err != nil {
		return err
	}
	fit, held, err := p.divide(seen.Data)
	if err != nil {
		return err
	}
	golden, err := goldenOf(ctx, held)
	if err != nil {
		return err
	}
	net, err := backbone.OpenChoice(p.weights, backbone.Choice{Prefix: p.reading.Prefix}, dev)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, net.Close()) }()
	if err := net.SetPrecision(p.precision); err != nil {
		return err
	}
	det, transform, err := p.newDetector(net)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, det.Close()) }()
	if note, err := inputs.UnseenNote(transform, seen.Sizes); err != nil {
		return err
	} else if note != "" {
		if _, err := fmt.Fprintf(stderr, "note: %s\n", note); err != nil {
			return err
		}
	}
	start := time.Now()
	if err := det.Fit(ctx, fit); err != nil {
		return err
	}
	fitted := time.Since(start)
	calibration, err := det.Calibrate(ctx, held, p.rule())
	if err != nil {
		if errors.Is(err, downstream.ErrTooFewImages) {
			return fmt.Errorf("%w; a larger -rate, a larger -holdout or more pictures make it possible", err)
		}
		return err
	}
	if err := p.note(fit, held); err != nil {
		return err
	}
	if err := inspect.Create(ctx, p.out, det, inspect.Spec{Product: p.product, Backbone: net, Golden: golden, Provenance: p.provenance}); err != nil {
		return err
	}
	if of, ok := det.(*downstream.PaDiM); ok && p.onnx != "" {
		if err := of.SaveONNX(ctx, p.onnx); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(stdout, "%s: %s of product %q, fitted on %d good pictures in %.1f s\n%s\n", p.out, p.detector, p.product, fit.Len(), fitted.Seconds(), calibration)
	return err
}

// oneClass takes the class that was asked for, or the only one, and names the product.
func (p *packing) oneClass(all dataset.Dataset) (dataset.Dataset, error) {
	classes := all.Classes()
	switch {
	case p.class == "" && len(classes) == 1:
		p.class = classes[0]
	case p.class == "":
		return nil, fmt.Errorf("%s has several classes: name one with -class (%s)", p.data, strings.Join(classes, ", "))
	case !slices.Contains(classes, p.class):
		return nil, fmt.Errorf("-class: there is no class %q in %s (%s)", p.class, p.data, strings.Join(classes, ", "))
	}
	if p.product == "" {
		p.product = p.class
	}
	return dataset.Filter(all, func(it dataset.Item) bool { return it.Class == p.class && it.IsLabelled() }), nil
}

// share is -holdout, or what the rule needs of n good pictures within reason.
func (p packing) share(n int) float64 {
	const usual, most = 0.3, 0.5
	if p.holdout > 0 {
		return p.holdout
	}
	need := 0.0
	switch r := p.rule(); {
	case r.Kind == metrics.RuleTail:
		need = 80
	case !r.NeedsDefects() && r.Rate > 0:
		need = math.Ceil(1 / r.Rate)
	}
	// The split gives a part its share to within one picture.
	return min(max(usual, (need+1)/float64(max(n, 1))), most)
}

// divide splits good pictures into those of the fit and those of the calibration, which
// has all defective ones, and good ones of a test split, too.
func (p *packing) divide(ds dataset.Dataset) (fit, held dataset.Dataset, err error) {
	good := 0
	for i := range ds.Len() {
		if it := ds.Item(i); it.IsGood() && it.Split != dataset.Test {
			good++
		}
	}
	p.holdout = p.share(good)
	split := dataset.DefaultSplit()
	split.Parts = []dataset.Part{{Name: dataset.Train, Fraction: 1 - p.holdout}, {Name: dataset.Validation, Fraction: p.holdout}}
	split.Parts[0].Fraction = 1 - split.Parts[1].Fraction
	var items []dataset.Item
	for i := range ds.Len() {
		items = append(items, ds.Item(i))
	}
	items, err = split.Assign(items, rand.New(rand.NewPCG(p.seed, 0x686f6c64)))
	if err != nil {
		return nil, nil, err
	}
	var a, b []int
	for i, it := range items {
		if it.Split == dataset.Train && it.IsGood() {
			a = append(a, i)
		} else {
			b = append(b, i)
		}
	}
	if fit, err = dataset.Subset(ds, a); err != nil {
		return nil, nil, err
	}
	held, err = dataset.Subset(ds, b)
	return fit, held, err
}

// goldenOf takes the first good pictures of those that were held back and, where there is
// one, the first defective one.
func goldenOf(ctx context.Context, held dataset.Dataset) ([]image.Image, error) {
	var out []image.Image
	good, defective := 0, 0
	for i := range held.Len() {
		it := held.Item(i)
		if it.IsGood() && good == goldens || it.IsDefective() && defective == 1 {
			continue
		}
		s, err := held.Sample(ctx, i)
		if err != nil {
			return nil, err
		}
		out = append(out, s.Image)
		if it.IsGood() {
			good++
		} else {
			defective++
		}
	}
	return out, nil
}

// newDetector makes the detector, and returns what becomes of pictures.
func (p packing) newDetector(net *backbone.ResNet) (downstream.Detector, dataset.Transform, error) {
	rng := rand.New(rand.NewPCG(p.seed, 0x6465746563746f72))
	if p.detector == "patchcore" {
		cfg := downstream.DefaultPatchCore()
		cfg.Transform = p.reading.Tune(cfg.Transform)
		d, err := downstream.NewPatchCore(net, cfg, rng)
		return d, cfg.Transform, err
	}
	cfg := downstream.DefaultPaDiM()
	cfg.Transform = p.reading.Tune(cfg.Transform)
	if net.Arch() != backbone.ArchResNet18 { // the reference's channels are ResNet-18's
		cfg.Channels, cfg.Reduced = nil, min(550, net.Channels(backbone.Layer1)+net.Channels(backbone.Layer2)+net.Channels(backbone.Layer3))
	}
	d, err := downstream.NewPaDiM(net, cfg, rng)
	return d, cfg.Transform, err
}

// ownNotes are what pack says itself of a bundle.
func ownNotes() []string {
	return []string{"weights.sha256", "fit.pictures", "held.pictures", "seed", "holdout", "precision"}
}

// note adds what the bundle is made of to what the user says of it.
func (p packing) note(fit, held dataset.Dataset) error {
	weights, err := card.FileAt(p.weights)
	if err != nil {
		return err
	}
	values := []string{weights.SHA256, fmt.Sprint(fit.Len()), fmt.Sprint(held.Len()), fmt.Sprint(p.seed), fmt.Sprint(p.holdout), p.precision.String()}
	for i, k := range ownNotes() {
		p.provenance[k] = values[i]
	}
	return nil
}
