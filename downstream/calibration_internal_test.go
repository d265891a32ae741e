package downstream

import (
	"encoding/binary"
	"encoding/json"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/downstream/internal/engine"
	"github.com/gotab/gotab/metrics"
	"github.com/gotab/gotab/tensor"
)

// Whatever a file says, what is read is a calibration that decides, or refused; and what
// is read is written as it was.
func FuzzReadCalibration(f *testing.F) {
	good, defective := make([]float64, 100), []float64{90, 200}
	for i := range good {
		good[i] = float64(i*i) / 100
	}
	for _, rule := range []metrics.Rule{metrics.Overkill(0.05), metrics.TailOverkill(0.01), metrics.Youden()} {
		c, err := NewCalibration(good, defective, ColourScale{1, 2}, rule)
		require.NoError(f, err)
		var file engine.Contents
		require.NoError(f, beside{calibration: c}.add(&file))
		f.Add(file.Metadata[keyCalibration], bytesOf(good), bytesOf(defective))
		f.Add(file.Metadata[keyCalibration], bytesOf(good[:99]), []byte{})
	}
	f.Fuzz(func(t *testing.T, text string, good, defective []byte) {
		w := &tensor.Weights{Metadata: map[string]string{keyCalibration: text}}
		for name, data := range map[string][]byte{keptGood: good, keptDefective: defective} {
			if len(data) > 0 {
				w.Arrays = append(w.Arrays, tensor.Array{Name: name, DType: tensor.Float64, Shape: []int64{int64(len(data) / 8)}, Data: data})
			}
		}
		k, own, err := readKept(w)
		if err != nil {
			return
		}
		require.Empty(t, own)
		c := k.calibration
		require.NotEmpty(t, c.good)
		require.True(t, slices.IsSorted(c.good))
		require.Less(t, c.scale.Low, c.scale.High)
		rejected := 0
		for _, s := range c.good {
			if c.Verdict(s).Reject {
				rejected++
			}
		}
		if len(c.good) == c.point.Cut.Good {
			require.Equal(t, c.point.Cut.Overkilled, rejected)
		}
		var file engine.Contents
		require.NoError(t, k.add(&file))
		again, _, err := readKept(&tensor.Weights{Metadata: file.Metadata, Arrays: file.Arrays})
		require.NoError(t, err)
		before, err := json.Marshal(c.point)
		require.NoError(t, err)
		after, err := json.Marshal(again.calibration.point)
		require.NoError(t, err)
		require.Equal(t, before, after)
		require.Equal(t, c.good, again.calibration.good)
		require.Equal(t, c.defective, again.calibration.defective)
	})
}

func bytesOf(scores []float64) (out []byte) {
	for _, s := range scores {
		var err error
		if out, err = binary.Append(out, binary.LittleEndian, s); err != nil {
			panic(err)
		}
	}
	return out
}
