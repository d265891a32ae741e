package metrics_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/metrics"
)

// parityTol: scikit-learn adds up trapezoids in float64, one rounding for each
// threshold; the cases have fewer than 1,000 of them. The values are of order 1.
const parityTol = 1e-12

type parityCase struct {
	Name          string
	Scores        []float64
	Positive      []int
	AUROC         float64
	F1, Threshold float64
	FPR, TPR      []float64
	Thresholds    []float64
}

func (c parityCase) labels() []bool {
	positive := make([]bool, len(c.Positive))
	for i, v := range c.Positive {
		positive[i] = v == 1
	}
	return positive
}

func parity(t *testing.T) (images []parityCase, pixels parityCase) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "parity", "sklearn_parity.json"))
	require.NoError(t, err)
	var f struct {
		Images []parityCase
		Pixels parityCase
	}
	require.NoError(t, json.Unmarshal(b, &f))
	return f.Images, f.Pixels
}

func TestEqualToScikitLearn(t *testing.T) {
	images, pixels := parity(t)
	require.Len(t, images, 8)
	for _, c := range append(images, pixels) {
		t.Run(c.Name, func(t *testing.T) {
			got, err := metrics.AUROC(c.Scores, c.labels())
			require.NoError(t, err)
			require.InDelta(t, c.AUROC, got, parityTol)

			f1, threshold, err := metrics.F1Max(c.Scores, c.labels())
			require.NoError(t, err)
			require.InDelta(t, c.F1, f1, parityTol)
			require.Equal(t, c.Threshold, threshold)
			if c.FPR == nil {
				return
			}
			points, err := metrics.ROC(c.Scores, c.labels())
			require.NoError(t, err)
			require.Len(t, points, len(c.FPR))
			require.Equal(t, metrics.ROCPoint{Threshold: math.Inf(1)}, points[0])
			for i, p := range points {
				require.InDelta(t, c.FPR[i], p.FPR, parityTol)
				require.InDelta(t, c.TPR[i], p.TPR, parityTol)
				if i > 0 {
					require.Equal(t, c.Thresholds[i-1], p.Threshold)
				}
			}
		})
	}
}

// byPairs is the definition: every pair of a positive and a negative.
func byPairs(scores []float64, positive []bool) float64 {
	var won, pairs float64
	for i, p := range positive {
		for j, q := range positive {
			if !p || q {
				continue
			}
			pairs++
			if scores[i] > scores[j] {
				won++
			} else if scores[i] == scores[j] {
				won += 0.5
			}
		}
	}
	return won / pairs
}

// byThresholds tries every score as threshold.
func byThresholds(scores []float64, positive []bool) (best, at float64) {
	best = -1
	for _, threshold := range scores {
		var tp, fp, fn float64
		for i, s := range scores {
			switch called := s >= threshold; {
			case called && positive[i]:
				tp++
			case called:
				fp++
			case positive[i]:
				fn++
			}
		}
		if f1 := 2 * tp / (2*tp + fp + fn); f1 > best || f1 == best && threshold < at {
			best, at = f1, threshold
		}
	}
	return best, at
}

// draw makes n scores on a grid of the given number of values, with both classes.
func draw(n, values int, rng *rand.Rand) ([]float64, []bool) {
	scores, positive := make([]float64, n), make([]bool, n)
	for i := range scores {
		positive[i] = rng.IntN(3) == 0
		scores[i] = float64(rng.IntN(values)-values/2) / 8
		if positive[i] {
			scores[i] += 0.25
		}
	}
	positive[0], positive[n-1] = true, false
	return scores, positive
}

func TestAgainstSlowTwins(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 200 {
		scores, positive := draw(2+rng.IntN(60), 1+rng.IntN(100), rng)
		if i%5 == 0 {
			scores[rng.IntN(len(scores))] = math.Inf(1)
			scores[rng.IntN(len(scores))] = math.Inf(-1)
			scores[rng.IntN(len(scores))] = math.Copysign(0, -1)
		}
		got, err := metrics.AUROC(scores, positive)
		require.NoError(t, err)
		// Both divide the same half-integers once: no tolerance.
		require.Equal(t, byPairs(scores, positive), got)
		f1, threshold, err := metrics.F1Max(scores, positive)
		require.NoError(t, err)
		wantF1, wantThreshold := byThresholds(scores, positive)
		require.Equal(t, wantF1, f1)
		require.Equal(t, wantThreshold, threshold)
	}
}

