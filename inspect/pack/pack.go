// Package pack fits and calibrates a detector on a folder of images and writes it as a bundle, which
// package inspect serves: what "inspectd pack" does behind flags.
package pack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/inspect"
	"github.com/gotab/gotab/internal/atomicfile"
	"github.com/gotab/gotab/metrics"
	"github.com/gotab/gotab/tab/card"
	"github.com/gotab/gotab/tensor"
)

// Config says what is packed.
type Config struct {
	// Data is a folder or zip file in any layout that dataset.Open finds: good images alone, or
	// good and defective ones. Class is the one to take where there are several ([ErrClass]).
	Data, Class string
	// Reading says how images are read and seen. Its View may not be tiles.
	Reading dataset.Reading
	// Weights is the file of the backbone, Prefix what stands before its names in a file of
	// several networks.
	Weights, Prefix string
	Precision       backbone.Precision
	Device          tensor.Device
	// Detector is one of [Detectors].
	Detector string
	// Rule chooses the threshold on Holdout of the good images, above 0 and below 1, which are kept from the
	// fit; 0 is 0.3, and up to 0.5 where the rule needs more images. Seed chooses them.
	Rule    metrics.Rule
	Holdout float64
	Seed    uint64
	// Product is the product's name; empty for the class. Out is the file of the bundle; empty for the
	// product's name with .gotab. ONNX is a file for the detector as an ONNX model as well (padim); empty
	// for none. A file that is there is fs.ErrExist without Force.
	Product, Out, ONNX string
	Force              bool
	// Provenance are notes to keep in the bundle, but those of [OwnNotes].
	Provenance map[string]string
	// Log gets a line now and then; nil for nowhere.
	Log io.Writer
}

// Result is what was packed.
type Result struct {
	File, Product, Detector string
	Images                  int // of the fit
	Took                    time.Duration
	Calibration             *downstream.Calibration
}

// String says it in two lines.
func (r Result) String() string {
	return fmt.Sprintf("%s: %s of product %q, fitted on %d good images in %.1f s\n%s", r.File, r.Detector, r.Product, r.Images, r.Took.Seconds(), r.Calibration)
}

// Detectors are the ones that are fitted in one pass, without training.
func Detectors() []string { return []string{"padim", "patchcore"} }

// goldens is how many good images a bundle is verified with.
const goldens = 2

// ErrConfig reports settings that make no sense.
var ErrConfig = errors.New("wrong settings")

// ErrClass reports a Class that Data does not have, or none where Data has several. It wraps [ErrConfig].
var ErrClass = fmt.Errorf("%w: no class is chosen", ErrConfig)

// Default packs PaDiM on whole images, with a threshold of at most one good part in twenty rejected.
// Data and Weights are the caller's.
func Default() Config {
	c := Config{Reading: dataset.DefaultReading(), Detector: Detectors()[0], Rule: metrics.Overkill(0.05), Seed: 1}
	if v, err := dataset.ParseView("square"); err == nil { // a line's defects may lie at the border
		c.Reading.View = v
	}
	return c
}

// Validate names the first field that makes no sense; the error wraps [ErrConfig] or is that of the rule or the decoder.
func (p Config) Validate() error {
	wrong := func(format string, a ...any) error {
		return fmt.Errorf("pack: %w: "+format, append([]any{ErrConfig}, a...)...)
	}
	switch {
	case p.Data == "" || p.Weights == "":
		return wrong("Data and Weights are needed")
	case !slices.Contains(Detectors(), p.Detector):
		return wrong("Detector is %q, want %s", p.Detector, strings.Join(Detectors(), " or "))
	case p.ONNX != "" && p.Detector != Detectors()[0]:
		return wrong("ONNX: only %s can be written as an ONNX model, and Detector is %s", Detectors()[0], p.Detector)
	case !(p.Holdout >= 0 && p.Holdout < 1):
		return wrong("Holdout is %v, want above 0 and below 1, or 0 for what the rule needs", p.Holdout)
	}
	if _, tiled := p.Reading.View.Tiles(); tiled {
		return wrong("Reading.View is %s, want square, centre or WxH: a bundle of a detector on tiles is made of a downstream.Tiled by inspect.Create", p.Reading.View)
	}
	if err := p.Reading.Decoder.Validate(); err != nil {
		return err
	}
	return p.Rule.Validate()
}

