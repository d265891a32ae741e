package main

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/evaluate/beforeafter"
	"github.com/gotab/gotab/internal/faulttest"
	"github.com/gotab/gotab/tensor"
)

// The page and the sheet, of the smallest run that there is.
func TestFilesAreWholeOrNotThere(t *testing.T) {
	s, err := parse(tiny(t.TempDir()), &bytes.Buffer{})
	require.NoError(t, err)
	reports := [2]*beforeafter.Report{s.report(tensor.CPU)}
	require.NoError(t, measure(t.Context(), reports[0], s, tensor.CPU, &progress{w: &bytes.Buffer{}, start: time.Now()}))
	reports[0].Products = reports[0].Products[:1] // one shows as much as all, sooner
	other := *reports[0]
	other.Seconds = 1234
	reports[1] = &other
	faulttest.Check(t, faulttest.Writer{Name: "page and sheet", Points: 10, Write: func(dir string, version int) error {
		_, _, err := reports[version].Save(dir, "quickstart")
		return err
	}})
}
