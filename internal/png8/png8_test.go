package png8

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"image"
	"image/png"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// chunk is a whole chunk.
func chunk(kind string, body []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
	b = append(append(b, kind...), body...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[4:]))
}

// file makes a PNG of rows that are filtered already, each with the filter's number in front, in chunks of part bytes.
func file(t testing.TB, w, h int, colourType byte, rows []byte, part int) []byte {
	head := binary.BigEndian.AppendUint32(nil, uint32(w))
	head = binary.BigEndian.AppendUint32(head, uint32(h))
	head = append(head, 8, colourType, 0, 0, 0)
	var stream bytes.Buffer
	z := zlib.NewWriter(&stream)
	_, err := z.Write(rows)
	require.NoError(t, err)
	require.NoError(t, z.Close())
	out := append([]byte("\x89PNG\r\n\x1a\n"), chunk("IHDR", head)...)
	out = append(out, chunk("tEXt", []byte("made\x00here"))...)
	for b := stream.Bytes(); len(b) > 0; {
		k := min(part, len(b))
		out = append(out, chunk("IDAT", b[:k])...)
		b = b[k:]
	}
	return append(out, chunk("IEND", nil)...)
}

// wild are rows of random bytes, all filters in turn, twice at the beginning and then at random.
func wild(w, h, bytes int) []byte {
	rng := rand.New(rand.NewPCG(uint64(w), uint64(h)))
	var rows []byte
	for y := range h {
		filter := y % 5
		if y >= 10 {
			filter = rng.IntN(5)
		}
		rows = append(rows, byte(filter))
		for range w * bytes {
			rows = append(rows, byte(rng.Uint32()))
		}
	}
	return rows
}

// Every filter over random bytes, beside image/png.
func TestEqualsTheStandardLibrary(t *testing.T) {
	for colourType, bytesOf := range map[byte]int{0: 1, 2: 3, 6: 4} {
		for _, size := range []image.Point{{1, 1}, {1, 23}, {2, 11}, {7, 5}, {8, 12}, {9, 40}, {64, 33}} {
			for _, part := range []int{1 << 20, 100} {
				at := fmt.Sprintf("type %d, %v in chunks of %d", colourType, size, part)
				data := file(t, size.X, size.Y, colourType, wild(size.X, size.Y, bytesOf), part)
				want, err := png.Decode(bytes.NewReader(data))
				require.NoError(t, err, at)
				got, ok := Decode(data)
				require.True(t, ok, at)
				require.Equal(t, want, got, at)
			}
		}
	}
}

// A palette that a picture does not need is passed over where image/png does.
func TestPaletteOfColours(t *testing.T) {
	for colourType, bytesOf := range map[byte]int{2: 3, 6: 4} {
		plain := file(t, 4, 3, colourType, wild(4, 3, bytesOf), 99)
		for _, n := range []int{3, 768} {
			data := bytes.Replace(plain, chunk("tEXt", []byte("made\x00here")), chunk("PLTE", make([]byte, n)), 1)
			want, err := png.Decode(bytes.NewReader(data))
			require.NoError(t, err)
			got, ok := Decode(data)
			require.True(t, ok)
			require.Equal(t, want, got)
		}
	}
}

// What a large picture was expanded to is not kept for the next one.
func TestLargeBuffersAreNotKept(t *testing.T) {
	const side = 4200
	_, ok := Decode(file(t, side, side, 0, make([]byte, side*(side+1)), 1<<20))
	require.True(t, ok)
	for b := spare.Get(); b != nil; b = spare.Get() {
		require.LessOrEqual(t, cap(*b.(*[]byte)), mostSpare)
	}
}

