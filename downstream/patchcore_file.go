package downstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"io"
	"os"
	"slices"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/internal/atomicfile"
	"github.com/gotab/gotab/tensor"
)

// patchcoreKind marks a file and the version of its layout: safetensors with the
// float32 tensors patches [M, C] (less their mean), mean [C] and fingerprint [C].
const patchcoreKind = "gotab.patchcore.1"

// patchcoreSettings is the JSON form of settings and sizes.
type patchcoreSettings struct {
	Layers        []string   `json:"layers"`
	Neighbourhood int        `json:"neighbourhood"`
	Dim           int        `json:"dim"`
	Share         float64    `json:"share"`
	Projection    int        `json:"projection"`
	Starts        int        `json:"starts"`
	Neighbours    int        `json:"neighbours"`
	Squared       bool       `json:"squared"`
	Sigma         float64    `json:"sigma"`
	Shorter       int        `json:"transform_shorter"`
	Exact         [2]int     `json:"transform_exact"`
	Filter        string     `json:"transform_filter"`
	Crop          [2]int     `json:"transform_crop"`
	RowsFirst     bool       `json:"transform_rows_first"`
	Mean          [3]float32 `json:"normalize_mean"`
	Std           [3]float32 `json:"normalize_std"`
	Batch         int        `json:"batch"`
	Seed          [2]uint64  `json:"seed"`
	Grid          [2]int     `json:"grid"`  // columns, rows
	Input         [2]int     `json:"input"` // columns, rows
	Images        int        `json:"images"`
}

func (p *PatchCore) settings(g *patchBank) patchcoreSettings {
	c := p.cfg
	s := patchcoreSettings{
		Neighbourhood: c.Neighbourhood, Dim: c.Dim, Share: c.Share, Projection: c.Projection, Starts: c.Starts,
		Neighbours: c.Neighbours, Squared: c.Squared, Sigma: c.Sigma,
		Shorter: c.Transform.Shorter, Exact: [2]int{c.Transform.Exact.X, c.Transform.Exact.Y},
		Filter: c.Transform.Filter.String(), Crop: [2]int{c.Transform.Crop.X, c.Transform.Crop.Y}, RowsFirst: c.Transform.RowsFirst,
		Mean: c.Normalize.Mean, Std: c.Normalize.Std, Batch: c.Batch, Seed: p.seed,
		Grid: [2]int{g.gridW, g.gridH}, Input: [2]int{g.inW, g.inH}, Images: g.images,
	}
	for _, l := range c.Layers {
		s.Layers = append(s.Layers, l.String())
	}
	return s
}

func (s patchcoreSettings) config() (PatchCoreConfig, error) {
	c := PatchCoreConfig{
		Neighbourhood: s.Neighbourhood, Dim: s.Dim, Share: s.Share, Projection: s.Projection, Starts: s.Starts,
		Neighbours: s.Neighbours, Squared: s.Squared, Sigma: s.Sigma, Batch: s.Batch,
		Transform: dataset.Transform{Shorter: s.Shorter, Exact: image.Pt(s.Exact[0], s.Exact[1]), Filter: -1,
			Crop: image.Pt(s.Crop[0], s.Crop[1]), RowsFirst: s.RowsFirst},
		Normalize: dataset.Normalize{Mean: s.Mean, Std: s.Std},
	}
	for _, k := range []dataset.Kernel{dataset.Lanczos, dataset.Bicubic, dataset.Bilinear, dataset.Nearest} {
		if k.String() == s.Filter {
			c.Transform.Filter = k
		}
	}
	for _, name := range s.Layers {
		l, err := backbone.ParseLayer(name)
		if err != nil {
			return c, err
		}
		c.Layers = append(c.Layers, l)
	}
	// The network gives the grid, so that only the input must be bounded here.
	for i := range 2 {
		if g, n := s.Grid[i], s.Input[i]; g < 1 || n < g || n > maxSide {
			return c, fmt.Errorf("grid %v and input %v do not fit each other", s.Grid, s.Input)
		}
	}
	if s.Input[0]*s.Input[1] > maxPixels {
		return c, fmt.Errorf("input %v: at most %d pixels are taken", s.Input, maxPixels)
	}
	return c, c.Validate()
}

// WriteTo writes the fitted detector as safetensors: memory bank and settings,
// the transform included, not the backbone. Reading it back gives the same bits.
// It holds the bank twice in memory. Errors wrap [ErrNotFitted] or are w's.
func (p *PatchCore) WriteTo(w io.Writer) (int64, error) {
	g, err := p.acquire("save")
	if err != nil {
		return 0, err
	}
	defer func() { _ = p.release(g) }() // frees memory, cannot fail
	settings, err := json.Marshal(p.settings(g))
	if err != nil {
		return 0, fmt.Errorf("downstream: save PatchCore: %w", err)
	}
	c := p.emb.count
	patches, mean := make([]float32, g.count*c), make([]float32, c)
	err = tensor.Run(context.Background(), p.dev, tensor.Evaluation, func(s *tensor.Scope) error {
		return errors.Join(s.FloatsInto(patches, g.patches), s.FloatsInto(mean, g.mean))
	})
	if err != nil {
		return 0, fmt.Errorf("downstream: save PatchCore: %w", err)
	}
	return tensor.WriteWeights(w, map[string]string{keyKind: patchcoreKind, keySettings: string(settings)}, []tensor.Array{
		tensor.FloatArray("patches", patches, int64(g.count), int64(c)),
		tensor.FloatArray("mean", mean, int64(c)),
		tensor.FloatArray("fingerprint", g.fingerprint, int64(c)),
	})
}

