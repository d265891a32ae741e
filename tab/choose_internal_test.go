package tab

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
)

// drawnChannels is a product of c channels whose good parts hang together and whose
// twins are displaced by the rows of the second result.
func drawnChannels(c, twins int, seed uint64) (ProductChannels, [][]float64) {
	rng := rand.New(rand.NewPCG(seed, 5))
	mix := make([][]float64, c)
	for i := range mix {
		for range c {
			mix[i] = append(mix[i], rng.NormFloat64())
		}
	}
	p := ProductChannels{Class: "x", Layers: []backbone.Layer{backbone.Layer1, backbone.Layer2}, Widths: []int{1, c - 1},
		Spread: make([]float64, c*c), Moved: make([]float64, c*c)}
	var ds [][]float64
	for range twins {
		d := make([]float64, c)
		for i := range d {
			d[i] = rng.NormFloat64() * float64(1+i%3)
		}
		ds = append(ds, d)
	}
	for i := range c {
		for j := range c {
			for k := range c {
				p.Spread[i*c+j] += mix[i][k] * mix[j][k] / float64(c)
			}
			for _, d := range ds {
				p.Moved[i*c+j] += d[i] * d[j] / float64(twins)
			}
		}
	}
	return p, ds
}

// distance is the mean over ds of d' (S + epsilon I)^-1 d on some channels, by Gauss's
// elimination of the system.
func distance(p ProductChannels, ds [][]float64, channels []int, epsilon float64) float64 {
	c, n := p.Widths[0]+p.Widths[1], len(channels)
	sum := 0.0
	for _, d := range ds {
		rows := make([][]float64, n)
		for i, a := range channels {
			for _, b := range channels {
				rows[i] = append(rows[i], p.Spread[a*c+b])
			}
			rows[i][i] += epsilon
			rows[i] = append(rows[i], d[a])
		}
		for i := range n {
			for j := i + 1; j < n; j++ {
				f := rows[j][i] / rows[i][i]
				for k := i; k <= n; k++ {
					rows[j][k] -= f * rows[i][k]
				}
			}
		}
		x := make([]float64, n)
		for i := n - 1; i >= 0; i-- {
			x[i] = rows[i][n]
			for k := i + 1; k < n; k++ {
				x[i] -= rows[i][k] * x[k]
			}
			x[i] /= rows[i][i]
			sum += x[i] * d[channels[i]] / float64(len(ds))
		}
	}
	return sum
}

// TestChoose holds every choice to the definition, solved anew for each candidate.
func TestChoose(t *testing.T) {
	const c, epsilon = 9, 0.02
	p, ds := drawnChannels(c, 40, 1)
	var want []int
	for range c {
		best, most := -1, 0.0
		for i := range c {
			if slices.Contains(want, i) {
				continue
			}
			if v := distance(p, ds, append(slices.Clone(want), i), epsilon); v > most {
				best, most = i, v
			}
		}
		want = append(want, best)
	}
	all := distance(p, ds, want, epsilon)
	for n := 1; n <= c; n++ {
		got, err := p.Choose(n, epsilon)
		require.NoError(t, err)
		require.Equal(t, want[:n], got)
		share, err := p.Retained(got, epsilon)
		require.NoError(t, err)
		require.InDelta(t, distance(p, ds, got, epsilon)/all, share, 1e-9)
		backwards := slices.Clone(got)
		slices.Reverse(backwards)
		again, err := p.Retained(backwards, epsilon)
		require.NoError(t, err)
		require.InDelta(t, share, again, 1e-9, "the order says nothing")
		ranked, err := p.Rank(n, epsilon)
		require.NoError(t, err)
		require.Equal(t, got[0], ranked[0])
		for i := 1; i < n; i++ {
			ratio := func(k int) float64 { return p.Moved[k*c+k] / (p.Spread[k*c+k] + epsilon) }
			require.GreaterOrEqual(t, ratio(ranked[i-1]), ratio(ranked[i]))
		}
	}
}