// Run fits and calibrates a detector and writes its bundle. It returns an error that wraps
// [ErrConfig], fs.ErrExist, dataset.ErrBroken, downstream.ErrTooFewImages, or that of ctx. Bundle
// and ONNX model are both made before either is written; the bundle is there alone if the disk then refuses the
// model.
func Run(ctx context.Context, p Config) (r Result, err error) {
	if err := p.Validate(); err != nil {
		return r, err
	}
	if p.Log == nil {
		p.Log = io.Discard
	}
	notes := map[string]string{}
	for k, v := range p.Provenance {
		notes[k] = v
	}
	p.Provenance = notes
	cfg := dataset.DefaultConfig()
	cfg.Decoder = p.Reading.Decoder
	all, closer, err := dataset.Open(ctx, p.Data, cfg)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, closer.Close()) }()
	for _, i := range all.Issues() {
		if _, err := fmt.Fprintf(p.Log, "note: %s\n", i); err != nil {
			return r, err
		}
	}
	one, err := p.oneClass(all)
	if err != nil {
		return r, err
	}
	if p.Out == "" {
		p.Out = p.Product + ".gotab"
	}
	if err := p.tryOutputs(); err != nil {
		return r, err
	}
	seen, err := p.Reading.Look(ctx, one, p.Log)
	if err != nil {
		return r, err
	}
	fit, held, err := p.divide(seen.Data)
	if err != nil {
		return r, err
	}
	golden, err := goldenOf(ctx, held)
	if err != nil {
		return r, err
	}
	net, err := backbone.OpenChoice(p.Weights, backbone.Choice{Prefix: p.Prefix}, p.Device)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, net.Close()) }()
	if err := net.SetPrecision(p.Precision); err != nil {
		return r, err
	}
	det, transform, err := p.newDetector(net)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, det.Close()) }()
	if note, err := seen.Report.UnseenNote(transform); err != nil {
		return r, err
	} else if note != "" {
		if _, err := fmt.Fprintf(p.Log, "note: %s\n", note); err != nil {
			return r, err
		}
	}
	start := time.Now()
	if err := det.Fit(ctx, fit); err != nil {
		return r, err
	}
	fitted := time.Since(start)
	calibration, err := det.Calibrate(ctx, held, p.Rule)
	if err != nil {
		if errors.Is(err, downstream.ErrTooFewImages) {
			return r, fmt.Errorf("%w; a larger rate, a larger share that is held out or more images make it possible", err)
		}
		return r, err
	}
	if err := p.note(fit, held); err != nil {
		return r, err
	}
	var model bytes.Buffer
	if of, ok := det.(*downstream.PaDiM); ok && p.ONNX != "" {
		if err := of.WriteONNX(ctx, &model); err != nil {
			return r, err
		}
	}
	if err := inspect.Create(ctx, p.Out, det, inspect.Spec{Product: p.Product, Backbone: net, Golden: golden, Provenance: p.Provenance}); err != nil {
		return r, err
	}
	if p.ONNX != "" {
		if err := atomicfile.Write(p.ONNX, func(w io.Writer) error {
			_, err := w.Write(model.Bytes())
			return err
		}); err != nil {
			return r, err
		}
	}
	return Result{p.Out, p.Product, p.Detector, fit.Len(), fitted, calibration}, nil
}

// tryOutputs finds out before the work whether the files can be written, and that nothing is lost by it.
func (p Config) tryOutputs() error {
	outputs := []string{p.Out}
	if p.ONNX != "" {
		outputs = append(outputs, p.ONNX)
	}
	if p.ONNX != "" && filepath.Clean(p.ONNX) == filepath.Clean(p.Out) {
		return fmt.Errorf("pack: %w: bundle and ONNX model are both to be %s", ErrConfig, p.Out)
	}
	for _, out := range outputs {
		is, err := os.Stat(out)
		if err == nil && !p.Force {
			return fmt.Errorf("pack: %w: %s", fs.ErrExist, out)
		}
		for _, in := range []string{p.Data, p.Weights} {
			if read, e := os.Stat(in); err == nil && e == nil && os.SameFile(is, read) {
				return fmt.Errorf("pack: %w: %s would be written over %s, which is read", ErrConfig, out, in)
			}
		}
		if err := atomicfile.Try(out); err != nil {
			return err
		}
	}
	return nil
}

