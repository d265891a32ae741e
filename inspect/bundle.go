package inspect

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"io"
	"maps"
	"math"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/downstream/classify"
	"github.com/gotab/gotab/downstream/heatmap"
	"github.com/gotab/gotab/metrics"
	"github.com/gotab/gotab/tensor"
)

// ErrClosed reports the use of a bundle or an inspector after Close. It is
// [tensor.ErrClosed].
var ErrClosed = tensor.ErrClosed

var errNoContext = fmt.Errorf("%w: the context is nil", downstream.ErrConfig)

// Bundle is an open bundle: a detector that decides about one product, with all that it
// stands on. It holds native memory and its file: Close it. Bundles of the same
// backbone on the same device share one. It is safe for concurrent use.
type Bundle struct {
	file        *opened
	info        Info
	calibration *downstream.Calibration
	reference   []float64 // scores of good parts, rising
	det         downstream.Detector
	classifier  *classify.Classifier // nil for none
	names       []string             // of the classifier
	regions     Regions
	net         *sharedNet // nil where the detector has its own
	closer      io.Closer  // of the file; nil where it is in memory

	using  sync.RWMutex // held while the detector is used
	closed bool
}

// OpenOption says how a bundle is opened.
type OpenOption func(*openOptions)

type openOptions struct{ device tensor.Device }

// OnDevice has the bundle work on a device; the CPU without it.
func OnDevice(d tensor.Device) OpenOption { return func(o *openOptions) { o.device = d } }

// Open reads a bundle that [Create] wrote. Every byte of it is checked against the
// SHA-256 that it carries; nothing of it is run. It returns [ErrBundle] if the file is no
// bundle, is cut short or was altered, and [ErrVersion] if its version is not one that this
// library reads; [downstream.ErrExtractor] if its backbone answers otherwise here than where it was
// made; [backbone.ErrPrecision] if it computes in bfloat16 and this machine does not; others come from the file system, the device or the end of ctx. Whether it
// still scores as it did, [Bundle.Verify] says.
func Open(ctx context.Context, path string, opts ...OpenOption) (*Bundle, error) {
	var o openOptions
	for _, opt := range opts {
		if opt != nil {
			opt(&o)
		}
	}
	b, err := open(ctx, path, o)
	if err != nil {
		return nil, fmt.Errorf("inspect: open bundle %s: %w", path, err)
	}
	return b, nil
}

func open(ctx context.Context, path string, opts openOptions) (_ *Bundle, err error) {
	if ctx == nil {
		return nil, errNoContext
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = f.Close() // read-only: closing it can lose nothing
		}
	}()
	st, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !st.Mode().IsRegular():
		return nil, fmt.Errorf("%w: it is no regular file", ErrBundle)
	}
	o, err := read(f, st.Size())
	if err != nil {
		return nil, err
	}
	b, err := load(ctx, o, opts.device)
	if err != nil {
		return nil, err
	}
	b.closer = f
	return b, nil
}

// load makes a bundle of a file whose seal is sound. What its parts cannot be is
// [ErrBundle].
func load(ctx context.Context, o *opened, dev tensor.Device) (_ *Bundle, err error) {
	b := &Bundle{file: o}
	defer func() {
		if err != nil {
			err = errors.Join(o.blame(ctx, err), b.free())
		}
	}()
	if err := b.loadSmall(); err != nil {
		return nil, err
	}
	var net *backbone.ResNet
	if o.head.Backbone != nil {
		arch, last, err := o.head.Backbone.net()
		if err != nil {
			return nil, err
		}
		key := netKey{sum: o.sums[partBackbone], arch: arch, last: last, precision: o.head.Backbone.Precision, device: dev}
		if b.net, err = nets.use(ctx, key, func() (io.Reader, error) { return o.open(partBackbone) }); err != nil {
			return nil, err
		}
		net = b.net.net
	}
	if err := b.loadDetector(ctx, net, dev); err != nil {
		return nil, err
	}
	if !o.has(partClassifier) {
		return b, nil
	}
	r, err := o.open(partClassifier)
	if err != nil {
		return nil, err
	}
	var fe downstream.Extractor // a nil pointer must not become an Extractor
	if net != nil {
		fe = net
	}
	if b.classifier, err = classify.Read(ctx, r, fe); err != nil {
		return nil, err
	}
	b.names = b.classifier.Names()
	return b, nil
}

