package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/metrics"
)

func TestTableOfHandMadeRecords(t *testing.T) {
	var s store
	half, most, limit := 0.5, 0.75, 0.3
	exact, none := true, 0.0
	areas := map[string][2]float64{"plate|a": {0.8, 0.9}, "plate b": {0.875, 0.825}}
	for i, seed := range []string{"7", "reference"} { // the reference comes first, whatever the order
		for _, name := range []string{"plate|a", "plate b"} {
			r := record{Version: recordVersion, Data: "plant", Class: name, Method: "padim", Seed: seed, Hash: name,
				ImageAUROC: areas[name][i], ImageAP: 0.5, ImageF1: 0.25, FitImages: 10, ScoreImages: 20, FitSpeed: 30, ScoreSpeed: 40, PeakRSS: 5e8,
				Chance: "the draw", Arch: "resnet18", Layers: []string{"layer1"}, Weights: "w.safetensors", WeightsSHA256: "0123456789abcdef",
				Width: 224, Height: 200, Transform: "square", Mask: metrics.MaskNearest, Epoch: metrics.EpochNone, Score: metrics.ScoreMapMax,
				Settings: []byte(`{"a":1}`), Made: origin{Command: "evaluate -data plant", Go: "go1.24", Libtorch: "2.1.2", Device: "cpu", Cores: 2},
				Cut: &cut{Rule: "overkill:0.05", Defects: 10, Escaped: 1 + i, Good: 20, Overkilled: 1}}
			r.keep(imageAUROC, metrics.Interval{Low: 0.7, High: 0.9 + float64(i)/10, Level: 0.95, Method: "DeLong"})
			if name == "plate b" {
				r.PixelAUROC, r.PixelAP, r.AUPRO, r.AUPROLimit, r.Exact = &most, &half, &half, &limit, &exact
				r.PixelBound, r.PixelAPBound, r.AUPROBound = &none, &none, &none
			}
			require.NoError(t, s.add(r))
		}
	}
	path := filepath.Join(t.TempDir(), "r.jsonl")
	s.path = path
	require.NoError(t, s.write())
	out := filepath.Join(t.TempDir(), "results.md")
	stdout, _, err := evaluateArgs(t, "table", "-json", path, "-json", path, "-out", out) // twice the same counts once
	require.NoError(t, err)
	require.Empty(t, stdout)
	stdout, _, err = evaluateArgs(t, "table", "-json", path)
	require.NoError(t, err)
	b, err := os.ReadFile(out)
	require.NoError(t, err)
	require.Equal(t, stdout, string(b))
	for _, line := range []string{
		"| padim | resnet18, layers layer1 | 2 | 85.00 ± 1.77 | 75.00 ± 0.00 (of 1) | 50.00 ± 0.00 (of 1) | 15.00 ± 7.07 | 5.00 ± 0.00 |",
		// 0.8 and 0.9 deviate by 0.0707 about their mean.
		"| plate/a | 85.00 ± 7.07 [70.0, 95.0] | 50.00 ± 0.00 | 25.00 ± 0.00 | - | - | - | 15.00 ± 7.07 | 5.00 ± 0.00 | 30.0 | 40.0 | 500 |",
		// The other class has 0.875 and 0.825: 0.8375 and 0.8625 in the mean.
		"| plate b | 85.00 ± 3.54 [70.0, 95.0] | 50.00 ± 0.00 | 25.00 ± 0.00 | 75.00 ± 0.00 | 50.00 ± 0.00 | 50.00 ± 0.00 | 15.00 ± 7.07 | 5.00 ± 0.00 | 30.0 | 40.0 | 500 |",
		"| mean | 85.00 ± 1.77 | 50.00 ± 0.00 | 25.00 ± 0.00 | 75.00 ± 0.00 | 50.00 ± 0.00 | 50.00 ± 0.00 | 15.00 ± 7.07 | 5.00 ± 0.00 |  |  |  |",
		"- Made by `evaluate -data plant`; go1.24, libtorch 2.1.2, cpu, 2 cores.",
		"- ±: deviation over the 2 seeds reference, 7. A seed decides the draw.",
	} {
		require.Contains(t, strings.Split(stdout, "\n"), line)
	}
	require.NotContains(t, stdout, "pixel F1-max", "no record has it")
	require.Contains(t, stdout, "(SHA-256 01234567); 224 x 200 px")
	require.Equal(t, 1, strings.Count(stdout, "Made by"))

	for name, c := range map[string]struct {
		is   error
		says string
		args []string
	}{
		"no file":   {errUsage, "-json is missing", nil},
		"stray":     {errUsage, `"x" is not a flag`, []string{"-json", path, "x"}},
		"not there": {os.ErrNotExist, "none.jsonl", []string{"-json", filepath.Join(t.TempDir(), "none.jsonl")}},
		"flag":      {errUsage, "-fast", []string{"-fast"}},
		"folder":    {os.ErrNotExist, "x.md", []string{"-json", path, "-out", filepath.Join(t.TempDir(), "none", "x.md")}},
	} {
		_, _, err := evaluateArgs(t, append([]string{"table"}, c.args...)...)
		require.ErrorIs(t, err, c.is, name)
		require.ErrorContains(t, err, c.says, name)
	}
}

// Two data sets may have a class of one name; rows then say whose it is.
func TestRowsOfOneClassNameSayWhose(t *testing.T) {
	w := way{}
	for _, name := range [][2]string{{"old", "screw"}, {"new", "screw"}, {"new", "nut"}} {
		w.summaries = append(w.summaries, &summary{records: []record{{Data: name[0], Class: name[1]}}})
	}
	var labels []string
	for _, s := range w.summaries {
		labels = append(labels, w.label(s))
	}
	require.Equal(t, []string{"old/screw", "new/screw", "nut"}, labels)
}
