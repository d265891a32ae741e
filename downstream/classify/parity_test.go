package classify

import (
	"image"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tensor"
)

// stepTolerance is relative to the reference's largest value: two programs'
// float32 sums through eighteen layers, there, back, and there again.
const stepTolerance = 1e-4

// formula is draw of testdata/parity/classifier.py.
func formula(name string, n int64) []float32 { return testutil.Draw(name, n) }

// filled is fill of the script: the values of a tensor by its name.
func filled(a tensor.Array) tensor.Array {
	if strings.HasSuffix(a.Name, "num_batches_tracked") {
		return tensor.IntArray(a.Name, []int64{7})
	}
	v := testutil.DrawParameter(a.Name, a.Shape)
	for i := range v {
		switch {
		case strings.HasSuffix(a.Name, "downsample.1.bias"), strings.HasSuffix(a.Name, ".bn2.bias"):
			v[i] += 2
		case strings.Contains(a.Name, "bn") && strings.HasSuffix(a.Name, ".bias"):
			v[i] += 3 - 6*float32(i%2)
		}
	}
	return tensor.FloatArray(a.Name, v, a.Shape...)
}

// formulaNet is a ResNet-18 of the script's weights.
func formulaNet(t *testing.T) *backbone.ResNet {
	t.Helper()
	net, err := backbone.NewResNet18(tensor.CPU, seeded(1))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, net.Close()) })
	arrays, err := net.Params().Arrays(t.Context())
	require.NoError(t, err)
	for i := range arrays {
		arrays[i] = filled(arrays[i])
	}
	require.NoError(t, net.Params().SetArrays(t.Context(), arrays, nil))
	return net
}

// TestClassifierEqualsPyTorch takes one step of linear layer and backbone with
// every loss and compares logits before and after it, the loss, and weights.
func TestClassifierEqualsPyTorch(t *testing.T) {
	testutil.NoLeak(t)
	const n, side = 6, 64
	refs := testutil.Fixture(t, filepath.Join("testdata", "parity", "classifier.json"))
	net := formulaNet(t)
	pixels := formula("images", n*side*side*3)
	for name, c := range map[string]struct {
		task Task
		k    int64
		rule string
	}{
		"labels": {MultiLabel, 8, "sgd"}, "labels weighted": {MultiLabel, 8, "adamw"},
		"classes": {MultiClass, 5, "sgd"}, "classes weighted": {MultiClass, 5, "adamw"},
	} {
		cfg := DefaultWafer(side)
		cfg.Task, cfg.Rule, cfg.LR, cfg.BackboneLR = c.task, c.rule, 1.0/64, 1.0/512
		cfg.SGD.WeightDecay = 0.01
		cfg.AdamW.Epsilon, cfg.AdamW.WeightDecay = 1, 0.1
		if strings.HasSuffix(name, "weighted") {
			for _, w := range formula("weights", c.k) {
				cfg.Weights = append(cfg.Weights, 1.25+float64(w))
			}
		}
		cls, err := New(net, cfg, seeded(1))
		require.NoError(t, err)
		tr := &training{c: cls, data: formulaLabels(t, c.task, n, c.k), size: cfg.Transform.Exact}
		tr.weights, err = cfg.weights(tr.data)
		require.NoError(t, err)
		require.NoError(t, tr.begin(t.Context()))
		require.NoError(t, tr.g.Params.SetArrays(t.Context(), []tensor.Array{
			filled(tensor.Array{Name: headWeight, Shape: []int64{c.k, 512}}),
			filled(tensor.Array{Name: headBias, Shape: []int64{c.k}}),
		}, nil))
		compare := func(what string, shape []int64, got []float32) {
			t.Helper()
			require.NoError(t, refs[name+"/"+what].Compare(shape, got, stepTolerance), "%s/%s", name, what)
		}
		logits := func() (out []float32) {
			require.NoError(t, tensor.Run(t.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
				y := s.Linear(pooled(s, tr.g.net, s.FromNHWC(pixels, n, side, side, 3)), tr.g.Params.Get(headWeight), tr.g.Params.Get(headBias))
				var err error
				out, err = s.Floats(y)
				return err
			}))
			return out
		}
		compare("before", []int64{n, c.k}, logits())
		loss, _, err := tr.step(t.Context(), minibatch{index: []int{0, 1, 2, 3, 4, 5}, pixels: pixels}, 1)
		require.NoError(t, err)
		compare("loss", []int64{1}, []float32{float32(loss)})
		compare("after", []int64{n, c.k}, logits())
		require.NoError(t, tensor.Run(t.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
			every := func(x *tensor.Tensor, dim, step int64) *tensor.Tensor {
				var at []int64
				for i := int64(0); i < x.Size(int(dim)); i += step {
					at = append(at, i)
				}
				return s.IndexSelect(x, dim, s.FromInts(at, int64(len(at))))
			}
			for what, x := range map[string]*tensor.Tensor{
				"head": every(tr.g.Params.Get(headWeight), 1, 64),
				"conv": every(every(tr.g.own.Params().Get("layer1.0.conv1.weight"), 0, 16), 1, 16),
			} {
				v, err := s.Floats(x)
				require.NoError(t, err)
				compare(what, x.Shape(), v)
			}
			return s.Err()
		}))
		tr.close(false)
		require.NoError(t, cls.Close())
	}
	// The network that was lent is as it was.
	for _, a := range weightsOf(t, net) {
		require.Equal(t, filled(tensor.Array{Name: a.Name, Shape: a.Shape}).Data, a.Data, a.Name)
	}
}

func weightsOf(t *testing.T, net *backbone.ResNet) []tensor.Array {
	t.Helper()
	arrays, err := net.Params().Arrays(t.Context())
	require.NoError(t, err)
	return arrays
}

// formulaLabels are the script's truth and classes.
func formulaLabels(t *testing.T, task Task, n, k int64) *Labelled {
	t.Helper()
	names := make([]string, k)
	for i := range names {
		names[i] = string(rune('a' + i))
	}
	ds, err := dataset.NewImages("part", blanks(int(n))...)
	require.NoError(t, err)
	truth := formula("truth", n*k)
	l, err := Label(ds, names, func(i int, _ dataset.Item) ([]bool, error) {
		out := make([]bool, k)
		for j := range out {
			if task == MultiLabel {
				out[j] = truth[i*int(k)+j] > 0
			} else {
				out[j] = i*3%int(k) == j
			}
		}
		return out, nil
	})
	require.NoError(t, err)
	return l
}

// blanks are images that nobody looks at.
func blanks(n int) []image.Image {
	out := make([]image.Image, n)
	for i := range out {
		out[i] = image.NewRGBA(image.Rect(0, 0, 4, 4))
	}
	return out
}

func seeded(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }
