package backbone_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/internal/atomicfile"
	"github.com/gotab/gotab/internal/onnx"
	"github.com/gotab/gotab/internal/onnx/onnxtest"
	"github.com/gotab/gotab/tensor"
)

// onnxTol is relative to the largest value of a layer: folding in double precision
// and other orders of summation leave some 1e-6.
const onnxTol = 1e-4

// statistics gives batch norms other running statistics than those of a new network,
// which folding would not show.
func statistics(t *testing.T, m *backbone.ResNet) {
	t.Helper()
	all, err := m.Params().Arrays(t.Context())
	require.NoError(t, err)
	rng := newRand()
	for i, a := range all {
		var low, high float32
		switch {
		case len(a.Shape) != 1 || a.DType != tensor.Float32 || a.Name == "fc.bias":
			continue
		case bytes.HasSuffix([]byte(a.Name), []byte("running_mean")), bytes.HasSuffix([]byte(a.Name), []byte(".bias")):
			low, high = -0.2, 0.2
		default:
			low, high = 0.5, 1.5
		}
		v := make([]float32, a.Shape[0])
		for j := range v {
			v[j] = low + (high-low)*rng.Float32()
		}
		all[i] = tensor.FloatArray(a.Name, v, a.Shape...)
	}
	require.NoError(t, m.Params().SetArrays(t.Context(), all, nil))
}

func onnxFeatures(t *testing.T, m *backbone.ResNet, x onnxtest.Array, at ...backbone.Layer) map[string]onnxtest.Array {
	t.Helper()
	out := make(map[string]onnxtest.Array)
	require.NoError(t, tensor.Run(t.Context(), m.Device(), tensor.Evaluation, func(s *tensor.Scope) error {
		in := s.FromFloats(x.Data, int64(x.Dims[0]), int64(x.Dims[1]), int64(x.Dims[2]), int64(x.Dims[3]))
		for i, f := range m.Forward(s, in, at...) {
			v, err := s.Floats(f)
			if err != nil {
				return err
			}
			a := onnxtest.Array{Data: v}
			for _, n := range f.Shape() {
				a.Dims = append(a.Dims, int(n))
			}
			out[at[i].String()] = a
		}
		return s.Err()
	}))
	return out
}

func requireNear(t *testing.T, want, got map[string]onnxtest.Array, tol float64) {
	t.Helper()
	require.Len(t, got, len(want))
	for name, w := range want {
		require.Equal(t, w.Dims, got[name].Dims, name)
		top, far := 0.0, 0.0
		for i, v := range w.Data {
			top = max(top, math.Abs(float64(v)))
			far = max(far, math.Abs(float64(v)-float64(got[name].Data[i])))
		}
		require.Positive(t, top, name)
		require.LessOrEqual(t, far, tol*top, name)
	}
}

func noise(dims ...int) onnxtest.Array {
	a := onnxtest.Array{Dims: dims, Data: make([]float32, dims[0]*dims[1]*dims[2]*dims[3])}
	rng := rand.New(rand.NewPCG(3, 4))
	for i := range a.Data {
		a.Data[i] = float32(rng.NormFloat64())
	}
	return a
}

// The written model, run operator by operator in Go, gives what Forward gives.
func TestONNXComputesWhatForwardDoes(t *testing.T) {
	for arch, at := range map[backbone.Arch][]backbone.Layer{
		backbone.ArchResNet18: {backbone.Pooled, backbone.Stem, backbone.Layer1, backbone.Layer2, backbone.Layer3, backbone.Layer4},
		backbone.ArchResNet50: {backbone.Layer2, backbone.Layer1},
	} {
		m, err := backbone.New(arch, tensor.CPU, newRand())
		require.NoError(t, err)
		statistics(t, m)
		var b bytes.Buffer
		require.NoError(t, m.WriteONNX(t.Context(), &b, at...))
		model, err := onnx.Read(b.Bytes())
		require.NoError(t, err)
		require.Equal(t, map[string]string{"architecture": arch.String()}, model.Metadata)
		names := make([]string, len(at))
		for i, o := range model.Graph.Outputs {
			names[i] = at[i].String()
			require.Equal(t, names[i], o.Name)
		}
		x := noise(1, 3, 32, 45) // an odd side is rounded up at every stage
		got, err := onnxtest.Eval(model, x)
		require.NoError(t, err)
		requireNear(t, onnxFeatures(t, m, x, at...), got, onnxTol)
		require.NoError(t, m.Close())
	}
}

