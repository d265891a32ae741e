package metrics_test

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/metrics"
)

// readParity decodes a fixture.
func readParity(t *testing.T, name string, into any) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "parity", name))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, into))
}

func TestAveragePrecisionEqualToScikitLearn(t *testing.T) {
	var want map[string]float64
	readParity(t, "ap_parity.json", &want)
	images, pixels := parity(t)
	require.Len(t, want, len(images)+1)
	for _, c := range append(images, pixels) {
		got, err := metrics.AveragePrecision(c.Scores, c.labels())
		require.NoError(t, err)
		require.InDelta(t, want[c.Name], got, parityTol, c.Name)
	}
	p := metrics.NewPixelAUROC(ample)
	for i, s := range pixels.Scores {
		require.NoError(t, p.Add([]float32{float32(s)}, pixels.labels()[i:i+1]))
	}
	got, err := p.AveragePrecision()
	require.NoError(t, err)
	require.InDelta(t, want["pixels"], got.AP, parityTol)
	require.True(t, got.Exact)
	require.Zero(t, got.Bound)
}

// slowAP applies every threshold to every score.
func slowAP(scores []float64, positive []bool) float64 {
	thresholds := slices.Clone(scores)
	slices.Sort(thresholds)
	thresholds = slices.Compact(thresholds)
	slices.Reverse(thresholds)
	var positives, sum, before float64
	for _, p := range positive {
		if p {
			positives++
		}
	}
	for _, t := range thresholds {
		var tp, called float64
		for i, s := range scores {
			if s >= t {
				called++
				if positive[i] {
					tp++
				}
			}
		}
		sum += (tp/positives - before) * tp / called
		before = tp / positives
	}
	return sum
}

func TestAveragePrecisionAgainstSlowTwin(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	for range 100 {
		scores, positive := draw(2+rng.IntN(60), 1+rng.IntN(100), rng)
		if rng.IntN(3) == 0 {
			scores[rng.IntN(len(scores))] = math.Inf(1)
			scores[rng.IntN(len(scores))] = math.Inf(-1)
		}
		got, err := metrics.AveragePrecision(scores, positive)
		require.NoError(t, err)
		require.InDelta(t, slowAP(scores, positive), got, parityTol)

		mapped := make([]float64, len(scores))
		for i, s := range scores {
			mapped[i] = math.Atan(s) * 3
		}
		again, err := metrics.AveragePrecision(mapped, positive)
		require.NoError(t, err)
		require.Equal(t, got, again, "a rising map must change nothing")
	}
}

// The exact value is within the bound of the binned one, and so is the value of every
// other order within the bins.
func TestStreamedAveragePrecisionStaysWithinItsBound(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 8))
	for name, f := range map[string]func(float64) float64{
		"as it is":   func(x float64) float64 { return x },
		"narrow":     func(x float64) float64 { return 1000 + x/10 },
		"in one bin": func(x float64) float64 { return 1.001 + x*1e-5 },
		"ties":       math.Round,
	} {
		t.Run(name, func(t *testing.T) {
			for range 10 {
				exact, stream := metrics.NewPixelAUROC(ample), metrics.NewPixelAUROC(0)
				scores, mask := anomalyMap(40, 30, rng)
				for i, s := range scores {
					scores[i] = float32(f(float64(s)))
				}
				require.NoError(t, exact.AddMask(scores, mask))
				require.NoError(t, stream.AddMask(scores, mask))
				e, err := exact.AveragePrecision()
				require.NoError(t, err)
				s, err := stream.AveragePrecision()
				require.NoError(t, err)
				require.False(t, s.Exact)
				require.LessOrEqual(t, math.Abs(e.AP-s.AP), s.Bound+parityTol)
				require.LessOrEqual(t, s.Bound, 1.0)
				if name == "as it is" {
					require.Less(t, s.Bound, 0.15)
				}
				if name == "ties" {
					require.InDelta(t, e.AP, s.AP, parityTol, "small whole numbers have bins of their own")
				}
			}
		})
	}
}

// Both ends of the bound are met: all positives of the bin first, and all last.
func TestAveragePrecisionBoundIsTight(t *testing.T) {
	value := func(budget int64, positive ...bool) metrics.PixelAP {
		p := metrics.NewPixelAUROC(budget)
		require.NoError(t, p.Add([]float32{1.0001, 1.0002, 1.0003, 1.0004}, positive))
		r, err := p.AveragePrecision()
		require.NoError(t, err)
		return r
	}
	best := value(ample, false, false, true, true)
	worst := value(ample, true, true, false, false)
	require.Equal(t, 1.0, best.AP)
	require.InDelta(t, (1.0/3+2.0/4)/2, worst.AP, parityTol)
	binned := value(0, true, true, false, false)
	require.Equal(t, 0.5, binned.AP)
	require.Equal(t, 0.5, binned.Bound)

	// Here the truth is as low as it can be.
	p := metrics.NewPixelAUROC(0)
	require.NoError(t, p.Add([]float32{3, 3.5, 1.0001, 1.0002, 0}, []bool{false, false, true, true, false}))
	r, err := p.AveragePrecision()
	require.NoError(t, err)
	require.Equal(t, 0.5, r.AP)
	require.InDelta(t, 0.5-(1.0/3+2.0/4)/2, r.Bound, parityTol)
}

func TestAveragePrecisionRefusals(t *testing.T) {
	_, err := metrics.AveragePrecision([]float64{1, 2}, []bool{true, true})
	require.ErrorIs(t, err, metrics.ErrOneClass)
	require.ErrorContains(t, err, "metrics: average precision: ")
	_, err = metrics.AveragePrecision([]float64{1, math.NaN()}, []bool{true, false})
	require.ErrorIs(t, err, metrics.ErrNaN)
	_, err = metrics.AveragePrecision([]float64{1}, []bool{true, false})
	require.ErrorIs(t, err, metrics.ErrLength)
	_, err = metrics.NewPixelAUROC(0).AveragePrecision()
	require.ErrorIs(t, err, metrics.ErrOneClass)
}

func BenchmarkAveragePrecision(b *testing.B) {
	const images = 100_000
	scores, positive := draw(images, images, rand.New(rand.NewPCG(1, 1)))
	for b.Loop() {
		if _, err := metrics.AveragePrecision(scores, positive); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(images*float64(b.N)/b.Elapsed().Seconds(), "images/s")
}
