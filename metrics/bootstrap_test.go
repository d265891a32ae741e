package metrics_test

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/metrics"
)

func pcg(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }

func TestBootstrapAgreesWithDeLong(t *testing.T) {
	scores, positive := make([]float64, 400), make([]bool, 400)
	rng := pcg(1)
	for i := range scores {
		positive[i] = i%4 == 0
		scores[i] = rng.NormFloat64()
		if positive[i] {
			scores[i]++
		}
	}
	d, err := metrics.DeLong(scores, positive, 0.95)
	require.NoError(t, err)
	b, err := metrics.Bootstrap(t.Context(), scores, positive, metrics.AUROC, metrics.DefaultBootstrap(), pcg(2))
	require.NoError(t, err)
	require.Equal(t, d.Value, b.Value)
	require.Equal(t, "bootstrap, 2000 sets", b.Method)
	// Two ways to the same interval, which is 0.1 wide here; with 2,000 sets the ends
	// scatter by some 0.002.
	const near = 0.01
	require.InDelta(t, d.Low, b.Low, near)
	require.InDelta(t, d.High, b.High, near)
	require.Greater(t, b.High-b.Low, 0.05)
}

func TestBootstrapIsRepeatable(t *testing.T) {
	scores, positive := draw(60, 20, pcg(1))
	cfg := metrics.BootstrapConfig{Resamples: 200, Level: 0.9}
	run := func(seed uint64) metrics.Interval {
		i, err := metrics.Bootstrap(t.Context(), scores, positive, metrics.AveragePrecision, cfg, pcg(seed))
		require.NoError(t, err)
		require.LessOrEqual(t, i.Low, i.High)
		return i
	}
	require.Equal(t, run(3), run(3))
	require.NotEqual(t, run(3), run(4))
}

// The interval is that of numpy's quantile over the values that stat gave, and every
// set has as many images of each class as the one given.
func TestResampleIsStratified(t *testing.T) {
	positive := []bool{false, true, false, false, true}
	calls, drawn := 0, map[int]int{}
	got, err := metrics.Resample(t.Context(), positive, func(images []int) (float64, error) {
		require.Len(t, images, 5)
		for i, j := range images {
			require.Equal(t, i < 2, positive[j], "two positives come first")
			drawn[j]++
		}
		if calls == 0 {
			require.Equal(t, []int{1, 4, 0, 2, 3}, images)
			clear(drawn)
		}
		calls++
		return float64(calls % 11), nil // 1, then 2..10, 0, and so on
	}, metrics.BootstrapConfig{Resamples: 11, Level: 0.75}, pcg(1))
	require.NoError(t, err)
	require.Equal(t, 12, calls)
	require.Len(t, drawn, 5, "each image is drawn at some time")
	// Of 0..10, as numpy.quantile(range(11), [0.125, 0.875]) has them.
	require.Equal(t, metrics.Interval{Value: 1, Low: 1.25, High: 8.75, Level: 0.75, Method: "bootstrap, 11 sets"}, got)
}

func TestBootstrapOfPixels(t *testing.T) {
	rng := pcg(5)
	var sets [8][]float32
	positive := make([]bool, 8)
	for i := range sets {
		positive[i] = i >= 4
		for range 100 {
			sets[i] = append(sets[i], float32(rng.NormFloat64()))
		}
	}
	got, err := metrics.Resample(t.Context(), positive, func(images []int) (float64, error) {
		p := metrics.NewPixelAUROC(1 << 20)
		for _, j := range images {
			labels := slices.Repeat([]bool{positive[j]}, 100)
			if err := p.Add(sets[j], labels); err != nil {
				return 0, err
			}
		}
		r, err := p.Result()
		return r.AUROC, err
	}, metrics.BootstrapConfig{Resamples: 50, Level: 0.95}, pcg(6))
	require.NoError(t, err)
	require.Less(t, got.Low, got.Value)
	require.Greater(t, got.High, got.Value)
}

