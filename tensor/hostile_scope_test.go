package tensor_test

import (
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/internal/hostile"
	"github.com/gotab/gotab/tensor"
)

// bench makes arguments in the scope of a Run.
type bench struct {
	s      *scope
	p      *tensor.Params // weights, so that something is there to differentiate for
	seed   int64
	places []*ten // stand for those of wrong
}

// weight is a float32 tensor of a shape, recorded for Backward in training.
func (b *bench) weight(shape ...int64) *ten {
	b.seed++
	name := "w" + strconv.FormatInt(b.seed, 10)
	if err := b.p.Put(b.s, name, x(b.s, b.seed, shape...)); err != nil {
		b.s.Fail(err)
	}
	return b.s.MulScalar(b.p.Get(name), 1)
}

func (b *bench) ints(mod int64, shape ...int64) *ten {
	b.seed++
	return b.s.FromInts(integers(b.seed, mod, shape...), shape...)
}

func (b *bench) last(t *ten) *ten { return b.s.ChannelsLast(t) }

// packed is the weight of x [2 4 6 5] to [3 ..] with a kernel of 3.
func (b *bench) packed() *ten {
	if !tensor.HasOneDNN() {
		return &ten{}
	}
	return b.s.PackConv(b.s.Detach(b.weight(3, 4, 3, 3)), tensor.Conv{Padding: 1}, [4]int64{2, 4, 6, 5})
}

// positive is a symmetric positive definite matrix [2 3 3].
func (b *bench) positive() *ten {
	return b.s.AddScalar(b.s.MulScalar(b.s.Eye(3), 4), 0.25)
}

