package onnxtest

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/gotab/gotab/internal/onnx"
)

// Array is a value: whole numbers are kept as floats.
type Array struct {
	Dims []int
	Data []float32
}

func newArray(dims ...int) Array { return Array{slices.Clone(dims), make([]float32, product(dims))} }

func product(dims []int) int {
	n := 1
	for _, d := range dims {
		n *= d
	}
	return n
}

// Eval runs a model that onnx.Model.Check takes on its one input and returns its
// outputs by name. It stops at an operator, or a setting of one, that it does not
// have.
func Eval(m *onnx.Model, input Array) (map[string]Array, error) {
	values := map[string]Array{m.Graph.Inputs[0].Name: input}
	for _, c := range m.Graph.Constants {
		values[c.Name] = constant(c)
	}
	for _, n := range m.Graph.Nodes {
		in := make([]Array, len(n.Inputs))
		for i, name := range n.Inputs {
			in[i] = values[name]
		}
		op, ok := operators[n.Op]
		if !ok {
			return nil, fmt.Errorf("onnxtest: node %s: no operator %s", n.Name, n.Op)
		}
		a := attributes{n: n, read: map[string]bool{}}
		out, err := op(in, &a)
		if err == nil {
			err = a.all()
		}
		if err != nil {
			return nil, fmt.Errorf("onnxtest: node %s, %s: %w", n.Name, n.Op, err)
		}
		values[n.Outputs[0]] = out
	}
	out := make(map[string]Array)
	for _, o := range m.Graph.Outputs {
		v := values[o.Name]
		if len(v.Dims) != len(o.Shape) {
			return nil, fmt.Errorf("onnxtest: output %s is %v, said is %v", o.Name, v.Dims, o.Shape)
		}
		for i, d := range o.Shape {
			if d.Name == "" && int(d.Size) != v.Dims[i] {
				return nil, fmt.Errorf("onnxtest: output %s is %v, said is %v", o.Name, v.Dims, o.Shape)
			}
		}
		out[o.Name] = v
	}
	return out, nil
}

func constant(c onnx.Tensor) Array {
	var dims []int
	for _, d := range c.Dims {
		dims = append(dims, int(d))
	}
	a := newArray(dims...)
	for i := range a.Data {
		if c.Type == onnx.Int64 {
			a.Data[i] = float32(int64(binary.LittleEndian.Uint64(c.Data[8*i:])))
		} else {
			a.Data[i] = math.Float32frombits(binary.LittleEndian.Uint32(c.Data[4*i:]))
		}
	}
	return a
}

// attributes tells which settings an operator has looked at.
type attributes struct {
	n    onnx.Node
	read map[string]bool
}

func (a *attributes) ints(name string, otherwise ...int64) []int64 {
	a.read[name] = true
	for _, x := range a.n.Attributes {
		if x.Name == name {
			return x.Ints
		}
	}
	return otherwise
}

func (a *attributes) int(name string, otherwise int64) int { return int(a.ints(name, otherwise)[0]) }

func (a *attributes) all() error {
	for _, x := range a.n.Attributes {
		if !a.read[x.Name] {
			return fmt.Errorf("the setting %s is not looked at", x.Name)
		}
	}
	return nil
}

var operators = map[string]func(in []Array, a *attributes) (Array, error){
	"Conv": conv, "MaxPool": maxPool, "GlobalAveragePool": globalAverage, "Flatten": flatten,
	"Relu": func(in []Array, _ *attributes) (Array, error) {
		out := newArray(in[0].Dims...)
		for i, v := range in[0].Data {
			out.Data[i] = max(v, 0)
		}
		return out, nil
	},
	"Add":    func(in []Array, _ *attributes) (Array, error) { return pairwise(in, 1) },
	"Sub":    func(in []Array, _ *attributes) (Array, error) { return pairwise(in, -1) },
	"Gather": gather, "Concat": concat, "Transpose": transpose, "Reshape": reshape, "MatMul": matMul,
	"ReduceL2": func(in []Array, a *attributes) (Array, error) {
		out, err := reduce(in[0], a, func(to *float64, v float64) { *to += v * v }, 0)
		for i, v := range out.Data {
			out.Data[i] = float32(math.Sqrt(float64(v)))
		}
		return out, err
	},
	"ReduceMax": func(in []Array, a *attributes) (Array, error) {
		return reduce(in[0], a, func(to *float64, v float64) { *to = max(*to, v) }, math.Inf(-1))
	},
}

