package backbone_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tensor"
)

// behind returns the arrays with other names.
func behind(a []tensor.Array, rename func(name string) string) []tensor.Array {
	out := append([]tensor.Array(nil), a...)
	for i := range out {
		out[i].Name = rename(out[i].Name)
	}
	return out
}

func prefixed(prefix string) func(string) string {
	return func(name string) string { return prefix + name }
}

// sequential is the name in torch.nn.Sequential(*resnet.children()).
func sequential(name string) string {
	part, rest, _ := strings.Cut(name, ".")
	return fmt.Sprint(map[string]int{"conv1": 0, "bn1": 1, "layer1": 4, "layer2": 5, "layer3": 6, "layer4": 7, "fc": 9}[part]) + "." + rest
}

// huggingFace is the name in the transformers library.
func huggingFace(name string) string {
	part, rest, _ := strings.Cut(name, ".")
	switch part {
	case "conv1":
		return "resnet.embedder.embedder.convolution." + rest
	case "bn1":
		return "resnet.embedder.embedder.normalization." + rest
	case "fc":
		return "classifier.1." + rest
	}
	block, rest, _ := strings.Cut(rest, ".")
	at := "resnet.encoder.stages." + string(part[5]-1) + ".layers." + block + "."
	if rest, ok := strings.CutPrefix(rest, "downsample."); ok {
		return at + "shortcut." + strings.NewReplacer("0.", "convolution.", "1.", "normalization.").Replace(rest)
	}
	unit, rest, _ := strings.Cut(rest, ".")
	kind := map[byte]string{'c': ".convolution.", 'b': ".normalization."}[unit[0]]
	i, _ := strconv.Atoi(unit[len(unit)-1:])
	return at + "layer." + strconv.Itoa(i-1) + kind + rest
}

// What training programs of others save: the one complete network is found, whatever stands before its names and
// beside it.
func TestTheNetworkIsFoundAmongStrangers(t *testing.T) {
	testutil.NoLeak(t)
	plain := formulaArrays(t)
	var body []tensor.Array // without fc
	for _, a := range plain {
		if !strings.HasPrefix(a.Name, "fc.") {
			body = append(body, a)
		}
	}
	other := func(name string, shape ...int64) tensor.Array {
		n := int64(1)
		for _, d := range shape {
			n *= d
		}
		return tensor.FloatArray(name, make([]float32, n), shape...)
	}
	change := func(f func(a tensor.Array) tensor.Array) []tensor.Array {
		out := make([]tensor.Array, len(plain))
		for i, a := range plain {
			out[i] = f(a)
		}
		return out
	}
	counters := func(f func(a tensor.Array) tensor.Array) []tensor.Array {
		return change(func(a tensor.Array) tensor.Array {
			if strings.HasSuffix(a.Name, "num_batches_tracked") {
				return f(a)
			}
			return a
		})
	}
	half := len(behind(plain, prefixed("module.encoder_k."))) / 2
	for name, c := range map[string]struct {
		arrays []tensor.Array
		fc     bool // the classification layer comes from the file
	}{
		"behind a prefix beside strangers":  {append(behind(plain, prefixed("backbone.")), other("projection_head.0.weight", 4, 4), other("queue", 8)), true},
		"two parts of a prefix":             {behind(plain, prefixed("state_dict.module.")), true},
		"compiled":                          {behind(plain, prefixed("_orig_mod.")), true},
		"beside a metric":                   {append(behind(plain, prefixed("model.")), other("ema_decay"), other("model.head.weight", 3, 3)), true},
		"beside an optimizer":               {append(behind(plain, prefixed("model.")), other("optimizer.state.0.momentum_buffer", 64, 3, 7, 7), other("optimizer.state.1.momentum_buffer", 64)), true},
		"without a prefix beside strangers": {append(append([]tensor.Array(nil), plain...), other("momentum_encoder.x", 2)), true},
		"beside a part of another":          {append(behind(plain, prefixed("module.encoder_q.")), behind(plain, prefixed("module.encoder_k."))[:half]...), true},
		"no fc":                             {body, false},
		"an fc of two layers":               {append(append([]tensor.Array(nil), body...), other("fc.0.weight", 512, 512), other("fc.2.weight", 10, 512)), false},
		"children of a Sequential":          {behind(body, func(n string) string { return "backbone." + sequential(n) }), false},
		"Hugging Face":                      {behind(plain, huggingFace), false},
		"counters as float":                 {counters(func(a tensor.Array) tensor.Array { return tensor.FloatArray(a.Name, []float32{7}) }), true},
		"counters in a list":                {counters(func(a tensor.Array) tensor.Array { return tensor.IntArray(a.Name, []int64{7}, 1) }), true},
		"float64": {change(func(a tensor.Array) tensor.Array {
			if a.DType != tensor.Float32 {
				return a
			}
			return toFloat64(t, a)
		}), true},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := backbone.FromWeights(&tensor.Weights{Arrays: c.arrays}, tensor.CPU)
			require.NoError(t, err)
			defer m.Close()
			got, err := m.Params().Arrays(t.Context())
			require.NoError(t, err)
			require.Len(t, got, len(plain))
			for i, a := range got {
				require.Equal(t, plain[i].Name, a.Name)
				if strings.HasPrefix(a.Name, "fc.") && !c.fc || strings.HasSuffix(a.Name, "num_batches_tracked") {
					continue
				}
				require.Equal(t, plain[i], a)
			}
		})
	}
}