// blame adds ErrBundle to an error that is the file's fault.
func (o *opened) blame(ctx context.Context, err error) error {
	for _, other := range []error{ErrBundle, backbone.ErrPrecision, downstream.ErrExtractor, tensor.ErrOutOfMemory, tensor.ErrDevice, tensor.ErrThreads, os.ErrClosed} {
		if errors.Is(err, other) {
			return err
		}
	}
	var path *os.PathError // of reading the file
	if ctx.Err() != nil || errors.As(err, &path) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrBundle, err)
}

// loadSmall reads what has no native memory.
func (b *Bundle) loadSmall() error {
	o := b.file
	text, err := o.part(partCalibration, 1<<22)
	if err != nil {
		return err
	}
	if b.calibration, err = downstream.ParseCalibration(text); err != nil {
		return err
	}
	data, err := o.part(partReference, 8<<16)
	if err != nil {
		return err
	}
	for ; len(data) >= 8; data = data[8:] {
		s := math.Float64frombits(binary.LittleEndian.Uint64(data))
		if s-s != 0 || len(b.reference) > 0 && s < b.reference[len(b.reference)-1] {
			return fmt.Errorf("%w: its reference does not rise or is not finite", ErrBundle)
		}
		b.reference = append(b.reference, s)
	}
	if err := b.loadRegions(); err != nil {
		return err
	}
	scorer, err := o.scorer()
	if err != nil {
		return err
	}
	h := o.head
	point := b.calibration.Point()
	b.info = Info{
		Product: h.Product, Bundle: o.id(), Scorer: scorer, Version: h.Version, Library: h.Library, Detector: h.Detector,
		Threshold: b.calibration.Threshold(), Rule: point.Rule.String(), Calibration: b.calibration.String(), Transform: h.Transform,
		Input: image.Pt(h.Input[0], h.Input[1]), Created: h.Created, Provenance: h.Provenance,
	}
	return nil
}

func (b *Bundle) loadRegions() error {
	o := b.file
	if o.head.Regions == nil {
		return nil
	}
	b.regions = *o.head.Regions
	if !o.has(partMask) {
		return nil
	}
	file, err := o.part(partMask, 1<<28)
	if err != nil {
		return err
	}
	d := dataset.DefaultDecoder()
	d.MaxPixels = maxMaskPixels
	img, err := d.Image(bytes.NewReader(file))
	if err != nil {
		return err
	}
	mask := image.NewGray(img.Rect)
	for i := range mask.Pix {
		mask.Pix[i] = img.Pix[4*i]
	}
	b.regions.Mask = mask
	return b.regions.Validate()
}

func (b *Bundle) loadDetector(ctx context.Context, net *backbone.ResNet, dev tensor.Device) error {
	o := b.file
	k, ok := kindNamed(o.head.Detector)
	if !ok {
		return fmt.Errorf("%w: its detector is a %.40q, which this library has not", ErrBundle, o.head.Detector)
	}
	r, err := o.open(partDetector)
	if err != nil {
		return err
	}
	if b.det, err = k.read(ctx, r, net, dev); err != nil {
		b.det = nil
		return err
	}
	if o.head.Tiles != nil {
		tiled, err := downstream.NewTiled(b.det, o.head.Tiles.config())
		if err != nil {
			return err
		}
		b.det = tiled
	}
	if b.regions.All() {
		return nil
	}
	within, err := Within(b.det, b.regions)
	if err != nil {
		return err
	}
	b.det = within
	return nil
}

// Info describes the bundle.
func (b *Bundle) Info() Info {
	i := b.info
	i.Provenance = maps.Clone(i.Provenance)
	return i
}

// Calibration returns what decides.
func (b *Bundle) Calibration() *downstream.Calibration { return b.calibration }

// Regions returns where the bundle looks.
func (b *Bundle) Regions() Regions { return b.regions }

// Decide judges images together, at once and without a queue; an [Inspector] calls it.
// Verdicts come in the order of the images, without Waited, and with maps of at most
// 16,777,216 values. Errors are those of the detector's Score and of the classifier;
// there is no partial result.
func (b *Bundle) Decide(ctx context.Context, imgs ...image.Image) ([]Verdict, error) {
	out, err := b.decide(ctx, imgs)
	if err != nil {
		return nil, err
	}
	for i := range out {
		size := imgs[i].Bounds().Size()
		if !mapless(ctx) {
			if out[i].Map, err = enlarged(out[i].Map, size, DefaultConfig().MapPixels); err != nil {
				return nil, err
			}
		}
		b.regions.hide(out[i].Map, size)
	}
	return out, nil
}

