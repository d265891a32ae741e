package tab

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/tensor"
)

// headPrefix stands before the names of what is no part of the network.
const headPrefix = "tab."

// WeightsConfig says what [Pretrainer.SaveWeights] writes.
type WeightsConfig struct {
	// Names are the names of the network's parameters.
	Names backbone.Names
	// Head adds what is trained beside the network: the projection to the width of the
	// anchors ("tab.projection.weight", "tab.projection.bias"), where there is one, and
	// the objective's parameters ("tab.objective....", of a [Dense] the maps of its stages). Readers
	// that take no names but the network's refuse such a file; backbone.Open passes
	// over them.
	Head bool
	// Metadata are further entries of the file; "format", "classes", "objective" and, of
	// a backbone.ResNet, "architecture" are written in any case.
	Metadata map[string]string
}

// DefaultWeightsConfig returns torchvision's names and the network alone, which
// torchvision loads strictly.
func DefaultWeightsConfig() WeightsConfig { return WeightsConfig{Names: backbone.Torchvision} }

// SaveWeights writes the network as it is now to a safetensors file that appears
// whole or not at all. The metadata say the classes (a JSON list) and the objective.
// It returns [ErrNotPrepared] before Prepare or the first step, [ErrClosed] after Close, the errors of
// [backbone.Names.Rename] for names that cannot be written, or ctx's. It must not run
// beside a step.
func (p *Pretrainer) SaveWeights(ctx context.Context, path string, cfg WeightsConfig) error {
	arrays, metadata, err := p.weights(ctx, cfg)
	if err == nil {
		err = tensor.SaveWeights(path, metadata, arrays)
	}
	if err != nil {
		return fmt.Errorf("tab: save weights %s: %w", path, err)
	}
	return nil
}

// SaveProjection writes the projection to the width of the anchors, where there is one, to a safetensors file of its
// own that appears whole or not at all ("projection.weight", "projection.bias"), and says whether there is one. Without
// one there is no file. Errors and concurrency are those of [Pretrainer.SaveWeights].
func (p *Pretrainer) SaveProjection(ctx context.Context, path string) (bool, error) {
	saved, err := p.saveProjection(ctx, path)
	if err != nil {
		return false, fmt.Errorf("tab: save projection %s: %w", path, err)
	}
	return saved, nil
}

func (p *Pretrainer) saveProjection(ctx context.Context, path string) (bool, error) {
	switch {
	case p.closed:
		return false, ErrClosed
	case p.classes == nil:
		return false, ErrNotPrepared
	}
	head, err := p.head.Arrays(ctx)
	if err != nil {
		return false, err
	}
	head = slices.DeleteFunc(head, func(a tensor.Array) bool { return a.Name != "projection.weight" && a.Name != "projection.bias" })
	if len(head) == 0 {
		return false, nil
	}
	return true, tensor.SaveWeights(path, map[string]string{"format": "pt"}, head)
}

func (p *Pretrainer) weights(ctx context.Context, cfg WeightsConfig) ([]tensor.Array, map[string]string, error) {
	switch {
	case p.closed:
		return nil, nil, ErrClosed
	case p.classes == nil:
		return nil, nil, ErrNotPrepared
	}
	net, err := p.parts.Visual.Params().Arrays(ctx)
	if err != nil {
		return nil, nil, err
	}
	arrays, err := cfg.Names.Rename(net)
	if err != nil {
		return nil, nil, err
	}
	if cfg.Head {
		head, err := p.head.Arrays(ctx)
		if err != nil {
			return nil, nil, err
		}
		for _, a := range head {
			a.Name = headPrefix + a.Name
			arrays = append(arrays, a)
		}
	}
	classes, err := json.Marshal(p.classes)
	if err != nil {
		return nil, nil, err
	}
	metadata := map[string]string{}
	maps.Copy(metadata, cfg.Metadata)
	metadata["format"], metadata["classes"], metadata["objective"] = "pt", string(classes), p.cfg.Objective.Name()
	if net, ok := p.parts.Visual.(*backbone.ResNet); ok {
		metadata["architecture"] = net.Arch().String()
	}
	return arrays, metadata, nil
}
