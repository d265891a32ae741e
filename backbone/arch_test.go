package backbone_test

import (
	"archive/zip"
	"bytes"
	"fmt"
	"image"
	"image/color"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/synth"
	"github.com/gotab/gotab/tab"
	"github.com/gotab/gotab/tensor"
)

func TestArchNames(t *testing.T) {
	for _, a := range backbone.Archs() {
		got, err := backbone.ParseArch(a.String())
		require.NoError(t, err)
		require.Equal(t, a, got)
		require.Zero(t, a.Channels(backbone.Layer(-1)))
		require.Zero(t, a.Channels(backbone.Layer(6)))
		require.Equal(t, a.Channels(backbone.Layer4), a.Channels(backbone.Pooled))
	}
	_, err := backbone.ParseArch("resnet101")
	require.ErrorIs(t, err, backbone.ErrArch)
	require.ErrorContains(t, err, "wide_resnet50_2")
	for _, a := range []backbone.Arch{-1, 4} {
		require.Zero(t, a.Channels(backbone.Layer1))
		_, err = backbone.New(a, tensor.CPU, newRand())
		require.ErrorIs(t, err, backbone.ErrArch)
		require.ErrorContains(t, err, fmt.Sprint(int(a)))
	}
}

// tabWeights is a file as TAB's released code saves it: torch.save of
// torchvision's state dict on a GPU. The pickle is Python's own; the storages,
// which torch.save numbers in the order of the state dict, come from the formula.
func tabWeights(t *testing.T) []byte {
	t.Helper()
	pickle, err := os.ReadFile(filepath.Join("testdata", "parity", "tab_resnet18.pkl"))
	require.NoError(t, err)
	var file bytes.Buffer
	z := zip.NewWriter(&file)
	put := func(name string, data []byte) {
		w, err := z.CreateHeader(&zip.FileHeader{Name: "archive/" + name, Method: zip.Store})
		require.NoError(t, err)
		_, err = w.Write(data)
		require.NoError(t, err)
	}
	put("data.pkl", pickle)
	put("byteorder", []byte("little"))
	for i, a := range formulaArrays(t) {
		put(fmt.Sprintf("data/%d", i), a.Data)
	}
	put("version", []byte("3\n"))
	require.NoError(t, z.Close())
	return file.Bytes()
}

func TestReleasedTABWeightsLoadStrictly(t *testing.T) {
	testutil.NoLeak(t)
	file := tabWeights(t)
	want := formulaArrays(t)
	requireHolds := func(m *backbone.ResNet, err error) {
		t.Helper()
		require.NoError(t, err)
		defer m.Close()
		require.Equal(t, backbone.ArchResNet18, m.Arch())
		got, err := m.Params().Arrays(t.Context())
		require.NoError(t, err)
		require.Len(t, got, len(want))
		for i := range want {
			require.Equal(t, want[i].Name, got[i].Name)
			require.True(t, slices.Equal(want[i].Shape, got[i].Shape), "%s is %v", want[i].Name, got[i].Shape)
			require.True(t, bytes.Equal(want[i].Data, got[i].Data), "%s has other values", want[i].Name)
		}
		require.False(t, m.Params().IsTrainable("fc.weight"), "fc is carried along untouched")
	}
	requireHolds(backbone.ReadTorch(bytes.NewReader(file), int64(len(file)), tensor.CPU))

	// The same state dict as safetensors, and every name that it lacks or has too many.
	var safe bytes.Buffer
	_, err := tensor.WriteWeights(&safe, nil, want)
	require.NoError(t, err)
	requireHolds(backbone.Read(bytes.NewReader(safe.Bytes()), tensor.CPU))
	w, err := tensor.ReadTorchWeights(bytes.NewReader(file), int64(len(file)))
	require.NoError(t, err)
	w.Arrays = slices.DeleteFunc(w.Arrays, func(a tensor.Array) bool { return a.Name == "bn1.weight" || a.Name == "layer4.1.conv2.weight" })
	w.Arrays = append(w.Arrays, tensor.FloatArray("head.weight", []float32{1}, 1), tensor.FloatArray("logit_scale", []float32{2.66}))
	_, err = backbone.FromWeights(w, tensor.CPU)
	require.ErrorIs(t, err, backbone.ErrWeights)
	for _, fault := range []string{"2 faults", "bn1.weight [64] is missing", "layer4.1.conv2.weight [512 512 3 3] is missing"} {
		require.ErrorContains(t, err, fault)
	}

	path := filepath.Join(t.TempDir(), "tab.pth")
	require.NoError(t, os.WriteFile(path, file, 0o600))
	opened, err := backbone.Open(path, tensor.CPU)
	require.NoError(t, err)
	require.NoError(t, opened.Close())
}

