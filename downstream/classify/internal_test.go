package classify

import (
	"context"
	"image"
	"image/color"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/downstream/internal/engine"
	"github.com/gotab/gotab/downstream/internal/feed"
	"github.com/gotab/gotab/downstream/internal/train"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tensor"
)

func TestClassifierRates(t *testing.T) {
	c := Default()
	c.Epochs, c.Warmup = 10, 2
	const n = 50
	require.InDelta(t, 0.1, c.rate(0, n), 1e-12)
	require.InDelta(t, 1, c.rate(9, n), 1e-12)
	require.InDelta(t, 1, c.rate(10, n), 1e-12, "the cosine begins at its top")
	require.InDelta(t, 0.5, c.rate(30, n), 1e-12)
	require.InDelta(t, (1+math.Cos(math.Pi*39/40))/2, c.rate(49, n), 1e-12)
	c.Cosine = false
	require.Equal(t, 1.0, c.rate(49, n))
	c.Warmup = 10
	require.InDelta(t, 1, c.rate(49, n), 1e-12, "warm-up alone")
}

func TestClassifierBalances(t *testing.T) {
	ds, err := dataset.NewImages("part", blanks(8)...)
	require.NoError(t, err)
	// 6 of a, 2 of b, none of c, all of d.
	l, err := Label(ds, []string{"a", "b", "c", "d"}, func(i int, _ dataset.Item) ([]bool, error) {
		return []bool{i < 6, i >= 6, false, true}, nil
	})
	require.NoError(t, err)
	cfg := Default()
	got, err := cfg.weights(l)
	require.NoError(t, err)
	require.Nil(t, got)
	cfg.Balance = true
	cfg.Task = MultiLabel
	got, err = cfg.weights(l)
	require.NoError(t, err)
	require.Equal(t, []float32{2.0 / 6, 6.0 / 2, 1, 1}, got)
	cfg.Task = MultiClass
	got, err = cfg.weights(l)
	require.NoError(t, err)
	require.Equal(t, []float32{8.0 / 24, 8.0 / 8, 1, 1}, got)
	cfg.Balance, cfg.Weights = false, []float64{4, 3, 2, 1}
	got, err = cfg.weights(l)
	require.NoError(t, err)
	require.Equal(t, []float32{4, 3, 2, 1}, got)
}

func TestDiesHaveAChannelEach(t *testing.T) {
	img := image.NewGray(image.Rect(3, 2, 6, 3)) // of another kind, and not at the origin
	for x, v := range []uint8{0, 127, 255} {
		img.SetGray(3+x, 2, color.Gray{Y: v})
	}
	out := Dies.encoded(img)
	require.Equal(t, image.Rect(0, 0, 3, 1), out.Bounds())
	for x, want := range []color.RGBA{{255, 0, 0, 255}, {0, 255, 0, 255}, {0, 0, 255, 255}} {
		require.Equal(t, want, out.At(x, 0))
	}
	require.Equal(t, uint8(127), img.GrayAt(4, 2).Y, "the original stays")
	require.Same(t, img, Colours.encoded(img))
	require.Nil(t, Dies.encoded(nil))
}

