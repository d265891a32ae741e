// Package clipbank makes text banks with the text tower of a CLIP model: the anchors that package tab trains
// against, so that a training needs no text encoder at hand.
package clipbank

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/gotab/gotab/clipenc"
	"github.com/gotab/gotab/prompt"
	"github.com/gotab/gotab/tab"
	"github.com/gotab/gotab/tab/card"
	"github.com/gotab/gotab/tensor"
)

// Make encodes the sentences of the classes with the text tower at weights, a file, an index of shards or a folder in safetensors,
// on a device. cfg is that of the model ([clipenc.ConfigOf]), with its activation. The bank's Model is what the path
// tells, and its Provenance says the SHA-256 of the weights ("model_sha256"; of several files, of their sums and names), the
// activation and the encoder. Nothing is held when Make returns. Errors are those of [clipenc.Open] and [tab.MakeBank], the
// file system's, or ctx's.
func Make(ctx context.Context, weights string, cfg clipenc.Config, classes []string, prompts prompt.IDPA, dev tensor.Device) (_ *tab.Bank, err error) {
	enc, err := clipenc.Open(weights, cfg, dev)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, enc.Close()) }()
	b, err := tab.MakeBank(ctx, tab.FromText(enc, prompts), classes, nameOf(weights), prompts.Hash())
	if err != nil {
		return nil, err
	}
	sum, err := sumOf(weights)
	if err != nil {
		return nil, fmt.Errorf("clipbank: sum of %s: %w", weights, err)
	}
	b.Provenance = map[string]string{"model_sha256": sum, "activation": string(cfg.Activation), "encoder": "CLIP text tower"}
	return b, nil
}

// nameOf is the model's, as far as its path tells: the last part, and that of the folder
// where the file is called as all are.
func nameOf(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	base := filepath.Base(path)
	if strings.HasPrefix(base, "model.safetensors") || strings.HasPrefix(base, "open_clip_model.safetensors") {
		return filepath.Base(filepath.Dir(path)) + "/" + base
	}
	return base
}

// sumOf is the SHA-256 of the file of weights, or in a folder, or beside an index, of
// the names and sums of all files of weights.
func sumOf(weights string) (string, error) {
	info, err := os.Stat(weights)
	if err != nil {
		return "", err
	}
	dir := weights
	if !info.IsDir() {
		if !strings.HasSuffix(weights, ".index.json") {
			file, err := card.FileAt(weights)
			if err != nil {
				return "", err
			}
			return file.SHA256, nil
		}
		dir = filepath.Dir(weights)
	}
	entries, err := os.ReadDir(dir) // sorted by name
	if err != nil {
		return "", err
	}
	all := sha256.New()
	var only string
	n := 0
	for _, e := range entries {
		if filepath.Ext(e.Name()) != ".safetensors" {
			continue
		}
		file, err := card.FileAt(filepath.Join(dir, e.Name()))
		if err != nil {
			return "", err
		}
		only = file.SHA256
		n++
		fmt.Fprintf(all, "%s  %s\n", only, e.Name())
	}
	if n == 1 {
		return only, nil
	}
	return fmt.Sprintf("%x", all.Sum(nil)), nil
}
