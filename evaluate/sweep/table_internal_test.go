package sweep

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/evaluate"
	"github.com/gotab/gotab/evaluate/study"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tensor"
)

// tried is the record of a fit on four images; one that is right scores the defects above.
func tried(network, seed string, right bool, pixel float64) evaluate.Record {
	r := evaluate.Record{Class: "cloth", Method: "padim", Seed: seed, ImageAUROC: 1, Training: &evaluate.Training{Name: network, Share: 1},
		Images: &evaluate.Images{Scores: []float64{1, 2, 3, 4}, Defective: []bool{false, false, true, true}}}
	if network != startName {
		r.Training.Seed = 1
	}
	if !right {
		r.ImageAUROC, r.Images.Scores = 0, []float64{4, 3, 2, 1}
	}
	if pixel > 0 {
		r.PixelAUROC = &pixel
	}
	return r
}

func tableOf(t *testing.T, p Plan, r results) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, tables(t.Context(), &b, p, r, []string{startName, "a"}))
	return b.String()
}

// Before anything is done there are no numbers.
func TestTableOfNothing(t *testing.T) {
	text := tableOf(t, Plan{PaDiM: Draws{Seeds: 1}}, results{})
	require.Contains(t, text, "| a | - |\n")
	require.NotContains(t, text, "0.00")
}

// A draw that one side lacks, because it failed or its pixels were not counted, is in no difference.
func TestDifferencesAreOfTheSameDraws(t *testing.T) {
	r := results{records: []evaluate.Record{tried(startName, "1", true, 0.5), tried(startName, "2", false, 0), tried("a", "1", true, 0.75), tried("a", "3", false, 0.25)}}
	text := tableOf(t, Plan{PaDiM: Draws{Seeds: 3}}, r)
	require.Contains(t, text, "| start | 50.00 d70.71 | 50.00 |\n")
	require.Contains(t, text, "| a | 50.00 (+0.00 ± 0.00) s0.00 d70.71 | 50.00 (**+0.00** ± 0.00) |\n")
	require.Contains(t, text, "| a | 50.00 (+25.00) | 50.00 (+25.00) |\n")
	r.records = r.records[:3]
	text = tableOf(t, Plan{PaDiM: Draws{Seeds: 3}}, r)
	require.Contains(t, text, "| a | 100.00 (+0.00 ± 0.00) s0.00 d0.00 | 100.00 (**+0.00** ± 0.00) |\n")
	r.records[2].Seed = "3"
	text = tableOf(t, Plan{PaDiM: Draws{Seeds: 3}}, r)
	require.Contains(t, text, "| a | 100.00 s0.00 d0.00 | 100.00 |\n")
	require.Contains(t, text, "| a | 75.00 | 75.00 |\n")
}

// What failed and was done since is not listed, what failed again is listed once, and a training of which only shares are
// judged is listed too.
func TestFailuresThatAreOver(t *testing.T) {
	dir := t.TempDir()
	s := &sweep{plan: Plan{PaDiM: Draws{Seeds: 2}, Networks: []Network{{Name: "a", Seeds: []uint64{1}, Shares: []float64{0.5, 0.25}}}}, runner: &study.Runner{Out: dir}}
	failed := func(seed string) evaluate.Record {
		r := tried("a", seed, true, 0)
		r.Failed = "no luck with " + seed
		return r
	}
	s.judged = []evaluate.Record{tried("a", "1", true, 0)}
	v := s.plan.variants(s.runner)[0]
	require.NoError(t, os.MkdirAll(filepath.Dir(v.File), 0o755))
	require.ErrorContains(t, study.Note(t.Context(), v, fmt.Errorf("no weights")), "no weights")
	require.NoError(t, s.table(t.Context(), []evaluate.Record{failed("1"), failed("2"), failed("1"), failed("2")}))
	b, err := os.ReadFile(filepath.Join(dir, "table.md"))
	require.NoError(t, err)
	_, list, ok := strings.Cut(string(b), "## Failed\n\n")
	require.True(t, ok)
	require.Equal(t, "- a seed 1: no weights\n- a seed 1: cloth by padim, seed 2: no luck with 2\n", list)
}

// Weights and checkpoints of another start or other flags are not those of the plan.
func TestWeightsOfAnotherPlan(t *testing.T) {
	testutil.NoLeak(t)
	root, out, start := testutil.Plant(t, 4, 1, false), t.TempDir(), weights(t, false)
	trained, err := os.ReadFile(weights(t, true))
	require.NoError(t, err)
	plan := func(start, flags string) Plan {
		p, err := ReadPlan(writePlan(t, fmt.Sprintf(`{"start": %q, "data": [%q], "classes": ["cloth"], "padim": {"seeds": 1}, "pretrain": ["-epochs"],
			"networks": [{"name": "t", "seeds": [1], "pretrain": [%q]}]}`, start, root, flags)))
		require.NoError(t, err)
		return p
	}
	asked, lucky := 0, false
	cfg := Config{Out: out, Device: tensor.CPU, Trainer: func(_ context.Context, v study.Variant, flags []string) error {
		asked++
		if lucky {
			return os.WriteFile(v.File, trained, 0o644)
		}
		return os.WriteFile(v.File+".ckpt", nil, 0o644)
	}}
	table := func() string {
		b, err := os.ReadFile(filepath.Join(out, "table.md"))
		require.NoError(t, err)
		return string(b)
	}
	require.ErrorContains(t, Run(t.Context(), plan(start, "1"), cfg), "left no weights")
	lucky = true
	for _, p := range []Plan{plan(start, "2"), plan(weights(t, true), "1")} { // of the checkpoint
		require.ErrorIs(t, Run(t.Context(), p, cfg), errRecipe)
		require.Equal(t, 1, asked)
	}
	require.NoError(t, Run(t.Context(), plan(start, "1"), cfg))
	require.Equal(t, 2, asked)
	require.Regexp(t, `\| t \| [0-9.]+ \(`, table())
	require.NotContains(t, table(), "## Failed")

	err = Run(t.Context(), plan(start, "2"), cfg)
	require.ErrorIs(t, err, errRecipe)
	require.ErrorContains(t, err, "t seed 1 was trained otherwise than the plan says now: other are the flags of pretrain; give the network another name, or remove ")
	require.Contains(t, table(), "| t | - | - |")
	require.Contains(t, table(), "- t seed 1: t seed 1 was trained otherwise than the plan says now: other are the flags of pretrain; ")
	was := table()
	require.NoError(t, WriteTable(t.Context(), plan(start, "2"), cfg))
	require.Equal(t, was, table())
	require.NoError(t, WriteTable(t.Context(), plan(start, "1"), cfg))
	require.Regexp(t, `\| t \| [0-9.]+ \(`, table())
	require.NotContains(t, table(), "## Failed")

	// Weights without a recipe are those of an older program, or were put there.
	require.NoError(t, os.Remove(filepath.Join(out, "weights", "t-1.safetensors.recipe.json")))
	require.NoError(t, Run(t.Context(), plan(start, "2"), cfg))
	require.Equal(t, 2, asked)
}
