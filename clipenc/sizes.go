package clipenc

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// maxSettings bounds the publishers' settings files; those of published models have some 5 KB.
const maxSettings = 1 << 20

// ConfigOf reads from weights what Open wants to know: every size from the shapes of the tensors, and the number of
// heads and the activation from the settings file that its publisher puts beside them, config.json (Hugging Face) or
// open_clip_config.json (OpenCLIP). Without such a file Heads is Width/64, as in all published towers, and Activation
// is empty: the weights do not tell it, so the caller sets it. Vocabulary is empty and Batch is 64.
//
// The path is one that Open takes. The error wraps ErrWeights where the sizes cannot be told, ErrConfig where they are
// no tower's. No weight is read.
func ConfigOf(path string) (Config, error) {
	cfg, err := configOf(path)
	if err != nil {
		return Config{}, fmt.Errorf("clipenc: config of %s: %w", path, err)
	}
	return cfg, nil
}

func configOf(path string) (_ Config, err error) {
	s, err := openStore(path)
	if err != nil {
		return Config{}, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	cfg, err := s.sizes()
	if err != nil {
		return Config{}, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return Config{}, err
	}
	dir := path
	if !info.IsDir() {
		dir = filepath.Dir(path)
	}
	if err := cfg.addSettings(dir); err != nil {
		return Config{}, err
	}
	check := cfg
	if check.Activation == "" {
		check.Activation = GELU
	}
	return cfg, check.Validate()
}

// sizes reads a tower's sizes from the shapes of its tensors.
func (s *store) sizes() (Config, error) {
	n, err := detect(func(name string) bool { _, ok := s.infos[name]; return ok })
	if err != nil {
		return Config{}, err
	}
	var faults []error
	// shape is that of a parameter's first part, in the parameter's own layout.
	shape := func(name string) (rows, columns int) {
		part := n.source(name)[0]
		info, ok := s.infos[part]
		switch {
		case !ok:
			faults = append(faults, fmt.Errorf("%s is missing", part))
		case len(info.Shape) != 2 || info.Shape[0] > 1<<24 || info.Shape[1] > 1<<24:
			faults = append(faults, fmt.Errorf("%s is %v, want two dimensions", part, info.Shape))
		case n.transposed[name]:
			return int(info.Shape[1]), int(info.Shape[0])
		default:
			return int(info.Shape[0]), int(info.Shape[1])
		}
		return 0, 0
	}
	var c Config
	c.Vocab, c.Width = shape("token_embedding.weight")
	c.Context, _ = shape("positional_embedding")
	c.Hidden, _ = shape("transformer.resblocks.0.mlp.c_fc.weight")
	_, c.Embed = shape("text_projection")
	if err := report(faults); err != nil {
		return Config{}, fmt.Errorf("%s naming: %w", n.publisher, err)
	}
	for s.has(n.source(fmt.Sprintf("transformer.resblocks.%d.ln_1.weight", c.Layers))[0]) {
		c.Layers++
	}
	c.Heads, c.Epsilon, c.Batch = max(1, c.Width/64), base(64, 1, 1).Epsilon, base(64, 1, 1).Batch
	return c, nil
}

func (s *store) has(name string) bool {
	_, ok := s.infos[name]
	return ok
}

// settingsFile is what counts in the publishers' files; both have more.
type settingsFile struct {
	huggingFaceText                  // of a text tower alone
	ModelType       string           `json:"model_type"`
	Text            *huggingFaceText `json:"text_config"`
	OpenCLIP        *struct {
		Quick bool `json:"quick_gelu"`
		Text  struct {
			Heads int `json:"heads"`
		} `json:"text_cfg"`
	} `json:"model_cfg"`
}

type huggingFaceText struct {
	Activation string `json:"hidden_act"`
	Heads      int    `json:"num_attention_heads"`
}

// addSettings takes heads and activation over from the settings file in dir, if there is one.
func (c *Config) addSettings(dir string) error {
	for _, name := range []string{"open_clip_config.json", "config.json"} {
		raw, err := readBounded(filepath.Join(dir, name))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := c.parseSettings(raw); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	}
	return nil
}

func (c *Config) parseSettings(raw []byte) error {
	var f settingsFile
	if err := json.Unmarshal(raw, &f); err != nil {
		return fmt.Errorf("%w: %w", err, ErrConfig)
	}
	heads := 0
	switch {
	case f.OpenCLIP != nil:
		c.Activation, heads = GELU, f.OpenCLIP.Text.Heads
		if f.OpenCLIP.Quick {
			c.Activation = QuickGELU
		}
	case f.Text != nil || f.Activation != "" || f.ModelType == "clip" || f.ModelType == "clip_text_model":
		text := f.huggingFaceText
		if f.Text != nil {
			text = *f.Text
		}
		// Files that Hugging Face's library wrote leave out what is its default.
		c.Activation, heads = QuickGELU, text.Heads
		switch text.Activation {
		case "", string(QuickGELU):
		case string(GELU):
			c.Activation = GELU
		default:
			return fmt.Errorf("hidden_act is %.40q, want %q or %q: %w", text.Activation, QuickGELU, GELU, ErrConfig)
		}
	}
	if heads != 0 {
		c.Heads = heads
	}
	return nil
}

func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxSettings+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	if len(raw) > maxSettings {
		return nil, fmt.Errorf("%s holds more than %d MiB: %w", filepath.Base(path), maxSettings>>20, ErrConfig)
	}
	return raw, nil
}
