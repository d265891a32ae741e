package clipenc_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/gotab/gotab/clipenc"
	"github.com/gotab/gotab/internal/safetensors"
	"github.com/gotab/gotab/tensor"
)

func ExampleNewTokenizer() {
	// The end-of-word mark is part of a token, not one of its own.
	merges := "#version: 0.2\nn u\nt </w>\n"
	_, err := clipenc.NewTokenizer(strings.NewReader(merges))
	fmt.Println(err)

	// Six merges of one's own; CLIP's vocabulary has 48,894.
	tok, err := clipenc.NewTokenizer(strings.NewReader("#version: 0.2\nn u\nnu t</w>\nm e\nt a\nme ta\nmeta l</w>\n"))
	if err != nil {
		fmt.Println(err)
		return
	}
	tokens, err := tok.EncodeTo("Metal  nut!", 8)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(tokens.IDs, tokens.End, tok.Decode(tokens.IDs[:tokens.End]))
	// Output:
	// clipenc: merge 2 "t </w>": no earlier merge makes "</w>": unusable vocabulary
	// [518 517 513 256 519 0 0 0] 4 metal nut !
}

func ExampleOpen() {
	dir, err := os.MkdirTemp("", "clipenc")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "model.safetensors")
	if err := writeExampleTower(path); err != nil {
		fmt.Println(err)
		return
	}

	cfg := clipenc.ViTB16() // for OpenCLIP's LAION weights: cfg.Activation = clipenc.GELU
	cfg.Width, cfg.Heads, cfg.Layers, cfg.Hidden, cfg.Embed, cfg.Vocab = 64, 4, 3, 256, 48, 664
	cfg.Vocabulary = filepath.Join("testdata", "merges.txt") // not needed where it lies beside the weights
	text, err := clipenc.Open(path, cfg, tensor.CPU)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer text.Close()

	features, err := text.Encode(context.Background(), []string{"a photo of a flawless metal nut.", "a photo of a damaged metal nut."})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(len(features), len(features[0]))
	// Output: 2 48
}

// writeExampleTower stands for a download: a small tower with made-up weights.
func writeExampleTower(path string) error {
	var tensors []safetensors.Tensor
	for _, a := range formulaTower(smallConfig(clipenc.QuickGELU)) {
		tensors = append(tensors, float32Tensor(a))
	}
	var b bytes.Buffer
	if _, err := safetensors.Write(&b, nil, tensors); err != nil {
		return err
	}
	return os.WriteFile(path, b.Bytes(), 0o644)
}