// operations has, for each method of Scope, arguments that it takes.
var operations = map[string]func(b *bench) []any{
	"AddBmmInto":            func(b *bench) []any { return []any{b.s.Zeros(2, 3, 5), b.weight(2, 3, 4), b.weight(2, 4, 5), 0.5} },
	"AddInto":               func(b *bench) []any { return []any{b.s.Zeros(2, 3), b.weight(2, 3), 0.5} },
	"AddScalar":             func(b *bench) []any { return []any{b.weight(2, 3), 0.5} },
	"Adopt":                 func(b *bench) []any { return []any{handle(b)} },
	"AffineGrid":            func(b *bench) []any { return []any{b.weight(2, 2, 3), int64(4), int64(5)} },
	"ArgMax":                func(b *bench) []any { return []any{b.weight(2, 3), int64(1)} },
	"AvgPool2d":             func(b *bench) []any { return []any{b.weight(2, 3, 8, 8), int64(3), int64(2), int64(1)} },
	"BCEWithLogits":         func(b *bench) []any { return []any{b.weight(2, 3), b.s.Full(1, tensor.Float32, 2, 3)} },
	"BCEWithLogitsWeighted": func(b *bench) []any { return []any{b.weight(2, 3), b.s.Full(1, tensor.Float32, 2, 3), pos(b.s, 1, 3)} },
	"Backward":              func(b *bench) []any { return []any{b.s.Sum(b.weight(2, 3), false)} },
	"BatchNorm": func(b *bench) []any {
		return []any{b.weight(2, 4, 6, 5), b.weight(4), b.weight(4), x(b.s, 1, 4), pos(b.s, 2, 4), true, 0.1, 1e-5}
	},
	"Bmm":                  func(b *bench) []any { return []any{b.weight(2, 3, 4), b.weight(2, 4, 5)} },
	"Cast":                 func(b *bench) []any { return []any{b.weight(2, 3), tensor.Float64} },
	"Cat":                  func(b *bench) []any { return []any{int64(1), []*ten{b.weight(2, 3), b.weight(2, 4)}} },
	"ChannelsLast":         func(b *bench) []any { return []any{b.weight(2, 4, 6, 5)} },
	"Cholesky":             func(b *bench) []any { return []any{b.positive()} },
	"ClampMin":             func(b *bench) []any { return []any{b.weight(2, 3), 0.5} },
	"Conv2d":               func(b *bench) []any { return []any{b.weight(2, 4, 6, 5), b.weight(3, 4, 3, 3), b.weight(3), conv()} },
	"ConvAddReLU":          func(b *bench) []any { return fused(b, b.last(b.s.Zeros(2, 3, 6, 5))) },
	"ConvFused":            func(b *bench) []any { return append(fused(b), true) },
	"ConvTranspose2d":      func(b *bench) []any { return []any{b.weight(2, 4, 6, 5), b.weight(4, 3, 3, 3), b.weight(3), conv()} },
	"CopyInto":             func(b *bench) []any { return []any{b.s.Zeros(2, 3), b.weight(2, 3)} },
	"CosineSimilarity":     func(b *bench) []any { return []any{b.weight(2, 3), b.weight(2, 3), int64(1), 1e-8} },
	"CrossEntropy":         func(b *bench) []any { return []any{b.weight(2, 3), b.ints(3, 2)} },
	"CrossEntropyWeighted": func(b *bench) []any { return []any{b.weight(2, 3, 4, 5), b.ints(3, 2, 4, 5), pos(b.s, 1, 3)} },
	"Embedding":            func(b *bench) []any { return []any{b.weight(7, 3), b.ints(7, 2, 3)} },
	"Expand":               func(b *bench) []any { return []any{b.weight(2, 1, 3), []int64{4, 2, 5, -1}} },
	"Eye":                  func(*bench) []any { return []any{int64(3)} },
	"Fail":                 func(*bench) []any { return []any{error(nil)} },
	"Filled":               func(*bench) []any { return []any{func([]float32) {}, []int64{2, 3}} },
	"Flip":                 func(b *bench) []any { return []any{b.weight(2, 3), []int64{0, -1}} },
	"Float":                func(b *bench) []any { return []any{b.weight(1)} },
	"FloatsInto":           func(b *bench) []any { return []any{make([]float32, 6), b.weight(2, 3)} },
	"Free":                 func(b *bench) []any { return []any{[]*ten{b.weight(2), b.weight(3)}} },
	"FromArray":            func(*bench) []any { return []any{tensor.FloatArray("a", make([]float32, 6), 2, 3)} },
	"FromBytes":            func(*bench) []any { return []any{make([]uint8, 6), []int64{2, 3}} },
	"FromFloat64s":         func(*bench) []any { return []any{make([]float64, 6), []int64{2, 3}} },
	"FromFloats":           func(*bench) []any { return []any{make([]float32, 6), []int64{2, 3}} },
	"FromInts":             func(*bench) []any { return []any{make([]int64, 6), []int64{2, 3}} },
	"FromNHWC":             func(*bench) []any { return []any{make([]float32, 24), 1, 2, 4, 3} },
	"Full":                 func(*bench) []any { return []any{1.0, tensor.Int64, []int64{2, 3}} },
	"Gather":               func(b *bench) []any { return []any{b.weight(2, 3), int64(1), b.ints(3, 2, 5)} },
	"GlobalAvgPool":        func(b *bench) []any { return []any{b.weight(2, 4, 6, 5)} },
	"GridSample":           func(b *bench) []any { return []any{b.last(b.weight(2, 4, 6, 5)), b.weight(2, 3, 7, 2)} },
	"IndexSelect":          func(b *bench) []any { return []any{b.weight(2, 3), int64(1), b.ints(3, 4)} },
	"LayerNorm":            func(b *bench) []any { return []any{b.weight(2, 3), b.weight(3), b.weight(3), 1e-5} },
	"LeakyReLU":            func(b *bench) []any { return []any{b.weight(2, 3), 0.1} },
	"LeakyReLUInto":        func(b *bench) []any { return []any{b.weight(2, 3), 0.1} },
	"Linear":               func(b *bench) []any { return []any{b.weight(2, 3), b.weight(4, 3), b.weight(4)} },
	"HalvesInto":           func(b *bench) []any { return []any{b.s.Zeros(3, 64)} },
	"JoinHalves":           func(b *bench) []any { return []any{b.s.Full(1, tensor.BFloat16, 3, 2, 64)} },
	"PackLowerInto":        func(b *bench) []any { return []any{b.s.Zeros(3, 64), make([]byte, 180), 5} },
	"LogSoftmax":           func(b *bench) []any { return []any{b.weight(2, 3), int64(1)} },
	"MatMul":               func(b *bench) []any { return []any{b.weight(2, 3, 4), b.weight(4, 5)} },
	"Mahalanobis":          func(b *bench) []any { return []any{b.weight(2, 3, 5), b.weight(3, 5), b.weight(3, 64)} },
	"MahalanobisMaps": func(b *bench) []any {
		return []any{[]*tensor.Tensor{b.weight(2, 3, 4, 4), b.weight(2, 3, 2, 2)}, [][]int64{{0, 2}, {1}}, b.weight(16, 3), b.weight(16, 64)}
	},
	"Max":       func(b *bench) []any { return []any{b.weight(2, 3, 4), true, []int64{0, -1}} },
	"MaxPool2d": func(b *bench) []any { return []any{b.weight(2, 3, 8, 8), int64(3), int64(2), int64(1)} },
	"Mean":      func(b *bench) []any { return []any{b.weight(2, 3, 4), true, []int64{0, -1}} },
	"MulScalar": func(b *bench) []any { return []any{b.weight(2, 3), 0.5} },
	"Narrow":    func(b *bench) []any { return []any{b.weight(2, 7), int64(1), int64(2), int64(3)} },
	"Nearest": func(b *bench) []any {
		return []any{b.weight(2, 5), b.weight(4, 5), b.weight(5, 2), b.weight(4, 3), b.weight(4), true}
	},
	"NoGrad":    func(b *bench) []any { return []any{func() { b.s.Zeros(2) }} },
	"Norm":      func(b *bench) []any { return []any{b.weight(2, 3), int64(1)} },
	"Normalize": func(b *bench) []any { return []any{b.weight(2, 3), int64(1), 1e-12} },
	"PackConv": func(b *bench) []any {
		return []any{b.s.Zeros(4, 4, 3, 3), tensor.Conv{Stride: 1, Padding: 1, Groups: 1}, [4]int64{2, 4, 6, 5}}
	},
	"Permute":          func(b *bench) []any { return []any{b.weight(2, 3, 4), []int64{2, 0, -2}} },
	"Pow":              func(b *bench) []any { return []any{pos(b.s, 1, 2, 3), 0.5} },
	"Reshape":          func(b *bench) []any { return []any{b.weight(2, 3, 4), []int64{4, -1}} },
	"Rot90":            func(b *bench) []any { return []any{b.weight(2, 3, 4), int64(1), int64(1), int64(2)} },
	"ScatterInto":      func(b *bench) []any { return []any{b.s.Zeros(3, 64), b.weight(2, 3, 5)} },
	"ScaleInto":        func(b *bench) []any { return []any{b.s.Zeros(2), 0.5} },
	"Select":           func(b *bench) []any { return []any{b.weight(2, 3), int64(1), int64(2)} },
	"Softmax":          func(b *bench) []any { return []any{b.weight(2, 3), int64(1)} },
	"SolveLower":       func(b *bench) []any { return []any{b.positive(), b.weight(3, 2)} },
	"Sub":              func(b *bench) []any { return []any{func(c *scope) *ten { return c.Zeros(2) }} },
	"SubN":             func(b *bench) []any { return []any{func(c *scope) []*ten { return []*ten{c.Zeros(2), nil} }} },
	"Sum":              func(b *bench) []any { return []any{b.weight(2, 3, 4), true, []int64{0, -1}} },
	"To":               func(b *bench) []any { return []any{b.weight(2, 3), tensor.CPU} },
	"TopK":             func(b *bench) []any { return []any{b.weight(2, 5), int64(2), int64(1), true} },
	"Transpose":        func(b *bench) []any { return []any{b.weight(2, 3, 4), int64(0), int64(-1)} },
	"Unsqueeze":        func(b *bench) []any { return []any{b.weight(2, 3), int64(1)} },
	"UpsampleBilinear": func(b *bench) []any { return []any{b.weight(2, 4, 6, 5), int64(9), int64(3)} },
	"UpsampleNearest":  func(b *bench) []any { return []any{b.weight(2, 4, 6, 5), int64(9), int64(3)} },
	"Zeros":            func(*bench) []any { return []any{[]int64{2, 3}} },
}

