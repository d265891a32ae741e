package clipbank_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/clipenc"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/prompt"
	"github.com/gotab/gotab/tab"
	"github.com/gotab/gotab/tab/clipbank"
	"github.com/gotab/gotab/tensor"
)

func TestMain(m *testing.M) { os.Exit(testutil.OneThread(m)) }

// The rows are those of the encoder, and the bank says where they come from.
func TestMake(t *testing.T) {
	testutil.NoLeak(t)
	dir := testutil.CLIP(t, "../../clipenc/testdata/merges.txt")
	c, err := clipenc.ConfigOf(dir)
	require.NoError(t, err)
	c.Activation = clipenc.GELU
	prompts, classes := prompt.DefaultIDPA(), []string{"glass", "screw"}
	b, err := clipbank.Make(t.Context(), dir, c, classes, prompts, tensor.CPU)
	require.NoError(t, err)
	enc, err := clipenc.Open(dir, c, tensor.CPU)
	require.NoError(t, err)
	normal, abnormal, err := tab.FromText(enc, prompts).Anchors(t.Context(), classes)
	require.NoError(t, err)
	require.NoError(t, enc.Close())
	require.Equal(t, normal, b.Normal)
	require.Equal(t, abnormal, b.Abnormal)
	require.Equal(t, "small-clip", b.Model)
	require.Equal(t, prompts.Hash(), b.Prompts)
	file := filepath.Join(dir, "model.safetensors")
	raw, err := os.ReadFile(file)
	require.NoError(t, err)
	sum := fmt.Sprintf("%x", sha256.Sum256(raw))
	require.Equal(t, map[string]string{"model_sha256": sum, "activation": "gelu", "encoder": "CLIP text tower"}, b.Provenance)

	// By the name of its file it is the same.
	again, err := clipbank.Make(t.Context(), file, c, classes, prompts, tensor.CPU)
	require.NoError(t, err)
	require.Equal(t, sum, again.Provenance["model_sha256"])
	require.Equal(t, b.Normal, again.Normal)
	require.Equal(t, "small-clip/model.safetensors", again.Model)

	_, err = clipbank.Make(t.Context(), filepath.Join(dir, "none"), c, classes, prompts, tensor.CPU)
	require.ErrorIs(t, err, os.ErrNotExist)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = clipbank.Make(ctx, dir, c, classes, prompts, tensor.CPU)
	require.ErrorIs(t, err, context.Canceled)
}
