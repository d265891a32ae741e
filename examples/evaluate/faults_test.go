package main

import (
	"context"
	"fmt"
	"image"
	"image/color"
	"io"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream/heatmap"
	"github.com/gotab/gotab/evaluate"
	"github.com/gotab/gotab/evaluate/report"
	"github.com/gotab/gotab/internal/faulttest"
	"github.com/gotab/gotab/metrics"
)

// fileWriters are the table in Markdown, results that are put together, and the pictures of maps.
func fileWriters(t *testing.T) []faulttest.Writer {
	var records [2]string // the same in every process, which a run's times are not
	for v := range records {
		records[v] = filepath.Join(t.TempDir(), "r.jsonl")
		store, err := evaluate.OpenStore(records[v], false)
		require.NoError(t, err)
		require.NoError(t, store.Add(evaluate.Record{Version: evaluate.RecordVersion, Data: "plant", Class: "plate", Method: "padim",
			Seed: fmt.Sprint(v), Hash: "h", ImageAUROC: 0.5 + float64(v)/8, ImageAP: 0.5, ImageF1: 0.25, FitImages: 10, ScoreImages: 20,
			Width: 224, Height: 200, Mask: metrics.MaskNearest, Epoch: metrics.EpochNone, Score: metrics.ScoreMapMax, Settings: []byte(`{"a":1}`)}))
		require.NoError(t, store.Close())
	}
	img := image.NewRGBA(image.Rect(0, 0, 24, 18))
	for i := range 24 * 18 {
		g := uint8(100 + i%50)
		img.SetRGBA(i%24, i/24, color.RGBA{g, g, g, 255})
	}
	var samples []dataset.Sample
	for i := range 2 {
		samples = append(samples, dataset.Sample{Item: dataset.Item{Name: fmt.Sprintf("plate/test/good/%d.png", i), Class: "plate", Defect: dataset.Good, Label: dataset.LabelGood}, Image: img})
	}
	test, err := dataset.NewMemory(samples)
	require.NoError(t, err)
	dark := newDark()
	return []faulttest.Writer{
		{Name: "markdown", Write: func(dir string, version int) error {
			return table([]string{"-json", records[version], "-out", filepath.Join(dir, "r.md")}, io.Discard, io.Discard)
		}},
		{Name: "merge", Write: func(dir string, version int) error {
			return merge([]string{"-json", records[version], "-out", filepath.Join(dir, "merged.jsonl")}, io.Discard, io.Discard)
		}},
		{Name: "maps", Write: func(dir string, version int) error {
			det := &darkness{darkMethod: dark, seed: evaluate.Seed{Number: uint64(version)}, view: dark.transform}
			return report.WriteMaps(context.Background(), filepath.Join(dir, "plate"), det, test, evaluate.Protocol{Transform: dark.transform}, heatmap.View{Scale: heatmap.Scale{Low: 100, High: 200}, Threshold: 150})
		}},
	}
}

func TestFilesAreWholeOrNotThere(t *testing.T) { faulttest.Check(t, fileWriters(t)...) }

func TestFilesSurviveKills(t *testing.T) {
	faulttest.Kill(t, "TestFilesSurviveKills", 8, 6, fileWriters(t)...)
}
