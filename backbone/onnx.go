package backbone

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/gotab/gotab/internal/atomicfile"
	"github.com/gotab/gotab/internal/layers"
	"github.com/gotab/gotab/internal/onnx"
	"github.com/gotab/gotab/tensor"
)

// imagesName is the name of the model's input.
const imagesName = "images"

// WriteONNX writes the network in evaluation, as far as the deepest of the layers
// asked for, as an ONNX model (operator set 17). The input "images" is float32
// [batch, 3, height, width], RGB and normalised as in training; batch, height and
// width are dynamic, height and width 32 or more. There is one output for each
// layer, with the layer's name ("layer1", "pooled"), in the order of at: float32
// [batch, channels, layer1_height, layer1_width], of Pooled [batch, channels]. The
// metadata say "architecture".
//
// Batch norm is folded into the convolutions with its running statistics, as the
// network itself does it in evaluation, so that the model has convolutions, ReLU,
// sums and pools alone. It computes what Forward does but for the rounding of
// float32. The classification layer is not written.
//
// It returns [ErrLayer] if no layer is named, one is named twice, or the network
// does not have one, [ErrClosed] after Close, and ctx's or w's error. Nothing may
// train or load the network meanwhile; Forward may run.
func (m *ResNet) WriteONNX(ctx context.Context, w io.Writer, at ...Layer) error {
	model, err := m.onnx(ctx, at)
	if err == nil {
		err = model.Write(ctx, w)
	}
	if err != nil {
		return fmt.Errorf("backbone: write ONNX: %w", err)
	}
	return nil
}

// SaveONNX writes what WriteONNX writes to a file that appears whole or not at all.
func (m *ResNet) SaveONNX(ctx context.Context, path string, at ...Layer) error {
	return atomicfile.Write(path, func(w io.Writer) error { return m.WriteONNX(ctx, w, at...) })
}

func (m *ResNet) onnx(ctx context.Context, at []Layer) (*onnx.Model, error) {
	if m.params.Closed() {
		return nil, ErrClosed
	}
	if len(at) == 0 {
		return nil, fmt.Errorf("%w: none is named", ErrLayer)
	}
	for i, l := range at {
		switch {
		case l < Stem || l > m.last:
			return nil, fmt.Errorf("%w: %s", ErrLayer, l)
		case slices.Contains(at[:i], l):
			return nil, fmt.Errorf("%w: %s is named twice", ErrLayer, l)
		}
	}
	arrays, err := m.params.Arrays(ctx)
	if err != nil {
		return nil, err
	}
	g := graphOf{byName: make(map[string]tensor.Array, len(arrays))}
	for _, a := range arrays {
		g.byName[a.Name] = a
	}
	if err := g.network(m, slices.Max(at)); err != nil {
		return nil, err
	}
	g.Name = m.arch.String()
	g.Inputs = []onnx.Value{{Name: imagesName, Type: onnx.Float32,
		Shape: []onnx.Dim{{Name: "batch"}, {Size: 3}, {Name: "height"}, {Name: "width"}}}}
	for _, l := range at {
		shape := []onnx.Dim{{Name: "batch"}, {Size: int64(m.Channels(l))}}
		if l != Pooled {
			shape = append(shape, onnx.Dim{Name: l.String() + "_height"}, onnx.Dim{Name: l.String() + "_width"})
		}
		g.Outputs = append(g.Outputs, onnx.Value{Name: l.String(), Type: onnx.Float32, Shape: shape})
	}
	return &onnx.Model{
		Producer: "gotab",
		Doc:      "Features of a " + m.arch.String() + ", batch norm folded. Input: RGB, normalised, channels first.",
		Metadata: map[string]string{"architecture": m.arch.String()},
		Graph:    g.Graph,
	}, nil
}

// graphOf builds the graph of a network of its arrays.
type graphOf struct {
	onnx.Graph
	byName map[string]tensor.Array
}

// network adds the stages up to deepest. What a layer gives has the layer's name.
func (g *graphOf) network(m *ResNet, deepest Layer) error {
	y, err := g.unit(&m.stem, imagesName)
	if err != nil {
		return err
	}
	y = g.Add("Relu", "conv1.relu", []string{y})
	y = g.Add("MaxPool", Stem.String(), []string{y}, square(3, 2, 1)...)
	for l := Layer1; l <= min(deepest, Layer4); l++ {
		blocks := m.stages[l-Layer1]
		for j := range blocks {
			name := fmt.Sprintf("%s.%d", l, j)
			if j == len(blocks)-1 {
				name = l.String()
			}
			if y, err = g.block(&blocks[j], y, name); err != nil {
				return err
			}
		}
	}
	if deepest == Pooled {
		y = g.Add("GlobalAveragePool", "avgpool", []string{y})
		g.Add("Flatten", Pooled.String(), []string{y}, onnx.Int("axis", 1))
	}
	return nil
}

// block adds a residual block, whose result has a name.
func (g *graphOf) block(b *layers.Block, x, name string) (string, error) {
	y, id := x, x
	var err error
	for k := range b.Path {
		if k > 0 {
			y = g.Add("Relu", b.Path[k-1].Name+".relu", []string{y})
		}
		if y, err = g.unit(&b.Path[k], y); err != nil {
			return "", err
		}
	}
	if b.Down != nil {
		if id, err = g.unit(b.Down, x); err != nil {
			return "", err
		}
	}
	sum := g.Add("Add", b.Path[0].Name+".sum", []string{y, id})
	return g.Add("Relu", name, []string{sum}), nil
}

// unit adds a convolution with the batch norm after it folded in: with
// k = gamma/sqrt(var+eps) weight k w and bias beta - k mean, in double precision.
func (g *graphOf) unit(u *layers.ConvNorm, x string) (string, error) {
	var values [5][]float32 // weight, gamma, beta, mean, var
	for i := range values {
		a, ok := g.byName[u.Specs()[i].Name]
		if !ok {
			return "", fmt.Errorf("%w: %s is missing", ErrWeights, u.Specs()[i].Name)
		}
		v, err := a.Floats()
		if err != nil {
			return "", err
		}
		values[i] = v
	}
	w, gamma, beta, mean, sigma2 := values[0], values[1], values[2], values[3], values[4]
	shape := u.Specs()[0].Shape
	per := len(w) / len(gamma)
	folded := make([]byte, 0, 4*len(w))
	bias := make([]float32, len(gamma))
	for c := range gamma {
		k := float64(gamma[c]) / math.Sqrt(float64(sigma2[c])+layers.Epsilon)
		bias[c] = float32(float64(beta[c]) - k*float64(mean[c]))
		for _, v := range w[c*per:][:per] {
			folded = binary.LittleEndian.AppendUint32(folded, math.Float32bits(float32(k*float64(v))))
		}
	}
	return g.Add("Conv", u.Name, []string{
		x,
		g.Constant(onnx.Tensor{Name: u.Name + ".weight", Type: onnx.Float32, Dims: shape, Data: folded}),
		g.Constant(onnx.Floats(u.Name+".bias", bias, u.Out)),
	}, square(u.Kernel, max(u.Conv.Stride, 1), u.Conv.Padding)...), nil
}

// square are the settings of a window that is as wide as high.
func square(kernel, stride, pad int64) []onnx.Attribute {
	return []onnx.Attribute{
		onnx.Ints("kernel_shape", kernel, kernel), onnx.Ints("strides", stride, stride), onnx.Ints("pads", pad, pad, pad, pad),
	}
}
