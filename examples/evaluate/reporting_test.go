package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"image/png"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/evaluate"
	"github.com/gotab/gotab/evaluate/detectors"
	"github.com/gotab/gotab/tensor"
)

// evaluateTwo runs the program with two methods, dark and pale.
func evaluateTwo(ctx context.Context, dark, pale *darkMethod, args ...string) (stdout, stderr string, err error) {
	two := pale.method()
	two.Name = "pale"
	plan := two.Plan
	two.Plan = func(c detectors.Choice) (evaluate.Method, error) {
		m, err := plan(c)
		m.Name = "pale"
		return m, err
	}
	var out, progress bytes.Buffer
	p := program{methods: []detectors.Kind{dark.method(), two}, open: func(_ options, weights string, _ tensor.Device) (*detectors.Network, error) {
		return &detectors.Network{Weights: weights, SHA256: weights}, nil
	}}
	err = p.run(ctx, append([]string{"-weights", "random", "-device", "cpu", "-method", "dark,pale"}, args...), &out, &progress)
	return out.String(), progress.String(), err
}

// counted is a detector that tells how many are open.
type counted struct {
	*darkness
	open *int
}

func (c counted) Close() error {
	*c.open--
	return c.darkness.Close()
}

// count counts in open the detectors of a method that are open, and in most the most
// of them at a time.
func (f *darkMethod) count(open, most *int) {
	f.plans = func(m *evaluate.Method) {
		of := m.New
		m.New = func(s evaluate.Seed) (evaluate.Detector, error) {
			d, err := of(s)
			*open++
			*most = max(*most, *open)
			return counted{d.(*darkness), open}, err
		}
	}
}

func read(t *testing.T, parts ...string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(parts...))
	require.NoError(t, err)
	return string(b)
}

// All methods and seeds of a class are one section and share its table and curves, with
// one detector in memory at a time.
func TestReportOfMethodsAndSeeds(t *testing.T) {
	root, dir := t.TempDir(), filepath.Join(t.TempDir(), "report")
	class(t, root, "alpha", true)
	class(t, root, "beta", false)
	dark, pale := newDark(), newDark()
	open, most := 0, 0
	dark.count(&open, &most)
	pale.count(&open, &most)
	pale.change = func(sc *evaluate.Scored) { sc.Score = -sc.Score }
	stdout, stderr, err := evaluateTwo(t.Context(), dark, pale, "-data", root, "-seeds", "3", "-report", dir)
	require.NoError(t, err)
	require.Equal(t, [2]int{0, 1}, [2]int{open, most}, "one detector is open at a time")
	require.Contains(t, stderr, "[7/12] beta, dark, seed 1: fit on 4 good images")
	require.Contains(t, stdout, "alpha, pale, image AUROC less that of dark: -100.00 points")

	page := read(t, dir, "report.html")
	require.Equal(t, 2, strings.Count(page, "<section "), "a section for each class")
	require.Contains(t, page, "curves and pictures are of one of them: dark, seed 1; pale, seed 1.")
	require.Contains(t, page, "on these very images ")
	require.FileExists(t, filepath.Join(dir, "alpha", "histogram-2.png"))
	table := read(t, dir, "table.md")
	for _, row := range []string{"alpha | dark", "alpha | pale", "beta | dark", "beta | pale", "mean of 2 | dark", "mean of 2 | pale"} {
		require.Equal(t, 1, strings.Count(table, "| "+row+" |"), row)
	}
	require.Regexp(t, `\| mean of 2 \| dark \| 100\.00 ± 0\.00 \(3 seeds\) \| [0-9.]+ ± [0-9.]+ \(3 seeds\), of 1 \|`, table)
	// Escape and overkill are those of the other half, and no others.
	head, _, _ := strings.Cut(table, "\n")
	require.Contains(t, head, "| escape at the threshold for at most 5 % overkill on the other half, % (")
	require.Equal(t, 1, strings.Count(head, "| overkill "))
	require.Equal(t, 1, strings.Count(head, "| escape "))
	require.Equal(t, 4, strings.Count(read(t, dir, "table.csv"), ",escape "))
	require.NotContains(t, read(t, dir, "table.csv"), "escape rate")
}

