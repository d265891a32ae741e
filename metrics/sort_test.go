package metrics

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSortKeysEqualsTheLibrary(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, n := range []int{0, 1, 2, smallSort - 1, smallSort, 5000, 100_000} {
		for name, draw := range map[string]func() uint32{
			"uniform":    rng.Uint32,
			"few values": func() uint32 { return rng.Uint32N(5) << 20 },
			"one value":  func() uint32 { return math.MaxUint32 },
			"low byte":   func() uint32 { return 0xabcdef00 | rng.Uint32N(256) },
			"floats":     func() uint32 { return key(float32(rng.NormFloat64())) },
		} {
			keys := make([]uint32, n)
			for i := range keys {
				keys[i] = draw()
			}
			want := slices.Clone(keys)
			slices.Sort(want)
			sortKeys(keys)
			require.True(t, slices.Equal(want, keys), "%s, %d keys", name, n)
		}
	}
}

// key keeps the order of every two numbers and score undoes it.
func TestKeyIsOrderPreserving(t *testing.T) {
	inf := float32(math.Inf(1))
	rising := []float32{-inf, -math.MaxFloat32, -1.0000001, -1, -1e-30, -math.SmallestNonzeroFloat32, 0,
		math.SmallestNonzeroFloat32, 1e-30, 1, 1.0000001, math.MaxFloat32, inf}
	for i, s := range rising {
		require.Equal(t, s, score(key(s)))
		if i > 0 {
			require.Less(t, key(rising[i-1]), key(s))
		}
	}
	require.Equal(t, key(0), key(float32(math.Copysign(0, -1))))
	rng := rand.New(rand.NewPCG(2, 2))
	for range 100_000 {
		a, b := math.Float32frombits(rng.Uint32()), math.Float32frombits(rng.Uint32())
		if a != a || b != b {
			continue
		}
		if (a < b) != (key(a) < key(b)) {
			t.Fatalf("%g and %g have keys %#x and %#x", a, b, key(a), key(b))
		}
	}
}

// 128 bits: sets so large that the pairs do not fit into 64, built from counts.
func TestTallyBeyond64Bits(t *testing.T) {
	const many = 1 << 40
	var c tally
	c.add(0, many)
	c.add(many, many)
	c.add(many, 0)
	// Of 2m x 2m pairs: m x m + m x m/2 by the middle group, m x 2m by the last.
	require.Equal(t, 3.5/4, c.auroc())
	require.Equal(t, 0.125, c.halfTied())
}

func BenchmarkSortKeys(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 1))
	src := make([]uint32, 64*224*224)
	for i := range src {
		src[i] = key(float32(12 + 3*rng.NormFloat64()))
	}
	keys := make([]uint32, len(src))
	for name, sort := range map[string]func([]uint32){"flag": sortKeys, "library": slices.Sort[[]uint32]} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(4 * len(src)))
			for b.Loop() {
				copy(keys, src)
				sort(keys)
			}
		})
	}
}
