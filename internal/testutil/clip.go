package testutil

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/internal/atomicfile"
	"github.com/gotab/gotab/internal/safetensors"
)

// CLIP writes a small CLIP with weights from a formula, under OpenAI's names, and its
// vocabulary, a file of merges, beside it. It returns the folder.
func CLIP(t testing.TB, vocabulary string) string {
	t.Helper()
	const width, hidden, vocab, embed, length = 32, 64, 664, 24, 77
	shapes := map[string][]int64{
		"token_embedding.weight": {vocab, width}, "positional_embedding": {length, width},
		"ln_final.weight": {width}, "ln_final.bias": {width}, "text_projection": {width, embed},
	}
	for i := range 2 {
		p := fmt.Sprintf("transformer.resblocks.%d.", i)
		for name, shape := range map[string][]int64{
			"ln_1.weight": {width}, "ln_1.bias": {width}, "ln_2.weight": {width}, "ln_2.bias": {width},
			"attn.in_proj_weight": {3 * width, width}, "attn.in_proj_bias": {3 * width},
			"attn.out_proj.weight": {width, width}, "attn.out_proj.bias": {width},
			"mlp.c_fc.weight": {hidden, width}, "mlp.c_fc.bias": {hidden}, "mlp.c_proj.weight": {width, hidden}, "mlp.c_proj.bias": {width},
		} {
			shapes[p+name] = shape
		}
	}
	var tensors []safetensors.Tensor
	for name, shape := range shapes {
		n := int64(1)
		for _, d := range shape {
			n *= d
		}
		seed := sha256.Sum256([]byte(name))
		values := make([]float32, n)
		for i := range values {
			values[i] = float32((uint32(i)*2654435761+uint32(seed[0])<<8+uint32(seed[1]))%1009)/1009 - 0.5
			if strings.Contains(name, "ln_") && strings.HasSuffix(name, "weight") {
				values[i]++
			}
		}
		tensors = append(tensors, safetensors.Tensor{Name: name, DType: safetensors.F32, Shape: shape, Data: safetensors.Float32Bytes(values)})
	}
	var b bytes.Buffer
	_, err := safetensors.Write(&b, nil, tensors)
	require.NoError(t, err)
	dir := filepath.Join(t.TempDir(), "small-clip")
	require.NoError(t, os.Mkdir(dir, 0o755))
	put := func(name string, data []byte) {
		require.NoError(t, atomicfile.Write(filepath.Join(dir, name), func(w io.Writer) error {
			_, err := w.Write(data)
			return err
		}))
	}
	put("model.safetensors", b.Bytes())
	merges, err := os.ReadFile(vocabulary)
	require.NoError(t, err)
	put("merges.txt", merges)
	return dir
}
