package classify

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"strings"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/downstream/internal/engine"
	"github.com/gotab/gotab/downstream/internal/feed"
	"github.com/gotab/gotab/internal/layers"
	"github.com/gotab/gotab/tensor"
)

// classifierKind marks a file and the version of its layout: safetensors with
// the float32 tensors head.weight [K, C] and head.bias [K], and either
// fingerprint [C], where the backbone was frozen, or the trained network's
// tensors under "backbone." and torchvision's names.
const (
	kind         = "gotab.classifier.1"
	backboneName = "backbone."
)

// fingerprintSize is that of the image that tells extractors apart. Pooled
// features do not depend on the size, so a small one serves for all.
func fingerprintSize() image.Point { return image.Pt(64, 64) }

// settings is the JSON form of settings, names and sizes.
type settings struct {
	Task       string             `json:"task"`
	Names      []string           `json:"names"`
	Frozen     bool               `json:"frozen"`
	Epochs     int                `json:"epochs"`
	LR         float64            `json:"lr"`
	BackboneLR float64            `json:"backbone_lr"`
	Warmup     int                `json:"warmup"`
	Cosine     bool               `json:"cosine"`
	Rule       string             `json:"rule"`
	SGD        tensor.SGDConfig   `json:"sgd"`
	AdamW      tensor.AdamWConfig `json:"adamw"`
	ClipNorm   float64            `json:"clip_norm"`
	Weights    []float64          `json:"weights,omitempty"`
	Balance    bool               `json:"balance"`
	Turn       bool               `json:"turn"`
	Encoding   string             `json:"encoding"`
	Seed       uint64             `json:"seed"`
	engine.ViewSettings
	engine.Sizes
}

func (s settings) Config() (c Config, err error) {
	c = Config{
		Task: -1, Frozen: s.Frozen, Epochs: s.Epochs, Batch: s.Batch, LR: s.LR, BackboneLR: s.BackboneLR, Warmup: s.Warmup, Cosine: s.Cosine,
		Rule: s.Rule, SGD: s.SGD, AdamW: s.AdamW, ClipNorm: s.ClipNorm, Weights: s.Weights, Balance: s.Balance, Turn: s.Turn,
		Encoding: -1, Transform: s.Transform(), Normalize: s.Normalize(),
	}
	for _, t := range []Task{MultiLabel, MultiClass} {
		if t.String() == s.Task {
			c.Task = t
		}
	}
	for _, e := range []Encoding{Colours, Dies} {
		if e.String() == s.Encoding {
			c.Encoding = e
		}
	}
	if err := checkNames(s.Names); err != nil {
		return c, err
	}
	if s.Grid != [2]int{1, 1} {
		return c, fmt.Errorf("the grid is %v, want one position", s.Grid)
	}
	if _, err := s.Agree(s.Sizes); err != nil {
		return c, err
	}
	// The input has no bound but that of images: nothing of its size is made
	// before one comes.
	if err := s.Sizes.Check(feed.MaxSide); err != nil {
		return c, err
	}
	return c, c.Validate()
}

// WriteTo writes the fitted classifier as safetensors: the linear layer, the
// settings, the names, and the backbone where it was trained. Reading it back
// gives the same bits. It holds the weights in memory once more. Errors wrap
// [downstream.ErrNotFitted] or are w's.
func (c *Classifier) WriteTo(w io.Writer) (int64, error) {
	return c.core.Write(w, kind, c.contents)
}

// contents is what a file says of g.
func (c *Classifier) contents(g *classified) (*engine.Contents, error) {
	cfg := c.cfg
	settings := settings{
		Task: cfg.Task.String(), Names: g.names, Frozen: cfg.Frozen, Epochs: cfg.Epochs, LR: cfg.LR, BackboneLR: cfg.BackboneLR,
		Warmup: cfg.Warmup, Cosine: cfg.Cosine, Rule: cfg.Rule, SGD: cfg.SGD, AdamW: cfg.AdamW, ClipNorm: cfg.ClipNorm,
		Weights: cfg.Weights, Balance: cfg.Balance, Turn: cfg.Turn, Encoding: cfg.Encoding.String(), Seed: c.seed,
		ViewSettings: engine.ViewOf(0, cfg.Transform, cfg.Normalize, cfg.Batch), Sizes: g.Sizes(),
	}
	arrays, err := g.Params.Arrays(context.Background())
	if err != nil {
		return nil, err
	}
	if g.own == nil {
		return &engine.Contents{Settings: settings, Arrays: append(arrays, tensor.FloatArray("fingerprint", g.Fingerprint, int64(len(g.Fingerprint))))}, nil
	}
	net, err := g.own.Params().Arrays(context.Background())
	if err != nil {
		return nil, err
	}
	for _, a := range net {
		if strings.HasPrefix(a.Name, "fc.") {
			continue // the classification layer that is carried along and never used
		}
		a.Name = backboneName + a.Name
		arrays = append(arrays, a)
	}
	return &engine.Contents{Settings: settings, Arrays: arrays}, nil
}

