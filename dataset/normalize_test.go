package dataset_test

import (
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"image"
	"math"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
)

func TestPackEqualsTorchBitForBit(t *testing.T) {
	var f struct {
		Cases []struct {
			Norm  string
			CRC32 uint32 `json:"crc32"`
			Some  [][3]uint32
		}
	}
	b, err := os.ReadFile("testdata/parity/normalize.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &f))
	norms := map[string]dataset.Normalize{"imagenet": dataset.ImageNet(), "clip": dataset.CLIPNorm()}
	require.Len(t, f.Cases, len(norms))
	img := image.NewRGBA(image.Rect(0, 0, 256, 1))
	for v := range 256 {
		copy(img.Pix[4*v:], []byte{byte(v), byte(v), byte(v), 255})
	}
	for _, c := range f.Cases {
		dst := make([]float32, 3*256)
		require.NoError(t, norms[c.Norm].Pack(dst, img))
		var raw []byte
		for _, v := range dst {
			raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
		}
		for _, s := range c.Some {
			require.Equal(t, s[2], math.Float32bits(dst[3*s[0]+s[1]]), "%s byte %d channel %d", c.Norm, s[0], s[1])
		}
		require.Equal(t, c.CRC32, crc32.ChecksumIEEE(raw), c.Norm)
	}
}

func TestPackLayoutAndErrors(t *testing.T) {
	n := dataset.Normalize{Std: [3]float32{1, 1, 1}}
	whole := fromRGB(4, 3, pictureBytes(4*3*3, false))
	img := whole.SubImage(image.Rect(1, 1, 3, 3)).(*image.RGBA)
	dst := make([]float32, 2*2*3)
	require.NoError(t, n.Pack(dst, img))
	for y := range 2 {
		for x := range 2 {
			c := whole.RGBAAt(1+x, 1+y)
			for k, v := range []byte{c.R, c.G, c.B} {
				require.Equal(t, float32(v)/255, dst[(y*2+x)*3+k])
			}
		}
	}
	require.ErrorIs(t, n.Pack(dst[1:], img), dataset.ErrSize)
	require.ErrorIs(t, n.Pack(dst, nil), dataset.ErrSize)
	require.ErrorIs(t, dataset.Normalize{}.Pack(dst, img), dataset.ErrConfig)
	n.Mean[1] = float32(math.NaN())
	require.ErrorContains(t, n.Pack(dst, img), "Mean[1]")
}