// TestTurnedBatches reads the batches of an epoch with Turn: every image comes
// once, in one of its eight turns, and the number of workers changes nothing.
func TestTurnedBatches(t *testing.T) {
	const n, side = 9, 2
	imgs := make([]image.Image, n)
	for i := range imgs {
		img := image.NewRGBA(image.Rect(0, 0, side, side))
		for p := range side * side {
			img.SetRGBA(p%side, p/side, color.RGBA{R: uint8(20*i + p), A: 255})
		}
		imgs[i] = img
	}
	ds, err := dataset.NewImages("part", imgs...)
	require.NoError(t, err)
	l, err := LabelOne(ds, []string{"even", "odd"}, func(i int, _ dataset.Item) (int, error) { return i % 2, nil })
	require.NoError(t, err)
	net := formulaNet(t)
	cfg := DefaultWafer(side)
	cfg.Batch = 4
	cfg.Normalize = dataset.Normalize{Std: [3]float32{1.0 / 255, 1, 1}} // bytes as they are
	c, err := New(net, cfg, seeded(5))
	require.NoError(t, err)
	tr := &training{c: c, data: l, size: image.Pt(side, side)}
	order := []int{4, 0, 8, 1, 2, 3, 5, 6, 7}
	read := func(epoch int) (out [][]float32) {
		var index []int
		c := train.Course[shuffled, minibatch]{Epochs: 1, Workers: tensor.GetThreads().Cores, Load: tr.load, Report: func(engine.Progress) {},
			Plan: func(int) []shuffled { return tr.cut(epoch, order) }}
		c.Step = func(_ context.Context, _, _ int, b minibatch) (train.Outcome, error) {
			require.Len(t, b.pixels, len(b.index)*side*side*3)
			require.GreaterOrEqual(t, len(b.index), 2, "batch norm needs two")
			index = append(index, b.index...)
			for j := range b.index {
				var red []float32
				for p := range side * side {
					red = append(red, float32(math.Round(float64(b.pixels[(j*side*side+p)*3]))))
				}
				out = append(out, red)
			}
			return train.Outcome{}, nil
		}
		require.NoError(t, c.Run(t.Context()))
		require.Equal(t, order, index)
		return out
	}
	before := tensor.GetThreads()
	defer func() { require.NoError(t, tensor.SetThreads(before)) }()
	first := read(0)
	require.NoError(t, tensor.SetThreads(tensor.Threads{Cores: 7, PerRun: 1}))
	require.Equal(t, first, read(0))
	turned := 0
	for epoch := range 4 {
		for j, got := range read(epoch) {
			var want []float32
			for p := range side * side {
				want = append(want, float32(20*order[j]+p))
			}
			if !slices.Equal(want, got) {
				turned++
			}
			slices.Sort(got)
			require.Equal(t, want, got, "the same pixels")
		}
	}
	require.InDelta(t, 4*n*7/8, turned, 8, "seven of eight turns move something")
	require.NotEqual(t, first, read(1))
}

// TestEveryBatchHoldsTwo is what Validate's least Batch stands on.
func TestEveryBatchHoldsTwo(t *testing.T) {
	for n := 2; n < 300; n++ {
		for batch := leastBatch; batch < 40; batch++ {
			for _, s := range feed.Spans(n, batch, 1) {
				require.GreaterOrEqual(t, s[1]-s[0], 2)
				require.LessOrEqual(t, s[1]-s[0], batch)
			}
		}
	}
}

// A loss that is not a number is found before a weight has moved.
func TestClassifierStepLeavesWeightsWhereItDiverges(t *testing.T) {
	testutil.NoLeak(t)
	net := formulaNet(t)
	cfg := DefaultWafer(32)
	c, err := New(net, cfg, seeded(1))
	require.NoError(t, err)
	tr := &training{c: c, data: formulaLabels(t, MultiLabel, 6, 8), size: image.Pt(32, 32)}
	require.NoError(t, tr.begin(t.Context()))
	defer tr.close(false)
	pixels := formula("images", 4*32*32*3)
	pixels[5] = float32(math.NaN())
	head, err := tr.g.Params.Arrays(t.Context())
	require.NoError(t, err)
	_, _, err = tr.step(t.Context(), minibatch{index: []int{0, 1, 2, 3}, pixels: pixels}, 1)
	require.ErrorIs(t, err, downstream.ErrDiverged)
	require.ErrorContains(t, err, "the loss is NaN")
	after, err := tr.g.Params.Arrays(t.Context())
	require.NoError(t, err)
	require.Equal(t, head, after)
	for _, a := range weightsOf(t, tr.g.own) {
		if !tr.g.own.Params().IsBuffer(a.Name) {
			require.Equal(t, filled(tensor.Array{Name: a.Name, Shape: a.Shape}).Data, a.Data, a.Name)
		}
	}
	require.Equal(t, 512, tr.g.own.Channels(backbone.Pooled))
}
