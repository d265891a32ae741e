package clipenc_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/clipenc"
	"github.com/gotab/gotab/tensor"
)

// The sizes come from the weights under whoever's names, heads and activation from
// the publisher's file beside them.
func TestConfigOf(t *testing.T) {
	want := smallConfig("")
	want.Vocabulary, want.Heads = "", 1
	for name, tower := range map[string][]array{
		"openai": formulaTower(want), "openclip": withPrefix("text.", formulaTower(want)), "hf": asHuggingFace(formulaTower(want)),
	} {
		path := filepath.Join(t.TempDir(), "model.safetensors")
		writeTower(t, path, tower)
		got, err := clipenc.ConfigOf(path)
		require.NoError(t, err, name)
		require.Equal(t, want, got, name)
		got, err = clipenc.ConfigOf(filepath.Dir(path))
		require.NoError(t, err, name)
		require.Equal(t, want, got, name)
	}

	dir := t.TempDir()
	path := filepath.Join(dir, "model.safetensors")
	writeTower(t, path, formulaTower(want))
	for _, c := range []struct {
		file, text string
		activation clipenc.Activation
		heads      int
	}{
		{"open_clip_config.json", `{"model_cfg": {"embed_dim": 48, "text_cfg": {"heads": 4, "width": 64}}}`, clipenc.GELU, 4},
		{"open_clip_config.json", `{"model_cfg": {"quick_gelu": true, "text_cfg": {"heads": 8}}}`, clipenc.QuickGELU, 8},
		{"config.json", `{"model_type": "clip", "text_config": {"hidden_act": "gelu", "num_attention_heads": 4}}`, clipenc.GELU, 4},
		{"config.json", `{"model_type": "clip", "text_config": {"vocab_size": 664}}`, clipenc.QuickGELU, 1},
		{"config.json", `{"model_type": "clip_text_model", "hidden_act": "quick_gelu", "num_attention_heads": 2}`, clipenc.QuickGELU, 2},
		{"config.json", `{"something": "else"}`, "", 1},
	} {
		file := filepath.Join(dir, c.file)
		require.NoError(t, os.WriteFile(file, []byte(c.text), 0o644))
		got, err := clipenc.ConfigOf(path)
		require.NoError(t, err, c.text)
		require.Equal(t, c.activation, got.Activation, c.text)
		require.Equal(t, c.heads, got.Heads, c.text)
		require.NoError(t, os.Remove(file))
	}
	got, err := clipenc.ConfigOf(path)
	require.NoError(t, err)
	got.Activation, got.Vocabulary = clipenc.GELU, filepath.Join("testdata", "merges.txt")
	e, err := clipenc.Open(path, got, tensor.CPU)
	require.NoError(t, err)
	require.NoError(t, e.Close())
}

func TestConfigOfRefuses(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "model.safetensors")
	refused := func(sentinel error, says string) {
		t.Helper()
		_, err := clipenc.ConfigOf(path)
		require.ErrorIs(t, err, sentinel)
		require.ErrorContains(t, err, says)
		require.ErrorContains(t, err, path)
	}
	refused(os.ErrNotExist, "no such file")
	cfg := smallConfig("")
	writeTower(t, path, []array{{"visual.proj", []int64{1}, []float32{1}}})
	refused(clipenc.ErrWeights, "no text tower")
	writeTower(t, path, []array{{"token_embedding.weight", []int64{4}, make([]float32, 4)}})
	refused(clipenc.ErrWeights, "token_embedding.weight is [4], want two dimensions")
	writeTower(t, path, formulaTower(cfg)[:5])
	refused(clipenc.ErrWeights, "transformer.resblocks.0.mlp.c_fc.weight is missing")

	writeTower(t, path, formulaTower(cfg))
	file := filepath.Join(dir, "config.json")
	for text, says := range map[string]string{
		`{`: "config.json",
		`{"text_config": {"hidden_act": "relu"}}`:         `hidden_act is "relu"`,
		`{"text_config": {"num_attention_heads": 7}}`:     "Heads is 7",
		`{"text_config": {"num_attention_heads": -4}}`:    "Heads is -4",
		string(bytes.Repeat([]byte{' '}, 1<<20+1)) + "{}": "more than 1 MiB",
	} {
		require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
		refused(clipenc.ErrConfig, says)
	}
}
