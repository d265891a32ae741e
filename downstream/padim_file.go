package downstream

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"io"
	"math"
	"os"
	"slices"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/internal/atomicfile"
	"github.com/gotab/gotab/tensor"
)

// padimKind marks a file and the version of its layout.
const padimKind = "gotab.padim.1"

// Names and metadata keys of a saved detector: a safetensors file with the
// float32 tensors mean [P, C], whitening [P, C(C+1)/2] (the lower triangles of
// L^-1, row by row) and fingerprint [C].
const (
	keyKind     = "kind"
	keySettings = "settings"
)

// padimSettings is the JSON form of settings and sizes.
type padimSettings struct {
	Layers    []string   `json:"layers"`
	Channels  []int      `json:"channels"`
	Epsilon   float64    `json:"epsilon"`
	Sigma     float64    `json:"sigma"`
	Shorter   int        `json:"transform_shorter"`
	Exact     [2]int     `json:"transform_exact"`
	Filter    string     `json:"transform_filter"`
	Crop      [2]int     `json:"transform_crop"`
	RowsFirst bool       `json:"transform_rows_first"`
	Mean      [3]float32 `json:"normalize_mean"`
	Std       [3]float32 `json:"normalize_std"`
	Batch     int        `json:"batch"`
	Grid      [2]int     `json:"grid"`  // columns, rows
	Input     [2]int     `json:"input"` // columns, rows
	Images    int        `json:"images"`
}

func (p *PaDiM) settings(g *gaussians) padimSettings {
	c := p.cfg
	s := padimSettings{
		Channels: c.Channels, Epsilon: c.Epsilon, Sigma: c.Sigma,
		Shorter: c.Transform.Shorter, Exact: [2]int{c.Transform.Exact.X, c.Transform.Exact.Y},
		Filter: c.Transform.Filter.String(), Crop: [2]int{c.Transform.Crop.X, c.Transform.Crop.Y}, RowsFirst: c.Transform.RowsFirst,
		Mean: c.Normalize.Mean, Std: c.Normalize.Std, Batch: c.Batch,
		Grid: [2]int{g.gridW, g.gridH}, Input: [2]int{g.inW, g.inH}, Images: g.images,
	}
	for _, l := range c.Layers {
		s.Layers = append(s.Layers, l.String())
	}
	return s
}