type maplessKey struct{}

// WithoutMap returns a context in which [Inspector.Inspect], [Inspector.InspectAll] and
// [Bundle.Decide] leave [Verdict.Map] as the detector made it and do not bring it to the
// image's size, for callers that want the decision alone. [Verdict.Overlay] draws such
// a map, too.
func WithoutMap(ctx context.Context) context.Context {
	if ctx == nil {
		return nil // which those refuse
	}
	return context.WithValue(ctx, maplessKey{}, true)
}

// mapless says whether a context is one of [WithoutMap].
func mapless(ctx context.Context) bool { return ctx.Value(maplessKey{}) != nil }

// decide gives verdicts whose maps are the detector's own, and hide nothing yet.
func (b *Bundle) decide(ctx context.Context, imgs []image.Image) ([]Verdict, error) {
	if ctx == nil {
		return nil, errNoContext
	}
	b.using.RLock()
	defer b.using.RUnlock()
	if b.over() {
		return nil, fmt.Errorf("inspect: bundle of %s: %w", b.info.Product, ErrClosed)
	}
	for i, img := range imgs {
		if absent(img) {
			return nil, fmt.Errorf("inspect: image %d: %w: it is nil", i, downstream.ErrImage)
		}
	}
	start := time.Now()
	results, err := b.det.Score(ctx, imgs...)
	if err != nil {
		return nil, err
	}
	if len(results) != len(imgs) {
		return nil, fmt.Errorf("inspect: %w: the detector gives %d results for %d images", downstream.ErrImage, len(results), len(imgs))
	}
	out := make([]Verdict, len(imgs))
	var rejected []int
	for i, r := range results {
		out[i] = Verdict{
			Verdict: b.calibration.Verdict(r.Score), Product: b.info.Product, Bundle: b.info.Bundle, Scorer: b.info.Scorer,
			Map: r.Map, Scale: heatmap.Scale(b.calibration.Scale()),
		}
		if out[i].Reject {
			rejected = append(rejected, i)
		}
	}
	if err := b.name(ctx, imgs, rejected, out); err != nil {
		return nil, err
	}
	took := time.Since(start)
	for i := range out {
		out[i].Took = took
	}
	return out, nil
}

// enlarged brings a map to the size of its image, where that has no more pixels than a
// map may have values.
func enlarged(m downstream.Map, size image.Point, mapPixels int) (downstream.Map, error) {
	if size.X > 0 && size.Y > 0 && size.X > mapPixels/size.Y {
		return m, nil
	}
	return m.ToInput(size.X, size.Y)
}

// name has the classifier name the defects of rejected parts.
func (b *Bundle) name(ctx context.Context, imgs []image.Image, rejected []int, out []Verdict) error {
	if b.classifier == nil || len(rejected) == 0 {
		return nil
	}
	of := make([]image.Image, len(rejected))
	for k, i := range rejected {
		of[k] = imgs[i]
	}
	predictions, err := b.classifier.Predict(ctx, of...)
	if err != nil {
		return err
	}
	for k, i := range rejected {
		for c, p := range predictions[k].Probability {
			out[i].Defects = append(out[i].Defects, Named{b.names[c], float64(p)})
		}
		slices.SortStableFunc(out[i].Defects, func(a, b Named) int { return cmp.Compare(b.Probability, a.Probability) })
	}
	return nil
}

// tolerance is how far a score may be, in parts of the one it was, from what it was
// when the bundle was made: what other processors, devices and threads round.
func (h head) tolerance() float64 {
	if h.Backbone != nil && h.Backbone.Precision == backbone.BFloat16 {
		return 2e-2
	}
	return 1e-3
}

// Verify scores the golden images and compares with the scores that they had when the
// bundle was made. It returns [ErrGolden] if one of them differs by more than a
// thousandth (a fiftieth where the network computes in bfloat16), as after a change of libtorch, processor or device that matters.
func (b *Bundle) Verify(ctx context.Context) error {
	if err := b.verify(ctx); err != nil {
		return fmt.Errorf("inspect: verify bundle %s of %s: %w", b.info.Bundle, b.info.Product, err)
	}
	return nil
}

