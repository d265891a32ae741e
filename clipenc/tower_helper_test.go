package clipenc_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/clipenc"
	"github.com/gotab/gotab/internal/safetensors"
	"github.com/gotab/gotab/tensor"
)

// smallConfig is the tower of testdata/parity/text_tower.py.
func smallConfig(activation clipenc.Activation) clipenc.Config {
	cfg := clipenc.ViTB16()
	cfg.Width, cfg.Heads, cfg.Layers, cfg.Hidden, cfg.Embed, cfg.Vocab = 64, 4, 3, 256, 48, 664
	cfg.Activation = activation
	cfg.Vocabulary = filepath.Join("testdata", "merges.txt")
	return cfg
}

// formulaValues are the values of text_tower.py: multiples of 2^-15 from -1 up to below 1.
func formulaValues(name string, count int) []float32 {
	h := uint64(0xCBF29CE484222325)
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 0x100000001B3
	}
	out := make([]float32, count)
	for i := range out {
		z := h + uint64(i+1)*0x9E3779B97F4A7C15
		z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
		z = (z ^ z>>27) * 0x94D049BB133111EB
		z ^= z >> 31
		out[i] = float32(int64(z>>48)-32768) / 32768
	}
	return out
}

// array is a named float32 array with its shape.
type array struct {
	name   string
	shape  []int64
	values []float32
}

func formulaWeight(name string, shape ...int64) array {
	n := 1
	for _, d := range shape {
		n *= int(d)
	}
	v := formulaValues(name, n)
	scale, shift := float32(0.25), float32(0)
	switch {
	case strings.Contains(name, "ln_") && strings.HasSuffix(name, "weight"):
		shift = 1
	case name == "token_embedding.weight":
		scale = 1
	case name == "positional_embedding":
		scale = 0.5
	case strings.HasSuffix(name, "mlp.c_proj.weight"):
		scale = 0.125
	}
	for i := range v {
		v[i] = v[i]*scale + shift
	}
	return array{name, shape, v}
}

// formulaTower returns the tower's weights under OpenAI's names.
func formulaTower(cfg clipenc.Config) []array {
	w, h := int64(cfg.Width), int64(cfg.Hidden)
	out := []array{
		formulaWeight("token_embedding.weight", int64(cfg.Vocab), w),
		formulaWeight("positional_embedding", int64(cfg.Context), w),
		formulaWeight("ln_final.weight", w),
		formulaWeight("ln_final.bias", w),
		formulaWeight("text_projection", w, int64(cfg.Embed)),
	}
	for i := range cfg.Layers {
		p := fmt.Sprintf("transformer.resblocks.%d.", i)
		out = append(out,
			formulaWeight(p+"ln_1.weight", w), formulaWeight(p+"ln_1.bias", w),
			formulaWeight(p+"attn.in_proj_weight", 3*w, w), formulaWeight(p+"attn.in_proj_bias", 3*w),
			formulaWeight(p+"attn.out_proj.weight", w, w), formulaWeight(p+"attn.out_proj.bias", w),
			formulaWeight(p+"ln_2.weight", w), formulaWeight(p+"ln_2.bias", w),
			formulaWeight(p+"mlp.c_fc.weight", h, w), formulaWeight(p+"mlp.c_fc.bias", h),
			formulaWeight(p+"mlp.c_proj.weight", w, h), formulaWeight(p+"mlp.c_proj.bias", w))
	}
	return out
}