// A job that fails costs the report no other; one that is interrupted costs it nothing
// that was done.
func TestReportOfWhatIsThere(t *testing.T) {
	root, dir := t.TempDir(), filepath.Join(t.TempDir(), "report")
	for _, name := range []string{"alpha", "beta", "gamma"} {
		class(t, root, name, true)
	}
	broken := errors.New("out of paint")
	fails := func(classes ...string) *darkMethod {
		f := newDark()
		f.inFit = func(_ context.Context, m evaluate.Material) error {
			for _, c := range classes {
				if m.Class == c {
					return broken
				}
			}
			return nil
		}
		return f
	}
	stdout, _, err := evaluateTwo(t.Context(), fails("beta", "gamma"), fails("beta"), "-data", root, "-report", dir)
	require.ErrorIs(t, err, broken)
	require.ErrorContains(t, err, "3 of 6 runs failed (beta, dark; beta, pale; gamma, dark)")
	require.Contains(t, stdout, "gamma")
	page := read(t, dir, "report.html")
	require.Equal(t, 2, strings.Count(page, "<section "))
	require.Contains(t, page, "<p>Class beta failed and is not shown.</p>")
	require.Contains(t, page, "<p>Failed, and not in what follows: gamma, dark.</p>")

	dir = filepath.Join(t.TempDir(), "report")
	ctx, cancel := context.WithCancel(t.Context())
	stops := newDark()
	stops.inFit = func(ctx context.Context, m evaluate.Material) error {
		if m.Class == "beta" {
			cancel()
		}
		return ctx.Err()
	}
	_, _, err = evaluateTwo(ctx, newDark(), stops, "-data", root, "-report", dir)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "stopped in class beta, pale")
	page = read(t, dir, "report.html")
	require.Equal(t, 2, strings.Count(page, "<section "))
	require.Contains(t, page, "The run was stopped before it was done with this class.")
	require.Contains(t, read(t, dir, "table.md"), "| beta | dark |")
}

// Pictures that cannot be drawn are no failure of the report's figures.
func TestReportAfterMapsThatFail(t *testing.T) {
	root, dir := t.TempDir(), filepath.Join(t.TempDir(), "report")
	class(t, root, "alpha", true)
	maps := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(maps, "alpha"), nil, 0o666)) // where a folder is to be made
	_, _, err := evaluateDark(t, t.Context(), newDark(), "-data", root, "-report", dir, "-maps", maps)
	require.ErrorContains(t, err, "draw alpha/test/good/0.png")
	page := read(t, dir, "report.html")
	require.Equal(t, 1, strings.Count(page, "<section "))
	require.NotContains(t, page, "Failed")
}

// A class name that two roots have is told apart on the page and in the pictures.
func TestRootsThatShareAClass(t *testing.T) {
	root, dir := t.TempDir(), t.TempDir()
	one, two := filepath.Join(root, "one"), filepath.Join(root, "two")
	class(t, one, "alpha", true)
	class(t, one, "beta", true)
	class(t, two, "alpha", false)
	_, stderr, err := evaluateDark(t, t.Context(), newDark(), "-data", one, "-data", two, "-report", filepath.Join(dir, "report"), "-maps", filepath.Join(dir, "maps"))
	require.NoError(t, err)
	require.Contains(t, stderr, "[3/3] two/alpha: score 4 images")
	table := read(t, dir, "report", "table.md")
	for _, name := range []string{"one/alpha", "beta", "two/alpha"} {
		require.Contains(t, table, "| "+name+" |")
	}
	for _, name := range []string{"one/alpha", "beta", "two/alpha"} {
		require.FileExists(t, filepath.Join(dir, "maps", name, "hole", "1.png"))
	}
}

