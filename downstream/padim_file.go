package downstream

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/gotab/gotab/downstream/internal/engine"
	"github.com/gotab/gotab/downstream/internal/padim"
	"github.com/gotab/gotab/internal/layers"
	"github.com/gotab/gotab/tensor"
)

// padimKind marks a file and the version of its layout: safetensors with the
// float32 tensors mean [P, C], whitening [P, C(C+1)/2] (the lower triangles of
// L^-1, row by row) and fingerprint [C].
const padimKind = "gotab.padim.1"

// padimSettings is the JSON form of settings and sizes.
type padimSettings struct {
	Layers   engine.LayerNames `json:"layers"`
	Channels []int             `json:"channels"`
	Epsilon  float64           `json:"epsilon"`
	engine.ViewSettings
	engine.Sizes
}

func (s padimSettings) Config() (c PaDiMConfig, err error) {
	c = PaDiMConfig{
		Channels: s.Channels, Epsilon: s.Epsilon, Sigma: s.Sigma, Batch: s.Batch,
		Transform: s.Transform(), Normalize: s.Normalize(),
	}
	if c.Layers, err = s.Layers.Layers(); err != nil {
		return c, err
	}
	// The grid is bounded by the tensors, the input by the grid besides.
	if err := errors.Join(s.ViewSettings.Check(s.Sizes), s.Sizes.Check(engine.Coarsest)); err != nil {
		return c, err
	}
	if s.Images < 2 {
		return c, fmt.Errorf("images is %d, a covariance needs 2 or more", s.Images)
	}
	if s.Channels == nil {
		return c, errors.New("no channels")
	}
	return c, c.Validate()
}

// WriteTo writes statistics and settings: see "Files" above. Whitening matrices are in memory twice meanwhile.
func (p *PaDiM) WriteTo(w io.Writer) (int64, error) { return writeFitted(w, &p.core, p, padimKind) }

// contents is what a file says of g.
func (p *PaDiM) contents(g *gaussians) (*engine.Contents, error) {
	settings := padimSettings{
		Layers: engine.NamesOf(p.cfg.Layers), Channels: p.cfg.Channels, Epsilon: p.cfg.Epsilon,
		ViewSettings: engine.ViewOf(p.cfg.Sigma, p.cfg.Transform, p.cfg.Normalize, p.cfg.Batch), Sizes: g.Sizes(),
	}
	arrays, err := g.Gaussians.Arrays(context.Background(), p.core.Dev)
	if err != nil {
		return nil, err
	}
	return &engine.Contents{Settings: settings, Arrays: append(arrays, tensor.FloatArray("fingerprint", g.Fingerprint, int64(p.sel.Count)))}, nil
}

// Save writes the fitted detector to a file that appears whole or not at all.
func (p *PaDiM) Save(path string) error { return engine.Save(path, p) }

// OpenPaDiM reads a detector that Save wrote.
func OpenPaDiM(ctx context.Context, path string, fe Extractor, opts ...Option) (*PaDiM, error) {
	return engine.OpenSaved(ctx, path, whoIs("PaDiM"), fe, ReadPaDiM, opts)
}

// ReadPaDiM reads a detector that WriteTo wrote: see "Files" above.
func ReadPaDiM(ctx context.Context, r io.Reader, fe Extractor, opts ...Option) (*PaDiM, error) {
	st, cfg, arrays, also, file, err := readFittedBut[PaDiMConfig, padimSettings](r, whoIs("PaDiM"), padimKind, padim.WhiteningName)
	if err != nil {
		return nil, err
	}
	p, err := NewPaDiM(fe, cfg, nil, opts...)
	if err != nil {
		return nil, err
	}
	g, err := p.load(ctx, arrays, file, st, also)
	if err != nil {
		if errors.Is(err, ErrFile) || errors.Is(err, ErrExtractor) {
			return nil, fmt.Errorf("downstream: read PaDiM: %w", err)
		}
		return nil, err
	}
	return p, p.core.Current.Install(g)
}

// load makes statistics of the arrays of a file, of which the largest is still there.
func (p *PaDiM) load(ctx context.Context, arrays []tensor.Array, file *tensor.WeightFile, st padimSettings, also beside) (_ *gaussians, err error) {
	c := p.sel.Count
	specs := append(padim.Specs(st.Grid[0]*st.Grid[1], c), layers.Spec{Name: "fingerprint", Shape: []int64{int64(c)}})
	byName, err := engine.ArraysOf(specs, arrays)
	if err != nil {
		return nil, err
	}
	g := &gaussians{state: state{Model: st.NewModel(p.core.Dev)}}
	g.take(also)
	defer func() {
		if err != nil {
			_ = g.Params.Close() // frees memory, cannot fail
		}
	}()
	if g.Fingerprint, err = byName["fingerprint"].Floats(); err != nil {
		return nil, err
	}
	if err := p.core.Identify(ctx, g.Common()); err != nil {
		return nil, err
	}
	if g.Gaussians, err = padim.Load(ctx, g.Params, byName, file.Part, p.form(), tensor.GetThreads().Cores); err != nil {
		return nil, err
	}
	return g, g.AddSmoothing(ctx, p.cfg.Sigma)
}