// A channel that repeats another is ranked beside it and chosen last.
func TestChooseLeavesRepetitions(t *testing.T) {
	// Channels 0 and 1 are the same but for a little; twins move 2 and 3 less.
	p := ProductChannels{Layers: []backbone.Layer{backbone.Layer1}, Widths: []int{4}, Spread: []float64{
		1, .999, 0, 0,
		.999, 1, 0, 0,
		0, 0, 1, 0,
		0, 0, 0, 1,
	}, Moved: []float64{
		9, 9, 0, 0,
		9, 9, 0, 0,
		0, 0, 2, 0,
		0, 0, 0, 1,
	}}
	ranked, err := p.Rank(3, 1e-3)
	require.NoError(t, err)
	require.Equal(t, []int{0, 1, 2}, ranked)
	chosen, err := p.Choose(3, 1e-3)
	require.NoError(t, err)
	require.Equal(t, []int{0, 2, 3}, chosen)
}

// Channels that are constant on good parts and in twins hold no surprise: the ridge is
// all there is of them.
func TestChooseDeadChannels(t *testing.T) {
	p := ProductChannels{Layers: []backbone.Layer{backbone.Layer1}, Widths: []int{3}, Spread: make([]float64, 9), Moved: make([]float64, 9)}
	p.Spread[4], p.Moved[4] = 1, 1
	chosen, err := p.Choose(3, 0.01)
	require.NoError(t, err)
	require.Equal(t, []int{1, 0, 2}, chosen)
	share, err := p.Retained([]int{0, 2}, 0.01)
	require.NoError(t, err)
	require.Zero(t, share)
}

func TestChooseRefuses(t *testing.T) {
	good, _ := drawnChannels(5, 7, 3)
	for name, change := range map[string]func(p *ProductChannels){
		"no layers":    func(p *ProductChannels) { p.Layers, p.Widths = nil, nil },
		"widths":       func(p *ProductChannels) { p.Widths = []int{5} },
		"width":        func(p *ProductChannels) { p.Widths = []int{-1, 6} },
		"huge":         func(p *ProductChannels) { p.Widths = []int{math.MaxInt, math.MaxInt} },
		"spread":       func(p *ProductChannels) { p.Spread = p.Spread[1:] },
		"moved":        func(p *ProductChannels) { p.Moved = nil },
		"not a number": func(p *ProductChannels) { p.Moved = slices.Clone(p.Moved); p.Moved[7] = math.NaN() },
		"infinite":     func(p *ProductChannels) { p.Spread = slices.Clone(p.Spread); p.Spread[7] = math.Inf(-1) },
		"negative":     func(p *ProductChannels) { p.Spread = slices.Clone(p.Spread); p.Spread[0] = -1 },
	} {
		p := good
		change(&p)
		_, err := p.Choose(2, 0.01)
		require.ErrorIs(t, err, ErrConfig, name)
		_, err = p.Rank(2, 0.01)
		require.ErrorIs(t, err, ErrConfig, name)
		_, err = p.Retained([]int{0, 1}, 0.01)
		require.ErrorIs(t, err, ErrConfig, name)
	}
	for _, n := range []int{0, -1, 6} {
		_, err := good.Choose(n, 0.01)
		require.ErrorIs(t, err, ErrConfig)
		_, err = good.Rank(n, 0.01)
		require.ErrorIs(t, err, ErrConfig)
	}
	for _, epsilon := range []float64{0, -1, math.NaN(), math.Inf(1)} {
		_, err := good.Choose(2, epsilon)
		require.ErrorIs(t, err, ErrConfig)
	}
	for _, channels := range [][]int{nil, {5}, {-1}, {2, 2}, {0, 1, 2, 3, 4, 5}} {
		_, err := good.Retained(channels, 0.01)
		require.ErrorIs(t, err, ErrConfig)
	}
	still := ProductChannels{Layers: []backbone.Layer{backbone.Layer1}, Widths: []int{1}, Spread: []float64{1}, Moved: []float64{0}}
	_, err := still.Retained([]int{0}, 0.01)
	require.ErrorIs(t, err, ErrConfig)
}

// BenchmarkChoose is PaDiM's choice on ResNet-18's first three stages.
func BenchmarkChoose(b *testing.B) {
	p, _ := drawnChannels(448, 20, 9)
	for b.Loop() {
		if _, err := p.Choose(100, 0.01); err != nil {
			b.Fatal(err)
		}
	}
}
