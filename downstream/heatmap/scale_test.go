package heatmap_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/downstream/heatmap"
)

var nan = float32(math.NaN())

// mapOf is a map of the whole of a picture of its size.
func mapOf(w int, data ...float32) downstream.Map {
	h := len(data) / w
	return downstream.Map{W: w, H: h, Data: data, Rect: dataset.Rect{MaxX: float64(w), MaxY: float64(h)}}
}

// noise is a map of values like those of good parts: many small ones, few large ones.
func noise(w, h int, seed uint64) downstream.Map {
	rng := rand.New(rand.NewPCG(seed, 0))
	data := make([]float32, w*h)
	for i := range data {
		data[i] = float32(3 + rng.ExpFloat64())
	}
	return mapOf(w, data...)
}

func TestScaleShare(t *testing.T) {
	s := heatmap.Scale{Low: 10, High: 30}
	require.NoError(t, s.Validate())
	for v, want := range map[float64]float64{10: 0, 30: 1, 25: 0.75, 0: -0.5, 50: 2} {
		require.Equal(t, want, s.Share(v))
	}
	require.ErrorIs(t, heatmap.Scale{Low: 1, High: 1}.Validate(), heatmap.ErrScale)
	require.ErrorIs(t, heatmap.Scale{Low: 2, High: 1}.Validate(), heatmap.ErrScale)
	require.ErrorIs(t, heatmap.Scale{Low: math.NaN(), High: 1}.Validate(), heatmap.ErrNotFinite)
	require.ErrorIs(t, heatmap.Scale{Low: 0, High: math.Inf(1)}.Validate(), heatmap.ErrNotFinite)
}

func TestScaleOf(t *testing.T) {
	s, err := heatmap.ScaleOf(mapOf(2, 3, 4), mapOf(2, nan, -1, nan, 2))
	require.NoError(t, err)
	require.Equal(t, heatmap.Scale{Low: -1, High: 4}, s)

	for name, c := range map[string]struct {
		maps []downstream.Map
		is   error
	}{
		"none":      {nil, heatmap.ErrNoMaps},
		"one value": {[]downstream.Map{mapOf(2, 3, 3)}, heatmap.ErrScale},
		"hole":      {[]downstream.Map{mapOf(3, 1, nan, 2)}, heatmap.ErrNotFinite},
		"infinite":  {[]downstream.Map{mapOf(2, 1, float32(math.Inf(1)))}, heatmap.ErrNotFinite},
		"all NaN":   {[]downstream.Map{mapOf(2, nan, nan)}, heatmap.ErrNotFinite},
		"no data":   {[]downstream.Map{{W: 2, H: 2}}, heatmap.ErrSize},
		"empty":     {[]downstream.Map{{}}, heatmap.ErrSize},
	} {
		_, err := heatmap.ScaleOf(c.maps...)
		require.ErrorIs(t, err, c.is, name)
	}
}

// The slow twin sorts all values. Bins are 1/2048 of the value wide, and their upper edge is
// taken.
func TestScaleFromGoodEqualsSorting(t *testing.T) {
	const width = 1.0 / 2048
	for name, c := range map[string]struct{ a, b float32 }{
		"as they are": {1, 0}, "large": {1e6, 0}, "small": {1e-6, 0}, "around zero": {1, -3.7}, "negative": {1, -60},
	} {
		var all []float64
		var maps []downstream.Map
		for i := range uint64(5) {
			m := noise(40, 30, i)
			for k := range m.Data {
				m.Data[k] = c.a*m.Data[k] + c.b
				all = append(all, float64(m.Data[k]))
			}
			maps = append(maps, m)
		}
		slices.Sort(all)
		cfg := heatmap.GoodConfig{Quantile: 0.99, Reach: 2}
		got, err := heatmap.ScaleFromGood(maps, cfg)
		require.NoError(t, err, name)
		median, low := all[len(all)/2-1], all[len(all)*99/100-1]
		near := func(want, have, bins float64) {
			require.InDelta(t, want, have, bins*width*max(math.Abs(low), math.Abs(median)), name)
		}
		near(low, got.Low, 1)
		near(low+2*(low-median), got.High, 1+2*2) // both ends of the good range are off
		require.GreaterOrEqual(t, got.Low, low, name)
	}
}

func TestAGoodPartHasNextToNoColour(t *testing.T) {
	var maps []downstream.Map
	var good heatmap.Good
	for i := range uint64(8) {
		maps = append(maps, noise(64, 64, i))
		require.NoError(t, good.Add(maps[i]))
	}
	s, err := good.Scale(heatmap.DefaultGood())
	require.NoError(t, err)
	same, err := heatmap.ScaleFromGood(maps, heatmap.DefaultGood())
	require.NoError(t, err)
	require.Equal(t, same, s)

	coloured, reddest := 0, 0.0
	for _, m := range maps {
		for _, v := range m.Data {
			if share := s.Share(float64(v)); share >= 0 {
				coloured++
				reddest = max(reddest, share)
			}
		}
	}
	require.LessOrEqual(t, coloured, 8*64*64/1000)
	require.Positive(t, coloured)
	// From the quantile 0.999 to the largest of 32,768 an exponential tail goes on by
	// ln(32.8) = 3.5 of the 6.2 from median to quantile, a fifth of the scale; 2/3 is vermilion.
	require.Less(t, reddest, 0.6)
}

func TestGoodLeavesOutWhatWasNotSeen(t *testing.T) {
	m := noise(20, 20, 1)
	small, err := m.ToInput(20, 20)
	require.NoError(t, err)
	m.Rect = dataset.Rect{MinX: 10, MinY: 5, MaxX: 30, MaxY: 25}
	framed, err := m.ToInput(40, 30)
	require.NoError(t, err)
	a, err := heatmap.ScaleFromGood([]downstream.Map{small}, heatmap.DefaultGood())
	require.NoError(t, err)
	b, err := heatmap.ScaleFromGood([]downstream.Map{framed}, heatmap.DefaultGood())
	require.NoError(t, err)
	require.Equal(t, a, b)
}

func TestGoodRefuses(t *testing.T) {
	var g heatmap.Good
	_, err := g.Scale(heatmap.DefaultGood())
	require.ErrorIs(t, err, heatmap.ErrNoMaps)
	require.ErrorIs(t, g.Add(mapOf(3, 1, nan, 2)), heatmap.ErrNotFinite)
	_, err = g.Scale(heatmap.DefaultGood())
	require.ErrorIs(t, err, heatmap.ErrNoMaps, "a map that was refused must not count")
	require.NoError(t, g.Add(mapOf(4, 2, 2, 2, 2)))
	_, err = g.Scale(heatmap.DefaultGood())
	require.ErrorIs(t, err, heatmap.ErrScale)
	require.ErrorContains(t, err, "median 2")
	for _, bad := range []heatmap.GoodConfig{
		{}, {Quantile: 0.5, Reach: 1}, {Quantile: 1, Reach: 1}, {Quantile: math.NaN(), Reach: 1},
		{Quantile: 0.9}, {Quantile: 0.9, Reach: -1}, {Quantile: 0.9, Reach: math.NaN()}, {Quantile: 0.9, Reach: math.Inf(1)},
	} {
		_, err := g.Scale(bad)
		require.ErrorIs(t, err, heatmap.ErrConfig, "%+v", bad)
	}
	_, err = heatmap.ScaleFromGood([]downstream.Map{noise(4, 4, 1), {}}, heatmap.DefaultGood())
	require.ErrorIs(t, err, heatmap.ErrSize)
	require.ErrorContains(t, err, "map 1 of 2")
}