func init() {
	for _, name := range []string{"Abs", "Clone", "Contiguous", "Cos", "Detach", "Exp", "Floats", "Float64s", "GELU", "Grad", "Handle", "Ints", "Log", "Neg",
		"QuickGELU", "ReLU", "ReLUInto", "Rsqrt", "Sigmoid", "Sin", "Sqrt", "Square", "Tanh"} {
		operations[name] = func(b *bench) []any { return []any{b.weight(2, 3)} }
	}
	operations["IncrementInto"] = func(b *bench) []any { return []any{b.s.Zeros(2, 3)} }
	for _, name := range []string{"Add", "Div", "Equal", "Maximum", "Minus", "Mul", "PlusInto"} {
		operations[name] = func(b *bench) []any { return []any{b.weight(2, 3), b.weight(2, 3)} }
	}
	for _, name := range []string{"Device", "Err", "Mode"} {
		operations[name] = func(*bench) []any { return nil }
	}
}

func conv() tensor.Conv { return tensor.Conv{Stride: 2, Padding: 1, Dilation: 1, Groups: 1} }

// fused are the arguments of a convolution with a packed weight, behind dst.
func fused(b *bench, dst ...any) []any {
	return append(dst, b.last(b.s.Detach(b.weight(2, 4, 6, 5))), b.packed(), b.s.Detach(b.weight(3)), tensor.Conv{Stride: 1, Padding: 1, Dilation: 1, Groups: 1})
}

