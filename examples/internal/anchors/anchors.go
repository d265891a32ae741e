// Package anchors makes text anchors with a CLIP model, for the programs that take
// one.
package anchors

import (
	"context"
	"flag"
	"fmt"
	"io"
	"strings"

	"github.com/gotab/gotab/clipenc"
	"github.com/gotab/gotab/prompt"
	"github.com/gotab/gotab/tab"
	"github.com/gotab/gotab/tab/clipbank"
	"github.com/gotab/gotab/tensor"
)

// Flags are the flags that name a CLIP model.
type Flags struct {
	Weights    string // file or folder
	Vocabulary string // empty: beside the weights
	Model      string // auto: the file tells the sizes; else what it must be
	GELU       bool   // counts where given is set
	given      bool
}

// Add adds the flags.
func (f *Flags) Add(fs *flag.FlagSet) {
	fs.StringVar(&f.Weights, "clip", "", "`file` or folder with a CLIP model's weights (safetensors, under OpenAI's, OpenCLIP's or Hugging Face's names)")
	fs.StringVar(&f.Model, "clip-model", "auto", "architecture of -clip: auto (what the file holds), or what it must be: b32, b16 or l14")
	fs.BoolFunc("clip-gelu", "exact GELU as in OpenCLIP's models; -clip-gelu=false for OpenAI's (QuickGELU); default: what config.json or open_clip_config.json beside the weights says, else exact", func(s string) error {
		f.given = true
		switch strings.ToLower(s) {
		case "1", "t", "true":
			f.GELU = true
		case "0", "f", "false":
			f.GELU = false
		default:
			return fmt.Errorf("want true or false")
		}
		return nil
	})
	fs.StringVar(&f.Vocabulary, "clip-vocab", "", "vocabulary `file` of -clip where it does not lie beside the weights")
}

// Validate says what makes no sense.
func (f Flags) Validate() error {
	switch f.Model {
	case "auto", "b32", "b16", "l14":
		return nil
	}
	return fmt.Errorf("-clip-model is %q, want auto, b32, b16 or l14", f.Model)
}

// Config is that of the weights as the flags have it. What was taken for granted is
// written to notes.
func (f Flags) Config(notes io.Writer) (clipenc.Config, error) {
	c, err := clipenc.ConfigOf(f.Weights)
	if err != nil {
		return c, err
	}
	if want := map[string]func() clipenc.Config{"b32": clipenc.ViTB32, "b16": clipenc.ViTB16, "l14": clipenc.ViTL14}[f.Model]; want != nil {
		if w := want(); w.Width != c.Width || w.Layers != c.Layers || w.Embed != c.Embed {
			return c, fmt.Errorf("-clip %s: %w: it is a text tower of width %d with %d layers and features of %d, and -clip-model %s has %d, %d and %d; leave -clip-model out",
				f.Weights, clipenc.ErrConfig, c.Width, c.Layers, c.Embed, f.Model, w.Width, w.Layers, w.Embed)
		}
	}
	asked := clipenc.QuickGELU
	if f.GELU {
		asked = clipenc.GELU
	}
	switch {
	case f.given && c.Activation != "" && c.Activation != asked:
		return c, fmt.Errorf("-clip %s: %w: its publisher's settings say %s and -clip-gelu says %s; leave -clip-gelu out", f.Weights, clipenc.ErrConfig, c.Activation, asked)
	case f.given:
		c.Activation = asked
	case c.Activation == "":
		c.Activation = clipenc.GELU
		if _, err := fmt.Fprintf(notes, "note: nothing beside %s says which activation it was trained with: exact GELU is taken, as in OpenCLIP's models; -clip-gelu=false is for OpenAI's\n", f.Weights); err != nil {
			return c, err
		}
	}
	c.Vocabulary = f.Vocabulary
	return c, nil
}

// Bank encodes the prompts of the classes. Nothing is held when it returns.
func (f Flags) Bank(ctx context.Context, classes []string, prompts prompt.IDPA, dev tensor.Device, notes io.Writer) (*tab.Bank, error) {
	c, err := f.Config(notes)
	if err != nil {
		return nil, err
	}
	return clipbank.Make(ctx, f.Weights, c, classes, prompts, dev)
}
