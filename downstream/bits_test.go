package downstream_test

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
)

// A camera of 12 bits in files of 16: the number of bits is kept with the detector,
// and what is handed to Score as the standard library decodes it has the pixels
// of the fit.
func TestBitsAreKeptWithTheDetector(t *testing.T) {
	noLeak(t)
	fsys := fstest.MapFS{}
	var raw []image.Image
	for i, s := range textures(5, 40, fakeSide) {
		b := s.Bounds()
		deep := image.NewGray16(image.Rect(0, 0, b.Dx(), b.Dy()))
		for y := range b.Dy() {
			for x := range b.Dx() {
				v, _, _, _ := s.At(b.Min.X+x, b.Min.Y+y).RGBA()
				deep.SetGray16(x, y, color.Gray16{Y: uint16(v >> 4)})
			}
		}
		raw = append(raw, deep)
		var buf bytes.Buffer
		require.NoError(t, png.Encode(&buf, deep))
		fsys["a/train/good/"+string(rune('0'+i))+".png"] = &fstest.MapFile{Data: buf.Bytes()}
	}
	cfg := fakeConfig()
	cfg.Transform.Bits16 = 12
	ds, err := dataset.NewMVTecAD(fsys, dataset.DefaultMVTecAD())
	require.NoError(t, err)
	p, err := downstream.NewPaDiM(&fake{scale: 1}, cfg, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	err = p.Fit(t.Context(), ds)
	require.ErrorIs(t, err, dataset.ErrConfig)
	require.ErrorContains(t, err, "Decoder.Bits16 16")

	right, err := ds.WithDecoder(cfg.Transform.Decoder())
	require.NoError(t, err)
	require.NoError(t, p.Fit(t.Context(), right))
	var file bytes.Buffer
	_, err = p.WriteTo(&file)
	require.NoError(t, err)
	q, err := downstream.ReadPaDiM(t.Context(), bytes.NewReader(file.Bytes()), &fake{scale: 1})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, q.Close()) })
	require.Equal(t, 12, q.Config().Transform.Bits16)
	require.Equal(t, p.Config().Transform.String(), q.Config().Transform.String())
	for i := range raw {
		s, err := right.Sample(t.Context(), i)
		require.NoError(t, err)
		want, err := p.Score(t.Context(), s.Image)
		require.NoError(t, err)
		got, err := q.Score(t.Context(), raw[i])
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}