func handle(b *bench) unsafe.Pointer {
	p, err := b.s.Handle(b.weight(2))
	b.s.Fail(err)
	return p
}

// wrong are tensors that nobody should pass; each is made when it is passed.
var wrong = []struct {
	what string
	make func(b *bench) *ten
}{
	{"nil", func(*bench) *ten { return nil }},
	{"never made", func(*bench) *ten { return &ten{} }},
	{"released", func(b *bench) *ten { t := b.s.Zeros(2, 3); b.s.Free(t); return t }},
	{"no element", func(b *bench) *ten { return b.s.Zeros(0) }},
	{"no image", func(b *bench) *ten { return b.s.Zeros(0, 4, 6, 5) }},
	{"no channel", func(b *bench) *ten { return b.s.Zeros(2, 0, 6, 5) }},
	{"no height", func(b *bench) *ten { return b.s.Zeros(2, 4, 0, 5) }},
	{"scalar", func(b *bench) *ten { return b.s.Full(0.5, tensor.Float32) }},
	{"one", func(b *bench) *ten { return b.s.Zeros(1) }},
	{"two", func(b *bench) *ten { return b.s.Zeros(2) }},
	{"matrix", func(b *bench) *ten { return b.s.Zeros(2, 3) }},
	{"long matrix", func(b *bench) *ten { return b.s.Zeros(3, 70) }},
	{"batch", func(b *bench) *ten { return b.s.Zeros(2, 3, 4) }},
	{"five dimensions", func(b *bench) *ten { return b.s.Zeros(2, 4, 6, 5, 3) }},
	{"images", func(b *bench) *ten { return b.s.Zeros(2, 4, 6, 5) }},
	{"wide", func(b *bench) *ten { return b.s.Zeros(1, 1, 1, 1<<17) }},
	{"doubles", func(b *bench) *ten { return b.s.Full(0.5, tensor.Float64, 2, 3) }},
	{"double images", func(b *bench) *ten { return b.s.Full(0.5, tensor.Float64, 2, 4, 6, 5) }},
	{"halves", func(b *bench) *ten { return b.s.Full(0.5, tensor.Float16, 2, 4, 6, 5) }},
	{"bytes", func(b *bench) *ten { return b.s.Full(7, tensor.Uint8, 2, 3) }},
	{"byte images", func(b *bench) *ten { return b.s.Full(7, tensor.Uint8, 2, 4, 6, 5) }},
	{"bools", func(b *bench) *ten { return b.s.Full(1, tensor.Bool, 2, 3) }},
	{"wild integers", func(b *bench) *ten { return b.wild() }},
	{"wild row", func(b *bench) *ten { return b.s.Reshape(b.wild(), 6) }},
	{"wild pair", func(b *bench) *ten { return b.s.FromInts([]int64{-1, 1 << 40}, 2) }},
	{"not a number", func(b *bench) *ten { return b.s.Full(math.NaN(), tensor.Float32, 2, 3) }},
	{"infinite images", func(b *bench) *ten { return b.s.Full(math.Inf(-1), tensor.Float32, 2, 4, 6, 5) }},
	{"infinite grid", func(b *bench) *ten { return b.s.Full(math.Inf(1), tensor.Float32, 2, 3, 7, 2) }},
	{"far grid", func(b *bench) *ten { return b.s.Full(3e38, tensor.Float32, 2, 3, 7, 2) }},
	{"one value in many places", func(b *bench) *ten { return b.s.Expand(b.s.Zeros(1), 1<<22) }},
	{"overlapping images", func(b *bench) *ten { return b.s.Expand(b.s.Zeros(1, 4, 1, 5), 2, 4, 6, 5) }},
	{"turned images", func(b *bench) *ten { return b.s.Transpose(b.s.Zeros(2, 4, 5, 6), 2, 3) }},
	{"packed", func(b *bench) *ten { return b.packed() }},
}