func TestBootstrapRefusals(t *testing.T) {
	scores, positive := []float64{1, 2, 3}, []bool{true, false, true}
	cfg := metrics.DefaultBootstrap()
	run := func(ctx context.Context, s []float64, p []bool, c metrics.BootstrapConfig, rng *rand.Rand) error {
		_, err := metrics.Bootstrap(ctx, s, p, metrics.AUROC, c, rng)
		return err
	}
	require.ErrorIs(t, run(t.Context(), scores, positive, cfg, nil), metrics.ErrNoRand)
	require.ErrorIs(t, run(t.Context(), scores, []bool{true}, cfg, pcg(1)), metrics.ErrLength)
	require.ErrorIs(t, run(t.Context(), scores, []bool{true, true, true}, cfg, pcg(1)), metrics.ErrOneClass)
	require.ErrorIs(t, run(t.Context(), []float64{1, math.NaN(), 3}, positive, cfg, pcg(1)), metrics.ErrNaN)
	require.ErrorContains(t, run(t.Context(), scores, positive, metrics.BootstrapConfig{Resamples: 1, Level: 0.9}, pcg(1)), "Resamples is 1")
	require.ErrorIs(t, run(t.Context(), scores, positive, metrics.BootstrapConfig{Resamples: 10, Level: 95}, pcg(1)), metrics.ErrRange)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, run(ctx, scores, positive, cfg, pcg(1)), context.Canceled)

	broken := errors.New("broken")
	calls := 0
	_, err := metrics.Bootstrap(t.Context(), scores, positive, func([]float64, []bool) (float64, error) {
		if calls++; calls > 3 {
			return 0, broken
		}
		return 1, nil
	}, cfg, pcg(1))
	require.ErrorIs(t, err, broken)
	require.ErrorContains(t, err, "set 2 of 2000")
	calls = 0
	_, err = metrics.Bootstrap(t.Context(), scores, positive, func([]float64, []bool) (float64, error) {
		if calls++; calls > 3 {
			return math.NaN(), nil
		}
		return 1, nil
	}, cfg, pcg(1))
	require.ErrorIs(t, err, metrics.ErrNaN)
	_, err = metrics.Bootstrap(t.Context(), scores, positive, func([]float64, []bool) (float64, error) {
		return math.Inf(1), nil
	}, cfg, pcg(1))
	require.ErrorIs(t, err, metrics.ErrRange)
	require.ErrorContains(t, err, "the set as given")
}

func BenchmarkBootstrap(b *testing.B) {
	const images = 200
	scores, positive := draw(images, images, pcg(1))
	cfg := metrics.DefaultBootstrap()
	for b.Loop() {
		if _, err := metrics.Bootstrap(b.Context(), scores, positive, metrics.AUROC, cfg, pcg(1)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(cfg.Resamples)*float64(b.N)/b.Elapsed().Seconds(), "sets/s")
}

// Groups of positives and of negatives are what Resample draws from, and every group
// keeps its size in every set.
func TestResampleGroups(t *testing.T) {
	positive := []bool{true, false, false, true, true, false, false}
	values := []float64{3, 1, 4, 1, 5, 9, 2}
	stat := func(images []int) (sum float64, err error) {
		for k, i := range images {
			sum += values[i] * float64(k%3)
		}
		return sum, nil
	}
	cfg := metrics.BootstrapConfig{Resamples: 50, Level: 0.9}
	rng := func() *rand.Rand { return rand.New(rand.NewPCG(4, 4)) }
	want, err := metrics.Resample(t.Context(), positive, stat, cfg, rng())
	require.NoError(t, err)
	got, err := metrics.ResampleGroups(t.Context(), [][]int{{0, 3, 4}, {1, 2, 5, 6}}, stat, cfg, rng())
	require.NoError(t, err)
	require.Equal(t, want, got)

	group := []int{0, 1, 2, 0, 1, 2, 0}
	sets := 0
	_, err = metrics.ResampleGroups(t.Context(), [][]int{{0, 3, 6}, {1, 4}, {2, 5}}, func(images []int) (float64, error) {
		sets++
		var of []int
		for _, i := range images {
			of = append(of, group[i])
		}
		require.Equal(t, []int{0, 0, 0, 1, 1, 2, 2}, of)
		return float64(images[0]), nil
	}, cfg, rng())
	require.NoError(t, err)
	require.Equal(t, 51, sets)
	_, err = metrics.ResampleGroups(t.Context(), [][]int{{0}, {}}, stat, cfg, rng())
	require.ErrorIs(t, err, metrics.ErrEmpty)
	_, err = metrics.ResampleGroups(t.Context(), nil, stat, cfg, rng())
	require.ErrorIs(t, err, metrics.ErrEmpty)
	_, err = metrics.ResampleGroups(t.Context(), [][]int{{0}}, nil, cfg, rng())
	require.ErrorIs(t, err, metrics.ErrRange)
}