// oneClass takes the class that was asked for, or the only one, and names the product.
func (p *Config) oneClass(all dataset.Dataset) (dataset.Dataset, error) {
	classes := all.Classes()
	switch {
	case p.Class == "" && len(classes) == 1:
		p.Class = classes[0]
	case p.Class == "":
		return nil, fmt.Errorf("pack: %w: %s has several (%s)", ErrClass, p.Data, strings.Join(classes, ", "))
	case !slices.Contains(classes, p.Class):
		return nil, fmt.Errorf("pack: %w: there is no class %q in %s (%s)", ErrClass, p.Class, p.Data, strings.Join(classes, ", "))
	}
	if p.Product == "" {
		p.Product = p.Class
	}
	return dataset.Filter(all, func(it dataset.Item) bool { return it.Class == p.Class && it.IsLabelled() }), nil
}

// share is Holdout, or what the rule needs of n good images within reason.
func (p Config) share(n int) float64 {
	const usual, most = 0.3, 0.5
	if p.Holdout > 0 {
		return p.Holdout
	}
	need := 0.0
	switch r := p.Rule; {
	case r.Kind == metrics.RuleTail:
		need = 80
	case !r.NeedsDefects() && r.Rate > 0:
		need = math.Ceil(1 / r.Rate)
	}
	// The split gives a part its share to within one image.
	return min(max(usual, (need+1)/float64(max(n, 1))), most)
}

// divide splits good images into those of the fit and those of the calibration, which
// has all defective ones, and good ones of a test split, too.
func (p *Config) divide(ds dataset.Dataset) (fit, held dataset.Dataset, err error) {
	good := 0
	for i := range ds.Len() {
		if it := ds.Item(i); it.IsGood() && it.Split != dataset.Test {
			good++
		}
	}
	p.Holdout = p.share(good)
	split := dataset.DefaultSplit()
	split.Parts = []dataset.Part{{Name: dataset.Train, Fraction: 1 - p.Holdout}, {Name: dataset.Validation, Fraction: p.Holdout}}
	split.Parts[0].Fraction = 1 - split.Parts[1].Fraction
	var items []dataset.Item
	for i := range ds.Len() {
		items = append(items, ds.Item(i))
	}
	items, err = split.Assign(items, rand.New(rand.NewPCG(p.Seed, 0x686f6c64)))
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

// goldenOf takes the first good images of those that were held back and, where there is
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

// newDetector makes the detector, and returns what becomes of images.
func (p Config) newDetector(net *backbone.ResNet) (downstream.Detector, dataset.Transform, error) {
	rng := rand.New(rand.NewPCG(p.Seed, 0x6465746563746f72))
	if p.Detector == "patchcore" {
		cfg := downstream.DefaultPatchCore()
		cfg.Transform = p.Reading.Transform(cfg.Transform)
		d, err := downstream.NewPatchCore(net, cfg, rng)
		return d, cfg.Transform, err
	}
	cfg := downstream.DefaultPaDiM()
	cfg.Transform = p.Reading.Transform(cfg.Transform)
	if net.Arch() != backbone.ArchResNet18 { // the reference's channels are ResNet-18's
		cfg.Channels, cfg.Reduced = nil, min(550, net.Channels(backbone.Layer1)+net.Channels(backbone.Layer2)+net.Channels(backbone.Layer3))
	}
	d, err := downstream.NewPaDiM(net, cfg, rng)
	return d, cfg.Transform, err
}

// OwnNotes are what [Run] says itself of a bundle.
func OwnNotes() []string {
	return []string{"weights.sha256", "fit.pictures", "held.pictures", "seed", "holdout", "precision"}
}

// note adds what the bundle is made of to what the user says of it.
func (p Config) note(fit, held dataset.Dataset) error {
	weights, err := card.FileAt(p.Weights)
	if err != nil {
		return err
	}
	values := []string{weights.SHA256, fmt.Sprint(fit.Len()), fmt.Sprint(held.Len()), fmt.Sprint(p.Seed), fmt.Sprint(p.Holdout), p.Precision.String()}
	for i, k := range OwnNotes() {
		p.Provenance[k] = values[i]
	}
	return nil
}
