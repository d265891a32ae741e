package synth_test

import (
	"image"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/synth"
)

// dots damages one column after the other; every third twin is normal, and has no mask.
type dots struct{ n *int }

func (d dots) Generate(dst, _ image.Image, _ *rand.Rand) (synth.Pair, error) {
	*d.n++
	size := dst.Bounds()
	p := synth.Pair{Image: image.NewRGBA(size), Mask: image.NewGray(size), Support: image.NewGray(size), Normal: *d.n%3 == 0}
	if !p.Normal {
		p.Image.Pix[4**d.n], p.Mask.Pix[*d.n], p.Support.Pix[*d.n] = 255, 255, 255
	}
	return p, nil
}

func (dots) Fingerprint() string { return "dots" }

// always is a generator of normal twins.
type always struct{}

func (always) Generate(dst, _ image.Image, _ *rand.Rand) (synth.Pair, error) {
	return synth.Pair{Image: image.NewRGBA(dst.Bounds()), Normal: true}, nil
}

// A damaged twin keeps its damage and gets the mask of the next damaged one; a normal one stays as it is.
func TestMisplaced(t *testing.T) {
	n := 0
	m := synth.Misplaced{Generator: dots{&n}}
	img, rng := image.NewGray(image.Rect(0, 0, 20, 10)), rand.New(rand.NewPCG(1, 2))
	at := func(pix []uint8, step int) int {
		for i := 0; i < len(pix); i += step {
			if pix[i] == 255 {
				return i / step
			}
		}
		return -1
	}
	for _, want := range []struct{ damage, mask int }{{1, 2}, {-1, -1}, {4, 5}, {-1, -1}, {7, 8}} {
		p, err := m.Generate(img, img, rng)
		require.NoError(t, err)
		require.Equal(t, want.damage, at(p.Image.Pix, 4))
		require.Equal(t, want.mask, at(p.Mask.Pix, 1))
		require.Equal(t, want.mask, at(p.Support.Pix, 1))
		require.Equal(t, want.damage < 0, p.Normal)
	}
	n = 1 // the next is damaged, and the one after it normal: its mask is that of the third
	p, err := m.Generate(img, img, rng)
	require.NoError(t, err)
	require.Equal(t, 2, at(p.Image.Pix, 4))
	require.Equal(t, 4, at(p.Mask.Pix, 1))

	p, err = synth.Misplaced{Generator: always{}}.Generate(img, img, rng)
	require.NoError(t, err)
	require.True(t, p.Normal)
	_, err = synth.Misplaced{}.Generate(img, img, rng)
	require.ErrorIs(t, err, synth.ErrSettings)
	require.Equal(t, "misplaced dots", m.Fingerprint())
	require.Empty(t, synth.Misplaced{Generator: always{}}.Fingerprint())
}
