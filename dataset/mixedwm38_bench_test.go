package dataset_test

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/gotab/gotab/dataset"
)

// BenchmarkMixedWM38 opens the npz file GOTAB_MIXEDWM38 (bench/dataset/mixedwm38.py
// sets it), or a small one of the fixtures: alone, with a thousand maps in a
// jumble, and with every map. Bytes per operation count all that was allocated.
func BenchmarkMixedWM38(b *testing.B) {
	name := os.Getenv("GOTAB_MIXEDWM38")
	if name == "" {
		name = filepath.Join("testdata", "parity", "wm_deflate.npz")
	}
	for _, c := range []struct {
		name string
		maps func(n int) []int
	}{
		{"open", func(int) []int { return nil }},
		{"random", func(n int) []int { return rand.New(rand.NewPCG(1, 1)).Perm(n)[:min(n, 1000)] }},
		{"all", func(n int) []int { return rand.New(rand.NewPCG(1, 1)).Perm(n) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				ds, err := dataset.OpenMixedWM38(name)
				if err != nil {
					b.Fatal(err)
				}
				for _, i := range c.maps(ds.Len()) {
					if _, err := ds.Map(b.Context(), i); err != nil {
						b.Fatal(err)
					}
				}
				if err := ds.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
