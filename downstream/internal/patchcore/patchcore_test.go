package patchcore

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/downstream/internal/sentinel"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tensor"
)

func TestPatchCoreReweight(t *testing.T) {
	// By hand: exp(1) / (exp(1) + exp(2) + exp(3)).
	e := math.Exp(1)
	require.InEpsilon(t, 1-e/(e+e*e+e*e*e), reweight(1, []float32{1, 4, 9}), 1e-12)
	require.InDelta(t, 1.0, reweight(1, []float32{1, 1e12}), 1e-12)                         // no overflow to NaN
	require.InDelta(t, 2.0/3, reweight(1<<19, []float32{1 << 38, 1 << 38, 1 << 38}), 1e-12) // nor here
}

func TestPatchCoreCoresetEqualsTheDefinition(t *testing.T) {
	before := tensor.Live()
	rng := rand.New(rand.NewPCG(3, 1))
	const n, k, count = 400, 12, 80
	flat, x := make([]float32, n*k), make([][]float64, n)
	for i := range x {
		for j := range k {
			v := float32(30 + float64(j) + rng.NormFloat64()*(1+float64(i%3))) // far from 0
			flat[i*k+j] = v
			x[i] = append(x[i], float64(v))
		}
	}
	starts := []int64{5, 17, 300}
	want := testutil.GreedyChoice(x, count, starts)
	require.NotEqual(t, want, testutil.GreedyChoice(x, count, starts[:2]), "the starting points must matter, or the comparison proves less")
	for name, choose := range coresets(t) {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, want, choose(flat, k, count, starts))
			// Rows that repeat are kept once, however many are asked for.
			twins := choose(append(slices.Clone(flat[:20*k]), flat[:20*k]...), k, 40, []int64{5, 17, 30})
			for i := range twins {
				twins[i] %= 20
			}
			slices.Sort(twins)
			require.Len(t, twins, 20)
			require.Len(t, slices.Compact(twins), 20)
			require.Equal(t, []int64{0}, choose([]float32{1, 2, 3, 0, 0, 0}, 3, 1, []int64{1}))
			require.Equal(t, []int64{0}, choose([]float32{1, 2, 3, 1, 2, 3}, 3, 2, []int64{1}), "one is kept of rows that are all alike")
		})
	}
	require.Equal(t, before, tensor.Live())
}

// coresets returns every way in which patches are chosen.
func coresets(t *testing.T) map[string]func(x []float32, k, count int, starts []int64) []int64 {
	ways := map[string]func(x []float32, k, count int, starts []int64) []int64{
		"tensor": func(x []float32, k, count int, starts []int64) []int64 {
			chosen, err := Coreset(t.Context(), tensor.CPU, x, k, count, starts, func(int) {})
			require.NoError(t, err)
			return chosen
		},
	}
	for _, workers := range []int{1, 2, 3, 500} {
		ways[fmt.Sprintf("%d workers", workers)] = func(x []float32, k, count int, starts []int64) []int64 {
			chosen, err := CoresetOnHost(t.Context(), x, k, count, starts, workers, func(int) {})
			require.NoError(t, err)
			return chosen
		}
	}
	return ways
}

// TestPatchCoreCoresetOfEquals has many rows equally far: of them the first is
// chosen, whoever looks after it.
func TestPatchCoreCoresetOfEquals(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 2))
	const n, k = 120, 33
	x, rows := make([]float32, n*k), make([][]float64, n)
	for i := range rows {
		for j := range k {
			v := rng.IntN(2) * rng.IntN(2)
			x[i*k+j] = float32(v)
			rows[i] = append(rows[i], float64(v))
		}
	}
	want := testutil.GreedyChoice(rows, 60, []int64{7})
	for _, workers := range []int{1, 2, 5} {
		got, err := CoresetOnHost(t.Context(), x, k, 60, []int64{7}, workers, func(int) {})
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}

// TestPatchCoreChoosingReportsAndEnds looks at both ways of choosing: how far they
// say they are, and that they end with their context, in the middle too.
func TestPatchCoreChoosingReportsAndEnds(t *testing.T) {
	live := tensor.Live()
	const n, k, count = 2000, 3, 600
	rng := rand.New(rand.NewPCG(4, 4))
	x := make([]float32, n*k)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	starts := []int64{7, 8}
	for name, choose := range map[string]func(ctx context.Context, x []float32, report func(int)) ([]int64, error){
		"tensor": func(ctx context.Context, x []float32, report func(int)) ([]int64, error) {
			return Coreset(ctx, tensor.CPU, x, k, count, starts, report)
		},
		"host": func(ctx context.Context, x []float32, report func(int)) ([]int64, error) {
			return CoresetOnHost(ctx, x, k, count, starts, 2, report)
		},
	} {
		t.Run(name, func(t *testing.T) {
			var seen []int
			chosen, err := choose(t.Context(), x, func(done int) { seen = append(seen, done) })
			require.NoError(t, err)
			require.Len(t, chosen, count)
			require.Equal(t, []int{256, 512, 600}, seen)
			seen = nil
			_, err = choose(t.Context(), make([]float32, n*k), func(done int) { seen = append(seen, done) })
			require.NoError(t, err)
			require.Equal(t, []int{1}, seen, "rows that are all alike")

			ctx, cancel := context.WithCancel(t.Context())
			seen = nil
			_, err = choose(ctx, x, func(done int) {
				seen = append(seen, done)
				cancel()
			})
			require.ErrorIs(t, err, context.Canceled)
			require.Equal(t, []int{256}, seen)
		})
	}
	require.Equal(t, live, tensor.Live())
}