func toFloat64(t *testing.T, a tensor.Array) tensor.Array {
	t.Helper()
	v, err := a.Floats()
	require.NoError(t, err)
	f := make([]float64, len(v))
	for i, x := range v {
		f[i] = float64(x)
	}
	return tensor.Array{Name: a.Name, DType: tensor.Float64, Shape: a.Shape, Data: float64Bytes(f)}
}

func TestSeveralNetworksAreListedAndChosen(t *testing.T) {
	testutil.NoLeak(t)
	plain := formulaArrays(t)
	twice := append(behind(plain, prefixed("student.")), behind(plain, prefixed("teacher."))...)
	for i := range twice {
		if twice[i].Name == "teacher.bn1.bias" {
			v := make([]float32, 64)
			v[5] = 3
			twice[i] = tensor.FloatArray("teacher.bn1.bias", v, 64)
		}
	}
	path := filepath.Join(t.TempDir(), "two.safetensors")
	require.NoError(t, tensor.SaveWeights(path, nil, twice))
	_, err := backbone.Open(path, tensor.CPU)
	require.ErrorIs(t, err, backbone.ErrWeights)
	require.ErrorContains(t, err, `it holds 2 networks`)
	require.ErrorContains(t, err, `"student.", "teacher."`)
	require.ErrorContains(t, err, path)
	_, err = backbone.OpenChoice(path, backbone.Choice{Prefix: "techer."}, tensor.CPU)
	require.ErrorContains(t, err, `no network stands behind "techer."; the prefixes of its networks are "student.", "teacher."`)
	m, err := backbone.OpenChoice(path, backbone.Choice{Prefix: "teacher."}, tensor.CPU)
	require.NoError(t, err)
	defer m.Close()
	got, err := m.Params().Arrays(t.Context())
	require.NoError(t, err)
	for _, a := range got {
		if a.Name == "bn1.bias" {
			v, err := a.Floats()
			require.NoError(t, err)
			require.Equal(t, float32(3), v[5])
		}
	}
}

