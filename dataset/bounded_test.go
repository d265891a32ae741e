package dataset_test

import (
	"bytes"
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
