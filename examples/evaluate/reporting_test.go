package main

import (
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// The page has both networks, every class and the pictures of the misses; what it
// says of a class is what the table says.
func TestReportWithASecondNetwork(t *testing.T) {
	root, dir := t.TempDir(), filepath.Join(t.TempDir(), "report")
	class(t, root, "alpha", true)
	class(t, root, "beta", false)
	f := newDark()
	stdout, stderr, err := evaluateDark(t, t.Context(), f, "-data", root, "-report", dir, "-compare", "other")
	require.NoError(t, err)
	require.Contains(t, stdout, "alpha")
	require.Contains(t, stderr, "[1/2] alpha, none other: score 4 images")
	require.Equal(t, []string{"alpha", "alpha", "beta", "beta"}, f.fits, "each network is fitted")
	page, err := os.ReadFile(filepath.Join(dir, "report.html"))
	require.NoError(t, err)
	for _, want := range []string{"dark, none random", "dark, none other", "alpha", "beta", "image AUROC", "AUPRO", "Compared with weights none other"} {
		require.Contains(t, string(page), want)
	}
	pictures, err := filepath.Glob(filepath.Join(dir, "alpha", "gallery", "*.png"))
	require.NoError(t, err)
	require.Len(t, pictures, 4, "all four test images are shown")
}

// Where the two detectors see the image otherwise, their maps lie over the image as
// it was read.
func TestReportOfDifferentViews(t *testing.T) {
	root, dir := t.TempDir(), t.TempDir()
	class(t, root, "alpha", true)
	height := func(compare ...string) int {
		f := newDark()
		calls := 0
		f.plans = func(p *plan) {
			if calls++; calls == 2 { // the second network's
				p.transform.Exact.X = 31
			}
		}
		_, _, err := evaluateDark(t, t.Context(), f, append([]string{"-data", root, "-report", dir}, compare...)...)
		require.NoError(t, err)
		pictures, err := filepath.Glob(filepath.Join(dir, "alpha", "gallery", "*.png"))
		require.NoError(t, err)
		require.NotEmpty(t, pictures)
		file, err := os.Open(pictures[0])
		require.NoError(t, err)
		defer file.Close()
		cfg, err := png.DecodeConfig(file)
		require.NoError(t, err)
		return cfg.Height
	}
	// The image has 32 rows, what the detectors see of it 17.
	require.Greater(t, height("-compare", "other"), height())
}

func TestReportRefuses(t *testing.T) {
	root := t.TempDir()
	class(t, root, "alpha", true)
	dir := filepath.Join(t.TempDir(), "report")
	few := newDark()
	few.shots = true
	for want, c := range map[string]struct {
		f    *darkMethod
		args []string
	}{
		"leave out -resume":              {newDark(), []string{"-report", dir, "-json", filepath.Join(t.TempDir(), "x"), "-resume"}},
		"-compare needs -report":         {newDark(), []string{"-compare", "other"}},
		"-compare does not go with dark": {few, []string{"-report", dir, "-compare", "other"}},
	} {
		_, _, err := evaluateDark(t, t.Context(), c.f, append([]string{"-data", root}, c.args...)...)
		require.ErrorIs(t, err, errUsage)
		require.ErrorContains(t, err, want)
		_, err = os.Stat(dir)
		require.ErrorIs(t, err, os.ErrNotExist)
	}
}
