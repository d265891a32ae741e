package dataset_test

import (
	"errors"
	"image"
	"image/color"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
)

// Augmentation is the same for 1 worker and 16, and another for another seed.
func TestAugmentDoesNotDependOnWorkers(t *testing.T) {
	ds := samples(t, 23)
	cfg := loaderConfig(5, 1, 0)
	cfg.Transform = dataset.Square(16)
	cfg.Augment, cfg.Seed = dataset.RandomTurn, 7
	order := []int{3, 3, 3, 0, 22, 7, 7, 1, 2, 4, 5}
	load := func() []dataset.Batch {
		l, err := dataset.NewLoader(ds, cfg)
		require.NoError(t, err)
		return collect(t, l, order)
	}
	one := load()
	cfg.Workers, cfg.AheadBytes = 16, 1<<20
	require.Equal(t, one, load())
	per := 16 * 16 * 3
	require.False(t, equal(one[0].Pixels[:per], one[0].Pixels[per:2*per]) && equal(one[0].Pixels[:per], one[0].Pixels[2*per:3*per]),
		"the same sample comes out differently at other places")
	cfg.Seed = 8
	require.NotEqual(t, one, load())

	boom := errors.New("boom")
	cfg.Augment = func(dataset.Sample, *rand.Rand) (dataset.Sample, error) { return dataset.Sample{}, boom }
	require.ErrorIs(t, firstError(t, ds, cfg, order), boom)
	cfg.Augment = func(s dataset.Sample, _ *rand.Rand) (dataset.Sample, error) {
		return dataset.Sample{Item: s.Item, Image: image.NewRGBA(image.Rect(0, 0, 9, 9))}, nil
	}
	require.ErrorIs(t, firstError(t, ds, cfg, order), dataset.ErrSize)
	cfg.Augment = func(s dataset.Sample, _ *rand.Rand) (dataset.Sample, error) { return dataset.Sample{}, nil }
	require.ErrorIs(t, firstError(t, ds, cfg, order), dataset.ErrSize)
}

func equal(a, b []float32) bool {
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// A corner that is marked in picture and mask moves in both alike, and each way
// comes up.
func TestRandomTurn(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, size := range []image.Point{{6, 6}, {7, 4}} {
		s := dataset.Sample{Image: image.NewRGBA(image.Rectangle{Max: size}), Mask: image.NewGray(image.Rectangle{Max: size})}
		s.Image.SetRGBA(1, 0, color.RGBA{200, 0, 0, 255})
		s.Mask.SetGray(1, 0, color.Gray{255})
		places := map[image.Point]bool{}
		for range 200 {
			got, err := dataset.RandomTurn(s, rng)
			require.NoError(t, err)
			require.Equal(t, size, got.Image.Rect.Size())
			n := 0
			for y := range size.Y {
				for x := range size.X {
					red, in := got.Image.RGBAAt(x, y).R == 200, got.Mask.GrayAt(x, y).Y == 255
					require.Equal(t, red, in)
					if in {
						places[image.Pt(x, y)] = true
						n++
					}
				}
			}
			require.Equal(t, 1, n)
		}
		require.Len(t, places, map[bool]int{true: 8, false: 4}[size.X == size.Y])
	}
	_, err := dataset.RandomTurn(dataset.Sample{}, rng)
	require.ErrorIs(t, err, dataset.ErrSize)
	_, err = dataset.RandomTurn(dataset.Sample{Image: image.NewRGBA(image.Rect(0, 0, 2, 2))}, nil)
	require.ErrorIs(t, err, dataset.ErrConfig)
}
