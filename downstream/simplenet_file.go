package downstream

import (
	"context"
	"io"
	"slices"

	"github.com/gotab/gotab/downstream/internal/engine"
	"github.com/gotab/gotab/downstream/internal/simplenet"
	"github.com/gotab/gotab/tensor"
)

// simplenetKind marks a file and the version of its layout: safetensors with the
// float32 weights of adaptor and discriminator as they were trained
// (simplenet.Specs) and fingerprint [Dim].
const simplenetKind = "gotab.simplenet.1"

// simplenetSettings is the JSON form of settings and sizes.
type simplenetSettings struct {
	Layers             engine.LayerNames `json:"layers"`
	Neighbourhood      int               `json:"neighbourhood"`
	LayerDim           int               `json:"layer_dim"`
	Dim                int               `json:"dim"`
	Hidden             int               `json:"hidden"`
	Noise              float64           `json:"noise"`
	Margin             float64           `json:"margin"`
	Epochs             int               `json:"epochs"`
	TestEvery          int               `json:"test_every"`
	TrainBatch         int               `json:"train_batch"`
	AdaptorRate        float64           `json:"adaptor_rate"`
	AdaptorDecay       float64           `json:"adaptor_decay"`
	DiscriminatorRate  float64           `json:"discriminator_rate"`
	DiscriminatorDecay float64           `json:"discriminator_decay"`
	Cache              int64             `json:"cache"`
	engine.ViewSettings
	Seed       [2]uint64 `json:"seed"`
	BestOnTest bool      `json:"best_on_test,omitempty"`
	engine.Sizes
}

func (s simplenetSettings) Config() (c SimpleNetConfig, err error) {
	c = SimpleNetConfig{
		Neighbourhood: s.Neighbourhood, LayerDim: s.LayerDim, Dim: s.Dim, Hidden: s.Hidden, Noise: s.Noise, Margin: s.Margin,
		Epochs: s.Epochs, TestEvery: s.TestEvery, TrainBatch: s.TrainBatch,
		AdaptorRate: s.AdaptorRate, AdaptorDecay: s.AdaptorDecay, DiscriminatorRate: s.DiscriminatorRate, DiscriminatorDecay: s.DiscriminatorDecay,
		Cache: s.Cache, Sigma: s.Sigma, Batch: s.Batch, Transform: s.Transform(), Normalize: s.Normalize(),
	}
	if c.Layers, err = s.Layers.Layers(); err != nil {
		return c, err
	}
	// The network gives the grid, so that only the input must be bounded here.
	if err := s.ViewSettings.Check(s.Sizes); err != nil {
		return c, err
	}
	return c, c.Validate()
}

// WriteTo writes weights and settings: see "Files" above.
func (p *SimpleNet) WriteTo(w io.Writer) (int64, error) {
	return writeFitted(w, &p.core, p, simplenetKind)
}

// contents is what a file says of g.
func (p *SimpleNet) contents(g *simpleModel) (*engine.Contents, error) {
	c := p.cfg
	settings := simplenetSettings{
		Layers: engine.NamesOf(c.Layers), Neighbourhood: c.Neighbourhood, LayerDim: c.LayerDim, Dim: c.Dim, Hidden: c.Hidden, Noise: c.Noise,
		Margin: c.Margin, Epochs: c.Epochs, TestEvery: c.TestEvery, TrainBatch: c.TrainBatch,
		AdaptorRate: c.AdaptorRate, AdaptorDecay: c.AdaptorDecay, DiscriminatorRate: c.DiscriminatorRate, DiscriminatorDecay: c.DiscriminatorDecay,
		Cache: c.Cache, ViewSettings: engine.ViewOf(c.Sigma, c.Transform, c.Normalize, c.Batch), Seed: p.seed, BestOnTest: g.onTest, Sizes: g.Sizes(),
	}
	return &engine.Contents{Settings: settings, Arrays: append(slices.Clone(g.trained), tensor.FloatArray("fingerprint", g.Fingerprint, int64(len(g.Fingerprint))))}, nil
}

// Save writes the fitted detector to a file that appears whole or not at all.
func (p *SimpleNet) Save(path string) error { return engine.Save(path, p) }

// OpenSimpleNet reads a detector that Save wrote.
func OpenSimpleNet(ctx context.Context, path string, fe Extractor, opts ...Option) (*SimpleNet, error) {
	return engine.OpenSaved(ctx, path, whoIs("SimpleNet"), fe, ReadSimpleNet, opts)
}

// ReadSimpleNet reads a detector that WriteTo wrote: see "Files" above.
func ReadSimpleNet(ctx context.Context, r io.Reader, fe Extractor, opts ...Option) (*SimpleNet, error) {
	st, cfg, arrays, also, err := readFitted[SimpleNetConfig, simplenetSettings](r, whoIs("SimpleNet"), simplenetKind)
	if err != nil {
		return nil, err
	}
	p, err := newSimpleNet(fe, cfg, st.Seed, opts...)
	if err != nil {
		return nil, err
	}
	g, err := p.load(ctx, arrays, st, also)
	if err != nil {
		return nil, p.core.Failed(ctx, "read", err)
	}
	return p, p.core.Current.Install(g)
}

// load makes a model of the arrays of a file.
func (p *SimpleNet) load(ctx context.Context, arrays []tensor.Array, st simplenetSettings, also beside) (*simpleModel, error) {
	trained, err := simplenet.Trained(p.emb.Count, p.cfg.Hidden, arrays)
	if err != nil {
		return nil, err
	}
	fingerprint, err := engine.FloatsOf(arrays, "fingerprint", int64(p.emb.Count))
	if err != nil {
		return nil, err
	}
	// The smoothing tables take as much as the grid says: ask the network first.
	if err := p.core.CheckGrid(ctx, st.Sizes); err != nil {
		return nil, err
	}
	g := &simpleModel{state: state{Model: st.NewModel(p.core.Dev)}, onTest: st.BestOnTest}
	g.take(also)
	g.Fingerprint = fingerprint
	return p.complete(ctx, g, trained)
}
