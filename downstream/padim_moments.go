package downstream

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"io"
	"math"
	"reflect"
	"slices"
	"sync"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream/internal/engine"
	"github.com/gotab/gotab/downstream/internal/feed"
	"github.com/gotab/gotab/downstream/internal/padim"
	"github.com/gotab/gotab/internal/pipeline"
	"github.com/gotab/gotab/tensor"
)

// padimMomentsKind marks a file and the version of its layout: safetensors with the float64
// arrays mean [P, C] and scatter [P, C(C+1)/2] (the lower triangles, row by row), and the
// float32 array fingerprint [C].
const padimMomentsKind = "gotab.padim-moments.1"

// PaDiMMoments are the statistics of some of the images of a fit: mean and sum of squares of the
// features at each position, in double precision. They are made on one machine of its share of
// the images ([PaDiM.Moments]), go into a file, and those of all machines together make the
// detector that one fit on all images makes ([PaDiM.FitMoments]), to rounding of double precision.
//
// They take 4 P C (C+3) bytes in memory and in a file, 129 MB for 3136 positions and 100
// channels, however many images there are. All methods are safe for concurrent use.
type PaDiMMoments struct {
	mu          sync.Mutex
	cfg         PaDiMConfig
	size        image.Point
	sums        padim.Sums
	fingerprint []float32
	precision   backbone.Precision // of the features
	seen        []uint64
}

// Moments runs good images, at least one, through the network and returns their
// statistics. The detector stays as it is, need not be fitted, and waits for no Fit. The sums are kept on the host: adding
// an image takes P C (C+1)/2 multiplications there, some ten milliseconds for the default
// settings, beside those of the network. Errors are those of [PaDiM.Fit].
func (p *PaDiM) Moments(ctx context.Context, good dataset.Dataset) (m *PaDiMMoments, err error) {
	if p.core.Current.IsClosed() {
		return nil, p.core.ClosedError("gather moments")
	}
	if m, err = p.moments(ctx, good); err != nil {
		return nil, p.core.Failed(ctx, "gather moments", err)
	}
	return m, nil
}

func (p *PaDiM) moments(ctx context.Context, good dataset.Dataset) (*PaDiMMoments, error) {
	if good == nil || good.Len() == 0 {
		return nil, fmt.Errorf("%w: have none", ErrTooFewImages)
	}
	from, seen, err := feed.FitImages(good, p.cfg.Transform)
	if err != nil {
		return nil, err
	}
	size, err := p.core.In.InputSize(ctx, from)
	if err != nil {
		return nil, err
	}
	m := &PaDiMMoments{cfg: p.Config(), size: size, sums: padim.Sums{C: p.sel.Count}, precision: p.core.PrecisionNow()}
	if m.fingerprint, err = p.core.Fingerprint(ctx, size); err != nil {
		return nil, err
	}
	inner := tensor.WithThreads(ctx, 1)
	cores := tensor.GetThreads().Cores
	cut := feed.Spans(good.Len(), p.cfg.Batch, 1)
	done := 0
	for f, err := range pipeline.Ordered(inner, len(cut), cores+1, cores+1, func(ctx context.Context, i int) (*features, error) {
		return p.features(ctx, from, cut[i], size)
	}) {
		if err == nil {
			err = m.sums.Add(f.values, f.n, f.h, f.w, cores)
		}
		if err != nil {
			return nil, err
		}
		p.core.In.Put(f.values)
		done += f.n
		p.core.Report("gather moments", done, good.Len())
	}
	m.seen = seen.With(nil)
	return m, nil
}

// Images is how many there were.
func (m *PaDiMMoments) Images() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sums.Images
}

// Add adds the images of other, which stays as it is. Parts may be added in any order: the
// results differ by rounding of double precision.
//
// It returns [ErrConfig] for moments of other settings (layers, channels, transform and so on; Sigma, Epsilon and Batch
// do not matter), of another size of images, or of the very same images, [ErrExtractor] for those of another
// network. After an error m is as it was.
func (m *PaDiMMoments) Add(other *PaDiMMoments) error {
	fail := func(err error) error { return fmt.Errorf("downstream: add moments of PaDiM: %w", err) }
	if other == nil || other == m {
		return fail(fmt.Errorf("%w: they are nil, or the same", ErrConfig))
	}
	// Copied first, so that two that are added to each other do not wait for each other.
	o := other.copied()
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.fits(o); err != nil {
		return fail(err)
	}
	m.sums.Merge(&o.sums)
	all := append(slices.Clone(m.seen), o.seen...)
	slices.Sort(all)
	all = slices.Compact(all)
	m.seen = all[:min(len(all), feed.MaxSightings)]
	return nil
}

