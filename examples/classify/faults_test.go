package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"testing"

	"github.com/gotab/gotab/internal/faulttest"
)

// fileWriters are the maps with their contact sheet.
func fileWriters() []faulttest.Writer {
	return []faulttest.Writer{
		{Name: "maps", Points: 9, Write: func(dir string, version int) error {
			return run(context.Background(), []string{"generate", "-out", filepath.Join(dir, "w.npz"), "-sheet", filepath.Join(dir, "w.png"),
				"-per", "1", "-seed", fmt.Sprint(version)}, io.Discard, io.Discard)
		}},
	}
}

func TestFilesAreWholeOrNotThere(t *testing.T) { faulttest.Check(t, fileWriters()...) }

func TestFilesSurviveKills(t *testing.T) {
	faulttest.Kill(t, "TestFilesSurviveKills", 4, 7, fileWriters()...)
}
