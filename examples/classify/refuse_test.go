package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// A report is not written over, and broken pictures are listed first.
func TestReportsAreKept(t *testing.T) {
	out, data := filepath.Join(t.TempDir(), "out"), folder(t, "bottom", "top")
	args := []string{"-data", data, "-weights", "random", "-device", "cpu", "-size", "32", "-backbone", "frozen", "-head-epochs", "2", "-out", out}
	require.NoError(t, os.WriteFile(filepath.Join(data, "top", "0.png"), []byte("\x89PNG"), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(data, "bottom", "1.png"), nil, 0o644))
	_, _, err := classifyArgs(t, args...)
	require.ErrorContains(t, err, "top/0.png")
	require.ErrorContains(t, err, "bottom/1.png")
	stdout, _, err := classifyArgs(t, append(args, "-skip-broken")...)
	require.NoError(t, err)
	require.Contains(t, stdout, "2 images left out that cannot be read")
	require.ElementsMatch(t, []string{"top/0.png", "bottom/1.png"}, readReport(t, out).Skipped)
	before, err := os.ReadFile(filepath.Join(out, "report.json"))
	require.NoError(t, err)
	_, _, err = classifyArgs(t, append(args, "-skip-broken", "-seed", "2")...)
	require.ErrorContains(t, err, "has a report.json already: give -out another folder, or -force to write over it")
	after, err := os.ReadFile(filepath.Join(out, "report.json"))
	require.NoError(t, err)
	require.Equal(t, before, after)
	_, _, err = classifyArgs(t, append(args, "-skip-broken", "-seed", "2", "-force")...)
	require.NoError(t, err)
}

// Folders of good and bad pictures are told apart as such.
func TestGoodAndBadFoldersAreClasses(t *testing.T) {
	stdout, stderr, err := classifyArgs(t, "-data", folder(t, "OK", "NG"), "-weights", "random", "-device", "cpu", "-size", "32", "-backbone", "frozen", "-head-epochs", "60")
	require.NoError(t, err)
	require.Contains(t, stderr, "it is read in the layout goodbad and told apart by defect")
	require.Contains(t, stdout, "top-1 of 2")
}
