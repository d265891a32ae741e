package patchcore

import (
	"context"
	"math"
	"sync"

	"github.com/gotab/gotab/tensor"
)

// CoresetOnHost makes the choice of [Coreset] on the processor, without a
// Run: x [N, k] as rows, up to workers goroutines. It leaves out comparisons
// that cannot matter yet: a row's distance to the nearest chosen row only shrinks as
// rows are chosen, so that an old one bounds it from above, and a row is compared
// with the rows it has not met only when its bound is the largest of all. When the
// largest bound is up to date, its row is the farthest. For a tenth of the patches
// of real images these are two comparisons in five, most of which end within the
// first values ([tensor.RowSet]), and what they read stays in the caches.
//
// Rows equally far are taken in their order, so the choice does not depend on
// workers. report is told now and then, and at the end, how many are chosen.
func CoresetOnHost(ctx context.Context, x []float32, k, count int, starts []int64, workers int, report func(done int)) ([]int64, error) {
	all := matrix{values: x, k: k}
	n := len(x) / k
	workers = max(1, min(workers, n))
	parts := make([]*farthest, workers)
	each := func(do func(p *farthest)) {
		var wg sync.WaitGroup
		for _, p := range parts[1:] {
			wg.Add(1)
			go func() {
				defer wg.Done()
				do(p)
			}()
		}
		do(parts[0])
		wg.Wait()
	}
	for w := range parts {
		parts[w] = &farthest{x: all, first: w, step: workers}
	}
	each(func(p *farthest) { p.start(ctx, starts) })

	chosen := make([]int64, 0, count)
	centres, err := tensor.NewRowSet(k, count)
	if err != nil {
		return nil, err
	}
	for len(chosen) < count {
		each(func(p *farthest) { p.settle(ctx, centres) })
		if err := ctx.Err(); err != nil { // then the parts have ended early
			return nil, err
		}
		for _, p := range parts {
			if p.err != nil {
				return nil, p.err
			}
		}
		best := parts[0]
		for _, p := range parts[1:] {
			a, b := p.bound[p.heap[0]], best.bound[best.heap[0]]
			if a > b || a == b && p.row(p.heap[0]) < best.row(best.heap[0]) {
				best = p
			}
		}
		if best.bound[best.heap[0]] == 0 && len(chosen) > 0 {
			break // every row equals a chosen one, or each of starts
		}
		row := best.row(best.heap[0])
		chosen = append(chosen, int64(row))
		if err := centres.Append(all.row(row)); err != nil {
			return nil, err
		}
		if len(chosen)%chosenPerReport == 0 {
			report(len(chosen))
		}
	}
	if len(chosen)%chosenPerReport != 0 {
		report(len(chosen))
	}
	return chosen, nil
}

// matrix is rows of k values.
type matrix struct {
	values []float32
	k      int
}

func (m matrix) row(i int) []float32 { return m.values[i*m.k:][:m.k:m.k] }

// farthest keeps a part of the rows so that the one farthest from the centres is
// found without comparing all with all.
type farthest struct {
	x           matrix    // all rows
	first, step int       // the part has every step-th row from the first on
	bound       []float32 // no less than the squared distance to the nearest centre
	known       []int32   // how many centres, from the first on, bound accounts for
	heap        []int32   // rows; the largest bound, and of equals the first row, on top
	err         error
}

// row is the row of x that is number i of the part.
func (f *farthest) row(i int32) int { return f.first + int(i)*f.step }

// rowsPerLook is how many rows are compared between two looks at the context.
const rowsPerLook = 256

// start bounds every row by the square of its mean distance to the rows starts
// of all. It ends early when ctx does.
func (f *farthest) start(ctx context.Context, starts []int64) {
	n := (len(f.x.values)/f.x.k - f.first + f.step - 1) / f.step
	f.bound, f.known, f.heap = make([]float32, n), make([]int32, n), make([]int32, n)
	for i := range n {
		if i%rowsPerLook == 0 && ctx.Err() != nil {
			return
		}
		sum := 0.0
		for _, j := range starts {
			sum += math.Sqrt(float64(squaredDistance(f.x.row(f.row(int32(i))), f.x.row(int(j)), math.MaxFloat32)))
		}
		mean := sum / float64(len(starts))
		f.bound[i], f.heap[i] = float32(mean*mean), int32(i)
	}
	for i := n/2 - 1; i >= 0; i-- {
		f.sink(i)
	}
}

// settle brings the row on top up to date with the centres, and with it every row
// that was on top before. It ends early when ctx does.
func (f *farthest) settle(ctx context.Context, centres *tensor.RowSet) {
	n := centres.Len()
	for round := 1; ; round++ {
		top := f.heap[0]
		at := int(f.known[top])
		if at == n || round%rowsPerLook == 0 && ctx.Err() != nil {
			return
		}
		// Once below the next largest bound it waits for its turn again.
		bound, at, err := centres.Nearer(f.x.row(f.row(top)), at, f.bound[top], f.next())
		if err != nil {
			f.err = err
			return
		}
		f.bound[top], f.known[top] = bound, int32(at)
		f.sink(0)
	}
}

// next is the largest bound but for the one on top.
func (f *farthest) next() float32 {
	switch len(f.heap) {
	case 1:
		return 0
	case 2:
		return f.bound[f.heap[1]]
	}
	return max(f.bound[f.heap[1]], f.bound[f.heap[2]])
}

// sink moves the entry at i of the heap down to where it belongs.
func (f *farthest) sink(i int) {
	h := f.heap
	above := func(a, b int32) bool {
		return f.bound[a] > f.bound[b] || f.bound[a] == f.bound[b] && a < b
	}
	for {
		child := 2*i + 1
		if child >= len(h) {
			return
		}
		if child+1 < len(h) && above(h[child+1], h[child]) {
			child++
		}
		if !above(h[child], h[i]) {
			return
		}
		h[i], h[child] = h[child], h[i]
		i = child
	}
}

// squaredDistance returns |a-b|^2, or, as soon as it is known to be no less than
// limit, some number no less than limit.
func squaredDistance(a, b []float32, limit float32) float32 {
	const block = 16 // values between two looks at the limit
	b = b[:len(a)]
	var sum float32
	for len(a) >= block {
		x, y := (*[block]float32)(a), (*[block]float32)(b)
		var s0, s1, s2, s3 float32 // apart, so that additions need not wait for each other
		for i := 0; i < block; i += 4 {
			d0, d1, d2, d3 := x[i]-y[i], x[i+1]-y[i+1], x[i+2]-y[i+2], x[i+3]-y[i+3]
			s0 += d0 * d0
			s1 += d1 * d1
			s2 += d2 * d2
			s3 += d3 * d3
		}
		sum += (s0 + s1) + (s2 + s3)
		if sum >= limit {
			return sum
		}
		a, b = a[block:], b[block:]
	}
	for i := range a {
		d := a[i] - b[i]
		sum += d * d
	}
	return sum
}
