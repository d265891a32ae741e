package compare

import (
	"context"
	"fmt"
	"io"
	"math/bits"
	"time"
)

// nearest answers with the combination of the training map that differs in the
// fewest dies: what remembering maps comes to, and so how hard they are.
func nearest(ctx context.Context, p problem, stderr io.Writer) (r Row, err error) {
	r = Row{Split: p.split, Backbone: "-", Weights: "-", Model: "nearest neighbour", Train: p.train.set.Len(), Test: p.test.set.Len()}
	fmt.Fprintf(stderr, "nearest neighbour: %d maps in %d\n", r.Test, r.Train)
	if train, test := p.train.source.wafers.Size(), p.test.source.wafers.Size(); train != test {
		return r, fmt.Errorf("compare: nearest neighbour: %w: maps to train on have %dx%d dies, maps to test on %dx%d: leave Neighbour out", ErrConfig, train.X, train.Y, test.X, test.Y)
	}
	start := time.Now()
	known, err := p.train.failures(ctx)
	if err != nil {
		return r, err
	}
	r.FitSeconds = time.Since(start).Seconds()
	start = time.Now()
	asked, err := p.test.failures(ctx)
	if err != nil {
		return r, err
	}
	s, err := p.tally()
	if err != nil {
		return r, err
	}
	for i, m := range asked {
		if err := ctx.Err(); err != nil {
			return r, err
		}
		best, at := -1, 0
		for j, k := range known {
			d := 0
			for w := range m {
				d += bits.OnesCount64(m[w] ^ k[w])
			}
			if best < 0 || d < best {
				best, at = d, j
			}
		}
		if err := p.count(s, i, p.train.labels.Truth(at), p.train.kinds.Class(at)); err != nil {
			return r, err
		}
	}
	r.PredictSpeed = float64(r.Test) / time.Since(start).Seconds()
	r.TallyFigures, err = s.Figures()
	return r, err
}

// failures are the dies of each map, two bits each, so that maps differ by as
// many bits as dies, and by two where one failed and the other is blank.
func (p part) failures(ctx context.Context) ([][]uint64, error) {
	out := make([][]uint64, 0, len(p.indices))
	for _, i := range p.indices {
		dies, err := p.source.wafers.Map(ctx, i)
		if err != nil {
			return nil, err
		}
		m := make([]uint64, (len(dies)+31)/32)
		for k, v := range dies {
			code := uint64([3]uint8{0, 1, 3}[v]) // 0, 1 and 2 as a thermometer
			m[k/32] |= code << (k % 32 * 2)
		}
		out = append(out, m)
	}
	return out, nil
}