// copied returns m as it is now.
func (m *PaDiMMoments) copied() *PaDiMMoments {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := &PaDiMMoments{cfg: m.cfg, size: m.size, sums: m.sums, fingerprint: m.fingerprint, precision: m.precision, seen: m.seen}
	c.sums.Mean, c.sums.Scatter = slices.Clone(m.sums.Mean), slices.Clone(m.sums.Scatter)
	return c
}

// fits says whether o can be added to m. The mutex of m is held, o is nobody else's.
func (m *PaDiMMoments) fits(o *PaDiMMoments) error {
	switch {
	case m.sums.Images == 0 || o.sums.Images == 0:
		return fmt.Errorf("%w: they are of no images", ErrConfig)
	case !sameFeatures(m.cfg, o.cfg) || m.size != o.size || m.sums.C != o.sums.C || m.sums.H != o.sums.H || m.sums.W != o.sums.W:
		return fmt.Errorf("%w: they are of other layers, channels, transforms or sizes", ErrConfig)
	case len(o.seen) > 0 && !slices.ContainsFunc(o.seen, func(d uint64) bool { _, there := slices.BinarySearch(m.seen, d); return !there }):
		return fmt.Errorf("%w: all %d images of them are there already, and would count twice", ErrConfig, o.sums.Images)
	}
	return engine.SameExtractor(m.fingerprint, o.fingerprint, m.precision, o.precision)
}

// sameFeatures says whether two settings make the same features of an image.
func sameFeatures(a, b PaDiMConfig) bool {
	a.Sigma, a.Epsilon, a.Batch = b.Sigma, b.Epsilon, b.Batch
	return a.Transform.Fingerprint() == b.Transform.Fingerprint() && a.Normalize == b.Normalize &&
		slices.Equal(a.Layers, b.Layers) && reflect.DeepEqual(a.Channels, b.Channels)
}

// FitMoments makes the detector what Fit would make it of all images of the parts, at
// least two, without the images: the result depends on how they are divided by rounding of
// double precision only, and differs from Fit, which adds in single precision, by less than
// 1e-4 of a map's largest value. It holds the moments of two parts at a time.
//
// Errors are those of [PaDiMMoments.Add], [ErrTooFewImages], and those of [PaDiM.Fit] but for
// what is about images. The turn is that of a Fit.
func (p *PaDiM) FitMoments(ctx context.Context, parts ...*PaDiMMoments) error {
	return p.core.Refit(ctx, "fit", func(ctx context.Context) (*gaussians, error) { return p.fitMoments(ctx, parts) })
}

func (p *PaDiM) fitMoments(ctx context.Context, parts []*PaDiMMoments) (*gaussians, error) {
	if len(parts) == 0 || slices.Contains(parts, nil) {
		return nil, fmt.Errorf("%w: there are no moments, or nil", ErrTooFewImages)
	}
	all := parts[0].copied()
	for i, part := range parts[1:] {
		if slices.Contains(parts[:i+1], part) {
			return nil, fmt.Errorf("%w: the same moments are given twice", ErrConfig)
		}
		if err := all.Add(part); err != nil {
			return nil, err
		}
	}
	if !sameFeatures(all.cfg, p.cfg) {
		return nil, fmt.Errorf("%w: the moments are of other layers, channels or transforms than the detector's", ErrConfig)
	}
	if all.sums.Images < 2 {
		return nil, fmt.Errorf("%w: have %d, a covariance needs 2 or more", ErrTooFewImages, all.sums.Images)
	}
	f, err := all.sums.Fit(ctx, p.core.Dev, p.cfg.Epsilon, p.form(), tensor.GetThreads().Cores)
	if err != nil {
		return nil, err
	}
	g := &gaussians{Gaussians: f.Gaussians, state: state{seen: all.seen,
		Model: engine.Model{Params: f.Params, GridH: f.H, GridW: f.W, InW: all.size.X, InH: all.size.Y, Images: f.Images, Fingerprint: all.fingerprint, Precision: all.precision}}}
	if err := g.AddSmoothing(ctx, p.cfg.Sigma); err != nil {
		return nil, errors.Join(err, g.Free())
	}
	if err := p.core.Identify(ctx, g.Common()); err != nil {
		return nil, errors.Join(err, g.Free())
	}
	return g, nil
}

// padimMomentsSettings is the JSON form of settings and sizes, of which one image is enough.
type padimMomentsSettings struct{ padimSettings }

// Config returns the settings of the detector.
func (s padimMomentsSettings) Config() (PaDiMConfig, error) {
	if err := s.Sizes.Check(engine.Coarsest); err != nil {
		return PaDiMConfig{}, err
	}
	s.Images = max(s.Images, 2)
	return s.padimSettings.Config()
}

