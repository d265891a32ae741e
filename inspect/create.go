package inspect

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/png"
	"maps"
	"math"
	"runtime/debug"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/downstream/classify"
	"github.com/gotab/gotab/tensor"
)

// Spec says what a bundle holds besides the detector.
type Spec struct {
	// Product names the part that is inspected, 1 to 200 bytes.
	Product string
	// Backbone is the network that the detector was fitted with, and a frozen classifier
	// too. Without a classifier, as much of it is kept as the detector reads. nil for
	// RegAD, which has its own; a trained classifier then works on the CPU.
	Backbone *backbone.ResNet
	// Classifier, unless it is nil, names defects. It must be fitted.
	Classifier *classify.Classifier
	// Golden are images that [Bundle.Verify] scores again, 1 to 64: good ones and, best,
	// defective ones. They are kept as PNG.
	Golden []image.Image
	// Provenance is what is to be known of where the bundle comes from: hashes of data,
	// prompts, seeds, licences. At most 256 entries and 1 MiB. It is kept as it is given.
	Provenance map[string]string
	// Created is the time that the bundle names; zero takes now.
	Created time.Time
}

const (
	maxProduct         = 200
	maxProvenance      = 256
	maxProvenanceBytes = 1 << 20
)

func (s Spec) check(u unwrapped) error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", downstream.ErrConfig, fmt.Sprintf(format, args...))
	}
	switch {
	case s.Product == "" || len(s.Product) > maxProduct || !utf8.ValidString(s.Product):
		return bad("Product is %.40q, want 1 to %d bytes of UTF-8", s.Product, maxProduct)
	case len(s.Golden) == 0 || len(s.Golden) > maxGolden:
		return bad("%d golden images, want 1 to %d: without one, nothing tells that a bundle still scores as it did", len(s.Golden), maxGolden)
	case s.Backbone != nil && s.Backbone.Params() == nil:
		return bad("Backbone is a zero value")
	case len(u.subject.layers) > 0 && s.Backbone == nil:
		return bad("Backbone is nil; %s needs the network that it was fitted with", u.kind.name)
	case s.Classifier != nil && s.Classifier.Config().Frozen && s.Backbone == nil:
		return bad("Backbone is nil; the classifier needs the network that it was fitted with")
	case len(s.Provenance) > maxProvenance:
		return bad("Provenance has %d entries, at most %d are kept", len(s.Provenance), maxProvenance)
	}
	n := 0
	for k, v := range s.Provenance {
		n += len(k) + len(v)
		if !utf8.ValidString(k) || !utf8.ValidString(v) {
			return bad("Provenance %.40q is not UTF-8", k)
		}
	}
	if n > maxProvenanceBytes {
		return bad("Provenance has %d bytes, at most %d are kept", n, maxProvenanceBytes)
	}
	return u.regions.Validate()
}

// Create writes a bundle: a file that has all that a verdict needs. It appears whole or
// not at all. det is a fitted and calibrated detector of package downstream, as it is or
// in a [downstream.Tiled], and either of them as it is or [Within] regions.
//
// Before anything is written, the parts are read back and score the golden images; where
// they do not score as det does, as with another backbone than that of the fit, it is
// [downstream.ErrExtractor] or [ErrGolden]. Create returns [downstream.ErrNotCalibrated] if det
// is not calibrated, for whole images seen as det sees them, [downstream.ErrNotFitted] if it
// is not fitted, [downstream.ErrConfig] for a Spec that makes no sense. It holds three
// times the detector's file in memory. det, backbone and classifier stay the caller's.
func Create(ctx context.Context, path string, det downstream.Detector, spec Spec) error {
	if err := create(ctx, path, det, spec); err != nil {
		return fmt.Errorf("inspect: create bundle: %w", err)
	}
	return nil
}

func create(ctx context.Context, path string, det downstream.Detector, spec Spec) error {
	if ctx == nil {
		return errNoContext
	}
	u, err := unwrap(det)
	if err != nil {
		return err
	}
	if err := spec.check(u); err != nil {
		return err
	}
	p, err := collect(ctx, u, spec)
	if err != nil {
		return err
	}
	if err := p.addGolden(ctx, det, u, spec.Golden); err != nil {
		return err
	}
	if err := p.tryOut(ctx, spec); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return p.write(path)
}

// collect makes the parts of a bundle but for the golden images.
func collect(ctx context.Context, u unwrapped, spec Spec) (*parts, error) {
	p := &parts{bytes: make(map[string][]byte)}
	p.head = head{
		Version: Version, Library: library(), Product: spec.Product, Created: spec.Created.UTC().Round(0),
		Detector: u.kind.name, Tiles: tilesOf(u.tiled), Transform: u.subject.transform.String(), Provenance: maps.Clone(spec.Provenance),
	}
	if spec.Created.IsZero() {
		p.head.Created = time.Now().UTC().Round(0)
	}
	var file bytes.Buffer
	if _, err := u.subject.writer.WriteTo(&file); err != nil {
		return nil, err
	}
	p.bytes[partDetector] = file.Bytes()
	if err := p.addCalibration(u.calibration, u.calibration.Good()); err != nil {
		return nil, err
	}
	if err := p.addRegions(u.regions); err != nil {
		return nil, err
	}
	layers := u.subject.layers
	if c := spec.Classifier; c != nil {
		var file bytes.Buffer
		if _, err := c.WriteTo(&file); err != nil {
			return nil, err
		}
		p.bytes[partClassifier] = file.Bytes()
		if spec.Backbone != nil { // one that was trained has its own, and takes the device of this one
			layers = append([]backbone.Layer{backbone.Pooled}, layers...)
		}
	}
	if len(layers) == 0 {
		return p, nil
	}
	return p, p.addBackbone(ctx, spec.Backbone, layers)
}

