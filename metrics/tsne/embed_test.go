package tsne_test

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/internal/hostile"
	"github.com/gotab/gotab/metrics"
	"github.com/gotab/gotab/metrics/tsne"
)

// groups draws points around centres that differ in their own direction each.
func groups(classes, each, dim int, apart float64) (rows [][]float64, class []int) {
	rng := rand.New(rand.NewPCG(11, 5))
	for i := range classes * each {
		r := make([]float64, dim)
		for k := range r {
			r[k] = rng.NormFloat64()
		}
		r[i%classes] += apart
		rows, class = append(rows, r), append(class, i%classes)
	}
	return rows, class
}

func plane(e tsne.Embedding) [][]float64 {
	var out [][]float64
	for _, p := range e.Points {
		out = append(out, p[:])
	}
	return out
}

// Three clusters of Gaussian points are three clusters on the plane, for several
// seeds; the divergence falls, and neighbours are kept.
func TestThreeClusters(t *testing.T) {
	rows, class := groups(3, 60, 20, 12)
	for _, seed := range []uint64{1, 2, 3} {
		cfg := tsne.Default()
		cfg.Seed = seed
		e, err := tsne.Embed(t.Context(), rows, cfg)
		require.NoError(t, err)
		near, err := metrics.NeighbourAccuracy(t.Context(), plane(e), class, 5)
		require.NoError(t, err)
		require.Equal(t, 1.0, near)
		apart, err := metrics.Silhouette(t.Context(), plane(e), class)
		require.NoError(t, err)
		require.Greater(t, apart, 0.7)
		kept, err := metrics.Trustworthiness(t.Context(), rows, plane(e), 12)
		require.NoError(t, err)
		require.Greater(t, kept, 0.85)
		t.Logf("seed %d: silhouette %.3f, trustworthiness %.3f, KL %.3f", seed, apart, kept, e.KL)

		require.Len(t, e.Trace, 20)
		require.Equal(t, tsne.Divergence{Iteration: 1000, KL: e.KL}, e.Trace[19])
		for k, d := range e.Trace {
			require.Equal(t, 50*(k+1), d.Iteration)
			if d.Iteration > 300 { // the exaggeration is over
				require.LessOrEqual(t, d.KL, e.Trace[k-1].KL+1e-3)
			}
		}
		require.Less(t, e.KL, e.Trace[0].KL/2)
		var mean [2]float64
		for _, p := range e.Points {
			mean[0] += p[0]
			mean[1] += p[1]
		}
		require.InDelta(t, 0, mean[0]+mean[1], 1e-6)
	}
}

// Points without any structure are not told apart: what the picture shows of classes
// that are drawn by lot is chance.
func TestNothingIsSeenInNothing(t *testing.T) {
	rows, class := groups(2, 100, 20, 0)
	cfg := tsne.Default()
	cfg.Iterations = 300
	e, err := tsne.Embed(t.Context(), rows, cfg)
	require.NoError(t, err)
	near, err := metrics.NeighbourAccuracy(t.Context(), plane(e), class, 5)
	require.NoError(t, err)
	require.InDelta(t, 0.5, near, 0.15) // 3 deviations of a share of 200 are 0.11
}

