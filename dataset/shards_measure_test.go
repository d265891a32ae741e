package dataset_test

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
)

// TestShardsAgainstFolder measures the same small images in a folder and in shards, read in turns;
// GOTAB_SHARDS is their number. It writes some 5 KB for each of them to a temporary folder.
func TestShardsAgainstFolder(t *testing.T) {
	n, err := strconv.Atoi(os.Getenv("GOTAB_SHARDS"))
	if err != nil {
		t.Skip("GOTAB_SHARDS=100000 measures so many images in shards and in a folder")
	}
	root := t.TempDir()
	rng := rand.New(rand.NewPCG(1, 1))
	img := image.NewGray(image.Rect(0, 0, 32, 32))
	for i := range n {
		dir := filepath.Join(root, "folder", fmt.Sprintf("c%02d", i%10), "train", "good")
		if i < 10 {
			require.NoError(t, os.MkdirAll(dir, 0o755))
		}
		for k := range img.Pix {
			img.Pix[k] = byte(100 + k/32 + rng.IntN(20))
		}
		var b bytes.Buffer
		require.NoError(t, png.Encode(&b, img))
		require.NoError(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("%06d.png", i)), b.Bytes(), 0o644))
	}
	begin := time.Now()
	folder, err := dataset.OpenMVTecAD(filepath.Join(root, "folder"), "", "")
	require.NoError(t, err)
	t.Logf("folder opened in %v", time.Since(begin))
	begin = time.Now()
	cfg := dataset.DefaultShards()
	cfg.Bytes = 16 << 20
	require.NoError(t, dataset.WriteShards(t.Context(), filepath.Join(root, "set"), folder, cfg))
	t.Logf("shards written in %v", time.Since(begin))
	begin = time.Now()
	shards := openShards(t, os.DirFS(filepath.Join(root, "set")), nil)
	t.Logf("%d shards opened in %v", shards.Shards(), time.Since(begin))

	loader := dataset.DefaultLoader()
	loader.Batch, loader.Workers, loader.Transform = 100, 2, dataset.Transform{Exact: image.Pt(32, 32)}
	order := rng.Perm(n)
	load := func(ds dataset.Dataset, order []int) time.Duration {
		l, err := dataset.NewLoader(ds, loader)
		require.NoError(t, err)
		begin, got := time.Now(), 0
		for b, err := range l.Batches(t.Context(), order) {
			require.NoError(t, err)
			got += b.N
		}
		require.Equal(t, n, got)
		return time.Since(begin)
	}
	read := func(ds dataset.Dataset) time.Duration { // without packing, on one goroutine
		begin := time.Now()
		for i := range ds.Len() {
			_, err := ds.Sample(context.Background(), i)
			require.NoError(t, err)
		}
		return time.Since(begin)
	}
	window := func() dataset.Dataset {
		w, err := shards.Window(dataset.DefaultWindow())
		require.NoError(t, err)
		return w
	}
	ways := []struct {
		name             string
		folder, inShards func() time.Duration
	}{
		{"in order, one goroutine", func() time.Duration { return read(folder) }, func() time.Duration { return read(shards) }},
		{"Loader, in order", func() time.Duration { return load(folder, nil) }, func() time.Duration { return load(shards, nil) }},
		{"Loader, all at random", func() time.Duration { return load(folder, order) }, func() time.Duration { return load(shards, order) }},
		{"Loader, at random and by a window", func() time.Duration { return load(folder, order) }, func() time.Duration { return load(window(), nil) }},
	}
	for _, w := range ways {
		var a, b, ratio, busy []float64
		for range 5 {
			from := processorTime(t)
			x := w.folder().Seconds()
			between := processorTime(t)
			y := w.inShards().Seconds()
			spent := processorTime(t) - between
			a, b, ratio = append(a, float64(n)/x), append(b, float64(n)/y), append(ratio, x/y)
			busy = append(busy, (between-from)/spent)
		}
		for _, v := range [][]float64{a, b, ratio, busy} {
			slices.Sort(v)
		}
		t.Logf("%s: folder %.0f images/s, shards %.0f; ratio %.2f (%.2f to %.2f), of the processors' time alone %.2f (%.2f to %.2f)", w.name, a[2], b[2], ratio[2], ratio[0], ratio[4], busy[2], busy[0], busy[4])
	}
}
