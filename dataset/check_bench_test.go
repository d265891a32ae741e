package dataset_test

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"

	"github.com/gotab/gotab/dataset"
)

// BenchmarkCheck opens and checks trees of GOTAB_FILES files (20,000), of one
// format and of all four. The files of a tree are links to eight pictures of
// 512x512, so that a tree is made in a second and its pixels take no room.
func BenchmarkCheck(b *testing.B) {
	files := 20000
	if s := os.Getenv("GOTAB_FILES"); s != "" {
		n, err := strconv.Atoi(s)
		require.NoError(b, err)
		files = n
	}
	encode := map[string]func(*bytes.Buffer, image.Image) error{
		"png":  func(w *bytes.Buffer, m image.Image) error { return png.Encode(w, m) },
		"jpg":  func(w *bytes.Buffer, m image.Image) error { return jpeg.Encode(w, m, nil) },
		"tiff": func(w *bytes.Buffer, m image.Image) error { return tiff.Encode(w, m, nil) },
		"bmp":  func(w *bytes.Buffer, m image.Image) error { return bmp.Encode(w, m) },
	}
	for _, kinds := range [][]string{{"png"}, {"jpg"}, {"tiff"}, {"bmp"}, {"png", "jpg", "tiff", "bmp"}} {
		name := kinds[0]
		if len(kinds) > 1 {
			name = "all"
		}
		b.Run(name, func(b *testing.B) {
			root := b.TempDir()
			require.NoError(b, os.MkdirAll(filepath.Join(root, "part"), 0o755))
			for i := range files {
				kind := kinds[i%len(kinds)]
				first := filepath.Join(root, fmt.Sprintf("%d.%s", i/len(kinds)%8, kind))
				if i < 8*len(kinds) {
					var buf bytes.Buffer
					require.NoError(b, encode[kind](&buf, smooth(512, 512, false)))
					require.NoError(b, os.WriteFile(first, buf.Bytes(), 0o644))
				}
				require.NoError(b, os.Link(first, filepath.Join(root, "part", fmt.Sprintf("%05d.%s", i, kind))))
			}
			start := processorTime(b)
			b.ReportAllocs()
			for b.Loop() {
				ds, err := dataset.NewFolders(os.DirFS(root), dataset.DefaultFolders())
				require.NoError(b, err)
				r, err := dataset.Check(b.Context(), ds, dataset.DefaultCheck())
				require.NoError(b, err)
				require.NoError(b, r.Err())
				require.Equal(b, files, r.Samples)
			}
			b.ReportMetric((processorTime(b)-start)/float64(b.N), "cpu-s/op")
		})
	}
}
