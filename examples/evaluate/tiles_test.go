package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"iter"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/evaluate"
	"github.com/gotab/gotab/evaluate/detectors"
)

// long writes a class of long parts, of several lengths, whose dark defects lie at the end.
func long(t *testing.T, root string) {
	t.Helper()
	save := func(name string, m image.Image) {
		path := filepath.Join(root, "rail", name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		var b bytes.Buffer
		require.NoError(t, png.Encode(&b, m))
		require.NoError(t, os.WriteFile(path, b.Bytes(), 0o644))
	}
	for i := range 4 {
		w := 150 + 10*i
		m := image.NewGray(image.Rect(0, 0, w, 30))
		mask := image.NewGray(m.Rect)
		for k := range m.Pix {
			m.Pix[k] = uint8(200 + (k*7+i)%13)
		}
		save(fmt.Sprintf("train/good/%d.png", i), m)
		save(fmt.Sprintf("test/good/%d.png", i), m)
		for y := 10; y < 20; y++ {
			for x := w - 12; x < w-2; x++ {
				m.SetGray(x, y, color.Gray{})
				mask.SetGray(x, y, color.Gray{Y: 255})
			}
		}
		save(fmt.Sprintf("test/dent/%d.png", i), m)
		save(fmt.Sprintf("ground_truth/dent/%d_mask.png", i), mask)
	}
}

// native is darkness as a detector of package downstream.
type native struct{ *darkness }

func (n native) Score(ctx context.Context, imgs ...image.Image) (out []downstream.Result, err error) {
	for _, img := range imgs {
		r, err := n.darkness.Score(ctx, img)
		if err != nil {
			return nil, err
		}
		out = append(out, downstream.Result{Score: r.Score, Map: downstream.Map(r.Map)})
	}
	return out, nil
}

// ScoreSet is not called: tiles are scored picture by picture.
func (n native) ScoreSet(context.Context, dataset.Dataset) iter.Seq2[downstream.Scored, error] {
	return func(yield func(downstream.Scored, error) bool) { yield(downstream.Scored{}, errors.ErrUnsupported) }
}

// ScoreSeq is not called either.
func (n native) ScoreSeq(context.Context, iter.Seq[image.Image]) iter.Seq2[downstream.Result, error] {
	return func(yield func(downstream.Result, error) bool) { yield(downstream.Result{}, errors.ErrUnsupported) }
}

// Parts are judged by their worst tile, and pixels on maps of each part's own size.
func TestTilesOfLongParts(t *testing.T) {
	root, dir := t.TempDir(), t.TempDir()
	long(t, root)
	path := filepath.Join(dir, "r.jsonl")
	f := newDark()
	f.transform.Exact = image.Pt(20, 20)
	f.plans = func(m *evaluate.Method) {
		m.New = func(s evaluate.Seed) (evaluate.Detector, error) {
			return detectors.Of(native{&darkness{darkMethod: f, seed: s, view: f.transform}}), nil
		}
	}
	_, stderr, err := evaluateDark(t, t.Context(), f, "-data", root, "-json", path, "-transform", "tiles", "-maps", filepath.Join(dir, "maps"), "-report", filepath.Join(dir, "report"))
	require.NoError(t, err)
	require.NotContains(t, stderr, "is not seen")
	records := recordsOf(t, path)
	require.Len(t, records, 1)
	r := records[0]
	require.Equal(t, 1.0, r.ImageAUROC)
	require.Greater(t, *r.PixelAUROC, 0.95)
	require.Equal(t, []int{100, 20}, []int{r.Width, r.Height}, "the first part, at two thirds")
	require.Contains(t, r.Transform, "tiles of the shorter side, overlap 25 %, each ")
	require.FileExists(t, filepath.Join(dir, "report", "report.html"))
	for i := range 4 {
		require.FileExists(t, filepath.Join(dir, "maps", "rail", "dent", fmt.Sprintf("%d.png", i)))
	}

	// Other tiles are other settings; methods that choose what they learn from are refused.
	_, _, err = evaluateDark(t, t.Context(), f, "-data", root, "-json", path, "-resume", "-transform", "tiles")
	require.NoError(t, err)
	require.Equal(t, records, recordsOf(t, path))
	_, _, err = evaluateDark(t, t.Context(), f, "-data", root, "-json", path, "-resume", "-transform", "tiles:32")
	require.NoError(t, err)
	require.NotEqual(t, records[0].Hash, recordsOf(t, path)[len(recordsOf(t, path))-1].Hash)
	f.chooses = true
	_, _, err = evaluateDark(t, t.Context(), f, "-data", root, "-transform", "tiles")
	require.ErrorIs(t, err, errUsage)
	require.ErrorContains(t, err, "-transform tiles does not go with -method dark")
}
