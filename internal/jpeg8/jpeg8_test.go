package jpeg8

import (
	"bytes"
	"image"
	"image/jpeg"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// fill sets coefficients of a block, few or many, small or as large as they can be.
func fill(b *block, rng *rand.Rand, some int, size float64) (values [64]float64) {
	b.clear()
	for range some {
		k := rng.IntN(64)
		v := math.Round(rng.NormFloat64() * size)
		at := zigzag[k]
		if values[at] != 0 {
			continue
		}
		values[at] = v
		if k == 0 {
			b.values[0] += int64(v)
		} else {
			b.put(k, int64(v))
			b.large = b.large || math.Abs(v) > maxSize
		}
	}
	return values
}

// definition is the inverse transform to side x side values of the coefficients below side, less 128 and not
// clamped.
func definition(c [64]float64, side int) []float64 {
	out := make([]float64, side*side)
	scale := func(k int) float64 {
		if k == 0 {
			return math.Sqrt(1 / float64(side))
		}
		return math.Sqrt(2 / float64(side))
	}
	for y := range side {
		for x := range side {
			for v := range side {
				for u := range side {
					out[y*side+x] += scale(u) * scale(v) * c[v*8+u] * float64(side) / 8 *
						math.Cos(float64(2*x+1)*float64(u)*math.Pi/float64(2*side)) * math.Cos(float64(2*y+1)*float64(v)*math.Pi/float64(2*side))
				}
			}
		}
	}
	return out
}

// TestTransforms holds the transform to 8x8 against its definition. The reduced ones of libjpeg are no cosine transforms of
// fewer values to the last digit, but means of neighbours; internal/ycc compares them with libjpeg's.
func TestTransforms(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range 3000 {
		var b block
		c := fill(&b, rng, 1+i%40, []float64{3, 40, 150}[i%3])
		var got [3 + 8*11]byte
		b.whole(got[3:], 11)
		for at, v := range definition(c, 8) {
			want := max(0, min(v+128, 255))
			require.InDelta(t, want, float64(got[3+at/8*11+at%8]), 0.51+0.35, "of %v", c)
		}
		require.Equal(t, [3]byte{}, [3]byte(got[:3]))
	}
	// One value alone is exact in all sizes.
	for v := -1100; v < 1100; v += 13 {
		var b block
		b.values[0] = int64(v)
		want := byte(max(0, min((v+4)>>3+128, 255)))
		var out [64]byte
		b.whole(out[:], 8)
		require.Equal(t, bytes.Repeat([]byte{want}, 64), out[:])
		require.Equal(t, want, b.mean())
		b.some = true // the long way round
		b.whole(out[:], 8)
		require.Equal(t, bytes.Repeat([]byte{want}, 64), out[:])
		b.half(out[:], 4)
		b.quarter(out[16:], 2)
		require.Equal(t, bytes.Repeat([]byte{want}, 20), out[:20])
	}
}

// One row at a time, all transforms give what two give, and beyond the sizes at which these are left nothing wraps.
func TestLargeCoefficients(t *testing.T) {
	transforms := map[int]func(b *block, dst []byte, stride int){8: (*block).whole, 4: (*block).half, 2: (*block).quarter}
	rng := rand.New(rand.NewPCG(2, 2))
	for i := range 2000 {
		var b block
		fill(&b, rng, 1+i%64, []float64{3, 40, 150, 300, 2000}[i%5])
		b.some = true
		for side, transform := range transforms {
			var got, want [64]byte
			transform(&b, got[:], 8)
			b.slowly(want[:], 8, side)
			require.Equal(t, want, got)
		}
	}
	// All coefficients as large as they may be there, of signs that add up in one corner.
	for _, flip := range []int64{1, -1} {
		for corner := range 4 {
			var b block
			b.values[0] = flip * maxFirst
			for k := 1; k < 64; k++ {
				v := flip * 1023
				if at := zigzag[k]; corner&1 == 1 && at%2 == 1 != (corner&2 == 2 && at/8%2 == 1) {
					v = -v
				}
				b.put(k, v)
			}
			require.False(t, b.wild())
			for side, transform := range transforms {
				var got, want [64]byte
				transform(&b, got[:], 8)
				b.slowly(want[:], 8, side)
				require.Equal(t, want, got)
			}
		}
	}
	for _, v := range []int64{4096, 8193, 1 << 20, 1<<31 - 1, -4096, -8193, -1 << 20, -1<<31 + 1} {
		want := byte(255)
		if v < 0 {
			want = 0
		}
		for _, long := range []bool{false, true} {
			b := block{some: long}
			b.values[0] = v
			for side, transform := range transforms {
				var got [64]byte
				transform(&b, got[:], side)
				require.Equal(t, bytes.Repeat([]byte{want}, side*side), got[:side*side], "%d", v)
			}
			require.Equal(t, want, b.mean())
		}
	}
}

// Files whose steps of quantisation are made larger come out as white and black as with image/jpeg.
func TestCoefficientsOutOfRange(t *testing.T) {
	for _, name := range []string{"grey.jpg", "grey-wild.jpg", "420-wild.jpg", "444.jpg"} {
		data := bytes.Clone(files(t)[name])
		for at := 2; data[at+1] != sos; at += 2 + int(data[at+2])<<8 + int(data[at+3]) {
			if data[at+1] != dqt {
				continue
			}
			for body := data[at+4 : at+2+int(data[at+2])<<8+int(data[at+3])]; len(body) > 0; body = body[65:] {
				for i, v := range body[1:65] {
					body[1+i] = byte(min(12*int(v), 255))
				}
			}
		}
		equalPlanes(t, name, data)
	}
}

// Short cuts of a table are left out where the steps make their values large, and only there.
func TestShortCutsToLargeValues(t *testing.T) {
	table, ok := newHuffman(&[16]byte{1, 1}, []byte{0x08, 0x01}, true) // a bit 0 and 8 bits of a value, and 10 and one bit
	require.True(t, ok)
	quant := new([64]int32)
	for i := range quant {
		quant[i] = 4
	}
	require.Same(t, table, table.within(quant)) // 255 times 4
	quant[63] = 5
	few := table.within(quant)
	left, gone := 0, 0
	for i, e := range table.whole {
		v := int(e >> 16)
		if max(v, -v)*5 > maxSize {
			require.Zero(t, few.whole[i])
			gone++
		} else {
			require.Equal(t, e, few.whole[i])
			left++
		}
	}
	require.NotZero(t, gone)
	require.NotZero(t, left)
	require.Equal(t, table.quick, few.quick)
}

// files are those of internal/ycc.
func files(t testing.TB) map[string][]byte {
	names, err := filepath.Glob("../ycc/testdata/*.jpg")
	require.NoError(t, err)
	require.NotEmpty(t, names)
	out := map[string][]byte{}
	for _, name := range names {
		data, err := os.ReadFile(name)
		require.NoError(t, err)
		out[filepath.Base(name)] = data
	}
	return out
}

// Planes are within rounding of image/jpeg's.
func TestPlanesAreThoseOfTheStandardLibrary(t *testing.T) {
	for name, data := range files(t) {
		equalPlanes(t, name, data)
	}
}

func equalPlanes(t *testing.T, name string, data []byte) {
	want, err := jpeg.Decode(bytes.NewReader(data))
	require.NoError(t, err, name)
	got, ok := Decode(data, 1)
	require.True(t, ok, name)
	require.Equal(t, want.Bounds(), got.Bounds(), name)
	near := func(a, b byte) {
		require.LessOrEqual(t, max(a, b)-min(a, b), byte(2), name)
	}
	switch w := want.(type) {
	case *image.Gray:
		g, ok := got.(*image.Gray)
		require.True(t, ok)
		for y := range w.Rect.Dy() {
			for x := range w.Rect.Dx() {
				near(w.GrayAt(x, y).Y, g.GrayAt(x, y).Y)
			}
		}
	case *image.YCbCr:
		g, ok := got.(*image.YCbCr)
		require.True(t, ok)
		require.Equal(t, w.SubsampleRatio, g.SubsampleRatio, name)
		for y := range w.Rect.Dy() {
			for x := range w.Rect.Dx() {
				a, b := w.YCbCrAt(x, y), g.YCbCrAt(x, y)
				near(a.Y, b.Y)
				near(a.Cb, b.Cb)
				near(a.Cr, b.Cr)
			}
		}
	default:
		require.Fail(t, "another kind", "%T", want)
	}
}

// What is cut is left to image/jpeg, but for an end marker; of what is damaged nothing is written out of bounds.
func TestLeavesTheRest(t *testing.T) {
	for name, data := range files(t) {
		for n := len(data) % 7; n < len(data)-2; n += 7 {
			if _, ok := Decode(data[:n], 1); ok {
				// The last byte of a scan may hold nothing but filling.
				require.GreaterOrEqual(t, n, len(data)-3, "%d of %d bytes of %s", n, len(data), name)
			}
		}
		_, ok := Decode(data[:len(data)-2], 1)
		require.True(t, ok, "without an end marker")
		for at := 0; at < len(data); at += 3 {
			broken := bytes.Clone(data)
			broken[at] ^= byte(1 + at%255)
			for _, shrink := range []int{1, 4} {
				img, ok := Decode(broken, shrink)
				require.Equal(t, ok, img != nil)
			}
		}
		_, ok = Decode(data, 3)
		require.False(t, ok)
	}
	good := files(t)["420.jpg"]
	frame := bytes.Index(good, []byte{0xff, sof0})
	for what, change := range map[string]func(b []byte){
		"progressive":      func(b []byte) { b[frame+1] = 0xc2 },
		"12 bits":          func(b []byte) { b[frame+4] = 12 },
		"no height":        func(b []byte) { b[frame+5], b[frame+6] = 0, 0 },
		"a huge size":      func(b []byte) { b[frame+5], b[frame+7] = 0xff, 0xff },
		"shared otherwise": func(b []byte) { b[frame+11] = 0x33 },
		"no such table":    func(b []byte) { b[frame+12] = 4 },
		"two of one name":  func(b []byte) { b[frame+13] = b[frame+10] },
	} {
		b := bytes.Clone(good)
		change(b)
		_, ok := Decode(b, 1)
		require.False(t, ok, what)
	}
}

// FuzzDecode looks for panics, and for sizes that are not the header's.
func FuzzDecode(f *testing.F) {
	for _, data := range files(f) {
		f.Add(data, uint8(0))
		f.Add(data, uint8(2))
	}
	f.Fuzz(func(t *testing.T, data []byte, how uint8) {
		shrink := 1 << (how % 4)
		img, ok := Decode(data, shrink)
		if !ok {
			return
		}
		cfg, err := jpeg.DecodeConfig(bytes.NewReader(data))
		if err != nil {
			return // the standard library asks for more
		}
		require.Equal(t, image.Pt((cfg.Width+shrink-1)/shrink, (cfg.Height+shrink-1)/shrink), img.Bounds().Size())
		b := img.Bounds()
		for y := range b.Dy() {
			for x := range b.Dx() {
				img.At(x, y)
			}
		}
	})
}