func (b *bench) wild() *ten {
	return b.s.FromInts([]int64{-1, 1 << 40, math.MaxInt64, math.MinInt64, 3, 100}, 2, 3)
}

// made puts the tensor that a placeholder stands for in its place.
func (b *bench) made(v reflect.Value) {
	if v.Type() == reflect.TypeFor[[]*ten]() {
		for i := range v.Len() {
			b.made(v.Index(i))
		}
		return
	}
	if v.Type() != tensorType {
		return
	}
	for i, p := range b.places {
		if v.Interface() == any(p) {
			v.Set(reflect.ValueOf(wrong[i].make(b)))
		}
	}
}

var tensorType, deviceType, dtypeType = reflect.TypeFor[*ten](), reflect.TypeFor[tensor.Device](), reflect.TypeFor[tensor.DType]()

// others are hostile values of this package's types.
func (b *bench) others(t reflect.Type) (out []reflect.Value) {
	switch t {
	case tensorType:
		for len(b.places) < len(wrong) {
			b.places = append(b.places, new(ten))
		}
		for _, p := range b.places {
			out = append(out, reflect.ValueOf(p))
		}
	case deviceType:
		for _, i := range []int{-1, 0, 3, 127, 255, 256, math.MaxInt32, 1 << 32, math.MaxInt, math.MinInt} {
			out = append(out, reflect.ValueOf(tensor.CUDA(i)))
		}
	case dtypeType:
		for _, d := range []tensor.DType{-1, 1, 2, 3, 7, 8, 9, 10, 11, 12, 15, 16, 17, 99, math.MaxInt32, math.MinInt32} {
			out = append(out, reflect.ValueOf(d))
		}
	}
	return out
}

// tried is one call: an operation, a mode, and which arguments are spoiled.
type tried struct {
	name   string
	mode   tensor.Mode
	params []string
	// choose is given the variants of each argument and replaces arguments.
	choose func(b *bench, args []reflect.Value, variants [][]hostile.Variant) (spoiled []hostile.Variant, text string)
}

// outcome is what has come of it.
type outcome struct {
	err      error
	panicked any
	spoiled  []hostile.Variant
	text     string
}

// errNoMore says that a call has been tried with every variant.
var errNoMore = errors.New("no more")

func (c tried) call(t *testing.T, before func(text string) bool) (o outcome) {
	p := tensor.NewParams(tensor.CPU)
	defer func() { require.NoError(t, p.Close()) }()
	defer func() {
		if v := recover(); v != nil {
			o.panicked = v
		}
	}()
	o.err = tensor.Run(t.Context(), tensor.CPU, c.mode, func(s *scope) error {
		b := &bench{s: s, p: p}
		fair := operations[c.name](b)
		if err := s.Err(); err != nil {
			return fmt.Errorf("%s: arguments: %w", c.name, err)
		}
		f := reflect.ValueOf(s).MethodByName(c.name)
		args, variants := make([]reflect.Value, len(fair)), make([][]hostile.Variant, len(fair))
		for i := range fair {
			args[i] = reflect.New(f.Type().In(i)).Elem()
			if fair[i] != nil {
				args[i].Set(reflect.ValueOf(fair[i]))
			}
			variants[i] = hostile.Variants(c.params[i], args[i], b.others)
		}
		if o.spoiled, o.text = c.choose(b, args, variants); o.text == "" {
			return errNoMore
		}
		for _, a := range args {
			b.made(a)
		}
		if err := s.Err(); err != nil {
			return fmt.Errorf("%s: spoiled arguments: %w", c.name, err)
		}
		o.text = c.name + " in " + c.mode.String() + " with " + o.text
		if !before(o.text) {
			return nil
		}
		var out []reflect.Value
		if f.Type().IsVariadic() {
			out = f.CallSlice(args)
		} else {
			out = f.Call(args)
		}
		for _, v := range out {
			if err, ok := v.Interface().(error); ok && err != nil {
				return err
			}
		}
		b.use(c, out)
		return s.Err()
	})
	return o
}

