package tsne

import (
	"context"
	"fmt"
	"math"
	"slices"
)

// points are rows of one length, centred, with values of -2 to 2.
type points struct {
	n, dim  int
	nearest int // neighbours of each that are looked at
	v       []float64
}

func (p points) row(i int) []float64 { return p.v[i*p.dim : (i+1)*p.dim] }

// newPoints copies the rows, divided by their largest value and centred, so that no
// square of a distance overflows.
func newPoints(rows [][]float64, cfg Config) (points, error) {
	n := len(rows)
	if float64(n-1) < 3*cfg.Perplexity {
		return points{}, fmt.Errorf("tsne: %w: %d points, want more than three times the perplexity %g", ErrData, n, cfg.Perplexity)
	}
	p := points{n: n, dim: len(rows[0]), nearest: int(3 * cfg.Perplexity)}
	switch {
	case p.dim == 0:
		return points{}, fmt.Errorf("tsne: %w: point 0 has no values", ErrData)
	case n > maxPoints:
		return points{}, fmt.Errorf("tsne: %w: %d, want at most %d", ErrSize, n, maxPoints)
	case p.dim > maxValues/n:
		return points{}, fmt.Errorf("tsne: %w: %d of %d values, want at most %d values in all", ErrSize, n, p.dim, maxValues)
	case p.nearest > maxPairs/n:
		return points{}, fmt.Errorf("tsne: %w: %d with %d neighbours each, want at most %d neighbours in all", ErrSize, n, p.nearest, maxPairs)
	}
	largest := 0.0
	for i, r := range rows {
		if len(r) != p.dim {
			return points{}, fmt.Errorf("tsne: %w: point %d has %d values, point 0 has %d", ErrData, i, len(r), p.dim)
		}
		for k, v := range r {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return points{}, fmt.Errorf("tsne: %w: value %d of point %d is %g", ErrData, k, i, v)
			}
			largest = max(largest, math.Abs(v))
		}
	}
	if largest == 0 {
		return points{}, fmt.Errorf("tsne: %w: all values are 0", ErrData)
	}
	p.v = make([]float64, 0, n*p.dim)
	mean := make([]float64, p.dim)
	for _, r := range rows {
		for k, v := range r {
			p.v = append(p.v, v/largest)
			mean[k] += v / largest / float64(n)
		}
	}
	for i := range n {
		for k := range mean {
			p.v[i*p.dim+k] -= mean[k]
		}
	}
	return p, nil
}

// neighbour is a point and the square of its distance.
type neighbour struct {
	at int32
	d2 float64
}

// neighbours returns the nearest points of i, nearest first; of points at one distance
// the first come first. A sum is left as soon as it is too large.
func (p points) neighbours(i int) []neighbour {
	const stride = 16
	heap := make([]neighbour, 0, p.nearest) // the farthest on top
	x := p.row(i)
	for j := range p.n {
		if j == i {
			continue
		}
		limit := math.Inf(1)
		if len(heap) == p.nearest {
			limit = heap[0].d2
		}
		y := p.row(j)
		d2 := 0.0
		for k := 0; k < p.dim && d2 < limit; k += stride {
			end := min(p.dim, k+stride)
			a, b := x[k:end], y[k:end]
			for m, v := range a {
				e := v - b[m]
				d2 += e * e
			}
		}
		switch {
		case len(heap) < p.nearest:
			heap = append(heap, neighbour{int32(j), d2})
			up(heap)
		case d2 < limit:
			heap[0] = neighbour{int32(j), d2}
			down(heap)
		}
	}
	slices.SortFunc(heap, func(a, b neighbour) int {
		if a.farther(b) {
			return 1
		}
		return -1
	})
	return heap
}

func (a neighbour) farther(b neighbour) bool { return a.d2 > b.d2 || a.d2 == b.d2 && a.at > b.at }

// up restores the order of a heap whose last element is new.
func up(h []neighbour) {
	for i := len(h) - 1; i > 0; {
		parent := (i - 1) / 2
		if !h[i].farther(h[parent]) {
			return
		}
		h[i], h[parent] = h[parent], h[i]
		i = parent
	}
}

// down restores the order of a heap whose first element is new.
func down(h []neighbour) {
	for i := 0; ; {
		c := 2*i + 1
		if c >= len(h) {
			return
		}
		if c+1 < len(h) && h[c+1].farther(h[c]) {
			c++
		}
		if !h[c].farther(h[i]) {
			return
		}
		h[i], h[c] = h[c], h[i]
		i = c
	}
}

