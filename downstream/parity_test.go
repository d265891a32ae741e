package downstream_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
)

// parityTolerance is what two programs with float32 networks may differ in a
// map, relative to its largest value. Folded batch norm and another order of
// sums give 1e-5 in the features, whitening with an epsilon of 0.01 up to ten
// times that.
const parityTolerance = 1e-3

func TestPaDiMEqualsPyTorch(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join("testdata", "parity", "padim.json"))
	require.NoError(t, err)
	var want struct {
		Class  string
		Step   int
		Images []struct {
			Name   string
			Score  float64
			Values []float32
		}
	}
	require.NoError(t, json.Unmarshal(raw, &want))
	require.Len(t, want.Images, 3)
	net, train := realData(t, want.Class, dataset.Train)
	_, test := realData(t, want.Class, dataset.Test)

	p, err := downstream.NewPaDiM(net, downstream.DefaultPaDiM(), nil)
	require.NoError(t, err)
	defer p.Close()
	require.NoError(t, p.Fit(t.Context(), train))
	for _, w := range want.Images {
		one := dataset.Filter(test, func(it dataset.Item) bool { return it.Name == want.Class+"/"+w.Name })
		require.Equal(t, 1, one.Len(), w.Name)
		scored := 0
		for sc, err := range p.ScoreSet(t.Context(), one) {
			require.NoError(t, err)
			scored++
			var got []float32
			for y := 0; y < sc.Map.H; y += want.Step {
				for x := 0; x < sc.Map.W; x += want.Step {
					got = append(got, sc.Map.At(x, y))
				}
			}
			diff := relative(t, w.Values, got)
			t.Logf("%s: score %.6f, reference %.6f, map differs by %.1e", w.Name, sc.Score, w.Score, diff)
			require.LessOrEqual(t, diff, parityTolerance)
			require.InEpsilon(t, w.Score, sc.Score, parityTolerance)
		}
		require.Equal(t, 1, scored)
	}
	_, err = downstream.OpenPaDiM(context.Background(), filepath.Join("testdata", "parity", "padim.json"), net)
	require.ErrorIs(t, err, downstream.ErrFile)
}
