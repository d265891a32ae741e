package clipenc

import (
	"fmt"
	"math"
)

// Activation is the non-linearity between the two linear maps of a block.
type Activation string

const (
	// QuickGELU is x sigmoid(1.702 x), with which OpenAI trained its models (also MetaCLIP, DFN and the OpenCLIP names
	// that end in -quickgelu).
	QuickGELU Activation = "quick_gelu"
	// GELU is x Phi(x) with the exact normal distribution function, with which OpenCLIP trained its LAION and DataComp
	// models.
	GELU Activation = "gelu"
)

// Config describes a text tower. A file of weights tells every size but not the number of heads, nor the activation:
// the wrong activation gives features that look right and are not.
type Config struct {
	// Width is the size of a token's vector inside the tower. 512 (B) or 768 (L).
	Width int
	// Heads is the number of attention heads and divides Width. Width/64 in every published tower.
	Heads int
	// Layers is the number of blocks. 12 in B and L.
	Layers int
	// Hidden is the size between the two linear maps of a block. 4 Width.
	Hidden int
	// Embed is the size of the text feature. 512 (B) or 768 (L).
	Embed int
	// Context is the number of token ids that the tower reads, at least 2. 77.
	Context int
	// Vocab is the number of token ids, and must be the tokeniser's. 49,408.
	Vocab int
	// Activation is what the model was trained with.
	Activation Activation
	// Epsilon is added to the variance in layer normalisation. 1e-5.
	Epsilon float64
	// Batch is the largest number of texts in one forward pass; 64 texts of B need some 100 MB at full length.
	Batch int
	// Vocabulary is the path of the tokeniser's file in any form that NewTokenizer reads. If it is empty, Open looks
	// beside the weights for tokenizer.json, merges.txt and bpe_simple_vocab_16e6.txt.gz, in this order.
	Vocabulary string
}

// ViTB32 returns the text tower of OpenAI's ViT-B/32. For the same tower retrained by OpenCLIP on LAION data set
// Activation to GELU; the other presets likewise.
func ViTB32() Config { return base(512, 12, 512) }

// ViTB16 returns the text tower of OpenAI's ViT-B/16. The TAB paper's code uses this tower trained on LAION-400M by
// OpenCLIP, whose Activation is GELU.
func ViTB16() Config { return base(512, 12, 512) }

// ViTL14 returns the text tower of OpenAI's ViT-L/14.
func ViTL14() Config { return base(768, 12, 768) }

func base(width, layers, embed int) Config {
	return Config{
		Width: width, Heads: width / 64, Layers: layers, Hidden: 4 * width, Embed: embed,
		Context: ContextLength, Vocab: byteTokens + maxMerges + 2,
		Activation: QuickGELU, Epsilon: 1e-5, Batch: 64,
	}
}

// Validate names the first field that is out of range; the error wraps ErrConfig.
func (c Config) Validate() error {
	for _, f := range []struct {
		name      string
		value     int
		low, high int
	}{
		{"Width", c.Width, 1, 1 << 14},
		{"Heads", c.Heads, 1, 1 << 10},
		{"Layers", c.Layers, 1, 1 << 10},
		{"Hidden", c.Hidden, 1, 1 << 16},
		{"Embed", c.Embed, 1, 1 << 14},
		{"Context", c.Context, 2, MaxText},
		{"Vocab", c.Vocab, byteTokens + 2, 1 << 20},
		{"Batch", c.Batch, 1, 1 << 12},
	} {
		if f.value < f.low || f.value > f.high {
			return fmt.Errorf("clipenc: %s is %d, must be from %d to %d: %w", f.name, f.value, f.low, f.high, ErrConfig)
		}
	}
	if c.Width%c.Heads != 0 {
		return fmt.Errorf("clipenc: Heads is %d and does not divide Width %d: %w", c.Heads, c.Width, ErrConfig)
	}
	if c.Activation != QuickGELU && c.Activation != GELU {
		return fmt.Errorf("clipenc: Activation is %q, must be %q or %q: %w", string(c.Activation), QuickGELU, GELU, ErrConfig)
	}
	if !(c.Epsilon > 0) || math.IsInf(c.Epsilon, 0) {
		return fmt.Errorf("clipenc: Epsilon is %g, must be above 0: %w", c.Epsilon, ErrConfig)
	}
	return nil
}

// names lists the tower's parameters in OpenAI's naming with their shapes, in the order in which a forward pass needs
// them.
func (c Config) names() []shaped {
	w, h := int64(c.Width), int64(c.Hidden)
	list := []shaped{
		{"token_embedding.weight", []int64{int64(c.Vocab), w}},
		{"positional_embedding", []int64{int64(c.Context), w}},
	}
	for i := range c.Layers {
		for _, s := range []shaped{
			{"ln_1.weight", []int64{w}},
			{"ln_1.bias", []int64{w}},
			{"attn.in_proj_weight", []int64{3 * w, w}},
			{"attn.in_proj_bias", []int64{3 * w}},
			{"attn.out_proj.weight", []int64{w, w}},
			{"attn.out_proj.bias", []int64{w}},
			{"ln_2.weight", []int64{w}},
			{"ln_2.bias", []int64{w}},
			{"mlp.c_fc.weight", []int64{h, w}},
			{"mlp.c_fc.bias", []int64{h}},
			{"mlp.c_proj.weight", []int64{w, h}},
			{"mlp.c_proj.bias", []int64{w}},
		} {
			list = append(list, shaped{fmt.Sprintf("transformer.resblocks.%d.%s", i, s.name), s.shape})
		}
	}
	return append(list,
		shaped{"ln_final.weight", []int64{w}},
		shaped{"ln_final.bias", []int64{w}},
		shaped{"text_projection", []int64{w, int64(c.Embed)}},
	)
}

type shaped struct {
	name  string
	shape []int64
}
