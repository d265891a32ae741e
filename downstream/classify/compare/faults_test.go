package compare

import (
	"testing"

	"github.com/gotab/gotab/internal/faulttest"
	"github.com/gotab/gotab/metrics"
)

// fileWriters write the report. Models are the library's files.
func fileWriters() []faulttest.Writer {
	return []faulttest.Writer{
		{Name: "report", Write: func(dir string, version int) error {
			r := Config{Out: dir, Data: "plant", Size: 64, Seed: uint64(version)}.report()
			return r.add(Row{Split: Stratified, Backbone: Frozen, Weights: "random", Model: Sigmoids, Epochs: 1 + version,
				TallyFigures: metrics.TallyFigures{Confusion: metrics.ConfusionTable{Classes: []string{"a", "b", metrics.Other}, Counts: [][]int{{2, 0, 0}, {1, version, 0}}}}})
		}},
	}
}

func TestFilesAreWholeOrNotThere(t *testing.T) { faulttest.Check(t, fileWriters()...) }

func TestFilesSurviveKills(t *testing.T) {
	faulttest.Kill(t, "TestFilesSurviveKills", 4, 7, fileWriters()...)
}
