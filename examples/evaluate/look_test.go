package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/evaluate"
)

// Every fault of every class is listed before anything is fitted; without the broken
// images the run goes on only if it is told to, and the results say so.
func TestEveryFaultIsListedFirst(t *testing.T) {
	root, dir := t.TempDir(), t.TempDir()
	class(t, root, "alpha", true)
	class(t, root, "beta", true)
	cut := func(name string) {
		data, err := os.ReadFile(filepath.Join(root, name))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(root, name), data[:20], 0o644))
	}
	for _, name := range []string{"alpha/train/good/1.png", "beta/test/hole/0.png", "alpha/ground_truth/hole/1_mask.png"} {
		cut(name)
	}
	require.NoError(t, os.WriteFile(filepath.Join(root, "beta/train/good/3.png"), nil, 0o644))
	f := newDark()
	path := filepath.Join(dir, "r.jsonl")
	_, _, err := evaluateDark(t, t.Context(), f, "-data", root, "-json", path)
	for _, name := range []string{"alpha/train/good/1.png", "beta/test/hole/0.png", "alpha/ground_truth/hole/1_mask.png", "beta/train/good/3.png"} {
		require.ErrorContains(t, err, name)
	}
	require.ErrorContains(t, err, "-skip-broken")
	require.Empty(t, f.fits)
	require.NoFileExists(t, path+".lock")

	stdout, stderr, err := evaluateDark(t, t.Context(), f, "-data", root, "-json", path, "-resume", "-skip-broken", "-details")
	require.NoError(t, err)
	require.Contains(t, stderr, "left out: ")
	require.Contains(t, stdout, "images left out that cannot be read")
	records := recordsOf(t, path)
	require.Len(t, records, 2)
	require.Equal(t, []string{"alpha/train/good/1.png", "alpha/test/hole/1.png"}, records[0].Skipped)
	require.Equal(t, []string{"beta/train/good/3.png", "beta/test/hole/0.png"}, records[1].Skipped)
	for _, r := range records {
		require.Equal(t, []int{3, 3}, []int{r.FitImages, r.ScoreImages})
	}
}

// Two runs do not write one file of results: the lines of one would be lost.
func TestOneFileOfResultsHasOneWriter(t *testing.T) {
	root, dir := t.TempDir(), t.TempDir()
	class(t, root, "alpha", true)
	path := filepath.Join(dir, "r.jsonl")
	first, err := evaluate.OpenStore(path, false)
	require.NoError(t, err)
	_, _, err = evaluateDark(t, t.Context(), newDark(), "-data", root, "-json", path)
	require.ErrorContains(t, err, "another process writes to it")
	require.NoError(t, first.Close())
	_, _, err = evaluateDark(t, t.Context(), newDark(), "-data", root, "-json", path)
	require.NoError(t, err)
	require.Len(t, recordsOf(t, path), 1)
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 1, "the lock is gone")
}

// What a transform cuts off is said and kept, and the whole picture is seen on request.
func TestWhatIsNotSeenIsSaid(t *testing.T) {
	root := t.TempDir()
	class(t, root, "alpha", true) // 40x32 pixels
	path := filepath.Join(t.TempDir(), "r.jsonl")
	_, stderr, err := evaluateArgs(t, "-data", root, "-weights", "random", "-device", "cpu", "-json", path)
	require.NoError(t, err)
	// The centre of 224x224 out of 320x256: 1 - 224*224/(320*256) is 0.3875.
	require.Contains(t, stderr, "39 % of an image of 40x32 pixels is not seen")
	require.InDelta(t, 0.3875, recordsOf(t, path)[0].Unseen, 1e-9)
	for _, transform := range []string{"square", "80x64"} {
		path := filepath.Join(t.TempDir(), "r.jsonl")
		_, stderr, err := evaluateArgs(t, "-data", root, "-weights", "random", "-device", "cpu", "-json", path, "-transform", transform)
		require.NoError(t, err)
		require.NotContains(t, stderr, "is not seen")
		r := recordsOf(t, path)[0]
		require.Zero(t, r.Unseen)
		require.Contains(t, r.Transform, "exactly "+strings.Replace(transform, "square", "224x224", 1))
	}
}

func TestFlagsThatMakeNoSense(t *testing.T) {
	root := t.TempDir()
	class(t, root, "alpha", true)
	for _, args := range [][]string{
		{"-method", "rd4ad", "-epochs", "0"}, {"-method", "regad", "-shots", "0"}, {"-method", "regad", "-shots", "-1"}, {"-transform", "wide"}, {"-transform", "10x10"},
		{"-bits", "7"}, {"-mask-above", "255"}, {"-max-pixels", "0"}, {"-threads", "-1"}, {"-prefix", "a."},
	} {
		_, _, err := evaluateArgs(t, append([]string{"-data", root, "-weights", "random"}, args...)...)
		require.ErrorIs(t, err, errUsage, args)
		require.ErrorContains(t, err, args[len(args)-2])
	}
	_, _, err := evaluateArgs(t, "-data", root, "-weights", "random", "-device", "cpu", "-max-pixels", "100")
	require.ErrorContains(t, err, "-max-pixels allows larger images")
}

// A method that learns from other classes has their images looked at too.
func TestOtherClassesAreLookedAt(t *testing.T) {
	root := t.TempDir()
	class(t, root, "alpha", true)
	class(t, root, "beta", true)
	require.NoError(t, os.WriteFile(filepath.Join(root, "beta/train/good/2.png"), nil, 0o644))
	args := []string{"-data", root, "-weights", "random", "-device", "cpu", "-class", "alpha"}
	_, _, err := evaluateArgs(t, append(args, "-method", "regad")...)
	require.ErrorContains(t, err, "nothing was fitted: other classes of ")
	require.ErrorContains(t, err, "beta/train/good/2.png")
	_, _, err = evaluateArgs(t, args...) // PaDiM does not look at them
	require.NoError(t, err)
}
