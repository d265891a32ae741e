package downstream

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/downstream/internal/engine"
	"github.com/gotab/gotab/downstream/internal/gaussian"
	"github.com/gotab/gotab/internal/atomicfile"
	"github.com/gotab/gotab/internal/onnx"
	"github.com/gotab/gotab/tensor"
)

// onnxWriter is an extractor that can be written as an ONNX model: a *backbone.ResNet.
type onnxWriter interface {
	WriteONNX(ctx context.Context, w io.Writer, layers ...backbone.Layer) error
}

// onnxKind marks a model and the version of its inputs, outputs and metadata.
const onnxKind = "gotab.padim.onnx.1"

// WriteONNX writes the fitted detector with its backbone as an ONNX model (operator
// set 17) for programs without this module. The input "images" is float32 [batch, 3, H, W], where
// H and W are those of the fit: images that have gone through Transform, RGB,
// channels first, each value (v/255 - mean) / std. The outputs are "map", float32
// [batch, H, W], and "score", float32 [batch], with the values of Result.Map and
// Result.Score but for rounding (some 1e-6 of the value). Features, choice of channels,
// distances, interpolation and smoothing are in the model; the transform is not.
//
// The metadata, all strings, say what the caller has to do: "kind", "transform" (JSON:
// shorter, exact and crop in pixels, [width, height], 0 for not used, and filter; see
// [dataset.Transform]), "mean" and "std" (JSON lists of three), "layers" and "channels"
// (JSON lists). A calibrated detector adds "threshold", "reject" (when a part is
// rejected, in words), "rule", and "scale", the ends of the colour scale of maps. A score
// that rounding alone sets apart from the threshold may get the other verdict.
//
// The model has a matrix for every position, four bytes for each of P C C values: 125 MB for the
// default settings. It returns [ErrNotFitted] before a Fit, [ErrClosed] after Close, [ErrConfig] if the
// extractor has no ONNX form (of this module's a *backbone.ResNet alone has one), an
// error that says so if the model would have 2 GiB or more, and ctx's or w's error. It
// goes on with the statistics that it began with, whatever a Fit or Close does meanwhile.
func (p *PaDiM) WriteONNX(ctx context.Context, w io.Writer) error {
	g, err := p.core.Acquire("write ONNX of")
	if err != nil {
		return err
	}
	defer p.core.Release(g)
	model, err := p.onnx(ctx, g)
	if err == nil {
		err = model.Write(ctx, w)
	}
	if err != nil {
		return p.core.Failed(ctx, "write ONNX of", err)
	}
	return nil
}

// SaveONNX writes what WriteONNX writes to a file that appears whole or not at all.
func (p *PaDiM) SaveONNX(ctx context.Context, path string) error {
	return atomicfile.Write(path, func(w io.Writer) error { return p.WriteONNX(ctx, w) })
}

// onnx puts the detector behind the model of its backbone.
func (p *PaDiM) onnx(ctx context.Context, g *gaussians) (*onnx.Model, error) {
	fe, ok := p.sel.Fe.(onnxWriter)
	if !ok {
		return nil, fmt.Errorf("%w: the extractor (%T) has no ONNX form, want a *backbone.ResNet", ErrConfig, p.sel.Fe)
	}
	var net bytes.Buffer
	if err := fe.WriteONNX(ctx, &net, p.sel.Layers()...); err != nil {
		return nil, err
	}
	m, err := onnx.Read(net.Bytes())
	if err != nil {
		return nil, err
	}
	if err := p.checkNetwork(m); err != nil {
		return nil, err
	}
	grids, err := p.grids(ctx, g)
	if err != nil {
		return nil, err
	}
	arrays, err := p.onnxArrays(ctx, g)
	if err != nil {
		return nil, err
	}
	p.addEmbedding(&m.Graph, grids)
	addDistances(&m.Graph, g, p.sel.Count, arrays)
	batch := onnx.Dim{Name: "batch"}
	m.Graph.Name = "padim"
	m.Graph.Inputs[0].Shape = append([]onnx.Dim{batch}, onnx.Fixed(3, int64(g.InH), int64(g.InW))...)
	m.Graph.Outputs = []onnx.Value{
		{Name: "map", Type: onnx.Float32, Shape: append([]onnx.Dim{batch}, onnx.Fixed(int64(g.InH), int64(g.InW))...)},
		{Name: "score", Type: onnx.Float32, Shape: []onnx.Dim{batch}},
	}
	m.Doc = "PaDiM. Input: images after the transform in the metadata, RGB, (v/255 - mean) / std, channels first. Outputs: map of distances, and its largest value."
	return m, p.describe(m, g)
}

