package tiff

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"image"
	"image/color"
	"image/jpeg"
	"runtime"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// made is a file of one page: data from byte 8 on, and tags of any number of values.
func made(data []byte, tags map[int][]uint32) []byte {
	order := binary.LittleEndian
	b := append([]byte("II*\x00\x00\x00\x00\x00"), data...)
	at := map[int]int{}
	names := make([]int, 0, len(tags))
	for tag, values := range tags {
		names = append(names, tag)
		if len(values) == 1 {
			continue
		}
		at[tag] = len(b)
		for _, v := range values {
			b = order.AppendUint32(b, v)
		}
	}
	slices.Sort(names)
	order.PutUint32(b[4:], uint32(len(b)))
	b = order.AppendUint16(b, uint16(len(tags)))
	for _, tag := range names {
		values := tags[tag]
		b = order.AppendUint16(order.AppendUint16(b, uint16(tag)), 4)
		b = order.AppendUint32(b, uint32(len(values)))
		if len(values) == 1 {
			b = order.AppendUint32(b, values[0])
		} else {
			b = order.AppendUint32(b, uint32(at[tag]))
		}
	}
	return order.AppendUint32(b, 0)
}

// tiled is a grey file of w x h pixels whose tiles all point at the same data.
func tiled(w, h, tileW, tileH uint32, compression uint32, data []byte) []byte {
	n := int((w + tileW - 1) / tileW * ((h + tileH - 1) / tileH))
	return made(data, map[int][]uint32{
		tagWidth: {w}, tagHeight: {h}, tagBits: {8}, tagCompression: {compression}, tagPhotometric: {blackIsZero}, tagTileWidth: {tileW}, tagTileHeight: {tileH},
		tagTileOffsets: slices.Repeat([]uint32{8}, n), tagTileCounts: slices.Repeat([]uint32{uint32(len(data))}, n),
	})
}

func deflated(t testing.TB, text []byte) []byte {
	var out bytes.Buffer
	w := zlib.NewWriter(&out)
	_, err := w.Write(text)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return out.Bytes()
}

// codes packs codes of LZW; only codes that are read count for the width.
func codes(list ...int) (out []byte) {
	acc, have, width, next, first := uint64(0), uint(0), uint(9), 258, true
	for _, c := range list {
		acc, have = acc<<width|uint64(c), have+width
		for ; have >= 8; have -= 8 {
			out = append(out, byte(acc>>(have-8)))
		}
		switch {
		case c == 256:
			width, next, first = 9, 258, true
		case first:
			first = false
		default:
			if next++; next == 1<<width-1 && width < 12 {
				width++
			}
		}
	}
	if have > 0 {
		out = append(out, byte(acc<<(8-have)))
	}
	return out
}

// zeros are codes for 7 million of them: each stands for one more than the one before.
func zeros() []byte {
	list := []int{256, 0}
	for c := 258; c < 4090; c++ {
		list = append(list, c)
	}
	return codes(append(list, 257)...)
}