func (b *Bundle) verify(ctx context.Context) error {
	switch {
	case ctx == nil:
		return errNoContext
	case b.file == nil:
		return ErrClosed
	}
	for i, want := range b.file.head.Golden {
		if err := ctx.Err(); err != nil {
			return err
		}
		img, err := b.golden(i)
		if err != nil {
			return err
		}
		got, err := b.decide(ctx, []image.Image{img})
		if err != nil {
			return err
		}
		if s := got[0].Score; !(math.Abs(s-want) <= b.file.head.tolerance()*math.Abs(want)) {
			return fmt.Errorf("%w: image %d has %.9g, it had %.9g; fit and calibrate on this machine, or run what the bundle was made with", ErrGolden, i, s, want)
		}
	}
	return nil
}

// golden decodes a golden image. The file may not be closed meanwhile.
func (b *Bundle) golden(i int) (image.Image, error) {
	b.using.RLock()
	defer b.using.RUnlock()
	if b.over() {
		return nil, ErrClosed
	}
	r, err := b.file.open(goldenName(i))
	if err != nil {
		return nil, err
	}
	img, err := dataset.Decode(r)
	if err != nil {
		return nil, fmt.Errorf("%w: golden image %d: %w", ErrBundle, i, err)
	}
	return img, nil
}

// Recalibrated writes a bundle that is this one with another calibration, such as one
// from [Bundle.Revise] or [downstream.Calibration.WithRule]. It appears whole or not at all.
// The scores that the drift monitor compares with stay those of the parts that the first
// calibration was made on. It returns [downstream.ErrNotCalibrated] if c is nil.
func (b *Bundle) Recalibrated(ctx context.Context, path string, c *downstream.Calibration) error {
	err := func() error {
		if c == nil {
			return downstream.ErrNotCalibrated
		}
		if ctx == nil {
			return errNoContext
		}
		b.using.RLock()
		defer b.using.RUnlock()
		if b.over() {
			return ErrClosed
		}
		p := parts{head: b.file.head, bytes: make(map[string][]byte)}
		p.head.Version, p.head.Library, p.head.Created = Version, library(), time.Now().UTC().Round(0)
		for _, info := range b.file.file.Infos() {
			if info.Name == partSeal {
				continue
			}
			data, err := b.file.file.Bytes(info.Name)
			if err != nil {
				return err
			}
			if sha256.Sum256(data) != b.file.sums[info.Name] {
				return fmt.Errorf("%w: its file was changed while it was open (part %s)", ErrBundle, info.Name)
			}
			p.bytes[info.Name] = data
		}
		if err := p.addCalibration(c, b.reference); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		return p.write(path)
	}()
	if err != nil {
		return fmt.Errorf("inspect: write bundle with another calibration: %w", err)
	}
	return nil
}

// over says whether the bundle is closed, or was never opened. It is locked.
func (b *Bundle) over() bool { return b.closed || b.file == nil }

// Close frees the bundle when what uses it has ended, and waits for that. Closing twice
// is harmless.
func (b *Bundle) Close() error {
	b.using.Lock()
	defer b.using.Unlock()
	if b.over() {
		return nil
	}
	b.closed = true
	return b.free()
}

func (b *Bundle) free() (err error) {
	if b.classifier != nil {
		err = errors.Join(err, b.classifier.Close())
	}
	if b.det != nil {
		err = errors.Join(err, b.det.Close())
	}
	if b.net != nil {
		err = errors.Join(err, nets.done(b.net))
	}
	if b.closer != nil {
		err = errors.Join(err, b.closer.Close())
	}
	return err
}

// usual are the scores of good parts that pass, of those that the drift monitor compares
// with. Where the threshold lies just above one of them, as it does by the rules that count,
// that one is left out: given its place, those below it are drawn as parts to come that pass
// are, but it is not.
func (b *Bundle) usual() []float64 {
	n, _ := slices.BinarySearch(b.reference, b.calibration.Threshold())
	if kind := b.calibration.Point().Rule.Kind; n > 0 && (kind == metrics.RuleOverkill || kind == metrics.RuleConformal) {
		n--
	}
	return slices.Clone(b.reference[:n])
}
