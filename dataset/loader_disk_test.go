package dataset_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"runtime"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
)

// While the loop holds a batch, as a device would, the files of the next one are
// read: the loop's body waits for them, so it ends only if they overlap.
func TestLoaderReadsWhileTheDeviceWorks(t *testing.T) {
	const batch, n = 3, 12
	for _, workers := range []int{1, 4} {
		before := runtime.NumGoroutine()
		read := make(chan int, n)
		disk := hooked{samples(t, n), func(_ context.Context, i int) error { read <- i; return nil }}
		l, err := dataset.NewLoader(disk, loaderConfig(batch, workers, 0))
		require.NoError(t, err)
		seen := map[int]bool{}
		batches := 0
		for _, err := range l.Batches(t.Context(), nil) {
			require.NoError(t, err)
			batches++
			next := min(batches+1, n/batch) * batch
			for len(seen) < next {
				seen[<-read] = true
			}
			for i := range next {
				require.True(t, seen[i], "sample %d was not read while batch %d was worked on", i, batches)
			}
		}
		require.Equal(t, n/batch, batches)
		requireGoroutines(t, before)
	}
}

// Pictures of files wait for one another within DecodeBytes; the output stays.
func TestLoaderOfFilesWithinDecodeBytes(t *testing.T) {
	fsys := fstest.MapFS{}
	for i := range 20 {
		fsys[fmt.Sprintf("c/%02d.png", i)] = flat(t, 30+i, 40, byte(10*i))
	}
	ds, err := dataset.NewFolders(fsys, dataset.DefaultFolders())
	require.NoError(t, err)
	var want []dataset.Batch
	for _, budget := range []int64{0, 1, 24 * 60 * 40, 1 << 30} {
		cfg := loaderConfig(4, 8, 1<<20)
		cfg.DecodeBytes = budget
		l, err := dataset.NewLoader(ds, cfg)
		require.NoError(t, err)
		got := collect(t, l, nil)
		if want == nil {
			want = got
		}
		require.Equal(t, want, got)
	}
	cfg := loaderConfig(4, 8, 1<<20)
	cfg.DecodeBytes = -1
	_, err = dataset.NewLoader(ds, cfg)
	require.ErrorIs(t, err, dataset.ErrConfig)
}

// A mask that is larger than its picture is refused by its header.
func TestMaskLargerThanThePicture(t *testing.T) {
	fsys := mvtec(t)
	fsys["bottle/ground_truth/broken/000_mask.png"] = &fstest.MapFile{Data: pngHeader(8000, 8000)}
	ds, err := dataset.NewMVTecAD(fsys, dataset.DefaultMVTecAD())
	require.NoError(t, err)
	_, err = ds.Sample(t.Context(), 2)
	require.ErrorIs(t, err, dataset.ErrMask)
	require.ErrorContains(t, err, "8000x8000")
}

// FuzzZip opens damaged zip files in every layout and reads what there is.
func FuzzZip(f *testing.F) {
	for _, l := range []dataset.Layout{dataset.LayoutVisA, dataset.LayoutManifest, dataset.LayoutMVTecAD2, dataset.LayoutBTAD, dataset.LayoutGoodBad} {
		f.Add(zipBytes(f, layouts(f)[l]))
	}
	cfg := dataset.DefaultConfig()
	cfg.Decoder.MaxPixels = 1 << 12
	f.Fuzz(func(t *testing.T, data []byte) {
		z, err := newZip(data)
		if err != nil {
			return
		}
		for _, l := range dataset.Layouts() {
			ds, err := dataset.NewLayout(context.Background(), z, l, cfg)
			if err != nil {
				continue
			}
			for i := range min(ds.Len(), 3) {
				s, err := ds.Sample(context.Background(), i)
				if err == nil && (s.Image == nil || s.Name == "") {
					t.Fatalf("%s: sample %d is empty", l, i)
				}
			}
			var buf bytes.Buffer
			if err := dataset.WriteManifest(&buf, dataset.Items(ds)); err != nil {
				t.Fatal(err)
			}
			if w, ok := ds.(io.Closer); ok {
				if err := w.Close(); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}