// A part that changes what a network computes must not be passed over as a stranger.
func TestAPartOfAnotherResNetIsRefused(t *testing.T) {
	testutil.NoLeak(t)
	for name, a := range map[string]tensor.Array{
		"layer1.0.se.fc1.weight [4]": tensor.FloatArray("layer1.0.se.fc1.weight", make([]float32, 4), 4),
		"conv1.bias [64]":            tensor.FloatArray("conv1.bias", make([]float32, 64), 64),
	} {
		_, err := backbone.FromWeights(&tensor.Weights{Arrays: append(behind(formulaArrays(t), prefixed("net.")), behind([]tensor.Array{a}, prefixed("net."))...)}, tensor.CPU)
		require.ErrorIs(t, err, backbone.ErrWeights)
		require.ErrorContains(t, err, name+" is not expected")
		require.ErrorContains(t, err, `behind "net."`)
	}
	bad := behind(formulaArrays(t), prefixed(""))
	for i := range bad {
		if strings.HasSuffix(bad[i].Name, "bn1.num_batches_tracked") {
			bad[i] = tensor.FloatArray(bad[i].Name, []float32{1.5})
		}
		if bad[i].Name == "bn1.weight" {
			bad[i] = tensor.Array{Name: "bn1.weight", DType: tensor.Float64, Shape: []int64{64}, Data: float64Bytes(append(make([]float64, 63), 1e300))}
		}
	}
	_, err := backbone.FromWeights(&tensor.Weights{Arrays: bad}, tensor.CPU)
	require.ErrorContains(t, err, "bn1.num_batches_tracked is 1.5, want a count")
	require.ErrorContains(t, err, "too large for float32")
}

func float64Bytes(v []float64) []byte {
	var b []byte
	for _, x := range v {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(x))
	}
	return b
}

// A network that is opened for some layers has them as the whole one has, and no memory for the rest. The file must be whole all the same.
func TestOpenForLayers(t *testing.T) {
	testutil.NoLeak(t)
	file := filepath.Join(t.TempDir(), "net.safetensors")
	whole, err := backbone.NewResNet18(tensor.CPU, newRand())
	require.NoError(t, err)
	defer func() { require.NoError(t, whole.Close()) }()
	require.NoError(t, whole.Save(file))
	x := make([]float32, 3*64*64)
	for i := range x {
		x[i] = float32(i%17) / 17
	}
	maps := func(m *backbone.ResNet, at ...backbone.Layer) (out [][]float32) {
		require.NoError(t, tensor.Run(t.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
			for _, y := range m.Forward(s, s.FromFloats(x, 1, 3, 64, 64), at...) {
				v, err := s.Floats(y)
				if err != nil {
					return err
				}
				out = append(out, v)
			}
			return s.Err()
		}))
		return out
	}
	part, err := backbone.OpenChoice(file, backbone.Choice{Layers: []backbone.Layer{backbone.Layer3, backbone.Layer1}}, tensor.CPU)
	require.NoError(t, err)
	want := maps(whole, backbone.Layer1, backbone.Layer2, backbone.Layer3)
	require.Equal(t, want, maps(part, backbone.Layer1, backbone.Layer2, backbone.Layer3))
	require.Zero(t, part.Channels(backbone.Layer4))
	require.Less(t, part.Params().Len(), whole.Params().Len()/4, "three quarters are layer 4's")
	require.NoError(t, part.Close())

	for _, layers := range [][]backbone.Layer{nil, {backbone.Layer1, backbone.Pooled}, {-1}, {9}} {
		all, err := backbone.OpenChoice(file, backbone.Choice{Layers: layers}, tensor.CPU)
		require.NoError(t, err)
		require.Equal(t, whole.Params().Names(), all.Params().Names(), "%v", layers)
		require.NoError(t, all.Close())
	}

	arrays, err := whole.Params().Arrays(t.Context())
	require.NoError(t, err)
	torn := slices.DeleteFunc(arrays, func(a tensor.Array) bool { return a.Name == "layer4.1.conv2.weight" })
	require.NoError(t, tensor.SaveWeights(file, nil, torn))
	_, err = backbone.OpenChoice(file, backbone.Choice{Layers: []backbone.Layer{backbone.Layer3}}, tensor.CPU)
	require.ErrorIs(t, err, backbone.ErrWeights)
	require.ErrorContains(t, err, "layer4.1.conv2.weight [512 512 3 3] is missing")
}