// WriteTo writes the moments as safetensors. Reading them back gives the same bits.
func (m *PaDiMMoments) WriteTo(w io.Writer) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.sums.Images == 0 {
		return 0, fmt.Errorf("downstream: save moments of PaDiM: %w: they are of no images", ErrTooFewImages)
	}
	p, c := int64(m.sums.H*m.sums.W), int64(m.sums.C)
	contents := &engine.Contents{
		Settings: padimMomentsSettings{padimSettings{
			Layers: engine.NamesOf(m.cfg.Layers), Channels: m.cfg.Channels, Epsilon: m.cfg.Epsilon,
			ViewSettings: engine.ViewOf(m.cfg.Sigma, m.cfg.Transform, m.cfg.Normalize, m.cfg.Batch),
			Sizes:        engine.Sizes{Grid: [2]int{m.sums.W, m.sums.H}, Input: [2]int{m.size.X, m.size.Y}, Images: m.sums.Images, Precision: m.precision},
		}},
		Arrays: []tensor.Array{doubles("mean", m.sums.Mean, p, c), doubles("scatter", m.sums.Scatter, p, c*(c+1)/2), tensor.FloatArray("fingerprint", m.fingerprint, c)},
	}
	if err := (beside{seen: m.seen}).add(contents); err != nil {
		return 0, err
	}
	return contents.Write(w, whoIs("moments of PaDiM"), padimMomentsKind)
}

// doubles is an array of float64.
func doubles(name string, values []float64, shape ...int64) tensor.Array {
	data := make([]byte, 0, 8*len(values))
	for _, v := range values {
		data = binary.LittleEndian.AppendUint64(data, math.Float64bits(v))
	}
	return tensor.Array{Name: name, DType: tensor.Float64, Shape: shape, Data: data}
}

// Save writes the moments to a file that appears whole or not at all.
func (m *PaDiMMoments) Save(path string) error { return engine.Save(path, m) }

// ReadPaDiMMoments reads what WriteTo wrote. A damaged file is [ErrFile].
func ReadPaDiMMoments(r io.Reader) (*PaDiMMoments, error) {
	fail := func(err error) (*PaDiMMoments, error) {
		return nil, fmt.Errorf("downstream: read moments of PaDiM: %w: %w", ErrFile, err)
	}
	st, cfg, arrays, also, err := readFitted[PaDiMConfig, padimMomentsSettings](r, whoIs("moments of PaDiM"), padimMomentsKind)
	if err != nil {
		return nil, err
	}
	c := len(cfg.Channels)
	m := &PaDiMMoments{cfg: cfg, size: image.Pt(st.Input[0], st.Input[1]), seen: also.seen, precision: st.Precision, sums: padim.Sums{H: st.Grid[1], W: st.Grid[0], C: c, Images: st.Images}}
	p := int64(st.Grid[0]) * int64(st.Grid[1])
	if m.sums.Mean, err = doublesOf(arrays, "mean", p, int64(c)); err != nil {
		return fail(err)
	}
	if m.sums.Scatter, err = doublesOf(arrays, "scatter", p, int64(c)*int64(c+1)/2); err != nil {
		return fail(err)
	}
	if m.fingerprint, err = engine.FloatsOf(arrays, "fingerprint", int64(c)); err != nil {
		return fail(err)
	}
	if err := m.sums.Check(); err != nil {
		return fail(err)
	}
	return m, nil
}

// doublesOf returns the values of a float64 array of a file of a name and a shape.
func doublesOf(arrays []tensor.Array, name string, shape ...int64) ([]float64, error) {
	a, err := engine.ArrayNamed(arrays, name)
	if err != nil {
		return nil, err
	}
	if a.DType != tensor.Float64 || !slices.Equal(a.Shape, shape) || int64(len(a.Data)) != 8*shape[0]*shape[1] {
		return nil, fmt.Errorf("%s is %s %v, want %s %v", name, a.DType, a.Shape, tensor.Float64, shape)
	}
	out := make([]float64, len(a.Data)/8)
	for i := range out {
		out[i] = math.Float64frombits(binary.LittleEndian.Uint64(a.Data[8*i:]))
	}
	return out, nil
}

// OpenPaDiMMoments reads what Save wrote. ctx is asked before the file is read.
func OpenPaDiMMoments(ctx context.Context, path string) (*PaDiMMoments, error) {
	return engine.OpenSaved(ctx, path, whoIs("moments of PaDiM"), struct{}{},
		func(ctx context.Context, r io.Reader, _ struct{}, _ ...struct{}) (*PaDiMMoments, error) {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			return ReadPaDiMMoments(r)
		}, nil)
}
