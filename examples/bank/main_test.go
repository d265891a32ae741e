package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"image"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/clipenc"
	"github.com/gotab/gotab/internal/faulttest"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/prompt"
	"github.com/gotab/gotab/tab"
	"github.com/gotab/gotab/tensor"
)

func TestMain(m *testing.M) { os.Exit(testutil.OneThread(m)) }

// clip is a small CLIP with its vocabulary.
func clip(t *testing.T) string { return testutil.CLIP(t, "../../clipenc/testdata/merges.txt") }

func do(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, notes bytes.Buffer
	err = run(t.Context(), append([]string{"-device", "cpu"}, args...), &out, &notes)
	return out.String(), notes.String(), err
}

// The rows are those that the library makes of the same encoder and prompts, and the
// file says where they come from.
func TestBank(t *testing.T) {
	testutil.NoLeak(t)
	dir, out := clip(t), filepath.Join(t.TempDir(), "bank.safetensors")
	stdout, stderr, err := do(t, "-clip", dir, "-class", "pcb_01, glass", "-class", "metal nut", "-alias", "pcb_01=printed circuit board", "-out", out)
	require.NoError(t, err)
	require.Regexp(t, `pcb_01 +printed circuit board +0\.\d{3} +(glass|metal nut) +0\.\d{3}`, stdout)
	require.Contains(t, stderr, "exact GELU is taken")
	require.Contains(t, stderr, "3 classes, 24 wide")
	got, err := tab.OpenBank(out)
	require.NoError(t, err)
	require.Equal(t, []string{"pcb_01", "glass", "metal nut"}, got.Classes)
	require.Equal(t, "small-clip", got.Model)

	c, err := clipenc.ConfigOf(dir)
	require.NoError(t, err)
	c.Activation = clipenc.GELU
	enc, err := clipenc.Open(dir, c, tensor.CPU)
	require.NoError(t, err)
	defer enc.Close()
	p := prompt.DefaultIDPA()
	p.Aliases = map[string]string{"pcb_01": "printed circuit board"}
	n, a, err := tab.FromText(enc, p).Anchors(t.Context(), got.Classes)
	require.NoError(t, err)
	require.Equal(t, n, got.Normal)
	require.Equal(t, a, got.Abnormal)
	require.Equal(t, p.Hash(), got.Prompts)
	raw, err := os.ReadFile(filepath.Join(dir, "model.safetensors"))
	require.NoError(t, err)
	require.Equal(t, map[string]string{
		"model_sha256": fmt.Sprintf("%x", sha256.Sum256(raw)), "activation": "gelu", "encoder": "CLIP text tower",
		"prompt_list": "industrial", "aliases": `{"pcb_01":"printed circuit board"}`,
	}, got.Provenance)

	// What is there is not lost by mistake.
	_, _, err = do(t, "-clip", dir, "-class", "glass", "-out", out)
	require.ErrorIs(t, err, errUsage)
	require.ErrorContains(t, err, "-force to write over it")
	_, _, err = do(t, "-clip", dir, "-class", "glass", "-out", out, "-force")
	require.NoError(t, err)
	got, err = tab.OpenBank(out)
	require.NoError(t, err)
	require.Equal(t, []string{"glass"}, got.Classes)
}

