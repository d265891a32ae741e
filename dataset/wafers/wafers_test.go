package wafers_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"image"
	"io"
	"math"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/dataset/wafers"
	"github.com/gotab/gotab/internal/hostile"
)

// The drawing is frozen: figures that were measured on its maps mean something
// only as long as these sums stay.
func TestMapsAreThoseOfTheFirstDay(t *testing.T) {
	var all []byte
	for i, c := range wafers.Combinations() {
		for _, seed := range []uint64{1, 2} {
			m := wafers.Draw(seed, i, c)
			all = append(all, m[:]...)
		}
	}
	require.Equal(t, "9249467c227b3d22012592c8e0d6256a09a0f358cd9a2c82429f1cf19f3b6800", sum(all))
	var file bytes.Buffer
	require.NoError(t, wafers.Write(t.Context(), &file, 1, wafers.Even(1)))
	require.Equal(t, "cc7a8a00b56c324eb8bd7b8f492191281c6ece28cf28da51583d55fb2988b1bc", sum(file.Bytes()))
}

func sum(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

// The numbers are those of the published file: 38,015 maps of 1 normal, 8 single,
// 13 double, 12 triple and 4 fourfold combinations, and maps per label.
func TestPublishedComposition(t *testing.T) {
	combos := wafers.Combinations()
	bySize := map[int]int{}
	seen := map[wafers.Combination]bool{}
	for _, c := range combos {
		n := 0
		for j := range wafers.Labels {
			if c.Has(j) {
				n++
			}
		}
		bySize[n]++
		seen[c] = true
	}
	require.Len(t, seen, 38)
	require.Equal(t, map[int]int{0: 1, 1: 8, 2: 13, 3: 12, 4: 4}, bySize)

	counts := wafers.Published(1)
	require.NoError(t, counts.Validate())
	require.Equal(t, 38015, counts.Total())
	perLabel := map[string]int{}
	first := map[string]int{}
	at := 0
	for i, c := range combos {
		for j, name := range wafers.Names() {
			if c.Has(j) {
				perLabel[name] += counts[i]
			}
		}
		first[c.String()] = at
		at += counts[i]
	}
	require.Equal(t, map[string]int{"Center": 13000, "Donut": 12000, "Edge-Loc": 13000, "Edge-Ring": 12000, "Loc": 18000,
		"Near-full": 149, "Scratch": 19000, "Random": 866}, perLabel)
	for name, row := range map[string]int{"Center": 12000, "Donut": 24000, "Edge-Loc": 25000, "Edge-Ring": 26000, "Loc": 32000,
		"Random": 33000, "Near-full": 34866, "Scratch": 37015} {
		require.Equal(t, row, first[name], name)
	}

	small := wafers.Published(0.01)
	require.NoError(t, small.Validate())
	require.Equal(t, 20, small[slices.Index(combos, combos[3])], "twice as many of Center+Edge-Loc+Scratch")
	require.Equal(t, "Center+Edge-Loc+Scratch", combos[3].String())
	require.Equal(t, 1, slices.Min(wafers.Published(0)), "at least one of each")
}

// The file is what dataset reads, and its maps are those of Draw.
func TestWrittenFileIsMixedWM38(t *testing.T) {
	const seed = 5
	counts := wafers.Even(2)
	counts[0] = 3
	var file bytes.Buffer
	require.NoError(t, wafers.Write(t.Context(), &file, seed, counts))
	ds, err := dataset.NewMixedWM38(fstest.MapFS{"w.npz": {Data: file.Bytes()}}, "w.npz")
	require.NoError(t, err)
	defer ds.Close()
	require.Equal(t, 77, ds.Len())
	require.Equal(t, dataset.WaferLabels(), wafers.Names(), "the columns' order")
	require.Empty(t, ds.Issues())
	i := 0
	for k, c := range wafers.Combinations() {
		for range counts[k] {
			got, err := ds.Map(t.Context(), i)
			require.NoError(t, err)
			want := wafers.Draw(seed, i, c)
			require.Equal(t, want[:], got)
			for j, bit := range ds.Labels(i) {
				require.Equal(t, c.Has(j), bit == 1)
			}
			require.Equal(t, c.String(), ds.Item(i).Defect)
			i++
		}
	}
	first, err := ds.Map(t.Context(), 0)
	require.NoError(t, err)
	second, err := ds.Map(t.Context(), 1)
	require.NoError(t, err)
	require.NotEqual(t, first, second, "maps of one combination differ")
	other := wafers.Draw(seed+1, 0, wafers.Combinations()[0])
	require.NotEqual(t, first, other[:], "and so do seeds")
}

func TestEveryMapIsTheSameWafer(t *testing.T) {
	var blank [wafers.Side * wafers.Side]bool
	for i, c := range wafers.Combinations() {
		m := wafers.Draw(9, i, c)
		dies := 0
		for k, v := range m {
			require.LessOrEqual(t, v, uint8(wafers.Failed))
			if i == 0 {
				blank[k] = v == wafers.Blank
			}
			require.Equal(t, blank[k], v == wafers.Blank)
			if v != wafers.Blank {
				dies++
			}
		}
		require.Equal(t, 2128, dies, "a disc of 52 dies' width holds pi 26^2 of them, to the rounding of its edge")
		for y := range wafers.Side { // as round from every side
			for x := range wafers.Side {
				require.Equal(t, blank[y*wafers.Side+x], blank[x*wafers.Side+wafers.Side-1-y])
			}
		}
	}
}

type failing struct{ after int }

var errFull = errors.New("disk is full")

func (f *failing) Write(p []byte) (int, error) {
	if f.after -= len(p); f.after < 0 {
		return 0, errFull
	}
	return len(p), nil
}

func TestWriteRefusesAndStops(t *testing.T) {
	for name, counts := range map[string]wafers.Counts{
		"37":       wafers.Even(1)[1:],
		"negative": append(wafers.Counts{-1}, wafers.Even(1)[1:]...),
		"none":     wafers.Even(0),
		"too many": wafers.Even(1 << 16),
		"one huge": append(wafers.Counts{1 << 40}, wafers.Even(0)[1:]...),
	} {
		require.ErrorIs(t, wafers.Write(t.Context(), io.Discard, 1, counts), wafers.ErrCounts, name)
	}
	require.ErrorIs(t, wafers.Published(1e300).Validate(), wafers.ErrCounts)
	require.ErrorIs(t, wafers.Published(math.NaN()).Validate(), wafers.ErrCounts)
	for _, after := range []int{0, 50, 20000, 412500} {
		require.ErrorIs(t, wafers.Write(t.Context(), &failing{after}, 1, wafers.Even(1)), errFull, "after %d bytes", after)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, wafers.Write(ctx, io.Discard, 1, wafers.Even(1)), context.Canceled)
}

// The sheet has six maps of each combination, and fewer where there are fewer.
func TestSheet(t *testing.T) {
	full, err := wafers.Sheet(4, wafers.Even(6))
	require.NoError(t, err)
	few, err := wafers.Sheet(4, wafers.Even(1))
	require.NoError(t, err)
	require.Equal(t, full.Rect, few.Rect)
	white := func(m *image.RGBA) (n int) {
		for i := 0; i < len(m.Pix); i += 4 {
			if m.Pix[i] == 255 && m.Pix[i+1] == 255 && m.Pix[i+2] == 255 {
				n++
			}
		}
		return n
	}
	require.Equal(t, 38*5*104*104, white(few)-white(full), "two pixels a die")
	_, err = wafers.Sheet(1, wafers.Counts{1})
	require.ErrorIs(t, err, wafers.ErrCounts)
}

// No argument of anything that this package exports makes it panic, hang or take memory without
// bound.
func TestHostileArguments(t *testing.T) {
	r := hostile.Registry{
		Funcs:  []any{wafers.Draw, wafers.Write, wafers.Sheet, wafers.Names, wafers.Combinations, wafers.Even, wafers.Published},
		Types:  []any{new(wafers.Map), new(wafers.Combination), new(wafers.Counts)},
		Values: []any{wafers.Even(1), wafers.Combinations()[3]},
	}
	missing, err := r.Missing(".")
	require.NoError(t, err)
	require.Empty(t, missing)
	r.Run(t, 40)
}
