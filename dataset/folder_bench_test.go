package dataset_test

import (
	"fmt"
	"os"
	"testing"
	"testing/fstest"

	"github.com/gotab/gotab/dataset"
)

// BenchmarkFolder reads, decodes, resizes and packs the pictures of the class
// folders below GOTAB_PICTURES (bench/dataset/decode.py sets it), or eight grey
// ones of 1024x1024 made here.
func BenchmarkFolder(b *testing.B) {
	root := os.Getenv("GOTAB_PICTURES")
	fsys := os.DirFS(root)
	if root == "" {
		m := fstest.MapFS{}
		for i := range 8 {
			m[fmt.Sprintf("grey/%d.png", i)] = &fstest.MapFile{Data: pngBytes(b, grayOf(smooth(1024, 1024, true)))}
		}
		fsys = m
	}
	ds, err := dataset.NewFolders(fsys, dataset.DefaultFolders())
	if err != nil {
		b.Fatal(err)
	}
	cfg := dataset.DefaultLoader()
	cfg.Batch = min(cfg.Batch, ds.Len())
	l, err := dataset.NewLoader(ds, cfg)
	if err != nil {
		b.Fatal(err)
	}
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		for batch, err := range l.Batches(b.Context(), nil) {
			if err != nil {
				b.Fatal(err)
			}
			n += batch.N
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "images/s")
}
