package backbone

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/gotab/gotab/tensor"
)

// Names says how a written weight file calls the parameters. Reading needs no such
// choice: [Open] knows all of them.
type Names int

// The libraries whose names are written.
const (
	// Torchvision is torchvision's: "layer1.0.conv1.weight". [ResNet.Params] has it.
	Torchvision Names = iota
	// Timm is that of the timm library, which for these networks is torchvision's.
	Timm
	// HuggingFace is that of ResNetForImageClassification in the transformers library:
	// "resnet.encoder.stages.0.layers.0.layer.0.convolution.weight". It has no
	// WideResNet.
	HuggingFace
)

var namings = [...]string{"torchvision", "timm", "huggingface"}

// String returns "torchvision", "timm" or "huggingface".
func (n Names) String() string {
	if n < 0 || int(n) >= len(namings) {
		return fmt.Sprintf("names(%d)", int(n))
	}
	return namings[n]
}

// ParseNames reads what String writes. It returns [ErrNames] for anything else.
func ParseNames(s string) (Names, error) {
	i := slices.Index(namings[:], s)
	if i < 0 {
		return 0, fmt.Errorf("backbone: %w: %q, want one of %v", ErrNames, s, namings)
	}
	return Names(i), nil
}

// Rename returns arrays that have torchvision's names, such as those of
// [ResNet.Params], with the names of n; values are not copied. It returns [ErrNames] if n is none
// of the constants or an array has no name there, and [ErrArch] for a WideResNet where n is
// HuggingFace.
func (n Names) Rename(arrays []tensor.Array) ([]tensor.Array, error) {
	out, err := n.rename(arrays)
	if err != nil {
		return nil, fmt.Errorf("backbone: rename weights: %w", err)
	}
	return out, nil
}

func (n Names) rename(in []tensor.Array) ([]tensor.Array, error) {
	out := slices.Clone(in)
	switch n {
	case Torchvision, Timm:
		return out, nil
	case HuggingFace:
	default:
		return nil, fmt.Errorf("%w: %s, want one of %v", ErrNames, n, namings)
	}
	if a := detect(arrays(in).Infos()); a == ArchWideResNet50 {
		return nil, fmt.Errorf("%w: the transformers library has no %s", ErrArch, a)
	}
	for i := range out {
		name, ok := toHuggingFace(out[i].Name)
		if !ok {
			return nil, fmt.Errorf("%w: %.80q is no parameter of torchvision's ResNet, so it has no name in the transformers library", ErrNames, out[i].Name)
		}
		out[i].Name = name
	}
	return out, nil
}

// toHuggingFace is the way back of fromHuggingFace, behind the prefix of the model
// with a classification layer.
func toHuggingFace(name string) (string, bool) {
	part, rest, _ := strings.Cut(name, ".")
	switch part {
	case "conv1":
		return "resnet.embedder.embedder.convolution." + rest, true
	case "bn1":
		return "resnet.embedder.embedder.normalization." + rest, true
	case "fc":
		return "classifier.1." + rest, true // the first is what flattens
	}
	parts := strings.SplitN(name, ".", 4) // stage, block, unit and what is left
	stage := strings.TrimPrefix(part, "layer")
	if len(parts) < 4 || len(stage) != 1 || stage < "1" || stage > "4" || part == stage {
		return "", false
	}
	at := "resnet.encoder.stages." + string(stage[0]-1) + ".layers." + parts[1] + "."
	unit, rest := parts[2], parts[3]
	if unit == "downsample" {
		if p, ok := strings.CutPrefix(rest, "0."); ok {
			return at + "shortcut.convolution." + p, true
		}
		if p, ok := strings.CutPrefix(rest, "1."); ok {
			return at + "shortcut.normalization." + p, true
		}
		return "", false
	}
	for prefix, kind := range map[string]string{"conv": ".convolution.", "bn": ".normalization."} {
		if k, ok := strings.CutPrefix(unit, prefix); ok && len(k) == 1 && k >= "1" && k <= "3" {
			return at + "layer." + string(k[0]-1) + kind + rest, true
		}
	}
	return "", false
}

// WriteAs writes the weights as safetensors, as WriteTo does, with the names of a
// library, whose network of the same kind loads them strictly. It returns [ErrNames] or
// [ErrArch] as [Names.Rename] does, [ErrClosed] after Close, and ctx's or w's error.
func (m *ResNet) WriteAs(ctx context.Context, w io.Writer, names Names) error {
	a, err := m.named(ctx, names)
	if err == nil {
		_, err = tensor.WriteWeights(w, m.metadata(), a)
	}
	if err != nil {
		return fmt.Errorf("backbone: write weights: %w", err)
	}
	return nil
}

// SaveAs writes what WriteAs writes to a file that appears whole or not at all.
func (m *ResNet) SaveAs(ctx context.Context, path string, names Names) error {
	a, err := m.named(ctx, names)
	if err == nil {
		err = tensor.SaveWeights(path, m.metadata(), a)
	}
	if err != nil {
		return fmt.Errorf("backbone: save %s: %w", path, err)
	}
	return nil
}

func (m *ResNet) named(ctx context.Context, names Names) ([]tensor.Array, error) {
	a, err := m.params.Arrays(ctx)
	if err != nil {
		return nil, err
	}
	return names.rename(a)
}

func (m *ResNet) metadata() map[string]string {
	return map[string]string{"format": "pt", "architecture": m.arch.String()}
}