// window reads the settings that convolutions and pools share: one number for all
// sides is all that is known here.
func window(a *attributes) (kernel, stride, pad int, err error) {
	one := func(name string, n int) int {
		v := a.ints(name)
		if len(v) != n || slices.Min(v) != slices.Max(v) {
			err = fmt.Errorf("%s is %v", name, v)
			return 0
		}
		return int(v[0])
	}
	return one("kernel_shape", 2), one("strides", 2), one("pads", 4), err
}

func conv(in []Array, a *attributes) (Array, error) {
	k, stride, pad, err := window(a)
	x, w, bias := in[0], in[1], in[2]
	if err != nil || w.Dims[1] != x.Dims[1] || w.Dims[2] != k || w.Dims[3] != k || len(bias.Data) != w.Dims[0] {
		return Array{}, fmt.Errorf("%v by %v, bias %v: %w", x.Dims, w.Dims, bias.Dims, err)
	}
	c, ih, iw := x.Dims[1], x.Dims[2], x.Dims[3]
	out := newArray(x.Dims[0], w.Dims[0], (ih+2*pad-k)/stride+1, (iw+2*pad-k)/stride+1)
	oc, oh, ow := out.Dims[1], out.Dims[2], out.Dims[3]
	for n := range x.Dims[0] {
		for o := range oc {
			plane := out.Data[(n*oc+o)*oh*ow:][:oh*ow]
			for i := range plane {
				plane[i] = bias.Data[o]
			}
			for ch := range c {
				src := x.Data[(n*c+ch)*ih*iw:][:ih*iw]
				for ky := range k {
					for kx := range k {
						f := w.Data[((o*c+ch)*k+ky)*k+kx]
						for y := range oh {
							sy := y*stride + ky - pad
							if sy < 0 || sy >= ih {
								continue
							}
							for px := range ow {
								if sx := px*stride + kx - pad; sx >= 0 && sx < iw {
									plane[y*ow+px] += f * src[sy*iw+sx]
								}
							}
						}
					}
				}
			}
		}
	}
	return out, nil
}

func maxPool(in []Array, a *attributes) (Array, error) {
	k, stride, pad, err := window(a)
	if err != nil {
		return Array{}, err
	}
	x := in[0]
	ih, iw := x.Dims[2], x.Dims[3]
	out := newArray(x.Dims[0], x.Dims[1], (ih+2*pad-k)/stride+1, (iw+2*pad-k)/stride+1)
	oh, ow := out.Dims[2], out.Dims[3]
	for p := range x.Dims[0] * x.Dims[1] {
		for i := range oh * ow {
			top := float32(math.Inf(-1))
			for j := range k * k {
				y, px := i/ow*stride+j/k-pad, i%ow*stride+j%k-pad
				if y >= 0 && y < ih && px >= 0 && px < iw {
					top = max(top, x.Data[(p*ih+y)*iw+px])
				}
			}
			out.Data[p*oh*ow+i] = top
		}
	}
	return out, nil
}

func globalAverage(in []Array, _ *attributes) (Array, error) {
	x := in[0]
	out := newArray(x.Dims[0], x.Dims[1], 1, 1)
	per := x.Dims[2] * x.Dims[3]
	for i := range out.Data {
		sum := 0.0
		for _, v := range x.Data[i*per:][:per] {
			sum += float64(v)
		}
		out.Data[i] = float32(sum / float64(per))
	}
	return out, nil
}

func flatten(in []Array, a *attributes) (Array, error) {
	axis := a.int("axis", 1)
	d := in[0].Dims
	return Array{[]int{product(d[:axis]), product(d[axis:])}, in[0].Data}, nil
}

// pairwise returns in[0] plus sign times in[1], whose sides may be 1 or missing in
// front.
func pairwise(in []Array, sign float32) (Array, error) {
	x, y := in[0], in[1]
	out := newArray(x.Dims...)
	lead := len(x.Dims) - len(y.Dims)
	if lead < 0 {
		return Array{}, fmt.Errorf("%v and %v", x.Dims, y.Dims)
	}
	at := make([]int, len(x.Dims))
	for i, v := range x.Data {
		j := 0
		for k, d := range y.Dims {
			switch {
			case d == x.Dims[lead+k]:
				j = j*d + at[lead+k]
			case d != 1:
				return Array{}, fmt.Errorf("%v and %v", x.Dims, y.Dims)
			}
		}
		out.Data[i] = v + sign*y.Data[j]
		next(at, x.Dims)
	}
	return out, nil
}

// next counts up a place in an array.
func next(at, dims []int) {
	for k := len(at) - 1; k >= 0; k-- {
		if at[k]++; at[k] < dims[k] {
			return
		}
		at[k] = 0
	}
}

