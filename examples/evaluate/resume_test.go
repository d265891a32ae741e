package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/evaluate"
	"github.com/gotab/gotab/metrics"
)

func TestSeedsGiveMeanAndDeviation(t *testing.T) {
	root, path := t.TempDir(), filepath.Join(t.TempDir(), "r.jsonl")
	class(t, root, "alpha", true)
	f := newDark()
	stdout, stderr, err := evaluateDark(t, t.Context(), f, "-data", root, "-seeds", "1,5,9", "-json", path, "-details")
	require.NoError(t, err)
	require.Contains(t, stderr, "[3/3] alpha, seed 9: score 4 images")
	rs := recordsOf(t, path)
	require.Len(t, rs, 3)
	mean, squares := 0.0, 0.0
	for _, r := range rs {
		mean += *r.PixelAUROC / 3
	}
	for _, r := range rs {
		squares += (*r.PixelAUROC - mean) * (*r.PixelAUROC - mean)
	}
	require.Greater(t, squares, 1e-8, "seeds make no difference")
	f64, ok, err := evaluate.Summarize(rs)[0].Figure(evaluate.PixelAUROC)
	require.NoError(t, err)
	require.True(t, ok)
	require.InDelta(t, mean, f64.Value, 1e-12)
	require.InDelta(t, math.Sqrt(squares/2), f64.Spread.Deviation, 1e-12)
	low := 0.0
	for _, r := range rs {
		low += r.Intervals[evaluate.PixelAUROC].Low / 3
	}
	require.InDelta(t, low, f64.Interval.Low, 1e-12)
	require.Contains(t, f64.Interval.Method, "averaged over seeds")
	require.Equal(t, 3, f64.Protocol.Seeds)
	require.Contains(t, stdout, fmt.Sprintf("%.2f ± %.2f", 100*f64.Value, 100*f64.Spread.Deviation))
	require.Contains(t, stdout, f64.String(), "-details prints the figure with its protocol")
	require.Contains(t, stdout, "±: deviation over the 3 seeds 1, 5, 9. A seed decides a shade.")
}

func TestInterruptedAndResumed(t *testing.T) {
	root, dir := t.TempDir(), t.TempDir()
	for _, c := range []string{"alpha", "beta", "gamma"} {
		class(t, root, c, c != "gamma")
	}
	whole, broken := filepath.Join(dir, "whole.jsonl"), filepath.Join(dir, "broken.jsonl")
	_, _, err := evaluateDark(t, t.Context(), newDark(), "-data", root, "-seeds", "2", "-json", whole)
	require.NoError(t, err)

	// An interrupt while beta's first seed is fitted.
	ctx, cancel := context.WithCancel(t.Context())
	f := newDark()
	f.inFit = func(ctx context.Context, m evaluate.Material) error {
		if m.Class == "beta" {
			cancel()
			return ctx.Err()
		}
		return nil
	}
	stdout, _, err := evaluateDark(t, ctx, f, "-data", root, "-seeds", "2", "-json", broken)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "beta, seed 1")
	require.Contains(t, stdout, "alpha", "what is done is printed")
	require.Len(t, recordsOf(t, broken), 2)

	// Without -resume the results are not overwritten.
	before, err := os.ReadFile(broken)
	require.NoError(t, err)
	_, _, err = evaluateDark(t, t.Context(), newDark(), "-data", root, "-json", broken)
	require.ErrorContains(t, err, "there are results already: 2; -resume goes on with them")
	after, err := os.ReadFile(broken)
	require.NoError(t, err)
	require.Equal(t, before, after)

	f = newDark()
	stdout, stderr, err := evaluateDark(t, t.Context(), f, "-data", root, "-seeds", "2", "-json", broken, "-resume")
	require.NoError(t, err)
	require.Equal(t, []string{"beta", "beta", "gamma", "gamma"}, f.fits)
	require.Contains(t, stderr, "[2/6] alpha, seed 2: is in "+broken)
	for _, c := range []string{"alpha", "beta", "gamma", "mean"} {
		require.Contains(t, stdout, c)
	}
	require.Equal(t, timeless(recordsOf(t, whole)), timeless(recordsOf(t, broken)), "a resumed run gives what an unbroken one gives")

	// All is there: nothing is done again, not a byte changes.
	before, err = os.ReadFile(broken)
	require.NoError(t, err)
	f = newDark()
	_, _, err = evaluateDark(t, t.Context(), f, "-data", root, "-seeds", "2", "-json", broken, "-resume")
	require.NoError(t, err)
	require.Empty(t, f.fits)
	after, err = os.ReadFile(broken)
	require.NoError(t, err)
	require.Equal(t, before, after)
}