func TestAreaUnderTheCurveIsTheArea(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 20 {
		scores, positive := draw(200, 50, rng)
		want, err := metrics.AUROC(scores, positive)
		require.NoError(t, err)
		points, err := metrics.ROC(scores, positive)
		require.NoError(t, err)
		area := 0.0
		for i := 1; i < len(points); i++ {
			require.Less(t, points[i].Threshold, points[i-1].Threshold)
			area += (points[i].FPR - points[i-1].FPR) * (points[i].TPR + points[i-1].TPR) / 2
		}
		require.InDelta(t, want, area, parityTol)
		last := points[len(points)-1]
		require.Equal(t, []float64{1, 1}, []float64{last.FPR, last.TPR})
	}
}

func TestProperties(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	maps := map[string]func(float64) float64{
		"affine":      func(x float64) float64 { return 3*x - 7 },
		"exponential": math.Exp,
		"cube":        func(x float64) float64 { return x * x * x },
		"arc tangent": math.Atan,
		"tiny":        func(x float64) float64 { return x * 0x1p-1000 },
	}
	for range 50 {
		scores, positive := draw(100, 40, rng)
		want, err := metrics.AUROC(scores, positive)
		require.NoError(t, err)
		for name, f := range maps {
			mapped := make([]float64, len(scores))
			for i, s := range scores {
				mapped[i] = f(s)
			}
			got, err := metrics.AUROC(mapped, positive)
			require.NoError(t, err)
			require.Equal(t, want, got, "a rising map (%s) must change nothing", name)
		}
		negated, other := make([]float64, len(scores)), make([]bool, len(scores))
		for i := range scores {
			negated[i], other[i] = -scores[i], !positive[i]
		}
		// 1-x rounds once more than x.
		const complementTol = 1e-15
		got, err := metrics.AUROC(negated, positive)
		require.NoError(t, err)
		require.InDelta(t, 1-want, got, complementTol)
		got, err = metrics.AUROC(scores, other)
		require.NoError(t, err)
		require.InDelta(t, 1-want, got, complementTol)
		// Order of the images and a second copy of each change nothing.
		rng.Shuffle(len(scores), func(i, j int) {
			scores[i], scores[j] = scores[j], scores[i]
			positive[i], positive[j] = positive[j], positive[i]
		})
		got, err = metrics.AUROC(append(scores, scores...), append(positive, positive...))
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}

func TestArgumentsStayAsTheyAre(t *testing.T) {
	scores, positive := []float64{3, 1, 2}, []bool{false, true, false}
	_, err := metrics.AUROC(scores, positive)
	require.NoError(t, err)
	require.Equal(t, []float64{3, 1, 2}, scores)
	require.Equal(t, []bool{false, true, false}, positive)
}

func TestRefusals(t *testing.T) {
	nan := math.NaN()
	cases := []struct {
		name     string
		scores   []float64
		positive []bool
		want     error
		says     string
	}{
		{"nothing", nil, nil, metrics.ErrOneClass, "0 of 0"},
		{"no positive", []float64{1, 2}, []bool{false, false}, metrics.ErrOneClass, "0 of 2"},
		{"no negative", []float64{1, 2}, []bool{true, true}, metrics.ErrOneClass, "2 of 2"},
		{"NaN", []float64{1, 2, nan}, []bool{true, false, false}, metrics.ErrNaN, "number 2 of 3"},
		{"lengths", []float64{1, 2, 3}, []bool{true, false}, metrics.ErrLength, "3 scores, 2 labels"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := metrics.AUROC(c.scores, c.positive)
			require.ErrorIs(t, err, c.want)
			require.ErrorContains(t, err, c.says)
			_, err = metrics.ROC(c.scores, c.positive)
			require.ErrorIs(t, err, c.want)
			_, _, err = metrics.F1Max(c.scores, c.positive)
			require.ErrorIs(t, err, c.want)
		})
	}
}

func BenchmarkAUROC(b *testing.B) {
	for _, n := range []int{100, 100_000} {
		b.Run(fmt.Sprintf("images=%d", n), func(b *testing.B) {
			scores, positive := draw(n, n, rand.New(rand.NewPCG(1, 1)))
			for b.Loop() {
				if _, err := metrics.AUROC(scores, positive); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "images/s")
		})
	}
}