// asked counts how often a context is asked for its error, and ends it then.
type asked struct {
	context.Context
	times, after int
}

func (a *asked) Err() error {
	if a.times++; a.times > a.after {
		return context.Canceled
	}
	return nil
}

// The long loops of a choice, and not only what is between them, end with the
// context.
func TestPatchCoreChoosingEndsInsideItsLoops(t *testing.T) {
	const n, k = 2000, 2
	x := make([]float32, n*k)
	for i := range x {
		x[i] = float32(i + 1)
	}
	all := matrix{values: x, k: k}
	f := &farthest{x: all, step: 1}
	f.start(&asked{Context: t.Context(), after: 2}, []int64{0})
	require.NotZero(t, f.bound[2*rowsPerLook-1])
	require.Zero(t, f.bound[2*rowsPerLook], "the context ended at the third look")

	f = &farthest{x: all, step: 1}
	f.start(t.Context(), []int64{0})
	ctx := &asked{Context: t.Context()}
	centres, err := tensor.NewRowSet(k, n/2)
	require.NoError(t, err)
	for i := range n / 2 {
		require.NoError(t, centres.Append(all.row(i)))
	}
	f.settle(ctx, centres)
	require.Equal(t, 1, ctx.times, "it ends when it is told so")
	ctx = &asked{Context: t.Context(), after: n}
	f.settle(ctx, centres)
	require.NoError(t, f.err)
	require.Greater(t, ctx.times, 1, "it would have gone on for longer")
	require.Equal(t, int32(n/2), f.known[f.heap[0]])
}

func TestPatchCoreCountsPatches(t *testing.T) {
	n, err := Count(200, 28, 28)
	require.NoError(t, err)
	require.Equal(t, 156_800, n)
	n, err = Count(math.MaxInt32, 1, 1)
	require.NoError(t, err)
	require.Equal(t, math.MaxInt32, n)
	_, err = Count(1<<21, 32, 32)
	require.ErrorIs(t, err, sentinel.ErrConfig)
	require.ErrorContains(t, err, "take fewer images")
}

// TestPatchCoreNearestOverBlocks crosses the borders of both kinds of blocks and
// has features whose lengths are a thousand times their distances.
func TestPatchCoreNearestOverBlocks(t *testing.T) {
	const (
		bank, queries, c = bankBlock + 900, queryBlock + 70, 3
		tolerance        = 1e-5 // of a distance: the shift rounds values of 100 to 4e-6, distances are about 0.1
	)
	start := tensor.Live()
	rng := rand.New(rand.NewPCG(11, 3))
	draw := func(n int) []float32 {
		v := make([]float32, n*c)
		for i := range v {
			v[i] = float32(100 + rng.NormFloat64())
		}
		return v
	}
	patches, query := draw(bank), draw(queries)
	squares, nearest := make([]float64, queries), make([]int64, queries)
	last := 0
	for i := range queries {
		squares[i] = math.Inf(1)
		for j := range bank {
			sum := 0.0
			for k := range c {
				d := float64(query[i*c+k]) - float64(patches[j*c+k])
				sum += d * d
			}
			if sum < squares[i] {
				squares[i], nearest[i] = sum, int64(j)
			}
		}
		if nearest[i] >= bankBlock {
			last++
		}
	}
	require.Greater(t, last, 50, "some neighbours must be in the last block")
	mean := Centre(patches, c)
	require.NoError(t, tensor.Run(t.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
		half := make([]float32, bank)
		for j := range half {
			for _, v := range patches[j*c:][:c] {
				half[j] -= v * v / 2
			}
		}
		g := memory(s, patches, half, bank, c)
		q := s.FromFloats(query, queries, c)
		s.AddInto(q, s.FromFloats(mean, c), -1)
		d, at, err := g.Nearest(s, q, true)
		if err != nil {
			return err
		}
		require.Equal(t, nearest, at)
		for i, v := range d {
			require.InDelta(t, math.Sqrt(squares[i]), math.Sqrt(float64(v)), tolerance)
		}
		return nil
	}))
	require.Equal(t, start, tensor.Live())
}

// memory is a bank of patches of c values that nobody owns but s.
func memory(s *tensor.Scope, patches, half []float32, count, c int64) Bank {
	return Bank{Patches: s.FromFloats(patches, count, c), half: s.FromFloats(half, count), count: int(count)}
}