// addCalibration adds a calibration, and the scores that a line is to be compared with.
func (p *parts) addCalibration(c *downstream.Calibration, reference []float64) (err error) {
	if p.bytes[partCalibration], err = c.MarshalJSON(); err != nil {
		return err
	}
	data := make([]byte, 0, 8*len(reference))
	for _, s := range reference {
		data = binary.LittleEndian.AppendUint64(data, math.Float64bits(s))
	}
	p.bytes[partReference] = data
	return nil
}

func (p *parts) addRegions(g Regions) error {
	if g.All() {
		return nil
	}
	p.head.Regions = &Regions{Of: g.Of, Ignore: g.Ignore}
	if g.Mask == nil {
		return nil
	}
	var file bytes.Buffer
	if err := png.Encode(&file, g.Mask); err != nil {
		return err
	}
	p.bytes[partMask] = file.Bytes()
	return nil
}

// addBackbone adds as much of a network as layers need.
func (p *parts) addBackbone(ctx context.Context, net *backbone.ResNet, layers []backbone.Layer) error {
	last := backbone.Stem
	for _, l := range layers {
		last = max(last, l)
	}
	arrays, err := net.Params().Arrays(ctx)
	if err != nil {
		return err
	}
	kept := arrays[:0]
	for _, a := range arrays {
		stage, _, _ := strings.Cut(a.Name, ".")
		l, err := backbone.ParseLayer(stage)
		if stage == "fc" || err == nil && l > last { // the stem's names are no layer's
			continue
		}
		kept = append(kept, a)
	}
	var file bytes.Buffer
	if _, err := tensor.WriteWeights(&file, map[string]string{"format": "pt", "architecture": net.Arch().String()}, kept); err != nil {
		return err
	}
	p.head.Backbone = &backboneHead{net.Arch().String(), last.String(), net.Precision()}
	p.bytes[partBackbone] = file.Bytes()
	return nil
}

// addGolden adds images with the scores that det gives them.
func (p *parts) addGolden(ctx context.Context, det downstream.Detector, u unwrapped, golden []image.Image) error {
	var pictures []image.Image
	for i, img := range golden {
		rgba := dataset.ToRGBA(img)
		if rgba.Rect.Empty() {
			return fmt.Errorf("golden image %d: %w: it has no pixels", i, downstream.ErrImage)
		}
		for a := 3; a < len(rgba.Pix); a += 4 {
			rgba.Pix[a] = 255 // PNG would divide the colours by anything else
		}
		var file bytes.Buffer
		if err := png.Encode(&file, rgba); err != nil {
			return fmt.Errorf("golden image %d: %w", i, err)
		}
		p.bytes[goldenName(i)] = file.Bytes()
		pictures = append(pictures, rgba)
		if i == 0 {
			size, err := u.subject.transform.Size(rgba.Rect.Dx(), rgba.Rect.Dy())
			if u.tiled != nil { // the size is that of a tile
				cut, cutErr := u.tiled.Tiles.Cut(rgba.Rect.Dx(), rgba.Rect.Dy())
				if cutErr != nil {
					return fmt.Errorf("golden image %d: %w", i, cutErr)
				}
				size, err = u.subject.transform.Size(cut[0].Dx(), cut[0].Dy())
			}
			if err != nil {
				return fmt.Errorf("golden image %d: %w", i, err)
			}
			p.head.Input = [2]int{size.X, size.Y}
		}
	}
	results, err := det.Score(ctx, pictures...)
	if err != nil {
		return fmt.Errorf("golden images: %w", err)
	}
	if len(results) != len(pictures) {
		return fmt.Errorf("golden images: %w: %d results for %d", downstream.ErrImage, len(results), len(pictures))
	}
	for i, r := range results {
		v, err := r.Verdict() // refuses a calibration of other tiles
		if err != nil {
			return fmt.Errorf("golden image %d: %w", i, err)
		}
		p.head.Golden = append(p.head.Golden, v.Score)
	}
	return nil
}

// tryOut reads the parts as Open would and verifies them, on the device of det's
// backbone.
func (p *parts) tryOut(ctx context.Context, spec Spec) error {
	dev := tensor.CPU
	if spec.Backbone != nil {
		dev = spec.Backbone.Device()
	}
	file, err := p.encode()
	if err != nil {
		return err
	}
	o, err := read(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		return err
	}
	b, err := load(ctx, o, dev)
	if err != nil {
		return err
	}
	return errors.Join(b.verify(ctx), b.Close())
}

// library is the version of gotab that the program was built with.
func library() string {
	const path = "github.com/gotab/gotab"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "(unknown)"
	}
	if info.Main.Path == path {
		return info.Main.Version
	}
	for _, d := range info.Deps {
		if d.Path == path {
			return d.Version
		}
	}
	return "(unknown)"
}