// affinities are a symmetric matrix without the zeros, whose sum is 1: row i has
// columns at[from[i]:from[i+1]], rising.
type affinities struct {
	from []int
	at   []int32
	p    []float64
}

func (a affinities) each(i int, f func(j int, p float64)) {
	for k := a.from[i]; k < a.from[i+1]; k++ {
		f(int(a.at[k]), a.p[k])
	}
}

// affinitiesOf makes p_ij = (p_j|i + p_i|j) / 2n, where p_j|i is a normal distribution
// over the distances from point i, with the width that gives it the perplexity.
func affinitiesOf(ctx context.Context, x points, cfg Config) (affinities, error) {
	k := x.nearest
	at, cond := make([]int32, x.n*k), make([]float64, x.n*k)
	err := inBlocks(ctx, x.n, cfg.Workers, func(i int) error {
		near := x.neighbours(i)
		p, err := conditional(near, cfg.Perplexity)
		if err != nil {
			return fmt.Errorf("point %d: %w", i, err)
		}
		order := make([]int, k)
		for m := range order {
			order[m] = m
		}
		slices.SortFunc(order, func(a, b int) int { return int(near[a].at) - int(near[b].at) })
		for m, o := range order {
			at[i*k+m], cond[i*k+m] = near[o].at, p[o]
		}
		return nil
	})
	if err != nil {
		return affinities{}, err
	}
	return symmetric(x.n, k, at, cond), nil
}

// symmetric joins the distributions of all points, k of each with rising neighbours.
func symmetric(n, k int, at []int32, cond []float64) affinities {
	// One-sided neighbours are entered at the other point too, in rising order since
	// i rises.
	extra := make([][]neighbour, n)
	total := n * k
	half := 1 / float64(2*n)
	own := make([]float64, n*k)
	for i := range n {
		for m := i * k; m < (i+1)*k; m++ {
			j := int(at[m])
			back, mutual := slices.BinarySearch(at[j*k:(j+1)*k], int32(i))
			own[m] = cond[m] * half
			if mutual {
				own[m] = (cond[m] + cond[j*k+back]) * half
			} else {
				extra[j] = append(extra[j], neighbour{int32(i), own[m]})
				total++
			}
		}
	}
	out := affinities{from: make([]int, 1, n+1), at: make([]int32, 0, total), p: make([]float64, 0, total)}
	for i := range n {
		e := extra[i]
		for m := i * k; m < (i+1)*k; m++ {
			for len(e) > 0 && e[0].at < at[m] {
				out.at, out.p, e = append(out.at, e[0].at), append(out.p, e[0].d2), e[1:]
			}
			out.at, out.p = append(out.at, at[m]), append(out.p, own[m])
		}
		for _, o := range e {
			out.at, out.p = append(out.at, o.at), append(out.p, o.d2)
		}
		out.from = append(out.from, len(out.at))
	}
	return out
}

const (
	entropyTolerance = 1e-5 // nats, as in the author's program
	entropySteps     = 200
)

// conditional returns exp(-beta d^2), normalised, with the beta at which the
// exponential of the entropy is the perplexity. near is sorted.
func conditional(near []neighbour, perplexity float64) ([]float64, error) {
	least, mean := near[0].d2, 0.0
	for _, o := range near {
		mean += (o.d2 - least) / float64(len(near))
	}
	p := make([]float64, len(near))
	if mean > 0 {
		want := math.Log(perplexity)
		low, high, beta := 0.0, math.Inf(1), 1/mean
		for range entropySteps {
			h := entropy(near, beta, p)
			switch {
			case math.Abs(h-want) < entropyTolerance:
				return p, nil
			case h > want:
				low = beta
				if beta *= 2; !math.IsInf(high, 1) {
					beta = (low + high) / 2
				}
			default:
				high = beta
				beta = (low + high) / 2
			}
			if math.IsInf(beta, 1) {
				break
			}
		}
	}
	same := 0
	for same < len(near) && near[same].d2 == least {
		same++
	}
	return nil, fmt.Errorf("%w: %d or more neighbours are at one distance, %.3g, and no width gives the perplexity %g; leave copies out or take a greater one", ErrData, same, math.Sqrt(least), perplexity)
}

// entropy fills p with the distribution of a beta and returns its entropy in nats.
func entropy(near []neighbour, beta float64, p []float64) float64 {
	sum, weighted := 0.0, 0.0
	for k, o := range near {
		e := beta * (o.d2 - near[0].d2)
		p[k] = math.Exp(-e)
		sum += p[k]
		if p[k] > 0 {
			weighted += e * p[k]
		}
	}
	for k := range p {
		p[k] /= sum
	}
	return math.Log(sum) + weighted/sum
}
