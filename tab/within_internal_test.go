package tab

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tensor"
)

// TestSetApart: a damaged cell is set apart exactly where nothing that overlaps it
// stands out at any stage, on grids that do not fit into one another.
func TestSetApart(t *testing.T) {
	testutil.NoLeak(t)
	const side = 90 // grids of 9, 5 and 3 cells
	grids := map[backbone.Layer]int{backbone.Layer1: 9, backbone.Layer2: 5, backbone.Layer3: 3}
	layers := []backbone.Layer{backbone.Layer1, backbone.Layer2, backbone.Layer3}
	spread := partSpread{whiten: []float32{1}, q95: 1, q99: 2}
	stages := map[backbone.Layer][]partSpread{}
	for _, l := range layers {
		stages[l] = []partSpread{spread}
	}
	masks := make([]uint8, side*side)
	for y := 18; y < 70; y++ {
		for x := 18; x < 70; x++ {
			masks[y*side+x] = 255
		}
	}
	for _, c := range []struct{ loud map[backbone.Layer]int }{
		{nil}, {map[backbone.Layer]int{backbone.Layer1: 4*9 + 4}}, {map[backbone.Layer]int{backbone.Layer2: 2*5 + 1}},
		{map[backbone.Layer]int{backbone.Layer3: 4}}, {map[backbone.Layer]int{backbone.Layer1: 2*9 + 2, backbone.Layer2: 3*5 + 3}},
	} {
		require.NoError(t, tensor.Run(t.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
			m, err := newMetric(s, layers, func(backbone.Layer) int { return 1 }, 1, stages)
			require.NoError(t, err)
			defer func() { require.NoError(t, m.close()) }()
			v := View{Metric: m, Class: s.FromInts([]int64{0}, 1)}
			v.Normal.Stages, v.NormalStart.Stages, v.AbnormalStart.Stages = map[backbone.Layer]*tensor.Tensor{}, map[backbone.Layer]*tensor.Tensor{}, map[backbone.Layer]*tensor.Tensor{}
			for l, g := range grids {
				d := make([]float32, g*g)
				for i := range d {
					d[i] = 1 // q of exactly the 95 % is within
				}
				if at, ok := c.loud[l]; ok {
					d[at] = 1.1
				}
				n := int64(g)
				v.Normal.Stages[l], v.NormalStart.Stages[l] = s.Zeros(1, 1, n, n), s.Zeros(1, 1, n, n)
				v.AbnormalStart.Stages[l] = s.FromFloats(d, 1, 1, n, n)
			}
			v.Cells = cells(s, Batch{H: side, W: side, Class: []int{0}, Masks: masks}, nil, v.Normal.Stages)
			before := map[backbone.Layer]Cells{}
			for l, c := range v.Cells {
				before[l] = c
			}
			setApart(s, &v, layers)
			require.NoError(t, s.Err())
			for l, g := range grids {
				was, err := s.Floats(before[l].Anomalous)
				require.NoError(t, err)
				left, err := s.Floats(v.Cells[l].Anomalous)
				require.NoError(t, err)
				within, err := s.Floats(v.Cells[l].Within)
				require.NoError(t, err)
				apart, stay := 0, 0
				for i := range was {
					r, col := i/g, i%g
					loud := false // by ninetieths of the side
					for m, at := range c.loud {
						n := grids[m]
						rm, cm := at/n, at%n
						loud = loud || r*n < (rm+1)*g && rm*g < (r+1)*n && col*n < (cm+1)*g && cm*g < (col+1)*n
					}
					wantApart := was[i] == 1 && !loud
					require.Equal(t, wantApart, within[i] == 1, "%v, %s, cell %d", c.loud, l, i)
					require.Equal(t, was[i] == 1 && loud, left[i] == 1, "%v, %s, cell %d", c.loud, l, i)
					if within[i] == 1 {
						apart++
					}
					if left[i] == 1 {
						stay++
					}
				}
				require.Equal(t, []int{apart}, v.Cells[l].WithinCount)
				require.Equal(t, []int{stay}, v.Cells[l].AnomalousCount)
				require.Equal(t, before[l].CleanCount, v.Cells[l].CleanCount)
			}
			return s.Err()
		}))
	}
}