// TestPicturesThatFailCostNoFigures has a file where a folder is to be made.
func TestPicturesThatFailCostNoFigures(t *testing.T) {
	root, dir := t.TempDir(), t.TempDir()
	class(t, root, "alpha", true)
	path, taken := filepath.Join(dir, "r.jsonl"), t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(taken, "alpha"), nil, 0o666))
	_, _, err := evaluateDark(t, t.Context(), newDark(), "-data", root, "-json", path, "-maps", taken)
	require.ErrorContains(t, err, "draw alpha/test/good/0.png")
	require.Len(t, recordsOf(t, path), 1)

	maps := filepath.Join(dir, "maps")
	_, _, err = evaluateDark(t, t.Context(), newDark(), "-data", root, "-seeds", "2", "-maps", maps)
	require.NoError(t, err)
	for _, seed := range []string{"1", "2"} {
		_, err = os.Stat(filepath.Join(maps, "dark-"+seed, "alpha", "hole", "1.png"))
		require.NoError(t, err)
	}
}

// TestResumeTakesEqualSettingsOnly changes one thing after the other; each must be
// done anew, and what was there stays.
func TestResumeTakesEqualSettingsOnly(t *testing.T) {
	root, path := t.TempDir(), filepath.Join(t.TempDir(), "r.jsonl")
	class(t, root, "alpha", true)
	f := newDark()
	f.trains, f.shots = true, true
	again := func(f *darkMethod, args ...string) {
		t.Helper()
		n, had := len(f.fits), 0
		if rs, err := os.ReadFile(path); err == nil {
			had = strings.Count(string(rs), "\n")
		}
		_, _, err := evaluateDark(t, t.Context(), f, append([]string{"-data", root, "-json", path, "-resume"}, args...)...)
		require.NoError(t, err)
		require.Len(t, f.fits, n+1, args)
		require.Len(t, recordsOf(t, path), had+1, args)
	}
	again(f)
	again(f, "-seed", "2")
	again(f, "-cut", "f1")
	again(f, "-epochs", "3")
	again(f, "-shots", "2")
	again(f, "-weights", "random:2")
	again(f, "-arch", "resnet34")
	f.mask = metrics.MaskBilinearHalf
	again(f)
	f.transform.Exact.X = 24
	f.plans = func(m *evaluate.Method) { m.Settings = f.transform }
	again(f)
	require.NoError(t, os.Remove(filepath.Join(root, "alpha", "train", "good", "3.png")))
	again(f)
	// And equal ones are found among all of them.
	n := len(f.fits)
	_, _, err := evaluateDark(t, t.Context(), f, "-data", root, "-json", path, "-resume")
	require.NoError(t, err)
	require.Len(t, f.fits, n)
}

// A line that no run has written stops the program before it writes anything.
func TestResultsThatAreNone(t *testing.T) {
	root, path := t.TempDir(), filepath.Join(t.TempDir(), "bad.jsonl")
	class(t, root, "alpha", true)
	const text = `{"class":` + "\n"
	require.NoError(t, os.WriteFile(path, []byte(text), 0o666))
	_, _, err := evaluateDark(t, t.Context(), newDark(), "-data", root, "-json", path, "-resume")
	require.ErrorIs(t, err, evaluate.ErrRecords)
	require.ErrorContains(t, err, "bad.jsonl")
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, text, string(after))
	_, _, err = evaluateArgs(t, "table", "-json", path)
	require.ErrorIs(t, err, evaluate.ErrRecords)
	require.ErrorContains(t, err, "bad.jsonl")
}
