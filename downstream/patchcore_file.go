package downstream

import (
	"context"
	"fmt"
	"io"

	"github.com/gotab/gotab/downstream/internal/engine"
	"github.com/gotab/gotab/tensor"
)

// patchcoreKind marks a file and the version of its layout: safetensors with the
// float32 tensors patches [M, C] (less their mean), mean [C] and fingerprint [C].
const patchcoreKind = "gotab.patchcore.1"

// patchcoreSettings is the JSON form of settings and sizes.
type patchcoreSettings struct {
	Layers        engine.LayerNames `json:"layers"`
	Neighbourhood int               `json:"neighbourhood"`
	Dim           int               `json:"dim"`
	Share         float64           `json:"share"`
	Projection    int               `json:"projection"`
	Starts        int               `json:"starts"`
	Neighbours    int               `json:"neighbours"`
	Squared       bool              `json:"squared"`
	Approximate   bool              `json:"approximate,omitempty"`
	engine.ViewSettings
	Seed [2]uint64 `json:"seed"`
	engine.Sizes
}

func (s patchcoreSettings) Config() (c PatchCoreConfig, err error) {
	c = PatchCoreConfig{
		Neighbourhood: s.Neighbourhood, Dim: s.Dim, Share: s.Share, Projection: s.Projection, Starts: s.Starts,
		Neighbours: s.Neighbours, Squared: s.Squared, Approximate: s.Approximate, Sigma: s.Sigma, Batch: s.Batch,
		Transform: s.Transform(), Normalize: s.Normalize(),
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

// WriteTo writes memory bank and settings: see "Files" above. The bank is in memory twice meanwhile.
func (p *PatchCore) WriteTo(w io.Writer) (int64, error) {
	return writeFitted(w, &p.core, p, patchcoreKind)
}

// contents is what a file says of g.
func (p *PatchCore) contents(g *patchBank) (*engine.Contents, error) {
	cfg := p.cfg
	settings := patchcoreSettings{
		Layers: engine.NamesOf(cfg.Layers), Neighbourhood: cfg.Neighbourhood, Dim: cfg.Dim, Share: cfg.Share, Projection: cfg.Projection,
		Starts: cfg.Starts, Neighbours: cfg.Neighbours, Squared: cfg.Squared, Approximate: cfg.Approximate,
		ViewSettings: engine.ViewOf(cfg.Sigma, cfg.Transform, cfg.Normalize, cfg.Batch), Seed: p.seed, Sizes: g.Sizes(),
	}
	arrays, err := g.Arrays(context.Background(), p.core.Dev)
	if err != nil {
		return nil, err
	}
	return &engine.Contents{Settings: settings, Arrays: append(arrays, tensor.FloatArray("fingerprint", g.Fingerprint, int64(p.emb.Count)))}, nil
}

// Save writes the fitted detector to a file that appears whole or not at all.
func (p *PatchCore) Save(path string) error { return engine.Save(path, p) }

// OpenPatchCore reads a detector that Save wrote.
func OpenPatchCore(ctx context.Context, path string, fe Extractor, opts ...Option) (*PatchCore, error) {
	return engine.OpenSaved(ctx, path, whoIs("PatchCore"), fe, ReadPatchCore, opts)
}

// ReadPatchCore reads a detector that WriteTo wrote: see "Files" above.
func ReadPatchCore(ctx context.Context, r io.Reader, fe Extractor, opts ...Option) (*PatchCore, error) {
	st, cfg, arrays, also, err := readFitted[PatchCoreConfig, patchcoreSettings](r, whoIs("PatchCore"), patchcoreKind)
	if err != nil {
		return nil, err
	}
	p, err := newPatchCore(fe, cfg, st.Seed, opts...)
	if err != nil {
		return nil, err
	}
	g, err := p.load(ctx, arrays, st, also)
	if err != nil {
		return nil, p.core.Failed(ctx, "read", err)
	}
	return p, p.core.Current.Install(g)
}

// load makes a bank of the arrays of a file.
func (p *PatchCore) load(ctx context.Context, arrays []tensor.Array, st patchcoreSettings, also beside) (*patchBank, error) {
	c := int64(p.emb.Count)
	patches, err := engine.FloatsOf(arrays, "patches", -1, c)
	if err != nil {
		return nil, err
	}
	mean, err := engine.FloatsOf(arrays, "mean", c)
	if err != nil {
		return nil, err
	}
	fingerprint, err := engine.FloatsOf(arrays, "fingerprint", c)
	if err != nil {
		return nil, err
	}
	count := len(patches) / int(c)
	if count < p.cfg.Neighbours {
		return nil, fmt.Errorf("%w: %d patches, Neighbours is %d", ErrFile, count, p.cfg.Neighbours)
	}
	// The smoothing tables take as much as the grid says: ask the network first.
	if err := p.core.CheckGrid(ctx, st.Sizes); err != nil {
		return nil, err
	}
	g := &patchBank{state: state{Model: st.NewModel(p.core.Dev)}}
	g.take(also)
	g.Fingerprint = fingerprint
	return p.complete(ctx, g, patches, mean)
}