// The number of workers changes no bit, the seed does. What the rows are multiplied by
// or moved by changes no more than rounding, which a few steps do not blow up.
func TestTheSeedDecides(t *testing.T) {
	rows, _ := groups(3, 50, 7, 4)
	cfg := tsne.Default()
	cfg.Iterations, cfg.Perplexity, cfg.Workers = 60, 12, 1
	want, err := tsne.Embed(t.Context(), rows, cfg)
	require.NoError(t, err)
	for _, workers := range []int{1, 2, 5} {
		cfg.Workers = workers
		got, err := tsne.Embed(t.Context(), rows, cfg)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	cfg.Seed++
	other, err := tsne.Embed(t.Context(), rows, cfg)
	require.NoError(t, err)
	require.NotEqual(t, want.Points, other.Points)
	cfg.Seed--

	cfg.Iterations = 3
	want, err = tsne.Embed(t.Context(), rows, cfg)
	require.NoError(t, err)
	moved := make([][]float64, len(rows))
	for i, r := range rows {
		for _, v := range r {
			moved[i] = append(moved[i], 1e100*(v+1))
		}
	}
	got, err := tsne.Embed(t.Context(), moved, cfg)
	require.NoError(t, err)
	require.InDelta(t, want.Points[9][0], got.Points[9][0], 1e-6*math.Abs(want.Points[9][0])+1e-9)
}

func TestRefused(t *testing.T) {
	good, _ := groups(2, 20, 3, 1)
	cfg := tsne.Default()
	cfg.Perplexity, cfg.Iterations = 5, 2
	with := func(change func(rows [][]float64) [][]float64) [][]float64 {
		rows := make([][]float64, len(good))
		for i, r := range good {
			rows[i] = append([]float64(nil), r...)
		}
		return change(rows)
	}
	for name, c := range map[string]struct {
		rows [][]float64
		want string
	}{
		"none":     {nil, "0 points"},
		"too few":  {good[:15], "15 points, want more than three times the perplexity 5"},
		"no value": {make([][]float64, 20), "no values"},
		"ragged":   {with(func(r [][]float64) [][]float64 { r[9] = r[9][:2]; return r }), "point 9 has 2 values"},
		"NaN":      {with(func(r [][]float64) [][]float64 { r[9][1] = math.NaN(); return r }), "value 1 of point 9 is NaN"},
		"infinite": {with(func(r [][]float64) [][]float64 { r[9][1] = math.Inf(-1); return r }), "value 1 of point 9 is -Inf"},
		"zeros":    {with(func(r [][]float64) [][]float64 { clear(r[0]); return repeat(r[0], 20) }), "all values are 0"},
		"equal":    {repeat([]float64{1, 2}, 20), "neighbours are at one distance"},
		"copies":   {with(func(r [][]float64) [][]float64 { return append(r, repeat(r[4], 7)...) }), "7 or more neighbours are at one distance, 0,"},
	} {
		_, err := tsne.Embed(t.Context(), c.rows, cfg)
		require.ErrorIs(t, err, tsne.ErrData, name)
		require.ErrorContains(t, err, c.want, name)
	}
	// Fewer copies than the perplexity are no fault.
	_, err := tsne.Embed(t.Context(), with(func(r [][]float64) [][]float64 { return append(r, repeat(r[4], 3)...) }), cfg)
	require.NoError(t, err)
	_, err = tsne.Embed(t.Context(), good[:16], cfg)
	require.NoError(t, err, "three neighbours for each of the perplexity")

	many := repeat([]float64{1}, 100_001)
	_, err = tsne.Embed(t.Context(), many, cfg)
	require.ErrorIs(t, err, tsne.ErrSize)
	wide := cfg
	wide.Perplexity = 1000
	_, err = tsne.Embed(t.Context(), many[:10_000], wide)
	require.ErrorIs(t, err, tsne.ErrSize)
	_, err = tsne.Embed(t.Context(), repeat(make([]float64, 1<<20), 65), cfg)
	require.ErrorIs(t, err, tsne.ErrSize)

	var none context.Context
	_, err = tsne.Embed(none, good, cfg)
	require.ErrorIs(t, err, tsne.ErrConfig)
	fast := cfg
	fast.LearningRate, fast.Iterations = 1e6, 1000
	fast.Exaggeration, fast.ExaggerationIterations = 1000, 1000
	if e, err := tsne.Embed(t.Context(), good, fast); err != nil {
		require.ErrorContains(t, err, "LearningRate")
	} else {
		require.False(t, math.IsNaN(e.KL) || math.IsInf(e.KL, 0))
	}
}

func repeat(row []float64, n int) [][]float64 {
	out := make([][]float64, n)
	for i := range out {
		out[i] = row
	}
	return out
}

func TestConfig(t *testing.T) {
	require.NoError(t, tsne.Default().Validate())
	nan := math.NaN()
	for field, change := range map[string]func(c *tsne.Config){
		"Perplexity":             func(c *tsne.Config) { c.Perplexity = nan },
		"Theta":                  func(c *tsne.Config) { c.Theta = 1.5 },
		"Iterations":             func(c *tsne.Config) { c.Iterations = 0 },
		"Exaggeration":           func(c *tsne.Config) { c.Exaggeration = 0.5 },
		"ExaggerationIterations": func(c *tsne.Config) { c.ExaggerationIterations = -1 },
		"LearningRate":           func(c *tsne.Config) { c.LearningRate = 0 },
		"Momentum":               func(c *tsne.Config) { c.Momentum = 1 },
		"FinalMomentum":          func(c *tsne.Config) { c.FinalMomentum = nan },
		"MomentumIterations":     func(c *tsne.Config) { c.MomentumIterations = -1 },
		"Workers":                func(c *tsne.Config) { c.Workers = 0 },
	} {
		c := tsne.Default()
		change(&c)
		require.ErrorIs(t, c.Validate(), tsne.ErrConfig)
		require.ErrorContains(t, c.Validate(), field+" is")
	}
}

// No argument makes Embed panic, hang or take memory without bound.
func TestHostileArguments(t *testing.T) {
	cfg := tsne.Default()
	cfg.Iterations, cfg.Perplexity = 3, 1.2
	rows, _ := groups(2, 5, 3, 1)
	r := hostile.Registry{
		Funcs:  []any{tsne.Embed, tsne.Default},
		Types:  []any{new(tsne.Config), new(tsne.Embedding), new(tsne.Divergence)},
		Values: []any{cfg, rows},
	}
	missing, err := r.Missing(".")
	require.NoError(t, err)
	require.Empty(t, missing)
	r.Run(t, 400)
}

// Whatever the values are, there is a finite place for each point or an error.
func FuzzEmbed(f *testing.F) {
	f.Add(uint8(2), []byte("some bytes that stand for the values of points"))
	f.Add(uint8(1), []byte{0, 0, 0, 0, 1, 255})
	f.Fuzz(func(t *testing.T, dim uint8, values []byte) {
		d := int(dim%4) + 1
		var rows [][]float64
		for len(values) >= d && len(rows) < 64 {
			r := make([]float64, d)
			for k := range r {
				r[k] = math.Ldexp(float64(int8(values[k])), int(values[0])*8-1000)
			}
			rows, values = append(rows, r), values[d:]
		}
		cfg := tsne.Default()
		cfg.Perplexity, cfg.Iterations, cfg.Workers = 3, 30, 1
		e, err := tsne.Embed(t.Context(), rows, cfg)
		if err != nil {
			return
		}
		require.Len(t, e.Points, len(rows))
		for _, p := range e.Points {
			require.False(t, math.IsNaN(p[0]+p[1]) || math.IsInf(p[0]+p[1], 0))
		}
	})
}
