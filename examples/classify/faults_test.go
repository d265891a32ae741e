package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"testing"

	"github.com/gotab/gotab/internal/faulttest"
	"github.com/gotab/gotab/metrics"
)

// fileWriters are the maps with their contact sheet, and the report. The models
// are the library's files.
func fileWriters() []faulttest.Writer {
	return []faulttest.Writer{
		{Name: "maps", Points: 9, Write: func(dir string, version int) error {
			return run(context.Background(), []string{"generate", "-out", filepath.Join(dir, "w.npz"), "-sheet", filepath.Join(dir, "w.png"),
				"-per", "1", "-seed", fmt.Sprint(version)}, io.Discard, io.Discard)
		}},
		{Name: "report", Write: func(dir string, version int) error {
			r := &report{o: options{out: dir, data: "plant", size: 64, seed: uint64(version)}}
			return r.add(row{Split: stratified, Backbone: frozen, Weights: "random", Model: sigmoids, Epochs: 1 + version,
				TallyFigures: metrics.TallyFigures{Confusion: metrics.ConfusionTable{Classes: []string{"a", "b", metrics.Other}, Counts: [][]int{{2, 0, 0}, {1, version, 0}}}}})
		}},
	}
}

func TestFilesAreWholeOrNotThere(t *testing.T) { faulttest.Check(t, fileWriters()...) }

func TestFilesSurviveKills(t *testing.T) {
	faulttest.Kill(t, "TestFilesSurviveKills", 4, 7, fileWriters()...)
}
