package tiff

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every code of T.4 leads to its run and to no other, and no code begins another.
func TestFaxTables(t *testing.T) {
	for name, c := range map[string]struct{ short, long string }{
		"white": {faxWhiteShort, faxWhiteLong}, "black": {faxBlackShort, faxBlackLong},
	} {
		short, long, extended := strings.Fields(c.short), strings.Fields(c.long), strings.Fields(faxExtended)
		require.Len(t, short, 64, name)
		require.Len(t, long, 27, name)
		require.Len(t, extended, 13, name)
		all := append(append(append([]string(nil), short...), long...), extended...)
		table := newFaxTable(c.short, c.long)
		for i, code := range all {
			for k, other := range all {
				require.False(t, i != k && strings.HasPrefix(other, code), "%s: %s begins %s", name, code, other)
			}
			want := i
			if i >= 64 {
				want = 64 * (i - 63)
			}
			bits := 0
			for _, b := range code + strings.Repeat("1", faxBits-len(code)) {
				bits = bits<<1 | int(b-'0')
			}
			require.Equal(t, faxCode{int16(want), uint8(len(code))}, table[bits], "%s %s", name, code)
		}
	}
}

func TestPackBitsRunsOverRows(t *testing.T) {
	p := &packBits{data: []byte{2, 1, 2, 3, 0x80, 0xfd, 9, 0, 7}} // 1 2 3, nothing, 9 four times, 7
	got := make([]byte, 0, 8)
	row := make([]byte, 2)
	for range 4 {
		_, err := p.next(row)
		require.NoError(t, err)
		got = append(got, row...)
	}
	require.Equal(t, []byte{1, 2, 3, 9, 9, 9, 9, 7}, got)
	for _, p := range []*packBits{p, {data: []byte{5, 1}}, {data: []byte{0xf0}}} {
		_, err := p.next(row)
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	}
}

// IEEE 754-2008, binary16.
func TestHalf(t *testing.T) {
	for v, want := range map[uint16]float64{
		0: 0, 1: math.Pow(2, -24), 0x03ff: 1023 * math.Pow(2, -24), 0x0400: math.Pow(2, -14), 0x3555: 0.333251953125,
		0x3c00: 1, 0xc000: -2, 0x7bff: 65504, 0x7c00: math.Inf(1), 0xfc00: math.Inf(-1),
	} {
		require.Equal(t, want, half(v), "%#04x", v)
	}
	require.True(t, math.IsNaN(half(0x7e00)))
}

// Directories that lead to each other in a circle are not followed for ever.
func TestPagesInACircle(t *testing.T) {
	data := []byte("II*\x00\x08\x00\x00\x00" + // first directory: width and height, then the second
		"\x02\x00\x00\x01\x03\x00\x01\x00\x00\x00\x05\x00\x00\x00\x01\x01\x03\x00\x01\x00\x00\x00\x04\x00\x00\x00\x26\x00\x00\x00" +
		"\x00\x00\x08\x00\x00\x00") // second: empty, back to the first
	h, err := DecodeHeader(data)
	require.NoError(t, err)
	require.Equal(t, 5, h.Width)
	require.Equal(t, 4, h.Height)
	require.LessOrEqual(t, h.Pages, len(data))
}

// Pixels of LZW are those that were packed: with a predictor and without, of one channel and of more, in strips of which the last is short.
func TestPixelsOfLZW(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	for _, samples := range []int{1, 2, 3, 4, 5} {
		for _, alpha := range []bool{false, true} {
			photometric, colours := uint32(blackIsZero), 1
			if samples >= 3 {
				photometric, colours = colourRGB, 3
			}
			if alpha && samples == colours {
				continue
			}
			for _, predictor := range []uint32{predictNone, predictHorizontal} {
				for _, w := range []int{1, 2, 3, 5, 64} {
					name := fmt.Sprintf("%d samples, alpha %t, predictor %d, %d wide", samples, alpha, predictor, w)
					const h, perStrip = 7, 3
					pixels := make([]byte, w*h*samples)
					for i := range pixels {
						pixels[i] = byte(rng.IntN(5) * 60)
					}
					data := make([]byte, 0, 3*len(pixels))
					var offsets, counts []uint32
					for y := 0; y < h; y += perStrip {
						strip := slices.Clone(pixels[y*w*samples : min(y+perStrip, h)*w*samples])
						for i := len(strip) - 1; i >= 0 && predictor == predictHorizontal; i-- {
							if i%(w*samples) >= samples {
								strip[i] -= strip[i-samples]
							}
						}
						packed := packLZW(strip)
						offsets, counts = append(offsets, uint32(8+len(data))), append(counts, uint32(len(packed)))
						data = append(data, packed...)
					}
					tags := map[int][]uint32{tagWidth: {uint32(w)}, tagHeight: {h}, tagBits: {8}, tagSamples: {uint32(samples)}, tagCompression: {compressLZW}, tagPredictor: {predictor},
						tagPhotometric: {photometric}, tagRowsPerStrip: {perStrip}, tagStripOffsets: offsets, tagStripCounts: counts}
					if alpha {
						tags[tagExtraSamples] = []uint32{extraUnassociated}
					}
					img, err := Decode(made(data, tags), Options{MaxBytes: 1 << 20})
					require.NoError(t, err, name)
					for i := range w * h {
						p := pixels[i*samples : (i+1)*samples]
						want := color.NRGBA{p[0], p[0], p[0], 255}
						if colours == 3 {
							want.G, want.B = p[1], p[2]
						}
						if alpha {
							want.A = p[colours]
						}
						got := img.At(i%w, i/w)
						switch img.(type) {
						case *image.Gray:
							require.Equal(t, color.Gray{p[0]}, got, name)
						case *image.RGBA:
							require.Equal(t, color.RGBA(want), got, name)
						default:
							require.Equal(t, want, got, name)
						}
					}
				}
			}
		}
	}
}

// A picture without a predictor is read out of the file's bytes, and they stay as they are; one with a predictor is not summed up in them.
func TestDecodeLeavesTheFileAlone(t *testing.T) {
	for _, predictor := range []uint32{predictNone, predictHorizontal} {
		text := surface(64 * 64)
		data := made(text, map[int][]uint32{tagWidth: {64}, tagHeight: {64}, tagBits: {8}, tagCompression: {compressNone}, tagPredictor: {predictor}, tagPhotometric: {blackIsZero},
			tagStripOffsets: {8}, tagStripCounts: {64 * 64}})
		before := slices.Clone(data)
		img, err := Decode(data, Options{MaxBytes: 1 << 20})
		require.NoError(t, err)
		require.Equal(t, color.Gray{text[0]}, img.At(0, 0))
		require.True(t, bytes.Equal(before, data))
	}
}