// Classes of a folder are those that pretrain finds, in its layouts.
func TestClassesOfData(t *testing.T) {
	testutil.NoLeak(t)
	root := t.TempDir()
	for _, name := range []string{"cloth/train/good/0.png", "cloth/test/hole/0.png", "steel/train/good/0.png"} {
		path := filepath.Join(root, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		var b bytes.Buffer
		require.NoError(t, png.Encode(&b, image.NewGray(image.Rect(0, 0, 8, 8))))
		require.NoError(t, os.WriteFile(path, b.Bytes(), 0o644))
	}
	stdout, _, err := do(t, "-data", root, "-class", "wood", "-show", "-prompts", "two-class")
	require.NoError(t, err)
	require.Equal(t, "wood\tnormal\tnormal wood.\nwood\tabnormal\tanomalous wood.\ncloth\tnormal\tnormal cloth.\ncloth\tabnormal\tanomalous cloth.\n"+
		"steel\tnormal\tnormal steel.\nsteel\tabnormal\tanomalous steel.\n", stdout)
	_, _, err = do(t, "-data", filepath.Join(root, "none"), "-show")
	require.ErrorContains(t, err, "none")
}

func TestActivationAndSizes(t *testing.T) {
	testutil.NoLeak(t)
	dir := clip(t)
	bank := func(args ...string) (*tab.Bank, string, error) {
		out := filepath.Join(t.TempDir(), "bank.safetensors")
		_, stderr, err := do(t, append([]string{"-clip", dir, "-class", "glass", "-prompts", "two-class", "-out", out}, args...)...)
		if err != nil {
			require.NoFileExists(t, out)
			return nil, stderr, err
		}
		b, err := tab.OpenBank(out)
		require.NoError(t, err)
		return b, stderr, nil
	}
	exact, _, err := bank("-clip-gelu")
	require.NoError(t, err)
	quick, notes, err := bank("-clip-gelu=false")
	require.NoError(t, err)
	require.NotContains(t, notes, "note:")
	require.NotEqual(t, exact.Normal, quick.Normal)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"), []byte(`{"model_type":"clip","text_config":{"hidden_act":"quick_gelu","num_attention_heads":1}}`), 0o644))
	told, notes, err := bank()
	require.NoError(t, err)
	require.NotContains(t, notes, "note:")
	require.Equal(t, quick.Normal, told.Normal)
	_, _, err = bank("-clip-gelu")
	require.ErrorContains(t, err, "leave -clip-gelu out")
	_, _, err = bank("-clip-model", "b16")
	require.ErrorIs(t, err, clipenc.ErrConfig)
	require.ErrorContains(t, err, "leave -clip-model out")
	_, _, err = bank("-clip-gelu=false", "-clip-model", "b16")
	require.ErrorContains(t, err, "leave -clip-model out", "which is the one that does not fit")
	_, _, err = bank("-clip-gelu", "-clip-model", "b16")
	require.ErrorContains(t, err, "leave -clip-model and -clip-gelu out")
}

func TestWrongArguments(t *testing.T) {
	dir, out := clip(t), filepath.Join(t.TempDir(), "bank.safetensors")
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"-clip", dir, "-out", out}, "-class or -data is missing"},
		{[]string{"-class", "a", "-out", out}, "-clip is missing"},
		{[]string{"-class", "a", "-clip", dir}, "-out is missing"},
		{[]string{"-class", "a", "-clip", dir, "-out", "x.pth"}, "would hold safetensors"},
		{[]string{"-class", "a,a", "-clip", dir, "-out", out}, `class "a" is named twice`},
		{[]string{"-class", "a,", "-clip", dir, "-out", out}, "-alias gives it other words"},
		{[]string{"-class", "a", "-alias", "b=c", "-clip", dir, "-out", out}, "-alias b is for none of the classes a"},
		{[]string{"-class", "a", "-alias", "a", "-clip", dir, "-out", out}, "want NAME=WORDS"},
		{[]string{"-class", "a", "-prompts", "best", "-clip", dir, "-out", out}, "industrial"},
		{[]string{"-class", "a", "-clip-model", "h14", "-clip", dir, "-out", out}, "-clip-model is"},
		{[]string{"-class", "a", "-clip", dir, "-out", out, "stray"}, "stray"},
	} {
		_, _, err := do(t, c.args...)
		require.ErrorIs(t, err, errUsage, c.args)
		require.ErrorContains(t, err, c.says)
	}
	_, _, err := do(t, "-class", "a", "-clip", filepath.Join(dir, "none"), "-out", out)
	require.ErrorIs(t, err, os.ErrNotExist)
	_, _, err = do(t, "-class", "a", "-clip", dir, "-out", filepath.Join(dir, "no", "bank.safetensors"))
	require.ErrorContains(t, err, "make its folder first")
}

func fileWriters(t *testing.T) []faulttest.Writer {
	dir := clip(t)
	return []faulttest.Writer{{Name: "bank", Write: func(out string, version int) error {
		return run(context.Background(), []string{"-clip", dir, "-class", fmt.Sprintf("part %d", version), "-prompts", "two-class", "-force", "-device", "cpu",
			"-out", filepath.Join(out, "bank.safetensors")}, io.Discard, io.Discard)
	}}}
}

func TestFilesAreWholeOrNotThere(t *testing.T) { faulttest.Check(t, fileWriters(t)...) }