// Where no seed is given each network has its plan's own; one that is given is held
// against all plans before anything is fitted.
func TestSeedsOfTwoNetworks(t *testing.T) {
	root, dir := t.TempDir(), t.TempDir()
	class(t, root, "alpha", true)
	calls := 0
	f := newDark()
	f.plans = func(m *evaluate.Method) {
		if calls++; calls%2 == 1 { // the first network's
			m.Seed = evaluate.Seed{Reference: true}
		}
	}
	_, _, err := evaluateDark(t, t.Context(), f, "-data", root, "-report", dir, "-compare", "other")
	require.NoError(t, err)
	var rows []struct{ Seeds []string }
	require.NoError(t, json.Unmarshal([]byte(read(t, dir, "table.json")), &rows))
	require.Equal(t, []string{"reference"}, rows[0].Seeds)
	require.Equal(t, []string{"1"}, rows[1].Seeds)

	f.fits = nil
	_, stderr, err := evaluateDark(t, t.Context(), f, "-data", root, "-report", dir, "-compare", "other", "-seed", "reference")
	require.ErrorIs(t, err, evaluate.ErrSeed)
	require.ErrorContains(t, err, "dark has no reference draw for layer1 of resnet18 (none other)")
	require.Empty(t, f.fits)
	require.NotContains(t, stderr, "fit on")

	_, stderr, err = evaluateArgs(t, "-data", root, "-weights", "random", "-device", "cpu", "-method", "padim,patchcore", "-seed", "reference")
	require.ErrorIs(t, err, evaluate.ErrSeed)
	require.NotContains(t, stderr, "fit on", "padim has the draw, patchcore has not")
}

func TestTheSameNetworkTwice(t *testing.T) {
	root, dir := t.TempDir(), filepath.Join(t.TempDir(), "report")
	class(t, root, "alpha", true)
	f := newDark()
	_, _, err := evaluateDark(t, t.Context(), f, "-data", root, "-report", dir, "-compare", "random")
	require.ErrorIs(t, err, errUsage)
	require.ErrorContains(t, err, "random and random hold the same weights")
	require.Empty(t, f.fits)
	require.NoDirExists(t, dir)
}

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
	require.Contains(t, stderr, "[2/4] alpha, none other: score 4 images")
	require.Contains(t, stdout, "alpha, dark, none other, image AUROC less that of dark, none random: +0.00 points")
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

// With -same-scale both networks' maps are on the scale of the first.
func TestReportOnOneScale(t *testing.T) {
	root := t.TempDir()
	class(t, root, "alpha", true)
	legend := func(flags ...string) []string {
		dir := t.TempDir()
		f := newDark()
		calls := 0
		f.change = func(sc *evaluate.Scored) {
			for i := range sc.Map.Data { // other values on the second network
				sc.Map.Data[i] += float32(100 * len(f.fits))
			}
			calls++
		}
		_, _, err := evaluateDark(t, t.Context(), f, append([]string{"-data", root, "-report", dir, "-compare", "other"}, flags...)...)
		require.NoError(t, err)
		require.NotZero(t, calls)
		page, err := os.ReadFile(filepath.Join(dir, "report.html"))
		require.NoError(t, err)
		found := regexp.MustCompile(`colours from ([0-9.]+) to ([0-9.]+) and above`).FindAllStringSubmatch(string(page), -1)
		require.Len(t, found, 2)
		if len(flags) > 0 {
			require.Contains(t, string(page), ", the scale of dark, none random")
		}
		return []string{found[0][1] + found[0][2], found[1][1] + found[1][2]}
	}
	own := legend()
	require.NotEqual(t, own[0], own[1])
	one := legend("-same-scale")
	require.Equal(t, own[0], one[0])
	require.Equal(t, one[0], one[1])
}

// Where the two detectors see the image otherwise, their maps lie over the image as
// it was read.
func TestReportOfDifferentViews(t *testing.T) {
	root, dir := t.TempDir(), t.TempDir()
	class(t, root, "alpha", true)
	height := func(compare ...string) int {
		f := newDark()
		calls := 0
		f.plans = func(m *evaluate.Method) {
			if calls++; calls == 2 { // the second network's
				m.Protocol.Transform.Exact.X = 31
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
		"-resume leaves out what":        {newDark(), []string{"-maps", dir, "-json", filepath.Join(t.TempDir(), "x"), "-resume"}},
		"-same-scale is for -compare":    {newDark(), []string{"-report", dir, "-same-scale"}},
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
