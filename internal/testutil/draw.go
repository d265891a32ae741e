package testutil

import (
	"hash/crc32"
	"math"
	"strings"
)

// Draw is the formula by which fixtures are filled, here and in the scripts that
// make them: n values in [-1, 1) that float32 holds exactly and that depend on the
// name.
func Draw(name string, n int64) []float32 {
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

// DrawParameter is Draw for a parameter of a network of convolutions and batch
// norms, of a shape: scaled so that values stay of the order of one through many
// layers.
func DrawParameter(name string, shape []int64) []float32 {
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	u := Draw(name, n)
	scale, base := float32(0.125), float32(0)
	switch {
	case len(shape) == 4:
		fan := float64(shape[1] * shape[2] * shape[3])
		scale = float32(math.Pow(2, math.RoundToEven(math.Log2(math.Sqrt(3/fan)))))
	case strings.HasSuffix(name, "running_var"):
		scale, base = 0.5, 1
	case strings.HasSuffix(name, "weight") && len(shape) == 1:
		scale, base = 0.25, 1
	}
	for i := range u {
		u[i] = base + u[i]*scale
	}
	return u
}
