package main

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/internal/faulttest"
	"github.com/gotab/gotab/tensor"
)

// The page and the sheet, of the smallest run that there is.
func TestFilesAreWholeOrNotThere(t *testing.T) {
	s, err := parse(tiny(t.TempDir()), &bytes.Buffer{})
	require.NoError(t, err)
	reports := [2]*report{{Settings: s, Device: "cpu"}}
	require.NoError(t, reports[0].measure(t.Context(), tensor.CPU, &progress{w: &bytes.Buffer{}, start: time.Now()}))
	other := *reports[0]
	other.Seconds = 1234
	reports[1] = &other
	faulttest.Check(t, faulttest.Writer{Name: "page and sheet", Points: 10, Write: func(dir string, version int) error {
		_, _, err := reports[version].save(dir)
		return err
	}})
}
