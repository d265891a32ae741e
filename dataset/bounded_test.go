package dataset_test

import (
	"bytes"
	"compress/zlib"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
)

// spent is how many bytes f allocates, freed or not.
func spent(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// Whatever a file's first bytes claim, memory is bounded by the limit: every kind
// of file with bytes of its head changed, 0, 127 and 255 among them.
func TestDamagedHeadsTakeNoMemoryBeyondTheLimit(t *testing.T) {
	if testing.Short() {
		t.Skip("decodes thousands of damaged files")
	}
	d := dataset.DefaultDecoder()
	d.MaxPixels = 1 << 14
	r := rand.New(rand.NewPCG(5, 6))
	worst, of := uint64(0), ""
	for _, k := range kindFiles(t) {
		for range 4 {
			data := bytes.Clone(k.data)
			for range 1 + r.IntN(3) {
				v := []byte{0, 127, 255, byte(r.Uint32())}[r.IntN(4)]
				data[2+r.IntN(min(len(data)-2, 100))] = v
			}
			n := spent(func() {
				// Most of them are refused; what they take counts.
				if img, err := d.Image(bytes.NewReader(data)); err == nil {
					require.LessOrEqual(t, img.Rect.Dx()*img.Rect.Dy(), d.MaxPixels, k.File)
				}
				if m, err := d.Mask(bytes.NewReader(data)); err == nil {
					require.LessOrEqual(t, len(m.Pix), d.MaxPixels, k.File)
				}
			})
			if n > worst {
				worst, of = n, k.File
			}
		}
	}
	t.Logf("at most %d bytes, for %s", worst, of)
	// Twice (a picture and a mask) 24 bytes a pixel, the file, and what decoders
	// keep beside pixels: tables, and a window of zstd.
	require.Less(t, worst, uint64(2*24*d.MaxPixels+1<<20), of)
}

// A TIFF of one pixel takes the memory of one pixel, whatever its tile and its row are.
func TestTIFFTakesWhatItsPixelsNeed(t *testing.T) {
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	_, err := z.Write(make([]byte, 16<<20))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	one := func(more map[uint16]uint32) []byte {
		tags := map[uint16]uint32{256: 1, 257: 1, 259: 8, 322: 4096, 323: 4096, 324: 8, 325: uint32(b.Len())}
		for k, v := range more {
			tags[k] = v
		}
		return tiffOf(tags, b.Bytes())
	}
	d := dataset.DefaultDecoder()
	n := spent(func() { _, err = d.Image(bytes.NewReader(one(nil))) })
	require.NoError(t, err)
	require.Less(t, n, uint64(2<<20))
	n = spent(func() { _, err = d.Image(bytes.NewReader(one(map[uint16]uint32{322: 1 << 20, 258: 64, 277: 64}))) })
	require.ErrorIs(t, err, dataset.ErrTooLarge)
	require.Less(t, n, uint64(2<<20))

	// Twelve bytes a pixel and more, in one strip: within 24 a pixel and what is kept beside.
	const side = 512
	var floats bytes.Buffer
	z = zlib.NewWriter(&floats)
	_, err = z.Write(make([]byte, 24*side*side))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	data := tiffOf(map[uint16]uint32{256: side, 257: side, 258: 64, 339: 3, 259: 8, 262: 2, 277: 3, 278: side}, floats.Bytes())
	n = spent(func() { _, err = d.Image(bytes.NewReader(data)) })
	require.NoError(t, err)
	require.Less(t, n, uint64(24*side*side+1<<20))
}

// Scans beyond all need are refused.
func TestManyScansAreRefused(t *testing.T) {
	data := kind(t, "progressive_444.jpg")
	at := bytes.LastIndex(data, []byte("\xff\xda"))
	scan := data[at : len(data)-2]
	many := append(bytes.Clone(data[:at]), bytes.Repeat(scan, 600)...)
	_, err := dataset.Decode(bytes.NewReader(append(many, 0xff, 0xd9)))
	require.ErrorIs(t, err, dataset.ErrDecode)
	require.ErrorContains(t, err, "JPEG: more than 500 scans are not read; convert it without loss with: jpegtran -outfile NEW.jpg OLD.jpg")
}