// Every node, constant and shape of a fixed network stays as it is, unless somebody
// says so by another sum: programs elsewhere read these names.
func TestONNXStaysAsItIs(t *testing.T) {
	for arch, want := range map[backbone.Arch]string{
		backbone.ArchResNet18: "fb082768aab69287", backbone.ArchResNet50: "753beccaac9b3c24",
	} {
		m, err := backbone.New(arch, tensor.CPU, newRand())
		require.NoError(t, err)
		var b bytes.Buffer
		require.NoError(t, m.WriteONNX(t.Context(), &b, backbone.Stem, backbone.Layer1, backbone.Layer2, backbone.Layer3, backbone.Layer4, backbone.Pooled))
		require.NoError(t, m.Close())
		model, err := onnx.Read(b.Bytes())
		require.NoError(t, err)
		for i := range model.Graph.Constants { // values are rounded otherwise elsewhere
			model.Graph.Constants[i].Data = make([]byte, len(model.Graph.Constants[i].Data))
		}
		h := sha256.New()
		require.NoError(t, model.Write(t.Context(), h))
		require.Equal(t, want, fmt.Sprintf("%x", h.Sum(nil))[:16], arch)
	}
}

func TestONNXOfTheFirstStages(t *testing.T) {
	m, err := backbone.NewResNet18(tensor.CPU, newRand())
	require.NoError(t, err)
	defer m.Close()
	all, err := m.Params().Arrays(t.Context())
	require.NoError(t, err)
	first, err := backbone.FromStages(&tensor.Weights{Arrays: all}, backbone.ArchResNet18, backbone.Layer1, tensor.CPU)
	require.NoError(t, err)
	defer first.Close()
	var whole, part bytes.Buffer
	require.NoError(t, m.WriteONNX(t.Context(), &whole, backbone.Layer1))
	require.NoError(t, first.WriteONNX(t.Context(), &part, backbone.Layer1))
	require.Equal(t, whole.Bytes(), part.Bytes())
	require.ErrorIs(t, first.WriteONNX(t.Context(), &part, backbone.Layer2), backbone.ErrLayer)
}

func TestONNXErrors(t *testing.T) {
	m, err := backbone.NewResNet18(tensor.CPU, newRand())
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "net.onnx")
	for _, at := range [][]backbone.Layer{nil, {-1}, {backbone.Pooled + 1}, {math.MaxInt}, {backbone.Layer1, backbone.Layer1}} {
		require.ErrorIs(t, m.SaveONNX(t.Context(), path, at...), backbone.ErrLayer, at)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, m.SaveONNX(ctx, path, backbone.Layer1), context.Canceled)
	restore := atomicfile.Inject(func(s atomicfile.Step, _ string) error {
		if s == atomicfile.WriteSome {
			return syscall.ENOSPC
		}
		return nil
	})
	err = m.SaveONNX(t.Context(), path, backbone.Layer1)
	restore()
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.NoFileExists(t, path)
	require.NoError(t, m.SaveONNX(t.Context(), path, backbone.Layer1))
	var b bytes.Buffer
	require.NoError(t, m.WriteONNX(t.Context(), &b, backbone.Layer1))
	saved, err := os.ReadFile(path)
	require.NoError(t, err)
	require.True(t, slices.Equal(b.Bytes(), saved))
	require.NoError(t, m.Close())
	require.ErrorIs(t, m.WriteONNX(t.Context(), &b, backbone.Layer1), backbone.ErrClosed)
}

// ONNX Runtime gives what Forward gives.
func TestONNXRuntimeAgrees(t *testing.T) {
	at := []backbone.Layer{backbone.Stem, backbone.Layer1, backbone.Layer2, backbone.Layer3, backbone.Layer4, backbone.Pooled}
	for _, arch := range backbone.Archs() {
		m, err := backbone.New(arch, tensor.CPU, newRand())
		require.NoError(t, err)
		statistics(t, m)
		path := filepath.Join(t.TempDir(), "net.onnx")
		require.NoError(t, m.SaveONNX(t.Context(), path, at...))
		for _, x := range []onnxtest.Array{noise(2, 3, 64, 64), noise(1, 3, 33, 77)} {
			got, metadata := onnxtest.Runtime(t, path, x)
			require.Equal(t, arch.String(), metadata["architecture"])
			requireNear(t, onnxFeatures(t, m, x, at...), got, onnxTol)
		}
		require.NoError(t, m.Close())
	}
}
