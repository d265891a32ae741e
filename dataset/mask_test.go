package dataset_test

import (
	"encoding/json"
	"fmt"
	"hash/crc32"
	"image"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
)

// formulaMask is the formula of testdata/parity/masks.py.
func formulaMask(w, h int) *image.Gray {
	m := image.NewGray(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			if (x*x+3*y*y+5*x*y)/64%11 < 4 {
				m.Pix[y*m.Stride+x] = 255
			}
		}
	}
	return m
}

func TestMaskBilinearEqualsTorchvision(t *testing.T) {
	b, err := os.ReadFile("testdata/parity/masks.json")
	require.NoError(t, err)
	var f struct {
		Masks []struct {
			In, Size             [2]int
			Shorter, Exact, Crop int
			Least                uint8
			Defect               int
			CRC32                uint32 `json:"crc32"`
		}
	}
	require.NoError(t, json.Unmarshal(b, &f))
	require.Len(t, f.Masks, 48)
	for _, c := range f.Masks {
		name := fmt.Sprintf("%+v", c)
		tr := dataset.Transform{Shorter: c.Shorter, Exact: image.Pt(c.Exact, c.Exact), Crop: image.Pt(c.Crop, c.Crop), Filter: dataset.Lanczos}
		m := formulaMask(c.In[0], c.In[1])
		got, err := tr.MaskBilinear(m, c.Least)
		require.NoError(t, err, name)
		require.Equal(t, image.Rect(0, 0, c.Size[0], c.Size[1]), got.Rect, name)
		require.Equal(t, c.CRC32, crc32.ChecksumIEEE(got.Pix), name)
		defect := 0
		for _, v := range got.Pix {
			defect += int(v / 255)
		}
		require.Equal(t, c.Defect, defect, name)
		require.Equal(t, formulaMask(c.In[0], c.In[1]), m, "the mask was changed")
		// "= 1" drops the rim that nearest neighbour keeps.
		if nearest, err := tr.Mask(m); c.Least == 255 {
			require.NoError(t, err, name)
			require.NotEqual(t, nearest.Pix, got.Pix, name)
		}
	}
}

func TestMaskBilinearRefuses(t *testing.T) {
	tr := dataset.Transform{Exact: image.Pt(8, 8), Crop: image.Pt(4, 4)}
	none, err := tr.MaskBilinear(nil, 128)
	require.NoError(t, err)
	require.Nil(t, none)
	_, err = tr.MaskBilinear(formulaMask(9, 9), 0)
	require.ErrorIs(t, err, dataset.ErrConfig)
	_, err = tr.MaskBilinear(image.NewGray(image.Rectangle{}), 128)
	require.ErrorIs(t, err, dataset.ErrSize)
	tr.Crop = image.Pt(9, 4)
	_, err = tr.MaskBilinear(formulaMask(9, 9), 128)
	require.ErrorIs(t, err, dataset.ErrConfig)
	// Unchanged in size, a mask of 0 and 255 comes back as it is by either rule.
	for _, least := range []uint8{1, 128, 255} {
		same, err := dataset.Transform{}.MaskBilinear(formulaMask(9, 7), least)
		require.NoError(t, err)
		require.Equal(t, formulaMask(9, 7), same)
	}
}
