package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/evaluate/study"
	"github.com/gotab/gotab/internal/testutil"
)

func TestMain(m *testing.M) { os.Exit(testutil.OneThread(m)) }

func TestArguments(t *testing.T) {
	t.Setenv("PATH", "")
	dir := t.TempDir()
	plan, out := filepath.Join(dir, "plan.json"), filepath.Join(dir, "out")
	require.NoError(t, os.WriteFile(plan, []byte(`{"start": "a", "data": ["d"], "padim": {"seeds": 1}, "networks": [{"name": "n", "seeds": [1]}]}`), 0o644))
	for _, args := range [][]string{{}, {"-plan", plan}, {"-plan", plan, "-out", out, "more"}, {"-plan", plan, "-out", out, "-threads", "-1"}, {"-plan", plan, "-out", out, "-device", "cpu"}} {
		require.ErrorIs(t, run(t.Context(), args, &bytes.Buffer{}), errUsage, args)
	}
	require.ErrorIs(t, run(t.Context(), []string{"-plan", plan, "-out", out, "-device", "cpu"}, &bytes.Buffer{}), study.ErrProgram)
	require.Error(t, run(t.Context(), []string{"-plan", plan, "-out", out, "-device", "tpu"}, &bytes.Buffer{}))
	require.NoError(t, run(t.Context(), []string{"-plan", plan, "-out", out, "-table", "-device", "cpu"}, &bytes.Buffer{}))
	require.FileExists(t, filepath.Join(out, "table.md"))
}
