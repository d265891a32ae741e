package tab

import (
	"cmp"
	"context"
	"errors"
	"image"
	"slices"

	"github.com/gotab/gotab/synth"
	"github.com/gotab/gotab/tensor"
)

// mover is told by how much pair i displaces its loudest damaged cells at a layer:
// d [cells, C] in double precision, whose mean of q is loud. It is called for each
// layer in their order.
type mover func(s *tensor.Scope, i int, d *tensor.Tensor, loud float64) error

// displace returns how loud each pair is at each layer: the mean of q over the
// loudest quarter of its damaged cells, one at least. moved may be nil.
func (r *twinRun) displace(ctx context.Context, dst *image.RGBA, pairs []synth.Pair, moved mover) ([][]float64, error) {
	per, n := 3*r.size.X*r.size.Y, len(pairs)+1
	if len(r.pixels) < n*per {
		r.pixels = make([]float32, n*per)
	}
	if err := r.cfg.Normalize.Pack(r.pixels[:per], dst); err != nil {
		return nil, err
	}
	for i, p := range pairs {
		if err := r.cfg.Normalize.Pack(r.pixels[(i+1)*per:(i+2)*per], p.Image); err != nil {
			return nil, err
		}
	}
	out := make([][]float64, len(pairs))
	err := tensor.Run(ctx, r.visual.Params().Device(), tensor.Evaluation, func(s *tensor.Scope) error {
		fs := r.visual.Forward(s, s.FromNHWC(r.pixels[:n*per], n, r.size.Y, r.size.X, 3), r.cfg.Layers...)
		for l, f := range fs {
			var err error
			s.Sub(func(s *tensor.Scope) *tensor.Tensor {
				err = r.displaceAt(s, r.spread[l], f, pairs, moved, out)
				return nil
			})
			if err := errors.Join(err, s.Err()); err != nil {
				return err
			}
		}
		return nil
	})
	return out, err
}

// displaceAt appends how loud each pair is at one layer, whose features f are those
// of the good image and of the pairs.
func (r *twinRun) displaceAt(s *tensor.Scope, sp *spread, f *tensor.Tensor, pairs []synth.Pair, moved mover, out [][]float64) error {
	if s.Err() != nil {
		return nil
	}
	// Only damaged cells are compared: they are few, and the metric of many channels
	// is dear.
	grid := sp.H * sp.W
	var good, twin []int64
	cells := make([][]int, len(pairs))
	for i, p := range pairs {
		m := p.Mask
		if p.Normal {
			m = p.Support
		}
		cells[i] = damagedCells(m, sp.H, sp.W)
		for _, c := range cells[i] {
			good, twin = append(good, int64(c)), append(twin, int64((i+1)*grid+c))
		}
	}
	var q []float64
	var d *tensor.Tensor
	if len(twin) > 0 {
		rows := s.Reshape(s.Permute(f, 0, 2, 3, 1), int64((len(pairs)+1)*grid), int64(sp.C))
		at := func(cells []int64) *tensor.Tensor {
			return s.Cast(s.IndexSelect(rows, 0, s.FromInts(cells, int64(len(cells)))), tensor.Float64)
		}
		d = s.Minus(at(twin), at(good))
		var err error
		if q, err = s.Float64s(whitened(s, d, s.FromFloat64s(sp.Whiten, int64(sp.C), int64(sp.C)))); err != nil {
			return err
		}
	}
	first := 0
	for i := range pairs {
		loud := loudest(q[first : first+len(cells[i])])
		sum := 0.0
		var own []int64
		for _, k := range loud {
			sum += q[first+k]
			own = append(own, int64(first+k))
		}
		mean := sum / float64(max(1, len(loud))) // 0 where nothing is damaged
		out[i] = append(out[i], mean)
		if moved != nil && len(own) > 0 {
			if err := moved(s, i, s.IndexSelect(d, 0, s.FromInts(own, int64(len(own)))), mean); err != nil {
				return err
			}
		}
		first += len(cells[i])
	}
	return nil
}

// coveredShare is the share of a cell that a mask covers at least where the cell
// counts as damaged.
const coveredShare = 0.3

// damagedCells lists the cells of an h x w grid over m that are set in three
// tenths of their pixels or more, or, where there is none, those that are set
// most. A pixel on the edge between two cells counts in both.
func damagedCells(m *image.Gray, h, w int) []int {
	share := make([]float64, h*w)
	height, width := m.Rect.Dy(), m.Rect.Dx()
	most := 0.0
	for y := range h {
		y0, y1 := y*height/h, ((y+1)*height+h-1)/h
		for x := range w {
			x0, x1 := x*width/w, ((x+1)*width+w-1)/w
			n := 0
			for i := y0; i < y1; i++ {
				for _, v := range m.Pix[i*m.Stride+x0 : i*m.Stride+x1] {
					n += int(v >> 7)
				}
			}
			share[y*w+x] = float64(n) / float64((y1-y0)*(x1-x0))
			most = max(most, share[y*w+x])
		}
	}
	var cells []int
	for i, v := range share {
		if v > 0 && v >= min(coveredShare, most) {
			cells = append(cells, i)
		}
	}
	return cells
}

// loudest lists the places of the largest quarter of q, rounded up, the smallest
// first.
func loudest(q []float64) []int {
	at := make([]int, len(q))
	for i := range at {
		at[i] = i
	}
	slices.SortStableFunc(at, func(a, b int) int { return cmp.Compare(q[a], q[b]) })
	return at[len(at)-(len(at)+3)/4:]
}