// checkNetwork refuses a model that does not give the layers.
func (p *PaDiM) checkNetwork(m *onnx.Model) error {
	ok := len(m.Graph.Inputs) == 1 && len(m.Graph.Outputs) == len(p.sel.Layers())
	for i, l := range p.sel.Layers() {
		ok = ok && m.Graph.Outputs[i].Name == l.String() && m.Graph.Outputs[i].Type == onnx.Float32
	}
	if !ok {
		return fmt.Errorf("%w: the ONNX form of the extractor has not one input and the outputs %v", ErrLayers, p.sel.Layers())
	}
	return nil
}

// grids returns rows and columns of each layer for the input of the fit.
func (p *PaDiM) grids(ctx context.Context, g *gaussians) (out [][2]int64, err error) {
	err = tensor.Run(ctx, p.core.Dev, tensor.Evaluation, func(s *tensor.Scope) error {
		for _, f := range p.sel.Fe.Forward(s, s.Zeros(1, 3, int64(g.InH), int64(g.InW)), p.sel.Layers()...) {
			if s.Err() == nil {
				out = append(out, [2]int64{f.Size(2), f.Size(3)})
			}
		}
		return s.Err()
	})
	if err == nil && (len(out) == 0 || out[0] != [2]int64{int64(g.GridH), int64(g.GridW)}) {
		err = fmt.Errorf("%w: the extractor gives grids %v, the fit had %d rows and %d columns", ErrLayers, out, g.GridH, g.GridW)
	}
	return out, err
}

// onnxArrays copies the model's tensors to the host.
func (p *PaDiM) onnxArrays(ctx context.Context, g *gaussians) (map[string]onnx.Tensor, error) {
	n, c := int64(g.GridH*g.GridW), int64(p.sel.Count)
	if c > math.MaxInt32/4/n/c {
		return nil, fmt.Errorf("%w: %d positions with a matrix of %dx%d each; choose fewer channels or a deeper first layer", onnx.ErrTooLarge, n, c, c)
	}
	rows, columns := g.Tables()
	out := make(map[string]onnx.Tensor)
	err := tensor.Run(ctx, p.core.Dev, tensor.Evaluation, func(s *tensor.Scope) error {
		for _, x := range []struct {
			name string
			t    *tensor.Tensor
			dims []int64
		}{
			{"padim.mean", g.Mean, []int64{n, 1, c}}, {"padim.whitening", g.Factor, []int64{n, c, c}},
			{"padim.rows", rows, []int64{int64(g.InH), int64(g.GridH)}}, {"padim.columns", columns, []int64{int64(g.GridW), int64(g.InW)}},
		} {
			a := onnx.Tensor{Name: x.name, Type: onnx.Float32, Dims: x.dims, Data: make([]byte, 0, 4*volume(x.dims))}
			for lo := int64(0); lo < x.t.Size(0); lo += gaussian.Block { // a block at a time: the whole would lie in memory once more
				hi := min(lo+gaussian.Block, x.t.Size(0))
				v, err := p.onnxBlock(s, g, x.t, int(lo), int(hi))
				if err != nil {
					return err
				}
				a.Data = onnx.AppendFloats(a.Data, v)
			}
			out[x.name] = a
		}
		return s.Err()
	})
	return out, err
}

// volume is the number of values of a tensor.
func volume(dims []int64) int64 {
	n := int64(1)
	for _, d := range dims {
		n *= d
	}
	return n
}

// onnxBlock copies some rows of a tensor of the model; of its matrices their transposes as a whole.
func (p *PaDiM) onnxBlock(s *tensor.Scope, g *gaussians, t *tensor.Tensor, lo, hi int) ([]float32, error) {
	if t == g.Factor {
		return g.Whole(s, lo, hi)
	}
	part := s.Narrow(t, 0, int64(lo), int64(hi-lo))
	defer s.Free(part)
	return s.Floats(part)
}

