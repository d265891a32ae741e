package downstream_test

import (
	"image"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
)

func TestMapToInput(t *testing.T) {
	// A map of 4x2 over the middle of a 16x8 image: one value for 2x2 pixels.
	m := downstream.Map{W: 4, H: 2, Data: []float32{0, 1, 2, 3, 10, 11, 12, 13}, Rect: dataset.Rect{MinX: 4, MinY: 2, MaxX: 12, MaxY: 6}}
	got, err := m.ToInput(16, 8)
	require.NoError(t, err)
	require.Equal(t, dataset.Rect{MaxX: 16, MaxY: 8}, got.Rect)
	row := func(y int) []float32 { return got.Data[y*16:][:16] }
	for x := range 16 {
		if y1, y6 := row(1)[x], row(6)[x]; y1 == y1 || y6 == y6 {
			t.Fatalf("column %d above and below the map is %v and %v, want NaN", x, y1, y6)
		}
	}
	nan := float32(math.NaN())
	want := []float32{nan, nan, nan, nan, 0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3, nan, nan, nan, nan}
	for x, w := range want {
		v := row(2)[x]
		if w != w {
			require.True(t, v != v)
			continue
		}
		require.InDelta(t, w, v, 1e-6)
		require.InDelta(t, w+2.5, row(3)[x], 1e-6)
		require.InDelta(t, w+10, row(5)[x], 1e-6)
	}
	// The same size and the whole image: nothing changes.
	m.Rect = dataset.Rect{MaxX: 4, MaxY: 2}
	same, err := m.ToInput(4, 2)
	require.NoError(t, err)
	require.Equal(t, m.Data, same.Data)
	require.Equal(t, 13.0, m.Max())

	for _, bad := range []func() (downstream.Map, error){
		func() (downstream.Map, error) { return m.ToInput(0, 4) },
		func() (downstream.Map, error) { return downstream.Map{W: 2, H: 2, Rect: m.Rect}.ToInput(4, 4) },
		func() (downstream.Map, error) { return downstream.Map{W: 1, H: 1, Data: []float32{1}}.ToInput(4, 4) },
	} {
		_, err := bad()
		require.ErrorIs(t, err, downstream.ErrImage)
	}
	require.True(t, math.IsNaN(downstream.Map{}.Max()))
}

func TestCroppedDetectorLeavesTheBorderOut(t *testing.T) {
	noLeak(t)
	cfg := fakeConfig()
	cfg.Transform = dataset.Transform{Shorter: 40, Crop: image.Pt(32, 32)}
	p := fitted(t, &fake{scale: 1}, cfg, textures(6, 30, 80))
	r, err := p.Score(t.Context(), textures(1, 31, 80)[0])
	require.NoError(t, err)
	in, err := r[0].Map.ToInput(80, 80)
	require.NoError(t, err)
	seen := 0
	for y := range 80 {
		for x := range 80 {
			inside := x >= 8 && x < 72 && y >= 8 && y < 72
			v := in.At(x, y)
			require.Equal(t, inside, v == v, "pixel %d,%d", x, y)
			if inside {
				seen++
			}
		}
	}
	require.Equal(t, 64*64, seen)
}
