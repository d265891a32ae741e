package tsne

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// gaussians are points around centres that lie far apart.
func gaussians(classes, each, dim int, apart float64) (rows [][]float64, class []int) {
	rng := rand.New(rand.NewPCG(7, uint64(classes)))
	for c := range classes {
		centre := make([]float64, dim)
		for k := range centre {
			centre[k] = apart * rng.NormFloat64()
		}
		for range each {
			r := slices.Clone(centre)
			for k := range r {
				r[k] += rng.NormFloat64()
			}
			rows, class = append(rows, r), append(class, c)
		}
	}
	return rows, class
}

func small(perplexity float64) Config {
	c := Default()
	c.Perplexity = perplexity
	return c
}

// dense writes the affinities as a full matrix.
func dense(a affinities) [][]float64 {
	n := len(a.from) - 1
	out := make([][]float64, n)
	for i := range out {
		out[i] = make([]float64, n)
		a.each(i, func(j int, p float64) { out[i][j] = p })
	}
	return out
}

// The neighbours are the first of all points sorted by distance, and then by number.
func TestNeighboursAreTheNearest(t *testing.T) {
	rows, _ := gaussians(3, 40, 37, 1)
	rows[50], rows[51], rows[52] = rows[3], rows[3], rows[3] // ties
	x, err := newPoints(rows, small(5))
	require.NoError(t, err)
	require.Equal(t, 15, x.nearest)
	for i := range rows {
		var all []neighbour
		for j := range rows {
			d2 := 0.0
			for k := range x.dim {
				d2 += (x.row(i)[k] - x.row(j)[k]) * (x.row(i)[k] - x.row(j)[k])
			}
			if j != i {
				all = append(all, neighbour{int32(j), d2})
			}
		}
		slices.SortStableFunc(all, func(a, b neighbour) int {
			switch {
			case a.d2 < b.d2:
				return -1
			case a.d2 > b.d2:
				return 1
			}
			return 0
		})
		require.Equal(t, all[:15], x.neighbours(i), i)
	}
}

// Affinities are the definition, over all points: with one neighbour for each third
// of the perplexity nothing is left out of 31 points.
func TestAffinitiesAreTheDefinition(t *testing.T) {
	const perplexity, n = 10, 31
	rows, _ := gaussians(1, n, 5, 1)
	x, err := newPoints(rows, small(perplexity))
	require.NoError(t, err)
	a, err := affinitiesOf(t.Context(), x, small(perplexity))
	require.NoError(t, err)
	cond := make([][]float64, n)
	for i := range rows {
		// The width by plain bisection over its logarithm, from the rows as given.
		at := func(beta float64) (p []float64, perplexity float64) {
			p = make([]float64, n)
			sum, h := 0.0, 0.0
			for j := range rows {
				d2 := 0.0
				for k := range rows[i] {
					d2 += (rows[i][k] - rows[j][k]) * (rows[i][k] - rows[j][k])
				}
				if j != i {
					p[j] = math.Exp(-beta * d2)
					sum += p[j]
				}
			}
			for j := range p {
				if p[j] /= sum; p[j] > 0 {
					h -= p[j] * math.Log2(p[j])
				}
			}
			return p, math.Exp2(h)
		}
		low, high := -30.0, 30.0
		for range 100 {
			mid := (low + high) / 2
			if _, u := at(math.Exp(mid)); u > perplexity {
				low = mid
			} else {
				high = mid
			}
		}
		cond[i], _ = at(math.Exp(low))
	}
	got, sum := dense(a), 0.0
	for i := range rows {
		for j := range rows {
			// An entropy that is 1e-5 off moves a probability by some 1e-5 of it.
			require.InDelta(t, (cond[i][j]+cond[j][i])/(2*n), got[i][j], 1e-6)
			require.Equal(t, got[j][i], got[i][j])
			sum += got[i][j]
		}
	}
	require.InDelta(t, 1, sum, 1e-12)
}

// slowGradient and slowKL are the formulas over all pairs.
func slowGradient(p [][]float64, y [][2]float64, exaggeration float64) [][2]float64 {
	w := func(i, j int) float64 {
		return 1 / (1 + (y[i][0]-y[j][0])*(y[i][0]-y[j][0]) + (y[i][1]-y[j][1])*(y[i][1]-y[j][1]))
	}
	z := 0.0
	for i := range y {
		for j := range y {
			if i != j {
				z += w(i, j)
			}
		}
	}
	out := make([][2]float64, len(y))
	for i := range y {
		for j := range y {
			for k := range 2 {
				if i != j {
					out[i][k] += 4 * (exaggeration*p[i][j] - w(i, j)/z) * (y[i][k] - y[j][k]) * w(i, j)
				}
			}
		}
	}
	return out
}