// use reads what an operation has made and differentiates it.
func (b *bench) use(c tried, out []reflect.Value) {
	const most = 1 << 22 // values that are read
	for _, v := range out {
		var all []*ten
		switch r := v.Interface().(type) {
		case *ten:
			all = []*ten{r}
		case []*ten:
			all = r
		case unsafe.Pointer:
			if r != nil {
				b.s.Adopt(r)
			}
		}
		for _, r := range all {
			if !r.Valid() || r.Len() > most || c.name == "PackConv" || c.name == "Grad" {
				continue
			}
			if _, err := b.s.Float64s(r); err != nil || c.mode != tensor.Training || r.DType() != tensor.Float32 || r.Len() == 0 || !differentiable[c.name] {
				continue
			}
			b.s.Backward(b.s.Sum(r, false))
		}
	}
}

// differentiable are the operations whose gradients are asked for too.
var differentiable = map[string]bool{}

func init() {
	for _, n := range strings.Fields(`Add AddScalar AffineGrid AvgPool2d BCEWithLogits BCEWithLogitsWeighted BatchNorm Bmm Cat ChannelsLast ClampMin Conv2d
		ConvTranspose2d CosineSimilarity CrossEntropy CrossEntropyWeighted Div Embedding Expand Flip Gather GELU GlobalAvgPool GridSample IndexSelect LayerNorm LeakyReLU
		LeakyReLUInto Linear LogSoftmax MatMul Max MaxPool2d Maximum Mean Minus Mul MulScalar Narrow Norm Normalize Permute PlusInto QuickGELU ReLU ReLUInto
		Reshape Rot90 Select Sigmoid Softmax SolveLower Sum Tanh TopK Transpose Unsqueeze UpsampleBilinear UpsampleNearest`) {
		differentiable[n] = true
	}
}

// judge fails t where a call has broken a rule: no panic, and an error that names
// the operation and, where one number is spoiled, that parameter or one that it does
// not go together with.
func (c tried) judge(t *testing.T, o outcome, peak int64) {
	t.Helper()
	const most = 512 << 20
	var op *tensor.OpError
	switch {
	case o.panicked != nil:
		t.Errorf("%s panics: %v", o.text, o.panicked)
	case peak > most:
		t.Errorf("%s takes %d MB: %v", o.text, peak>>20, o.err)
	case o.err == nil:
	case !errors.As(o.err, &op):
		t.Errorf("%s: the error is none of an operation: %v", o.text, o.err)
	case op.Op != c.name && !(op.Op == "Backward" && !(len(o.spoiled) == 1 && o.spoiled[0].Sized)):
		t.Errorf("%s: the error names another operation: %v", o.text, o.err)
	case len(o.spoiled) == 1 && o.spoiled[0].Sized && !hostile.Names(o.err.Error(), o.spoiled[0].What) &&
		!slices.ContainsFunc(append(slices.Clone(c.params), "dimension"), func(p string) bool { return hostile.Names(o.err.Error(), p) }):
		t.Errorf("%s: the error does not name %s, nor another parameter: %v", o.text, o.spoiled[0].What, o.err)
	}
}

