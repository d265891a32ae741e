package tensor_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/gotab/gotab/internal/faulttest"
	"github.com/gotab/gotab/tensor"
)

// weightWriter writes a few arrays, one of them longer than any buffer.
func weightWriter() faulttest.Writer {
	return faulttest.Writer{Name: "weights", Write: func(dir string, version int) error {
		long := make([]float32, 50_000)
		for i := range long {
			long[i] = float32(i * (1 + version))
		}
		return tensor.SaveWeights(filepath.Join(dir, "w.safetensors"), map[string]string{"version": fmt.Sprint(version)}, []tensor.Array{
			tensor.FloatArray("a", []float32{1, 2, 3}, 3), tensor.FloatArray("long", long, 500, 100), tensor.IntArray("n", []int64{int64(version)}),
		})
	}}
}

func TestWeightFilesAreWholeOrNotThere(t *testing.T) { faulttest.Check(t, weightWriter()) }

func TestWeightFilesSurviveKills(t *testing.T) {
	faulttest.Kill(t, "TestWeightFilesSurviveKills", 7, 1, weightWriter())
}