// What is damaged, or of another kind, is left to image/png.
func TestLeavesTheRest(t *testing.T) {
	good := file(t, 9, 12, 2, wild(9, 12, 3), 50)
	_, ok := Decode(good)
	require.True(t, ok)
	for n := range good {
		_, ok := Decode(good[:n])
		require.False(t, ok, "%d of %d bytes", n, len(good))
	}
	text := bytes.Index(good, []byte("tEXt"))
	for at := range good {
		broken := bytes.Clone(good)
		broken[at] ^= 1
		// A comment is nobody's business.
		if _, ok := Decode(broken); ok {
			require.True(t, at >= text && at < text+4+9+4, "byte %d", at)
		}
	}
	with := func(colourType byte, more []byte) []byte {
		return bytes.Replace(file(t, 4, 3, colourType, wild(4, 3, 1+int(colourType)), 99), chunk("tEXt", []byte("made\x00here")), more, 1)
	}
	short, long := wild(4, 3, 1), wild(4, 3, 1)
	short[0] = 5
	for name, data := range map[string][]byte{
		"nothing":          nil,
		"no filter":        file(t, 4, 3, 0, short, 99),
		"too many rows":    file(t, 4, 2, 0, long, 99),
		"too few rows":     file(t, 4, 4, 0, long, 99),
		"palette":          file(t, 4, 3, 3, long, 99),
		"grey with alpha":  file(t, 2, 3, 4, wild(2, 3, 2), 99),
		"no width":         file(t, 0, 3, 0, []byte{0, 0, 0}, 99),
		"a huge header":    file(t, 1<<15, 1<<14, 2, long, 99),
		"a header of 2^62": file(t, 1<<31-1, 1<<31-1, 2, long, 99),
		"transparency":     bytes.Replace(file(t, 4, 3, 0, long, 99), chunk("tEXt", []byte("made\x00here")), chunk("tRNS", []byte{0, 1}), 1),
		"a strange chunk":  bytes.Replace(file(t, 4, 3, 0, long, 99), chunk("tEXt", []byte("made\x00here")), chunk("ABCD", nil), 1),
		"divided pixels": bytes.Replace(file(t, 9, 12, 0, wild(9, 12, 1), 50), []byte("\x00\x00\x00\x32IDAT"),
			append(chunk("tEXt", nil), "\x00\x00\x00\x32IDAT"...), -1),
		"a palette of grey":       with(0, chunk("PLTE", []byte{1, 2, 3})),
		"a palette of no colour":  with(2, chunk("PLTE", nil)),
		"a palette of parts":      with(2, chunk("PLTE", []byte{1, 2, 3, 4})),
		"a palette of 257":        with(2, chunk("PLTE", make([]byte, 3*257))),
		"two palettes":            with(2, append(chunk("PLTE", []byte{1, 2, 3}), chunk("PLTE", []byte{1, 2, 3})...)),
		"a palette behind pixels": append(bytes.Clone(good[:len(good)-12]), append(chunk("PLTE", []byte{1, 2, 3}), good[len(good)-12:]...)...),
		"two headers":             append(bytes.Clone(good[:33]), good[8:]...),
	} {
		_, ok := Decode(data)
		require.False(t, ok, name)
	}
}

// Whatever is accepted, image/png accepts with the same pixels, or refuses for the checksum of what says nothing about them, or for
// bytes behind their stream.
func FuzzDecode(f *testing.F) {
	for colourType, bytesOf := range map[byte]int{0: 1, 2: 3, 6: 4} {
		f.Add(file(f, 7, 6, colourType, wild(7, 6, bytesOf), 64))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, ok := Decode(data)
		if !ok {
			return
		}
		want, err := png.Decode(bytes.NewReader(data))
		if err == nil {
			require.Equal(t, want, got)
			return
		}
		require.Contains(t, []string{"png: invalid format: invalid checksum", "png: invalid format: too much pixel data"}, err.Error())
	})
}

// BenchmarkDecode is a picture with noise, beside image/png.
func BenchmarkDecode(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 1))
	grey, rgb := image.NewGray(image.Rect(0, 0, 512, 512)), image.NewRGBA(image.Rect(0, 0, 512, 512))
	for i := range grey.Pix {
		v := 90 + i%512/8 + i/512/16 + int(3*rng.NormFloat64())
		grey.Pix[i] = byte(v)
		copy(rgb.Pix[4*i:], []byte{byte(v), byte(v*3/4 + rng.IntN(4)), byte(v / 2), 255})
	}
	for name, img := range map[string]image.Image{"grey": grey, "colours": rgb} {
		var out bytes.Buffer
		require.NoError(b, png.Encode(&out, img))
		data := out.Bytes()
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, ok := Decode(data); !ok {
					b.Fatal("refused")
				}
			}
		})
		b.Run(name+"/image/png", func(b *testing.B) {
			for b.Loop() {
				if _, err := png.Decode(bytes.NewReader(data)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