// spent is how many bytes f allocates, freed or not.
func spent(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// A tile takes the memory that its picture needs, however large it is itself.
func TestTilesMuchLargerThanThePicture(t *testing.T) {
	white := bytes.Repeat([]byte{255}, 16<<20)
	for name, c := range map[string]struct {
		data []byte
		w, h int
		most uint64
		grey byte
	}{
		"deflate":                {tiled(1, 1, 4096, 4096, compressDeflate, deflated(t, white)), 1, 1, 2 << 20, 255},
		"LZW":                    {tiled(1, 1, 2048, 2048, compressLZW, zeros()), 1, 1, 2 << 20, 0},
		"50 of 1x2^20":           {tiled(50, 1, 1, 1<<20, compressDeflate, deflated(t, white[:1<<20])), 50, 1, 16 << 20, 255},
		"50 of 1x2^20, LZW":      {tiled(50, 1, 1, 1<<20, compressLZW, zeros()), 50, 1, 16 << 20, 0},
		"somewhat larger":        {tiled(300, 200, 512, 512, compressDeflate, deflated(t, white[:512*512])), 300, 200, 1 << 20, 255},
		"somewhat larger, LZW":   {tiled(300, 200, 512, 512, compressLZW, zeros()), 300, 200, 1 << 20, 0},
		"one strip, a row above": {tiled(300, 200, 300, 200, compressDeflate, deflated(t, white[:300*201])), 300, 200, 1 << 20, 255},
	} {
		var img image.Image
		var err error
		n := spent(func() { img, err = Decode(c.data, Options{MaxBytes: 1 << 30}) })
		require.NoError(t, err, name)
		require.Less(t, n, c.most, name)
		require.Equal(t, image.Pt(c.w, c.h), img.Bounds().Size(), name)
		for y := range c.h {
			for x := range c.w {
				require.Equal(t, color.Gray{c.grey}, img.At(x, y), name)
			}
		}
	}
}

// The window that a zstd stream names takes no memory where the picture is expanded at once, and is bounded where not.
func TestZstdWindows(t *testing.T) {
	frame := func(window byte, n int) []byte { // of one block of n bytes of 7
		b := []byte{0x28, 0xb5, 0x2f, 0xfd, 0, window, byte(n<<3 | 1<<1 | 1), byte(n >> 5), byte(n >> 13), 7}
		return b
	}
	const of32MB, of1MB = 15 << 3, 10 << 3
	var img image.Image
	var err error
	n := spent(func() {
		img, err = Decode(tiled(64, 64, 64, 64, compressZstd, frame(of32MB, 4096)), Options{MaxBytes: 4 << 20})
	})
	require.NoError(t, err)
	require.Equal(t, color.Gray{7}, img.At(63, 63))
	require.Less(t, n, uint64(2<<20))

	// Twenty tiles of which a pixel is wanted of each, by rows.
	img, err = Decode(tiled(20, 1, 1, 1<<17, compressZstd, frame(of1MB, 1<<17)), Options{MaxBytes: 4 << 20})
	require.NoError(t, err)
	require.Equal(t, color.Gray{7}, img.At(19, 0))
	n = spent(func() {
		_, err = Decode(tiled(20, 1, 1, 1<<17, compressZstd, frame(of32MB, 1<<17)), Options{MaxBytes: 4 << 20})
	})
	require.Error(t, err)
	require.Less(t, n, uint64(4<<20))
}

// Tiles may share their data, as blank ones do, but not so that a small file is the work of a large one.
func TestSharedTiles(t *testing.T) {
	img, err := Decode(tiled(640, 640, 16, 16, compressDeflate, deflated(t, bytes.Repeat([]byte{9}, 256))), Options{MaxBytes: 1 << 24})
	require.NoError(t, err)
	require.Equal(t, color.Gray{9}, img.At(639, 639))
	_, err = Decode(tiled(640, 640, 16, 16, compressNone, bytes.Repeat([]byte{9}, 256)), Options{MaxBytes: 1 << 24})
	require.NoError(t, err)

	// A quarter of a megabyte of codes that clear the table, before the one pixel of a strip.
	clear := append(slices.Repeat([]int{256}, 1<<18), 5, 257)
	_, err = Decode(tiled(1, 200, 1, 1, compressLZW, codes(clear...)), Options{MaxBytes: 1 << 24})
	require.ErrorContains(t, err, "share them in a way that no picture needs; divide it anew with: tiffcp -s OLD.tif NEW.tif")

	// Rows that are much wider than the picture.
	_, err = Decode(tiled(1, 20_000, 8192, 1, compressDeflate, deflated(t, make([]byte, 8192))), Options{MaxBytes: 1 << 24})
	require.ErrorContains(t, err, "20000 strips or tiles of 8192x1 pixels hold 163840000 bytes for 20000 of the picture; divide it anew with: tiffcp -s OLD.tif NEW.tif")

	var j bytes.Buffer
	require.NoError(t, jpeg.Encode(&j, image.NewGray(image.Rect(0, 0, 65, 1088)), nil))
	_, err = Decode(tiled(20, 1, 1, 1024, compressJPEG, j.Bytes()), Options{MaxBytes: 1 << 24})
	require.NoError(t, err)
	_, err = Decode(tiled(300, 1, 1, 1024, compressJPEG, j.Bytes()), Options{MaxBytes: 1 << 24})
	require.ErrorContains(t, err, "many times the pixels of the picture")
}

// What a row takes is known before it is made: the list of a fax row's changes too.
func TestRowsBeyondTheLimit(t *testing.T) {
	for name, data := range map[string][]byte{
		"wide": tiled(1, 1, 1<<23, 1, compressPackBits, []byte{0, 0}),
		"fax":  made([]byte{0, 0}, map[int][]uint32{tagWidth: {1}, tagHeight: {1}, tagBits: {1}, tagCompression: {compressG4}, tagTileWidth: {1 << 23}, tagTileHeight: {1}, tagTileOffsets: {8}, tagTileCounts: {2}}),
		"colours that blocks share": made([]byte{0, 0}, map[int][]uint32{tagWidth: {1}, tagHeight: {1}, tagBits: {8}, tagCompression: {compressPackBits}, tagPhotometric: {colourYCbCr}, tagSamples: {3},
			tagSubsampling: {1, 4}, tagTileWidth: {1 << 20}, tagTileHeight: {1}, tagTileOffsets: {8}, tagTileCounts: {2}}),
	} {
		var err error
		n := spent(func() { _, err = Decode(data, Options{MaxBytes: 4 << 20}) })
		require.ErrorIs(t, err, ErrTooLarge, name)
		require.Less(t, n, uint64(1<<20), name)
	}
}

// Blocks of pixels that share colours are whole at the rim: a thin picture's LZW has more bytes than its pixels.
func TestThinPicturesThatShareColours(t *testing.T) {
	for _, size := range [][2]uint32{{1, 1}, {1, 5}, {5, 1}, {3, 3}} {
		w, h := size[0], size[1]
		var text []byte
		for range (w + 1) / 2 * ((h + 1) / 2) {
			text = append(text, 90, 90, 90, 90, 128, 128)
		}
		for compression, data := range map[uint32][]byte{compressLZW: packLZW(text), compressDeflate: deflated(t, text), compressNone: text} {
			img, err := Decode(made(data, map[int][]uint32{tagWidth: {w}, tagHeight: {h}, tagBits: {8}, tagCompression: {compression}, tagPhotometric: {colourYCbCr}, tagSamples: {3},
				tagSubsampling: {2, 2}, tagStripOffsets: {8}, tagStripCounts: {uint32(len(data))}}), Options{MaxBytes: 1 << 20})
			require.NoError(t, err, "%dx%d, compression %d", w, h, compression)
			require.Equal(t, color.RGBA{90, 90, 90, 255}, img.At(int(w)-1, int(h)-1))
		}
	}
}