func gather(in []Array, a *attributes) (Array, error) {
	axis := a.int("axis", 0)
	x, index := in[0], in[1]
	if len(index.Dims) != 1 {
		return Array{}, fmt.Errorf("indices are %v", index.Dims)
	}
	dims := slices.Clone(x.Dims)
	dims[axis] = len(index.Data)
	out := newArray(dims...)
	inner := product(x.Dims[axis+1:])
	for o := range product(x.Dims[:axis]) {
		for i, j := range index.Data {
			if int(j) < 0 || int(j) >= x.Dims[axis] {
				return Array{}, fmt.Errorf("index %v of %d", j, x.Dims[axis])
			}
			copy(out.Data[(o*len(index.Data)+i)*inner:][:inner], x.Data[(o*x.Dims[axis]+int(j))*inner:][:inner])
		}
	}
	return out, nil
}

func concat(in []Array, a *attributes) (Array, error) {
	axis := a.int("axis", 0)
	dims := slices.Clone(in[0].Dims)
	dims[axis] = 0
	for _, x := range in {
		dims[axis] += x.Dims[axis]
		for k, d := range x.Dims {
			if k != axis && d != dims[k] {
				return Array{}, fmt.Errorf("%v and %v", in[0].Dims, x.Dims)
			}
		}
	}
	out := Array{Dims: dims}
	for o := range product(dims[:axis]) {
		for _, x := range in {
			per := product(x.Dims[axis:])
			out.Data = append(out.Data, x.Data[o*per:][:per]...)
		}
	}
	return out, nil
}

func transpose(in []Array, a *attributes) (Array, error) {
	x, perm := in[0], a.ints("perm")
	dims, strides := make([]int, len(perm)), make([]int, len(perm))
	for i, p := range perm {
		dims[i], strides[i] = x.Dims[p], product(x.Dims[p+1:])
	}
	out := newArray(dims...)
	at := make([]int, len(dims))
	for i := range out.Data {
		j := 0
		for k := range at {
			j += at[k] * strides[k]
		}
		out.Data[i] = x.Data[j]
		next(at, dims)
	}
	return out, nil
}

func reshape(in []Array, _ *attributes) (Array, error) {
	var dims []int
	for i, d := range in[1].Data {
		if d == 0 {
			d = float32(in[0].Dims[i])
		}
		dims = append(dims, int(d))
	}
	if product(dims) != len(in[0].Data) {
		return Array{}, fmt.Errorf("%v to %v", in[0].Dims, dims)
	}
	return Array{dims, in[0].Data}, nil
}

// matMul multiplies the last two axes; the axes before them are equal, or one side
// has none.
func matMul(in []Array, _ *attributes) (Array, error) {
	x, y := in[0], in[1]
	lx, ly := x.Dims[:len(x.Dims)-2], y.Dims[:len(y.Dims)-2]
	n, k, p := x.Dims[len(lx)], x.Dims[len(lx)+1], y.Dims[len(ly)+1]
	lead := lx
	if len(lx) == 0 {
		lead = ly
	}
	if y.Dims[len(ly)] != k || len(lx) > 0 && len(ly) > 0 && !slices.Equal(lx, ly) {
		return Array{}, fmt.Errorf("%v by %v", x.Dims, y.Dims)
	}
	out := newArray(append(slices.Clone(lead), n, p)...)
	for b := range product(lead) {
		bx, by := b, b
		if len(lx) == 0 {
			bx = 0
		}
		if len(ly) == 0 {
			by = 0
		}
		for i := range n {
			for j := range p {
				sum := 0.0
				for t := range k {
					sum += float64(x.Data[(bx*n+i)*k+t]) * float64(y.Data[(by*k+t)*p+j])
				}
				out.Data[(b*n+i)*p+j] = float32(sum)
			}
		}
	}
	return out, nil
}

// reduce folds the last axes, which are named.
func reduce(x Array, a *attributes, f func(to *float64, v float64), start float64) (Array, error) {
	axes := a.ints("axes")
	first := len(x.Dims) - len(axes)
	for i, axis := range axes {
		if int(axis) != first+i {
			return Array{}, fmt.Errorf("axes %v of %v", axes, x.Dims)
		}
	}
	if a.int("keepdims", 1) != 0 {
		return Array{}, fmt.Errorf("keepdims")
	}
	out := newArray(x.Dims[:first]...)
	per := product(x.Dims[first:])
	for i := range out.Data {
		v := start
		for _, w := range x.Data[i*per:][:per] {
			f(&v, float64(w))
		}
		out.Data[i] = float32(v)
	}
	return out, nil
}