func slowKL(p [][]float64, y [][2]float64) float64 {
	z, kl := 0.0, 0.0
	w := func(i, j int) float64 {
		return 1 / (1 + (y[i][0]-y[j][0])*(y[i][0]-y[j][0]) + (y[i][1]-y[j][1])*(y[i][1]-y[j][1]))
	}
	for i := range y {
		for j := range y {
			if i != j {
				z += w(i, j)
			}
		}
	}
	for i := range y {
		for j := range y {
			if p[i][j] > 0 {
				kl += p[i][j] * math.Log(p[i][j]/(w(i, j)/z))
			}
		}
	}
	return kl
}

// started is a descent whose points are spread out, some of them at one place.
func started(t *testing.T, theta float64) *descent {
	rows, _ := gaussians(3, 50, 8, 2)
	cfg := small(12)
	cfg.Theta = theta
	x, err := newPoints(rows, cfg)
	require.NoError(t, err)
	a, err := affinitiesOf(t.Context(), x, cfg)
	require.NoError(t, err)
	d := newDescent(a, cfg)
	rng := rand.New(rand.NewPCG(3, 3))
	for i := range d.y {
		d.y[i] = [2]float64{3 * rng.NormFloat64(), 5 * rng.NormFloat64()}
	}
	d.y[7], d.y[70], d.y[71] = d.y[3], d.y[3], d.y[3]
	return d
}

func TestGradientIsExactAtThetaZero(t *testing.T) {
	d := started(t, 0)
	p := dense(d.p)
	for _, exaggeration := range []float64{1, 12} {
		require.NoError(t, d.gradient(t.Context(), exaggeration))
		want := slowGradient(p, d.y, exaggeration)
		for i := range want {
			for k := range 2 {
				require.InDelta(t, want[i][k], d.force[i][k], 1e-13, "point %d", i)
			}
		}
	}
	kl, err := d.divergence(t.Context())
	require.NoError(t, err)
	require.InDelta(t, slowKL(p, d.y), kl, 1e-12)

	// And the formula is the derivative.
	const h = 1e-5
	grad := slowGradient(p, d.y, 1)
	for _, i := range []int{0, 3, 70, 149} {
		for k := range 2 {
			was := d.y[i][k]
			d.y[i][k] = was + h
			up := slowKL(p, d.y)
			d.y[i][k] = was - h
			down := slowKL(p, d.y)
			d.y[i][k] = was
			require.InDelta(t, (up-down)/(2*h), grad[i][k], 1e-8)
		}
	}
}

// Cells cost a little of the gradient, the less the smaller theta is.
func TestGradientByCells(t *testing.T) {
	d := started(t, 0)
	want := slowGradient(dense(d.p), d.y, 1)
	length := 0.0
	for _, w := range want {
		length += w[0]*w[0] + w[1]*w[1]
	}
	last := 0.0
	for _, c := range []struct{ theta, most float64 }{{0.1, 1e-3}, {0.3, 1e-2}, {0.5, 0.03}, {1, 0.15}} {
		d.cfg.Theta = c.theta
		require.NoError(t, d.gradient(t.Context(), 1))
		off := 0.0
		for i, w := range want {
			off += (w[0]-d.force[i][0])*(w[0]-d.force[i][0]) + (w[1]-d.force[i][1])*(w[1]-d.force[i][1])
		}
		off = math.Sqrt(off / length)
		t.Logf("theta %g: the gradient is off by %.2g of its length", c.theta, off)
		require.Less(t, off, c.most)
		require.Greater(t, off, last)
		last = off
	}
}

// A tree holds points that lie at one place, nearly so, or all on a line.
func TestTreeOfDegeneratePoints(t *testing.T) {
	tiny := math.Nextafter(1, 2)
	for name, y := range map[string][][2]float64{
		"one place": {{1, 1}, {1, 1}, {1, 1}},
		"a line":    {{0, 0}, {0, 1}, {0, 2}, {0, 2}},
		"nearly":    {{1, 1}, {tiny, 1}, {1, tiny}, {5, 5}, {-1e9, 0}},
		"alone":     {{2, 3}},
	} {
		var tr tree
		tr.build(y)
		for i := range y {
			force, z := tr.repulsion(i, 0)
			var want [2]float64
			sum := 0.0
			for j := range y {
				dx, dy := y[i][0]-y[j][0], y[i][1]-y[j][1]
				if j != i {
					w := 1 / (1 + dx*dx + dy*dy)
					sum += w
					want[0] += w * w * dx
					want[1] += w * w * dy
				}
			}
			require.InDelta(t, sum, z, 1e-15, name)
			require.InDelta(t, want[0], force[0], 1e-15, name)
			require.InDelta(t, want[1], force[1], 1e-15, name)
		}
	}
}

func TestCancelled(t *testing.T) {
	rows, _ := gaussians(2, 30, 4, 2)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Embed(ctx, rows, small(5))
	require.ErrorIs(t, err, context.Canceled)
}
