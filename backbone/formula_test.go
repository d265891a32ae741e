package backbone_test

import (
	"strings"
	"testing"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tensor"
)

// draw is the formula of testdata/parity/resnet.py.
func draw(name string, n int64) []float32 { return testutil.Draw(name, n) }

func fill(a tensor.Array) tensor.Array {
	if strings.HasSuffix(a.Name, "num_batches_tracked") {
		return tensor.IntArray(a.Name, []int64{7})
	}
	return tensor.FloatArray(a.Name, testutil.DrawParameter(a.Name, a.Shape), a.Shape...)
}

// formula18 is ResNet-18's whole state dict by formula; nobody changes a value in
// place.
var formula18 []tensor.Array

func formulaArrays(t testing.TB) []tensor.Array {
	t.Helper()
	if formula18 == nil {
		formula18 = load(t, backbone.ArchResNet18).arrays(t)
	}
	return formula18
}
