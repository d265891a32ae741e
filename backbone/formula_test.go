package backbone_test

import (
	"hash/crc32"
	"math"
	"strings"
	"testing"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/tensor"
)

// draw is the formula of testdata/parity/resnet.py: n values in [-1, 1) that
// float32 holds exactly.
func draw(name string, n int64) []float32 {
	v := make([]float32, n)
	c := uint64(crc32.ChecksumIEEE([]byte(name)))
	for i := range v {
		h := (uint64(i)*2654435761 + c) & 0xffffffff
		h = ((h ^ h>>15) * 2246822519) & 0xffffffff
		h = ((h ^ h>>13) * 3266489917) & 0xffffffff
		v[i] = float32(int64(h>>16)-32768) / 32768
	}
	return v
}

func fill(a tensor.Array) tensor.Array {
	n := int64(1)
	for _, d := range a.Shape {
		n *= d
	}
	if strings.HasSuffix(a.Name, "num_batches_tracked") {
		return tensor.IntArray(a.Name, []int64{7})
	}
	u := draw(a.Name, n)
	scale, base := float32(0.125), float32(0)
	switch {
	case len(a.Shape) == 4:
		fan := float64(a.Shape[1] * a.Shape[2] * a.Shape[3])
		scale = float32(math.Pow(2, math.RoundToEven(math.Log2(math.Sqrt(3/fan)))))
	case strings.HasSuffix(a.Name, "running_var"):
		scale, base = 0.5, 1
	case strings.HasSuffix(a.Name, "weight") && len(a.Shape) == 1:
		scale, base = 0.25, 1
	}
	for i := range u {
		u[i] = base + u[i]*scale
	}
	return tensor.FloatArray(a.Name, u, a.Shape...)
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
