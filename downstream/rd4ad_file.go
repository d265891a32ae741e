package downstream

import (
	"context"
	"fmt"
	"image"
	"io"

	"github.com/gotab/gotab/downstream/internal/engine"
	"github.com/gotab/gotab/downstream/internal/network"
	"github.com/gotab/gotab/downstream/internal/rd4ad"
	"github.com/gotab/gotab/tensor"
)

// rd4adKind marks a file and the version of its layout: safetensors with the
// student's parameters and running statistics under the names of its units, and
// the float32 tensor fingerprint [C].
const rd4adKind = "gotab.rd4ad.1"

// rd4adSettings is the JSON form of settings and sizes.
type rd4adSettings struct {
	Layers      engine.LayerNames `json:"layers"`
	Width       int               `json:"blocks_width"`
	OCE         int               `json:"blocks_oce"`
	Decoder     []int             `json:"blocks_decoder"`
	PerPosition bool              `json:"per_position"`
	Epochs      int               `json:"epochs"`
	TrainBatch  int               `json:"train_batch"`
	Rate        float64           `json:"rate"`
	Beta1       float64           `json:"beta1"`
	Beta2       float64           `json:"beta2"`
	Cache       int64             `json:"cache"`
	engine.ViewSettings
	Seed [2]uint64 `json:"seed"`
	engine.Sizes
}

func (s rd4adSettings) Config() (c RD4ADConfig, err error) {
	c = RD4ADConfig{
		Blocks:      RD4ADBlocks{Width: s.Width, OCE: s.OCE, Decoder: s.Decoder},
		PerPosition: s.PerPosition, Epochs: s.Epochs, TrainBatch: s.TrainBatch, Rate: s.Rate, Beta1: s.Beta1, Beta2: s.Beta2, Cache: s.Cache,
		Sigma: s.Sigma, Batch: s.Batch, Transform: s.Transform(), Normalize: s.Normalize(),
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

// WriteTo writes student and settings: see "Files" above. The student is in memory twice meanwhile.
func (p *RD4AD) WriteTo(w io.Writer) (int64, error) { return writeFitted(w, &p.core, p, rd4adKind) }

// contents is what a file says of g.
func (p *RD4AD) contents(g *distilled) (*engine.Contents, error) {
	cfg := p.cfg
	settings := rd4adSettings{
		Layers: engine.NamesOf(cfg.Layers), Width: cfg.Blocks.Width, OCE: cfg.Blocks.OCE, Decoder: cfg.Blocks.Decoder, PerPosition: cfg.PerPosition,
		Epochs: cfg.Epochs, TrainBatch: cfg.TrainBatch, Rate: cfg.Rate, Beta1: cfg.Beta1, Beta2: cfg.Beta2, Cache: cfg.Cache,
		ViewSettings: engine.ViewOf(cfg.Sigma, cfg.Transform, cfg.Normalize, cfg.Batch), Seed: p.seed, Sizes: g.Sizes(),
	}
	arrays, err := g.net.Params.Arrays(context.Background())
	if err != nil {
		return nil, err
	}
	return &engine.Contents{Settings: settings, Arrays: append(arrays, tensor.FloatArray("fingerprint", g.Fingerprint, int64(p.sel.Count)))}, nil
}

// Save writes the fitted detector to a file that appears whole or not at all.
func (p *RD4AD) Save(path string) error { return engine.Save(path, p) }

// OpenRD4AD reads a detector that Save wrote.
func OpenRD4AD(ctx context.Context, path string, fe Extractor, opts ...Option) (*RD4AD, error) {
	return engine.OpenSaved(ctx, path, whoIs("RD4AD"), fe, ReadRD4AD, opts)
}

// ReadRD4AD reads a detector that WriteTo wrote: see "Files" above.
func ReadRD4AD(ctx context.Context, r io.Reader, fe Extractor, opts ...Option) (*RD4AD, error) {
	st, cfg, arrays, also, err := readFitted[RD4ADConfig, rd4adSettings](r, whoIs("RD4AD"), rd4adKind)
	if err != nil {
		return nil, err
	}
	p, err := newRD4AD(fe, cfg, st.Seed, opts...)
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
func (p *RD4AD) load(ctx context.Context, arrays []tensor.Array, st rd4adSettings, also beside) (*distilled, error) {
	if err := rd4ad.Check(p.channels(), rd4ad.Blocks(p.cfg.Blocks), arrays); err != nil {
		return nil, err
	}
	fingerprint, err := engine.FloatsOf(arrays, "fingerprint", int64(p.sel.Count))
	if err != nil {
		return nil, err
	}
	// Tables and packed weights take as much as the grids say: ask the network
	// first.
	shapes, err := p.shapesOf(ctx, st)
	if err != nil {
		return nil, err
	}
	g := &distilled{shapes: shapes, state: state{Model: st.NewModel(p.core.Dev)}}
	g.take(also)
	g.Fingerprint = fingerprint
	if g.net, err = rd4ad.Load(ctx, p.core.Dev, p.channels(), rd4ad.Blocks(p.cfg.Blocks), arrays); err != nil {
		return nil, err
	}
	return p.complete(ctx, g)
}

// shapesOf returns the maps that the network makes of the input size of a file,
// which must be those that the file and the settings ask for.
func (p *RD4AD) shapesOf(ctx context.Context, st rd4adSettings) (shapes []network.MapShape, err error) {
	if shapes, err = network.Probe(ctx, p.sel.Fe, p.cfg.Layers, image.Pt(st.Input[0], st.Input[1])); err != nil {
		return nil, err
	}
	if first := shapes[0]; first.H != st.Grid[1] || first.W != st.Grid[0] {
		return nil, fmt.Errorf("%w: the grid is %v, for an input of %v the extractor makes %dx%d", ErrFile, st.Grid, st.Input, first.W, first.H)
	}
	if err := p.checkHalving(shapes, image.Pt(st.Input[0], st.Input[1])); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFile, err)
	}
	return shapes, nil
}