// No argument of any operation, in either mode, ends the process, panics, hangs or
// takes memory that nobody asked for; what is refused is refused by name.
func TestHostileOperations(t *testing.T) {
	params, err := hostile.Parameters(".")
	require.NoError(t, err)
	all := reflect.TypeFor[*scope]()
	require.Len(t, operations, all.NumMethod(), "the registry has what is none of Scope's methods")
	for i := range all.NumMethod() {
		require.Contains(t, operations, all.Method(i).Name, "an operation that is not in the registry")
	}
	hostile.InChild(t, func(step func(string) bool) {
		limitMemory(t)
		for i := range all.NumMethod() {
			name := all.Method(i).Name
			for _, mode := range []tensor.Mode{tensor.Evaluation, tensor.Training} {
				c := tried{name: name, mode: mode, params: params["Scope."+name]}
				c.fair(t, step)
				c.singly(t, step)
				c.together(t, step)
			}
		}
	})
}

// limitMemory makes allocations fail that a machine could grant and not fill.
func limitMemory(t *testing.T) {
	t.Helper()
	const most = 12 << 30 // of addresses; Go and libtorch reserve some of them
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_AS, &syscall.Rlimit{Cur: most, Max: most}))
}

// made makes the call and holds its memory against what was there before.
func (c tried) made(t *testing.T, step func(string) bool) (more bool) {
	t.Helper()
	called := false
	before := int64(0)
	o := c.call(t, func(text string) bool {
		called = step(text)
		if called {
			before = peakMemory(t)
		}
		return called
	})
	if errors.Is(o.err, errNoMore) {
		return false
	}
	if called {
		c.judge(t, o, peakMemory(t)-before)
	} else if o.err != nil {
		t.Error(o.err)
	}
	return true
}

// peakMemory is the most memory that the process has had.
func peakMemory(t *testing.T) int64 {
	t.Helper()
	var u syscall.Rusage
	require.NoError(t, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return u.Maxrss << 10
}

// fair makes the call with arguments that are right: the registry's are.
func (c tried) fair(t *testing.T, step func(string) bool) {
	t.Helper()
	if c.mode == tensor.Evaluation && c.name == "Backward" || strings.HasPrefix(c.name, "Conv") && !tensor.HasOneDNN() {
		return
	}
	c.choose = func(*bench, []reflect.Value, [][]hostile.Variant) ([]hostile.Variant, string) {
		return nil, "right arguments"
	}
	called := false
	o := c.call(t, func(text string) bool { called = step(text); return called })
	if called && (o.err != nil || o.panicked != nil) {
		t.Errorf("%s: %v %v", o.text, o.err, o.panicked)
	}
}

// singly spoils one argument after the other in all ways.
func (c tried) singly(t *testing.T, step func(string) bool) {
	t.Helper()
	for k := 0; ; k++ {
		c.choose = func(b *bench, args []reflect.Value, variants [][]hostile.Variant) ([]hostile.Variant, string) {
			at := k
			for i, vs := range variants {
				if at < len(vs) {
					args[i].Set(vs[at].Value)
					return vs[at : at+1], b.describe(vs[at])
				}
				at -= len(vs)
			}
			return nil, ""
		}
		if !c.made(t, step) {
			return
		}
	}
}

// together spoils several arguments at random; the operation's name alone decides which.
func (c tried) together(t *testing.T, step func(string) bool) {
	t.Helper()
	const times = 60
	if len(c.params) < 2 {
		return
	}
	h := fnv.New64a()
	h.Write([]byte(c.name))
	rng := rand.New(rand.NewPCG(h.Sum64(), 1))
	for range times {
		c.choose = func(b *bench, args []reflect.Value, variants [][]hostile.Variant) (spoiled []hostile.Variant, text string) {
			for _, i := range rng.Perm(len(args))[:2+rng.IntN(len(args)-1)] {
				if len(variants[i]) == 0 {
					continue
				}
				v := variants[i][rng.IntN(len(variants[i]))]
				args[i].Set(v.Value)
				spoiled, text = append(spoiled, v), text+" "+b.describe(v)
			}
			return spoiled, text
		}
		c.made(t, step)
	}
}

func (b *bench) describe(v hostile.Variant) string {
	for i, p := range b.places {
		if v.Value.Interface() == any(p) {
			return v.What + " " + wrong[i].what
		}
	}
	switch v.Value.Kind() {
	case reflect.Func, reflect.UnsafePointer:
		return v.What + " nil"
	}
	text := fmt.Sprint(v.Value.Interface())
	return v.What + " " + text[:min(len(text), 200)]
}