// Save writes the fitted detector to a file that appears whole or not at all.
func (p *PatchCore) Save(path string) error {
	return atomicfile.Write(path, func(w io.Writer) error {
		_, err := p.WriteTo(w)
		return err
	})
}

// OpenPatchCore reads a detector that Save wrote.
func OpenPatchCore(ctx context.Context, path string, fe Extractor) (*PatchCore, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("downstream: open PatchCore: %w", err)
	}
	defer f.Close()
	p, err := ReadPatchCore(ctx, f, fe)
	if err != nil {
		return nil, fmt.Errorf("%w (file %s)", err, path)
	}
	return p, nil
}

// ReadPatchCore reads a detector that WriteTo wrote; it is fitted and scores as
// the one that was written, bit for bit on the same machine, and a Fit draws as
// that one would. fe must be the extractor of the fit: it is run once on a fixed
// picture, and one that answers otherwise than then is [ErrExtractor]. A damaged
// file is [ErrFile].
func ReadPatchCore(ctx context.Context, r io.Reader, fe Extractor) (*PatchCore, error) {
	fail := func(err error) (*PatchCore, error) {
		return nil, fmt.Errorf("downstream: read PatchCore: %w: %w", ErrFile, err)
	}
	w, err := tensor.ReadWeights(r)
	if err != nil {
		return fail(err)
	}
	if kind := w.Metadata[keyKind]; kind != patchcoreKind {
		return fail(fmt.Errorf("it is marked %q, want %q", kind, patchcoreKind))
	}
	var st patchcoreSettings
	if err := json.Unmarshal([]byte(w.Metadata[keySettings]), &st); err != nil {
		return fail(fmt.Errorf("settings: %w", err))
	}
	cfg, err := st.config()
	if err != nil {
		return fail(fmt.Errorf("settings: %w", err))
	}
	p, err := newPatchCore(fe, cfg, st.Seed)
	if err != nil {
		return nil, err
	}
	g, err := p.load(ctx, w.Arrays, st)
	if err != nil {
		if cause := ctx.Err(); cause != nil && errors.Is(err, cause) {
			return nil, err
		}
		return nil, fmt.Errorf("downstream: read PatchCore: %w", err)
	}
	return p, p.install(g)
}

// load makes a bank of the arrays of a file.
func (p *PatchCore) load(ctx context.Context, arrays []tensor.Array, st patchcoreSettings) (*patchBank, error) {
	c := p.emb.count
	values := map[string][]float32{}
	for _, name := range []string{"patches", "mean", "fingerprint"} {
		i := slices.IndexFunc(arrays, func(a tensor.Array) bool { return a.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("%w: %s is missing", ErrFile, name)
		}
		a, shape := arrays[i], []int64{int64(c)}
		if name == "patches" && len(a.Shape) == 2 && a.Shape[0] > 0 {
			shape = []int64{a.Shape[0], int64(c)}
		}
		if name == "patches" && len(shape) == 1 || a.DType != tensor.Float32 || !slices.Equal(a.Shape, shape) {
			return nil, fmt.Errorf("%w: %s is %s %v, want float32 and %d values a row", ErrFile, name, a.DType, a.Shape, c)
		}
		v, err := a.Floats()
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrFile, name, err)
		}
		if x, ok := notFinite(v); ok {
			return nil, fmt.Errorf("%w: %s holds %v", ErrFile, name, x)
		}
		values[name] = v
	}
	count := len(values["patches"]) / c
	if count < p.cfg.Neighbours {
		return nil, fmt.Errorf("%w: %d patches, Neighbours is %d", ErrFile, count, p.cfg.Neighbours)
	}
	// The smoothing tables take as much as the grid says: ask the network first.
	if err := p.checkGrid(ctx, st); err != nil {
		return nil, err
	}
	g := &patchBank{params: tensor.NewParams(p.dev), count: count, gridW: st.Grid[0], gridH: st.Grid[1],
		inW: st.Input[0], inH: st.Input[1], images: st.Images, fingerprint: values["fingerprint"]}
	return p.complete(ctx, g, values["patches"], values["mean"])
}

// checkGrid holds the grid of a file against what the network makes of its
// input size.
func (p *PatchCore) checkGrid(ctx context.Context, st patchcoreSettings) error {
	return tensor.Run(ctx, p.dev, tensor.Evaluation, func(s *tensor.Scope) error {
		e := p.emb.embed(s, s.Zeros(1, 3, int64(st.Input[1]), int64(st.Input[0])))
		if err := s.Err(); err != nil {
			return err
		}
		if int(e.Size(1)) != st.Grid[1] || int(e.Size(2)) != st.Grid[0] {
			return fmt.Errorf("%w: the grid is %v, for an input of %v the extractor makes %dx%d", ErrFile, st.Grid, st.Input, e.Size(2), e.Size(1))
		}
		return nil
	})
}
