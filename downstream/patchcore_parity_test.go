package downstream

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/downstream/internal/engine"
	"github.com/gotab/gotab/downstream/internal/patchcore"
	"github.com/gotab/gotab/tensor"
)

// waves is an extractor whose features are a formula of their index.
type waves struct{}

func (waves) Device() tensor.Device { return tensor.CPU }

func (waves) Channels(l backbone.Layer) int {
	return map[backbone.Layer]int{backbone.Layer2: 6, backbone.Layer3: 5}[l]
}

func (w waves) Forward(s *tensor.Scope, x *tensor.Tensor, at ...backbone.Layer) []*tensor.Tensor {
	out := make([]*tensor.Tensor, len(at))
	for k, l := range at {
		n, c, rows, columns := x.Size(0), int64(w.Channels(l)), int64(7), int64(5)
		if l == backbone.Layer3 {
			rows, columns = 4, 3
		}
		v := make([]float32, n*c*rows*columns)
		for i := range v {
			v[i] = float32(math.Sin(float64(i)*float64(i)*0.37 + float64(l)))
		}
		out[k] = s.FromFloats(v, n, c, rows, columns)
	}
	return out
}

// TestPatchCoreEqualsPyTorch compares patches, coreset, neighbours, weight and
// map with a program that works in float64.
func TestPatchCoreEqualsPyTorch(t *testing.T) {
	const tolerance = 2e-5 // some hundred float32 roundings of values up to 1
	start := tensor.Live()
	raw, err := os.ReadFile(filepath.Join("testdata", "parity", "patchcore.json"))
	require.NoError(t, err)
	var want struct {
		Dim, Neighbours         int
		Starts, Chosen, Nearest []int64
		Patches, Distances, Map []float64
		Weight                  float64
	}
	require.NoError(t, json.Unmarshal(raw, &want))
	require.Equal(t, 2, int(backbone.Layer2), "the formula's phase")
	cfg := DefaultPatchCore()
	cfg.Dim, cfg.Neighbours, cfg.Sigma, cfg.Share = want.Dim, want.Neighbours, 2, 1
	p, err := NewPatchCore(waves{}, cfg, nil)
	require.NoError(t, err)

	const grid, images = 35, 4
	var all []float32
	var chosen []int64
	require.NoError(t, tensor.Run(t.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
		var err error
		if all, err = s.Floats(p.emb.Embed(s, s.Zeros(images, 3, 28, 20))); err != nil {
			return err
		}
		return err
	}))
	query := all[3*grid*want.Dim:]
	require.Len(t, query, len(want.Patches))
	for i, v := range query {
		require.InDelta(t, want.Patches[i], v, tolerance, "patch value %d", i)
	}
	rows := all[:3*grid*want.Dim]
	quiet := func(int) {}
	chosen, err = patchcore.Coreset(t.Context(), tensor.CPU, rows, want.Dim, len(want.Chosen), want.Starts, quiet)
	require.NoError(t, err)
	require.Equal(t, want.Chosen, chosen)
	for _, workers := range []int{1, 2, 3, 500} {
		chosen, err = patchcore.CoresetOnHost(t.Context(), rows, want.Dim, len(want.Chosen), want.Starts, workers, quiet)
		require.NoError(t, err)
		require.Equal(t, want.Chosen, chosen)
	}

	slices.Sort(chosen)
	var kept []float32
	for _, i := range chosen {
		kept = append(kept, all[int(i)*want.Dim:][:want.Dim]...)
	}
	mean := patchcore.Centre(kept, want.Dim)
	g, err := p.complete(t.Context(), &patchBank{state: state{Model: engine.Model{Params: tensor.NewParams(tensor.CPU), GridW: 5, GridH: 7, InW: 20, InH: 28}}}, kept, mean)
	require.NoError(t, err)
	got := make([]float32, 20*28)
	require.NoError(t, tensor.Run(t.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
		q := s.FromFloats(query, grid, int64(want.Dim))
		s.AddInto(q, g.Mean, -1)
		d, at, err := g.Nearest(s, q, true)
		if err != nil {
			return err
		}
		require.Equal(t, want.Nearest, at)
		for i, v := range d {
			require.InDelta(t, want.Distances[i], math.Sqrt(float64(v)), tolerance)
		}
		score, d, err := g.Score(s, q, want.Neighbours, true, true)
		if err != nil {
			return err
		}
		require.InEpsilon(t, want.Weight*math.Pow(slices.Max(want.Distances), 2), score, 10*tolerance)
		return s.FloatsInto(got, g.Smooth(s, s.FromFloats(d, 7, 5)))
	}))
	require.Len(t, want.Map, len(got))
	for i, v := range got {
		require.InDelta(t, want.Map[i], v, tolerance)
	}
	require.NoError(t, g.Params.Close())
	require.Equal(t, start, tensor.Live())
}