// TestReadFindsTheArchitecture writes and reads back the smallest network of each
// kind of block; TestEqualsTorchvision covers the rest from arrays.
func TestReadFindsTheArchitecture(t *testing.T) {
	testutil.NoLeak(t)
	m, err := backbone.New(backbone.ArchResNet50, tensor.CPU, newRand())
	require.NoError(t, err)
	defer m.Close()
	path := filepath.Join(t.TempDir(), "net.safetensors")
	require.NoError(t, m.Save(path))
	w, err := tensor.OpenWeights(path)
	require.NoError(t, err)
	require.Equal(t, "resnet50", w.Metadata["architecture"])
	back, err := backbone.Open(path, tensor.CPU)
	require.NoError(t, err)
	defer back.Close()
	require.Equal(t, backbone.ArchResNet50, back.Arch())
	x := draw("x", 3*64*64)
	require.Equal(t, pooled(t, m, tensor.Evaluation, x, 1, 64), pooled(t, back, tensor.Evaluation, x, 1, 64))

	_, err = backbone.OpenResNet18(path, tensor.CPU)
	require.ErrorIs(t, err, backbone.ErrWeights)
	require.ErrorContains(t, err, "look like resnet50")
	require.ErrorContains(t, err, path)

	// A deeper network of the same blocks is refused by name.
	deeper := append(append([]tensor.Array(nil), w.Arrays...), tensor.FloatArray("layer3.6.bn1.weight", make([]float32, 256), 256))
	_, err = backbone.FromWeights(&tensor.Weights{Arrays: deeper}, tensor.CPU)
	require.ErrorIs(t, err, backbone.ErrWeights)
	require.ErrorContains(t, err, "layer3.6.bn1.weight [256] is not expected")
	require.ErrorContains(t, err, "resnet50 (1 fault)")
}

// TestFreshWeightsHaveTorchvisionsSpread checks deviation and mean of each kind
// of tensor that New draws.
func TestFreshWeightsHaveTorchvisionsSpread(t *testing.T) {
	testutil.NoLeak(t)
	m, err := backbone.New(backbone.ArchResNet50, tensor.CPU, newRand())
	require.NoError(t, err)
	defer m.Close()
	arrays, err := m.Params().Arrays(t.Context())
	require.NoError(t, err)
	for _, a := range arrays {
		if strings.HasSuffix(a.Name, "tracked") {
			require.Equal(t, make([]byte, 8), a.Data, a.Name)
			continue
		}
		v, err := a.Floats()
		require.NoError(t, err)
		var sum, squares float64
		for _, x := range v {
			sum += float64(x)
			squares += float64(x) * float64(x)
		}
		n := float64(len(v))
		mean, deviation := sum/n, math.Sqrt(squares/n-sum/n*sum/n)
		want, center := 0.0, 0.0
		switch {
		case len(a.Shape) == 4:
			want = math.Sqrt(2 / float64(a.Shape[0]*a.Shape[2]*a.Shape[3]))
		case strings.HasPrefix(a.Name, "fc."):
			want = 1 / math.Sqrt(3*2048)
		case strings.HasSuffix(a.Name, "weight"), strings.HasSuffix(a.Name, "running_var"):
			center = 1
		}
		// Five standard errors of a mean, and of a deviation.
		require.InDelta(t, center, mean, 5*want/math.Sqrt(n)+1e-9, a.Name)
		require.InDelta(t, want, deviation, 5*want/math.Sqrt(2*n)+1e-9, a.Name)
	}
}

func TestFilesThatLieDoNotPanic(t *testing.T) {
	for name, change := range map[string]func(a []tensor.Array) []tensor.Array{
		"fc.weight [5] is not expected": func(a []tensor.Array) []tensor.Array {
			a[len(a)-2] = tensor.FloatArray("fc.weight", make([]float32, 5), 5)
			return a
		},
		"do not belong together": func(a []tensor.Array) []tensor.Array { return a[:len(a)-1] },
		"fc.bias is int64, want a floating-point type": func(a []tensor.Array) []tensor.Array {
			a[len(a)-1] = tensor.IntArray("fc.bias", make([]int64, 1000), 1000)
			return a
		},
		"bn1.num_batches_tracked is 7.5, want a count": func(a []tensor.Array) []tensor.Array {
			a[5] = tensor.FloatArray("bn1.num_batches_tracked", []float32{7.5})
			return a
		},
		"conv1.weight comes twice": func(a []tensor.Array) []tensor.Array { return append(a, a[0]) },
	} {
		arrays := change(append([]tensor.Array(nil), formulaArrays(t)...))
		_, err := backbone.FromWeights(&tensor.Weights{Arrays: arrays}, tensor.CPU)
		require.ErrorIs(t, err, backbone.ErrWeights, name)
		require.ErrorContains(t, err, name)
	}
}