func (s padimSettings) config() (PaDiMConfig, error) {
	c := PaDiMConfig{
		Channels: s.Channels, Epsilon: s.Epsilon, Sigma: s.Sigma, Batch: s.Batch,
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
	// A small file must not ask for a large picture: the grid is bounded by the
	// tensors, the input by the grid.
	const coarsest = 64 // pixels of a side for a position of the grid
	for i := range 2 {
		if g, n := s.Grid[i], s.Input[i]; g < 1 || g > maxSide || n < g || n > maxSide || n > coarsest*g {
			return c, fmt.Errorf("grid %v and input %v do not fit each other", s.Grid, s.Input)
		}
	}
	if s.Input[0]*s.Input[1] > maxPixels {
		return c, fmt.Errorf("input %v: at most %d pixels are taken", s.Input, maxPixels)
	}
	if s.Channels == nil {
		return c, errors.New("no channels")
	}
	return c, c.Validate()
}

// WriteTo writes the fitted detector as safetensors: statistics and settings,
// the transform included, not the backbone. Reading it back gives the same bits.
// It holds twice the whitening matrices in memory. Errors wrap [ErrNotFitted] or
// are w's.
func (p *PaDiM) WriteTo(w io.Writer) (int64, error) {
	g, err := p.acquire("save")
	if err != nil {
		return 0, err
	}
	defer func() { _ = p.release(g) }() // frees memory, cannot fail
	settings, err := json.Marshal(p.settings(g))
	if err != nil {
		return 0, fmt.Errorf("downstream: save PaDiM: %w", err)
	}
	grid, c := g.gridH*g.gridW, p.sel.count
	half := c * (c + 1) / 2
	mean, triangles := make([]float32, grid*c), make([]byte, 0, 4*grid*half)
	err = tensor.Run(context.Background(), p.dev, tensor.Evaluation, func(s *tensor.Scope) error {
		if err := s.FloatsInto(mean, g.mean); err != nil {
			return err
		}
		block := make([]float32, whitenBlock*c*c)
		for lo := 0; lo < grid; lo += whitenBlock {
			k := min(whitenBlock, grid-lo)
			part := s.Narrow(g.whitening, 0, int64(lo), int64(k))
			if err := s.FloatsInto(block[:k*c*c], part); err != nil {
				return err
			}
			s.Free(part)
			for at := range k {
				for row := range c {
					for col := range row + 1 { // the tensor holds transposes
						triangles = binary.LittleEndian.AppendUint32(triangles, math.Float32bits(block[(at*c+col)*c+row]))
					}
				}
			}
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("downstream: save PaDiM: %w", err)
	}
	return tensor.WriteWeights(w, map[string]string{keyKind: padimKind, keySettings: string(settings)}, []tensor.Array{
		tensor.FloatArray("mean", mean, int64(grid), int64(c)),
		{Name: "whitening", DType: tensor.Float32, Shape: []int64{int64(grid), int64(half)}, Data: triangles},
		tensor.FloatArray("fingerprint", g.fingerprint, int64(c)),
	})
}

// Save writes the fitted detector to a file that appears whole or not at all.
func (p *PaDiM) Save(path string) error {
	return atomicfile.Write(path, func(w io.Writer) error {
		_, err := p.WriteTo(w)
		return err
	})
}

// OpenPaDiM reads a detector that Save wrote.
func OpenPaDiM(ctx context.Context, path string, fe Extractor) (*PaDiM, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("downstream: open PaDiM: %w", err)
	}
	defer f.Close()
	p, err := ReadPaDiM(ctx, f, fe)
	if err != nil {
		return nil, fmt.Errorf("%w (file %s)", err, path)
	}
	return p, nil
}

// ReadPaDiM reads a detector that WriteTo wrote; it is fitted and scores as the
// one that was written, bit for bit on the same machine. fe must be the
// extractor of the fit: it is run once on a fixed picture, and one that answers
// otherwise than then is [ErrExtractor]. A damaged file is [ErrFile].
func ReadPaDiM(ctx context.Context, r io.Reader, fe Extractor) (*PaDiM, error) {
	fail := func(err error) (*PaDiM, error) {
		return nil, fmt.Errorf("downstream: read PaDiM: %w: %w", ErrFile, err)
	}
	w, err := tensor.ReadWeights(r)
	if err != nil {
		return fail(err)
	}
	if kind := w.Metadata[keyKind]; kind != padimKind {
		return fail(fmt.Errorf("it is marked %q, want %q", kind, padimKind))
	}
	var st padimSettings
	if err := json.Unmarshal([]byte(w.Metadata[keySettings]), &st); err != nil {
		return fail(fmt.Errorf("settings: %w", err))
	}
	cfg, err := st.config()
	if err != nil {
		return fail(fmt.Errorf("settings: %w", err))
	}
	p, err := NewPaDiM(fe, cfg, nil)
	if err != nil {
		return nil, err
	}
	g, err := p.load(ctx, w.Arrays, st)
	if err != nil {
		if errors.Is(err, ErrFile) || errors.Is(err, ErrExtractor) {
			return nil, fmt.Errorf("downstream: read PaDiM: %w", err)
		}
		return nil, err
	}
	return p, p.install(g)
}

// load makes statistics of the arrays of a file.
func (p *PaDiM) load(ctx context.Context, arrays []tensor.Array, st padimSettings) (_ *gaussians, err error) {
	grid, c := st.Grid[0]*st.Grid[1], p.sel.count
	half := c * (c + 1) / 2
	byName := map[string]tensor.Array{}
	for name, shape := range map[string][]int64{"mean": {int64(grid), int64(c)}, "whitening": {int64(grid), int64(half)}, "fingerprint": {int64(c)}} {
		i := slices.IndexFunc(arrays, func(a tensor.Array) bool { return a.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("%w: %s is missing", ErrFile, name)
		}
		if a := arrays[i]; a.DType != tensor.Float32 || !slices.Equal(a.Shape, shape) {
			return nil, fmt.Errorf("%w: %s is %s %v, want float32 %v", ErrFile, name, a.DType, a.Shape, shape)
		}
		for at := 0; at < len(arrays[i].Data); at += 4 {
			if v := readFloat(arrays[i].Data[at:]); v-v != 0 {
				return nil, fmt.Errorf("%w: %s holds %v", ErrFile, name, v)
			}
		}
		byName[name] = arrays[i]
	}
	g := &gaussians{params: tensor.NewParams(p.dev), gridW: st.Grid[0], gridH: st.Grid[1], inW: st.Input[0], inH: st.Input[1], images: st.Images}
	defer func() {
		if err != nil {
			_ = g.params.Close() // frees memory, cannot fail
		}
	}()
	if g.fingerprint, err = byName["fingerprint"].Floats(); err != nil {
		return nil, err
	}
	now, err := p.fingerprint(ctx, image.Pt(g.inW, g.inH))
	if err != nil {
		return nil, err
	}
	if !sameFingerprint(g.fingerprint, now) {
		return nil, fmt.Errorf("%w: it answers a fixed picture otherwise; load the backbone weights that the detector was fitted with", ErrExtractor)
	}
	err = tensor.Run(ctx, p.dev, tensor.Evaluation, func(s *tensor.Scope) error {
		if err := errors.Join(
			g.params.PutBuffer(s, "mean", s.FromArray(byName["mean"])),
			g.params.PutBuffer(s, "whitening", s.Zeros(int64(grid), int64(c), int64(c))),
		); err != nil {
			return err
		}
		g.mean, g.whitening = g.params.Get("mean"), g.params.Get("whitening")
		data := byName["whitening"].Data
		block := make([]float32, whitenBlock*c*c)
		for lo := 0; lo < grid; lo += whitenBlock {
			if err := s.Err(); err != nil {
				return err
			}
			k := min(whitenBlock, grid-lo)
			for at := range k {
				for row := range c {
					for col := range row + 1 {
						block[(at*c+col)*c+row] = readFloat(data)
						data = data[4:]
					}
				}
			}
			part := s.FromFloats(block[:k*c*c], int64(k), int64(c), int64(c))
			place := s.Narrow(g.whitening, 0, int64(lo), int64(k))
			s.CopyInto(place, part)
			s.Free(part, place)
		}
		return s.Err()
	})
	if err != nil {
		return nil, err
	}
	return g, p.complete(ctx, g)
}

func readFloat(b []byte) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(b)) }
