package dataset_test

import (
	"bytes"
	"image"
	"image/jpeg"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
)

func jpegBytes(t testing.TB, img image.Image) []byte {
	var b bytes.Buffer
	require.NoError(t, jpeg.Encode(&b, img, &jpeg.Options{Quality: 92}))
	return b.Bytes()
}

// Draft takes the least size that it allows, of JPEG alone, and what a transform makes of it is near to what it makes
// of the whole.
func TestDraft(t *testing.T) {
	const w, h = 403, 303
	data := jpegBytes(t, smooth(w, h, false))
	d := dataset.DefaultDecoder()
	for draft, by := range map[int]int{0: 1, 303: 1, 153: 1, 152: 2, 77: 2, 76: 4, 39: 4, 38: 8, 1: 8} {
		d.Draft = draft
		img, err := d.Image(bytes.NewReader(data))
		require.NoError(t, err)
		require.Equal(t, image.Pt((w+by-1)/by, (h+by-1)/by), img.Rect.Size(), "Draft %d", draft)
		size, err := d.Size(data)
		require.NoError(t, err)
		require.Equal(t, image.Pt(w, h), size)
	}
	d.Draft = 76
	img, err := d.Image(bytes.NewReader(pngBytes(t, smooth(w, h, false))))
	require.NoError(t, err)
	require.Equal(t, image.Pt(w, h), img.Rect.Size())

	whole, err := dataset.Decode(bytes.NewReader(data))
	require.NoError(t, err)
	d.Draft = 152
	half, err := d.Image(bytes.NewReader(data))
	require.NoError(t, err)
	tr := dataset.Square(76)
	want, err := tr.Image(whole)
	require.NoError(t, err)
	got, err := tr.Image(half)
	require.NoError(t, err)
	most, sum := 0, 0
	for i := range want.Pix {
		v := max(want.Pix[i], got.Pix[i]) - min(want.Pix[i], got.Pix[i])
		most, sum = max(most, int(v)), sum+int(v)
	}
	require.LessOrEqual(t, most, 8)
	require.Less(t, float64(sum)/float64(len(want.Pix)), 1.0)

	for _, bad := range []int{-1, 1<<15 + 1} {
		d.Draft = bad
		require.ErrorIs(t, d.Validate(), dataset.ErrConfig)
	}
}

// A mask follows its picture, and one of another size is refused as ever.
func TestDraftOfMasks(t *testing.T) {
	mask := image.NewGray(image.Rect(0, 0, 100, 80))
	for y := range 40 {
		for x := range 50 {
			mask.Pix[y*100+x] = 255
		}
	}
	other := image.NewGray(image.Rect(0, 0, 50, 40))
	other.Pix[7] = 255
	picture := jpegBytes(t, smooth(100, 80, true))
	fsys := fstest.MapFS{
		"part/train/good/1.jpg": {Data: picture}, "part/test/bad/1.jpg": {Data: picture}, "part/test/bad/2.jpg": {Data: picture},
		"part/ground_truth/bad/1_mask.png": {Data: pngBytes(t, mask)}, "part/ground_truth/bad/2_mask.png": {Data: pngBytes(t, other)},
	}
	cfg := dataset.DefaultMVTecAD()
	cfg.Decoder.Draft = 40
	ds, err := dataset.NewMVTecAD(fsys, cfg)
	require.NoError(t, err)
	found := 0
	for i := range ds.Len() {
		s, err := ds.Sample(t.Context(), i)
		switch ds.Item(i).MaskName {
		case "":
			require.NoError(t, err)
			require.Equal(t, image.Pt(50, 40), s.Image.Rect.Size())
		case "part/ground_truth/bad/1_mask.png":
			found++
			require.NoError(t, err)
			require.Equal(t, image.Pt(50, 40), s.Mask.Rect.Size())
			for y := range 40 {
				for x := range 50 {
					require.Equal(t, y < 20 && x < 25, s.Mask.Pix[y*s.Mask.Stride+x] == 255)
				}
			}
		default:
			found++
			require.ErrorIs(t, err, dataset.ErrMask, "a mask of the smaller size is no mask of this picture")
		}
	}
	require.Equal(t, 2, found)
}