// FuzzRead feeds streams that are no networks: each must end in an error.
func FuzzRead(f *testing.F) {
	for _, a := range [][]tensor.Array{
		nil,
		{tensor.FloatArray("fc.weight", []float32{1})},
		{tensor.FloatArray("module.conv1.weight", make([]float32, 3), 1, 3, 1, 1), tensor.IntArray("module.bn1.num_batches_tracked", []int64{1}, 1)},
		{tensor.FloatArray("layer1.0.conv3.weight", []float32{1}), tensor.FloatArray("layer1.0.conv1.weight", []float32{1})},
	} {
		var b bytes.Buffer
		if _, err := tensor.WriteWeights(&b, nil, a); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1<<20 {
			t.Skip("a real network is larger")
		}
		if m, err := backbone.Read(bytes.NewReader(b), tensor.CPU); err == nil {
			t.Fatal("read a network out of a megabyte: ", m.Close())
		}
	})
}

// TestPretrainABottleneckNetwork runs one epoch of package tab on ResNet-50, whose
// pooled vector is wider than the anchors, so that a projection stands between.
func TestPretrainABottleneckNetwork(t *testing.T) {
	testutil.NoLeak(t)
	m, err := backbone.New(backbone.ArchResNet50, tensor.CPU, newRand())
	require.NoError(t, err)
	defer m.Close()
	x := draw("x", 3*32*32)
	before := pooled(t, m, tensor.Evaluation, x, 1, 32)

	rng := newRand()
	var pictures []image.Image
	for range 2 {
		img := image.NewRGBA(image.Rect(0, 0, 32, 32))
		for y := range 32 {
			for x := range 32 {
				img.SetRGBA(x, y, color.RGBA{uint8(8 * x), uint8(8 * y), uint8(rng.IntN(256)), 255})
			}
		}
		pictures = append(pictures, img)
	}
	ds, err := dataset.NewImages("cloth", pictures...)
	require.NoError(t, err)
	cfg := tab.DefaultConfig()
	cfg.Objective, cfg.Epochs, cfg.Batch, cfg.Repeat = tab.Joint(), 1, 2, 1
	cfg.Transform = dataset.Square(32)
	cfg.FreezeStatistics(backbone.Layer2)
	damage := synth.DefaultNSA()
	damage.Height, damage.Width = synth.Span{Lo: 0.3, Hi: 0.5}, synth.Span{Lo: 0.3, Hi: 0.5}
	anchors := &tab.Bank{Classes: []string{"cloth"}, Normal: [][]float32{{1, 0}}, Abnormal: [][]float32{{0, 1}}}
	pre, err := tab.New(tab.Parts{Visual: m, Anchors: anchors, Synth: damage}, cfg)
	require.NoError(t, err)
	steps := 0
	for st, err := range pre.Steps(t.Context(), ds) {
		require.NoError(t, err)
		require.Greater(t, st.Loss, 0.0)
		steps++
	}
	require.Equal(t, 1, steps)
	require.Equal(t, []int64{2, 2048}, pre.Head().Get("projection.weight").Shape())
	require.NoError(t, pre.Close())
	require.NotEqual(t, before, pooled(t, m, tensor.Evaluation, x, 1, 32), "nothing was trained")

	// Frozen statistics stay at their start, others have moved.
	arrays, err := m.Params().Arrays(t.Context())
	require.NoError(t, err)
	for _, a := range arrays {
		if strings.HasSuffix(a.Name, "running_mean") {
			v, err := a.Floats()
			require.NoError(t, err)
			frozen := !strings.HasPrefix(a.Name, "layer3") && !strings.HasPrefix(a.Name, "layer4")
			require.Equal(t, frozen, allZero(v), a.Name)
		}
	}
}

func allZero(v []float32) bool {
	for _, x := range v {
		if x != 0 {
			return false
		}
	}
	return true
}