// Save writes the fitted classifier to a file that appears whole or not at all.
func (c *Classifier) Save(path string) error { return engine.Save(path, c) }

// Open reads a classifier that Save wrote.
func Open(ctx context.Context, path string, fe downstream.Extractor, opts ...downstream.Option) (*Classifier, error) {
	return engine.OpenSaved(ctx, path, self(), fe, Read, opts)
}

// Read reads a classifier that WriteTo wrote; it is fitted and
// predicts as the one that was written, bit for bit on the same machine. For a
// frozen backbone fe must be the extractor of the fit: it is run once on a fixed
// image, and one that answers otherwise than then is [downstream.ErrExtractor]. A trained
// one is in the file; fe then says the device, and what another Fit would start
// from, and may be nil for the CPU and none. A damaged file is [downstream.ErrFile].
func Read(ctx context.Context, r io.Reader, fe downstream.Extractor, opts ...downstream.Option) (*Classifier, error) {
	st, cfg, saved, err := engine.ReadSaved[Config, settings](r, self(), kind)
	if err != nil {
		return nil, err
	}
	if fe == nil && cfg.Frozen {
		return nil, fmt.Errorf("classify: read classifier: %w: it stands on a frozen extractor and was given none", downstream.ErrExtractor)
	}
	c, err := newClassifier(fe, cfg, st.Seed, opts...)
	if err != nil {
		return nil, err
	}
	g, err := c.load(ctx, saved.Arrays, st)
	if err != nil {
		if errors.Is(err, downstream.ErrFile) || errors.Is(err, downstream.ErrExtractor) {
			return nil, fmt.Errorf("classify: read classifier: %w", err)
		}
		return nil, err
	}
	return c, c.core.Current.Install(g)
}

// load makes a model of the arrays of a file.
func (c *Classifier) load(ctx context.Context, arrays []tensor.Array, st settings) (_ *classified, err error) {
	g := &classified{Model: st.NewModel(c.core.Dev), names: st.Names, net: c.fe}
	defer func() {
		if err != nil {
			_ = g.Free() // frees memory, cannot fail
		}
	}()
	if c.cfg.Frozen {
		err = c.loadFingerprint(ctx, g, arrays)
	} else {
		err = c.loadBackbone(g, arrays)
	}
	if err != nil {
		return nil, err
	}
	k, channels := int64(len(st.Names)), int64(g.net.Channels(backbone.Pooled))
	return g, tensor.Run(ctx, c.core.Dev, tensor.Evaluation, func(s *tensor.Scope) error {
		specs := []layers.Spec{{Name: headWeight, Shape: []int64{k, channels}}, {Name: headBias, Shape: []int64{k}}}
		byName, err := engine.ArraysOf(specs, arrays)
		if err != nil {
			return err
		}
		return layers.Put(s, g.Params, specs, byName)
	})
}

// loadFingerprint holds the extractor against that of the fit.
func (c *Classifier) loadFingerprint(ctx context.Context, g *classified, arrays []tensor.Array) error {
	var err error
	if g.Fingerprint, err = engine.FloatsOf(arrays, "fingerprint", int64(c.fe.Channels(backbone.Pooled))); err != nil {
		return err
	}
	return c.core.IdentifyBy(ctx, g.Common(), fingerprintSize())
}

// loadBackbone makes the trained network.
func (c *Classifier) loadBackbone(g *classified, arrays []tensor.Array) (err error) {
	net := &tensor.Weights{}
	for _, a := range arrays {
		if name, ok := strings.CutPrefix(a.Name, backboneName); ok {
			a.Name = name
			net.Arrays = append(net.Arrays, a)
		}
	}
	if g.own, err = backbone.FromWeights(net, c.core.Dev); err != nil {
		return fmt.Errorf("%w: %w", downstream.ErrFile, err)
	}
	g.net, g.Also = g.own, g.own.Close
	return nil
}
