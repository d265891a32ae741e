package report_test

import (
	"context"
	"testing"

	"github.com/gotab/gotab/evaluate/report"
	"github.com/gotab/gotab/internal/faulttest"
)

// A report has many files, each of which is whole; the page comes last.
func TestFilesAreWholeOrNotThere(t *testing.T) {
	small := draw(32, 3, 2)
	classes := [2]report.Class{small.class(t, "plate", true, 3), small.class(t, "plate", true, 1.5)}
	for v := range classes { // the same choice of parts, so the same names
		classes[v].Detectors[0].Scores = classes[0].Detectors[0].Scores
		classes[v].Detectors[0].Threshold = classes[0].Detectors[0].Threshold
	}
	faulttest.Check(t, faulttest.Writer{Name: "report", Points: 10, Write: func(dir string, version int) error {
		return report.Write(context.Background(), dir, report.Data{
			Head:    report.Head{Title: "Plates", Command: "evaluate", Gallery: report.Gallery{Missed: 1, Alarms: 1, Typical: 1}},
			Classes: []report.Class{classes[version]},
		})
	}})
}
