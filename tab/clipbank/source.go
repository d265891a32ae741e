package clipbank

import (
	"context"
	"fmt"
	"slices"

	"github.com/gotab/gotab/clipenc"
	"github.com/gotab/gotab/prompt"
	"github.com/gotab/gotab/tab"
	"github.com/gotab/gotab/tensor"
)

// Source names a CLIP model.
type Source struct {
	Weights    string // file or folder
	Vocabulary string // file; empty: beside the weights
	// Model is what the weights must be: one of [Models]; empty or "auto" for what the file
	// holds.
	Model string
	// Activation is what the model was trained with; empty for what its publisher's settings
	// beside the weights say, else exact GELU, as in OpenCLIP's models.
	Activation clipenc.Activation
}

// Models are the names of [Source.Model]: ViT-B/32, ViT-B/16 and ViT-L/14.
func Models() []string { return []string{"auto", "b32", "b16", "l14"} }

// Validate refuses an unknown Model; the error wraps clipenc.ErrConfig.
func (s Source) Validate() error {
	if s.Model != "" && !slices.Contains(Models(), s.Model) {
		return fmt.Errorf("clipbank: %w: Model is %q, want one of %v", clipenc.ErrConfig, s.Model, Models())
	}
	return nil
}

// Config is that of the weights. assumed says that nothing tells the activation, so that
// exact GELU is taken. What contradicts the weights or their publisher's settings is an
// error that wraps clipenc.ErrConfig.
func (s Source) Config() (c clipenc.Config, assumed bool, err error) {
	if err := s.Validate(); err != nil {
		return c, false, err
	}
	if c, err = clipenc.ConfigOf(s.Weights); err != nil {
		return c, false, err
	}
	if want := map[string]func() clipenc.Config{"b32": clipenc.ViTB32, "b16": clipenc.ViTB16, "l14": clipenc.ViTL14}[s.Model]; want != nil {
		if w := want(); w.Width != c.Width || w.Layers != c.Layers || w.Embed != c.Embed {
			return c, false, fmt.Errorf("clipbank: %s: %w: it is a text tower of width %d with %d layers and features of %d, and %s has %d, %d and %d",
				s.Weights, clipenc.ErrConfig, c.Width, c.Layers, c.Embed, s.Model, w.Width, w.Layers, w.Embed)
		}
	}
	switch {
	case s.Activation != "" && c.Activation != "" && c.Activation != s.Activation:
		return c, false, fmt.Errorf("clipbank: %s: %w: its publisher's settings say %s, not %s", s.Weights, clipenc.ErrConfig, c.Activation, s.Activation)
	case s.Activation != "":
		c.Activation = s.Activation
	case c.Activation == "":
		c.Activation, assumed = clipenc.GELU, true
	}
	c.Vocabulary = s.Vocabulary
	return c, assumed, nil
}

// Bank encodes the sentences of the classes, as [Make] does.
func (s Source) Bank(ctx context.Context, classes []string, prompts prompt.IDPA, dev tensor.Device) (*tab.Bank, error) {
	c, _, err := s.Config()
	if err != nil {
		return nil, err
	}
	return Make(ctx, s.Weights, c, classes, prompts, dev)
}