// asHuggingFace renames a tower: q, k and v apart, the projection transposed.
func asHuggingFace(tower []array) []array {
	r := strings.NewReplacer("transformer.resblocks.", "text_model.encoder.layers.", "ln_1.", "layer_norm1.", "ln_2.", "layer_norm2.",
		"attn.out_proj.", "self_attn.out_proj.", "mlp.c_fc.", "mlp.fc1.", "mlp.c_proj.", "mlp.fc2.", "ln_final.", "text_model.final_layer_norm.",
		"token_embedding.", "text_model.embeddings.token_embedding.", "positional_embedding", "text_model.embeddings.position_embedding.weight")
	var out []array
	for _, a := range tower {
		if before, kind, ok := strings.Cut(a.name, "attn.in_proj_"); ok {
			n := len(a.values) / 3
			shape := append([]int64{a.shape[0] / 3}, a.shape[1:]...)
			for i, p := range []string{"q", "k", "v"} {
				out = append(out, array{r.Replace(before) + "self_attn." + p + "_proj." + kind, shape, a.values[i*n : (i+1)*n]})
			}
			continue
		}
		if a.name == "text_projection" {
			rows, columns := int(a.shape[0]), int(a.shape[1])
			v := make([]float32, len(a.values))
			for i := range rows {
				for j := range columns {
					v[j*rows+i] = a.values[i*columns+j]
				}
			}
			out = append(out, array{"text_projection.weight", []int64{a.shape[1], a.shape[0]}, v})
			continue
		}
		out = append(out, array{r.Replace(a.name), a.shape, a.values})
	}
	return out
}

func withPrefix(prefix string, tower []array) []array {
	out := make([]array, len(tower))
	for i, a := range tower {
		out[i] = array{prefix + a.name, a.shape, a.values}
	}
	return out
}

func float32Tensor(a array) safetensors.Tensor {
	return safetensors.Tensor{Name: a.name, DType: safetensors.F32, Shape: a.shape, Data: safetensors.Float32Bytes(a.values)}
}

// bfloat16Tensor cuts the values to 16 bits; the array is changed to what the file holds.
func bfloat16Tensor(a array) safetensors.Tensor {
	var data []byte
	for i, v := range a.values {
		half := uint16(math.Float32bits(v) >> 16)
		data = binary.LittleEndian.AppendUint16(data, half)
		a.values[i] = math.Float32frombits(uint32(half) << 16)
	}
	return safetensors.Tensor{Name: a.name, DType: safetensors.BF16, Shape: a.shape, Data: data}
}

// float16Tensor cuts the values, which are of the range of normal halves or zero, to 16 bits.
func float16Tensor(a array) safetensors.Tensor {
	var data []byte
	for i, v := range a.values {
		bits := math.Float32bits(v)
		half := uint16(bits >> 16 & 0x8000)
		if e := int(bits>>23&0xff) - 112; e > 0 {
			half |= uint16(e)<<10 | uint16(bits>>13&0x3ff)
			a.values[i] = math.Float32frombits(bits &^ 0x1fff)
		} else {
			a.values[i] = math.Float32frombits(bits & 0x80000000)
		}
		data = binary.LittleEndian.AppendUint16(data, half)
	}
	return safetensors.Tensor{Name: a.name, DType: safetensors.F16, Shape: a.shape, Data: data}
}

func writeTensors(t testing.TB, path string, tensors []safetensors.Tensor) {
	t.Helper()
	var b bytes.Buffer
	_, err := safetensors.Write(&b, nil, tensors)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, b.Bytes(), 0o644))
}

func writeTower(t testing.TB, path string, tower []array) {
	t.Helper()
	tensors := make([]safetensors.Tensor, len(tower))
	for i, a := range tower {
		tensors[i] = float32Tensor(a)
	}
	writeTensors(t, path, tensors)
}

func writeIndex(t testing.TB, path string, shards map[string][]array) {
	t.Helper()
	index := map[string]string{}
	for file, tower := range shards {
		for _, a := range tower {
			index[a.name] = file
		}
	}
	raw, err := json.Marshal(map[string]any{"metadata": map[string]any{"total_size": 1}, "weight_map": index})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, raw, 0o644))
}

// noLeak fails the test if it leaves native tensors behind.
func noLeak(t testing.TB) {
	t.Helper()
	before := tensor.Live()
	t.Cleanup(func() {
		if now := tensor.Live(); now != before {
			t.Errorf("%d native tensors before the test, %d after it", before, now)
		}
	})
}

func openTower(t testing.TB, path string, cfg clipenc.Config) *clipenc.TextEncoder {
	t.Helper()
	e, err := clipenc.Open(path, cfg, tensor.CPU)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	return e
}

// oneThread is the test's context with one thread a Run: the towers here are too small for two to be of use.
func oneThread(t testing.TB) context.Context { return tensor.WithThreads(t.Context(), 1) }
