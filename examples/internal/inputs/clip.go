package inputs

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"

	"github.com/gotab/gotab/clipenc"
	"github.com/gotab/gotab/prompt"
	"github.com/gotab/gotab/scalars"
	"github.com/gotab/gotab/tab"
	"github.com/gotab/gotab/tab/clipbank"
	"github.com/gotab/gotab/tensor"
)

// AddCLIP adds the flags that name a CLIP model.
func AddCLIP(fs *flag.FlagSet, s *clipbank.Source) {
	fs.StringVar(&s.Weights, "clip", "", "`file` or folder with a CLIP model's weights (safetensors, under OpenAI's, OpenCLIP's or Hugging Face's names)")
	fs.StringVar(&s.Model, "clip-model", "auto", "architecture of -clip: auto (what the file holds), or what it must be: b32, b16 or l14")
	fs.BoolFunc("clip-gelu", "exact GELU as in OpenCLIP's models; -clip-gelu=false for OpenAI's (QuickGELU); default: what config.json or open_clip_config.json beside the weights says, else exact", func(text string) error {
		exact, err := strconv.ParseBool(text)
		if s.Activation = clipenc.QuickGELU; exact {
			s.Activation = clipenc.GELU
		}
		return err
	})
	fs.StringVar(&s.Vocabulary, "clip-vocab", "", "vocabulary `file` of -clip where it does not lie beside the weights")
}

// CLIPBank encodes the prompts of the classes. What was taken for granted is written to notes.
func CLIPBank(ctx context.Context, s clipbank.Source, classes []string, prompts prompt.IDPA, dev tensor.Device, notes io.Writer) (*tab.Bank, error) {
	_, assumed, err := s.Config()
	switch {
	case errors.Is(err, clipenc.ErrConfig):
		if flags := contradicting(s); flags != "" {
			return nil, fmt.Errorf("-clip: %w; leave %s out", err, flags)
		}
		return nil, fmt.Errorf("-clip: %w", err)
	case err != nil:
		return nil, err
	case assumed:
		if _, err := fmt.Fprintf(notes, "note: nothing beside %s says which activation it was trained with: exact GELU is taken, as in OpenCLIP's models; -clip-gelu=false is for OpenAI's\n", s.Weights); err != nil {
			return nil, err
		}
	}
	return s.Bank(ctx, classes, prompts, dev)
}

// contradicting are the flags without which the weights would be taken; empty where none helps.
func contradicting(s clipbank.Source) string {
	auto, published := s, s
	auto.Model, published.Activation = "auto", ""
	both := auto
	both.Activation = ""
	for _, without := range []struct {
		is    clipbank.Source
		flags string
	}{{auto, "-clip-model"}, {published, "-clip-gelu"}, {both, "-clip-model and -clip-gelu"}} {
		if _, _, err := without.is.Config(); err == nil {
			return without.flags
		}
	}
	return ""
}

// AddCurves adds the flags with which programs log their trainings.
func AddCurves(fs *flag.FlagSet, p *scalars.Places) {
	fs.StringVar(&p.TensorBoard, "tensorboard", "", "`folder` for event files that TensorBoard reads, with the figures of each step")
	fs.StringVar(&p.CSV, "csv", "", "`file` for the figures of each step as comma-separated values")
}