// addEmbedding adds what selection.embed does: the chosen channels of every layer, on
// the grid of the first one, as "padim.features" [batch, C, h, w].
func (p *PaDiM) addEmbedding(g *onnx.Graph, grids [][2]int64) {
	var parts []string
	for i, l := range p.sel.Layers() {
		channels := p.sel.Channels(i)
		if len(channels) == 0 {
			continue
		}
		y, name := l.String(), "padim."+l.String()
		take := func(axis int64, what string, index []int64) {
			at := g.Constant(onnx.Integers(name+"."+what+".index", index...))
			y = g.Add("Gather", name+"."+what, []string{y, at}, onnx.Int("axis", axis))
		}
		if len(channels) < p.sel.Fe.Channels(l) {
			take(1, "channels", channels)
		}
		for axis, what := range []string{"rows", "columns"} {
			if in, out := grids[i][axis], grids[0][axis]; in != out {
				take(int64(2+axis), what, nearest(in, out))
			}
		}
		parts = append(parts, y)
	}
	g.Add("Concat", "padim.features", parts, onnx.Int("axis", 1))
}

// nearest returns the positions of in that stand for the positions of out, as
// libtorch's nearest neighbour takes them.
func nearest(in, out int64) []int64 {
	scale := float32(in) / float32(out)
	index := make([]int64, out)
	for i := range index {
		index[i] = min(int64(float32(i)*scale), in-1)
	}
	return index
}

// addDistances adds the arithmetic of PaDiM.score behind "padim.features".
func addDistances(g *onnx.Graph, of *gaussians, channels int, arrays map[string]onnx.Tensor) {
	shape := func(name string, n ...int64) string { return g.Constant(onnx.Integers("padim."+name, n...)) }
	constant := func(name string) string { return g.Constant(arrays[name]) }
	grid := int64(of.GridH * of.GridW)
	y := g.Add("Reshape", "padim.vectors", []string{"padim.features", shape("vectors.shape", 0, int64(channels), grid)})
	y = g.Add("Transpose", "padim.positions", []string{y}, onnx.Ints("perm", 2, 0, 1)) // [P, batch, C]
	y = g.Add("Sub", "padim.differences", []string{y, constant("padim.mean")})
	y = g.Add("MatMul", "padim.white", []string{y, constant("padim.whitening")})
	y = g.Add("ReduceL2", "padim.distances", []string{y}, onnx.Ints("axes", 2), onnx.Int("keepdims", 0)) // [P, batch]
	y = g.Add("Transpose", "padim.images", []string{y}, onnx.Ints("perm", 1, 0))
	y = g.Add("Reshape", "padim.grid", []string{y, shape("grid.shape", 0, int64(of.GridH), int64(of.GridW))})
	y = g.Add("MatMul", "padim.tall", []string{constant("padim.rows"), y})
	y = g.Add("MatMul", "map", []string{y, constant("padim.columns")})
	g.Add("ReduceMax", "score", []string{y}, onnx.Ints("axes", 1, 2), onnx.Int("keepdims", 0))
}

// describe adds the metadata.
func (p *PaDiM) describe(m *onnx.Model, g *gaussians) error {
	t := p.cfg.Transform
	values := map[string]any{
		"transform": struct {
			Shorter   int    `json:"shorter"`
			Exact     [2]int `json:"exact"`
			Filter    string `json:"filter"`
			Crop      [2]int `json:"crop"`
			RowsFirst bool   `json:"rows_first"`
			Bits16    int    `json:"bits16"`
		}{t.Shorter, [2]int{t.Exact.X, t.Exact.Y}, t.Filter.String(), [2]int{t.Crop.X, t.Crop.Y}, t.RowsFirst, t.Bits16},
		"mean": p.cfg.Normalize.Mean, "std": p.cfg.Normalize.Std,
		"layers": engine.NamesOf(p.cfg.Layers), "channels": slices.Clone(p.cfg.Channels),
	}
	if c := g.calibration(); c != nil {
		values["scale"] = [2]float64{c.Scale().Low, c.Scale().High}
		m.Metadata["threshold"] = strconv.FormatFloat(c.Threshold(), 'g', -1, 64)
		m.Metadata["reject"] = "score >= threshold, or score is NaN"
		m.Metadata["rule"] = c.Point().Rule.String()
	}
	for name, v := range values {
		text, err := json.Marshal(v)
		if err != nil {
			return err
		}
		m.Metadata[name] = string(text)
	}
	m.Metadata["kind"] = onnxKind
	return nil
}
