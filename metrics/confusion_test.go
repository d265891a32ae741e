package metrics_test

import (
	"math"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/metrics"
)

type classesParity struct {
	Multiclass []struct {
		Name             string
		Classes          int
		Truth, Predicted []int
		Accuracy         float64
		Macro            [3]float64
		Table            [][]int
	}
	Multilabel []struct {
		Name             string
		Labels           int
		Truth, Predicted [][]int
		Exact, Single    float64
		Macro            [3]float64
		Tables           [][4]int // TN, FP, FN, TP
	}
}

func names(n int) []string {
	s := make([]string, n)
	for i := range s {
		s[i] = "c" + strconv.Itoa(i)
	}
	return s
}

func requireRates(t *testing.T, want [3]float64, got metrics.Rates) {
	t.Helper()
	require.InDelta(t, want[0], got.Precision, parityTol)
	require.InDelta(t, want[1], got.Recall, parityTol)
	require.InDelta(t, want[2], got.F1, parityTol)
}

func TestConfusionEqualToScikitLearn(t *testing.T) {
	var f classesParity
	readParity(t, "classes_parity.json", &f)
	require.Len(t, f.Multiclass, 4)
	for _, c := range f.Multiclass {
		t.Run(c.Name, func(t *testing.T) {
			m, err := metrics.NewConfusion(names(c.Classes))
			require.NoError(t, err)
			for i, truth := range c.Truth {
				if i%2 == 0 {
					require.NoError(t, m.Add(truth, c.Predicted[i]))
					continue
				}
				scores := make([]float32, c.Classes)
				scores[c.Predicted[i]] = 0.5
				require.NoError(t, m.AddScores(truth, scores))
			}
			top1, err := m.Top1()
			require.NoError(t, err)
			require.InDelta(t, c.Accuracy, top1, parityTol)
			macro, err := m.Macro()
			require.NoError(t, err)
			requireRates(t, c.Macro, macro)
			for i, row := range c.Table {
				for j, n := range row {
					require.Equal(t, n, m.At(i, j))
				}
			}
			require.Equal(t, len(c.Truth), m.N())
			for _, table := range m.PerClass() {
				require.Equal(t, m.N(), table.TP+table.FP+table.FN+table.TN)
			}
		})
	}
}

func bools(v []int) []bool {
	b := make([]bool, len(v))
	for i, x := range v {
		b[i] = x == 1
	}
	return b
}

func TestMultiLabelEqualToScikitLearn(t *testing.T) {
	var f classesParity
	readParity(t, "classes_parity.json", &f)
	require.Len(t, f.Multilabel, 2)
	for _, c := range f.Multilabel {
		t.Run(c.Name, func(t *testing.T) {
			m, err := metrics.NewMultiLabel(names(c.Labels))
			require.NoError(t, err)
			for i, truth := range c.Truth {
				if i%2 == 0 {
					require.NoError(t, m.Add(bools(truth), bools(c.Predicted[i])))
					continue
				}
				scores := make([]float32, c.Labels)
				for j, p := range c.Predicted[i] {
					scores[j] = float32(p) - 0.5
				}
				require.NoError(t, m.AddScores(bools(truth), scores, 0.5))
			}
			exact, err := m.ExactMatch()
			require.NoError(t, err)
			require.InDelta(t, c.Exact, exact, parityTol)
			single, err := m.LabelAccuracy()
			require.NoError(t, err)
			require.InDelta(t, c.Single, single, parityTol)
			macro, err := m.Macro()
			require.NoError(t, err)
			requireRates(t, c.Macro, macro)
			for i, table := range m.PerLabel() {
				require.Equal(t, c.Tables[i], [4]int{table.TN, table.FP, table.FN, table.TP})
			}
			require.Equal(t, len(c.Truth), m.N())
		})
	}
}

// What is 0/0 counts 0.
func TestUndefinedRatesAreZero(t *testing.T) {
	require.Equal(t, metrics.Rates{}, metrics.Counts{}.Rates())
	require.Equal(t, metrics.Rates{}, metrics.Counts{FN: 3, TN: 4}.Rates())
	require.Equal(t, metrics.Rates{}, metrics.Counts{FP: 3, TN: 4}.Rates())
	require.Equal(t, metrics.Rates{Precision: 0.5, Recall: 1, F1: 2.0 / 3}, metrics.Counts{TP: 1, FP: 1}.Rates())
}

func TestEqualScoresGoToTheFirst(t *testing.T) {
	m, err := metrics.NewConfusion(names(3))
	require.NoError(t, err)
	require.NoError(t, m.AddScores(0, []float32{-1, 2, 2}))
	require.NoError(t, m.AddScores(0, []float32{float32(math.Inf(-1)), float32(math.Inf(-1)), float32(math.Inf(-1))}))
	require.Equal(t, []int{1, 1, 0}, []int{m.At(0, 0), m.At(0, 1), m.At(0, 2)})
	require.Zero(t, m.At(3, 0)+m.At(0, -1))
}

func TestClassifierRefusals(t *testing.T) {
	nan := float32(math.NaN())
	_, err := metrics.NewConfusion(nil)
	require.ErrorIs(t, err, metrics.ErrEmpty)
	c, err := metrics.NewConfusion(names(2))
	require.NoError(t, err)
	_, err = c.Top1()
	require.ErrorIs(t, err, metrics.ErrEmpty)
	_, err = c.Macro()
	require.ErrorIs(t, err, metrics.ErrEmpty)
	for _, pair := range [][2]int{{-1, 0}, {0, -1}, {2, 0}, {0, 2}} {
		require.ErrorIs(t, c.Add(pair[0], pair[1]), metrics.ErrRange)
	}
	require.ErrorIs(t, c.AddScores(5, []float32{1, 2}), metrics.ErrRange)
	require.ErrorIs(t, c.AddScores(0, []float32{1}), metrics.ErrLength)
	require.ErrorIs(t, c.AddScores(0, []float32{nan, 1}), metrics.ErrNaN)
	require.ErrorContains(t, c.AddScores(0, []float32{1, nan}), "c1")
	require.Zero(t, c.N())

	_, err = metrics.NewMultiLabel(nil)
	require.ErrorIs(t, err, metrics.ErrEmpty)
	m, err := metrics.NewMultiLabel(names(2))
	require.NoError(t, err)
	_, err = m.ExactMatch()
	require.ErrorIs(t, err, metrics.ErrEmpty)
	_, err = m.LabelAccuracy()
	require.ErrorIs(t, err, metrics.ErrEmpty)
	_, err = m.Macro()
	require.ErrorIs(t, err, metrics.ErrEmpty)
	require.ErrorIs(t, m.Add([]bool{true}, []bool{true, false}), metrics.ErrLength)
	require.ErrorIs(t, m.Add([]bool{true, true}, nil), metrics.ErrLength)
	require.ErrorIs(t, m.AddScores([]bool{true, true}, []float32{1}, 0.5), metrics.ErrLength)
	require.ErrorIs(t, m.AddScores([]bool{true, true}, []float32{1, nan}, 0.5), metrics.ErrNaN)
	require.ErrorIs(t, m.AddScores([]bool{true, true}, []float32{1, 1}, nan), metrics.ErrNaN)
	require.Zero(t, m.N())
}
