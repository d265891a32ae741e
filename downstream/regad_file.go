package downstream

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"slices"
	"strings"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/downstream/internal/engine"
	"github.com/gotab/gotab/downstream/internal/regad"
	"github.com/gotab/gotab/tensor"
)

// regadKind marks a file and the version of its layout: safetensors with the
// weights of the backbone's stages by torchvision's names behind "backbone.", of
// the transformers behind "stn1." and so on, of "encoder." and "predictor.", and,
// where the detector is fitted, of factors behind "support.".
const (
	regadKind     = "gotab.regad.1"
	supportPrefix = "support."
)

// regadSettings is the JSON form of settings and sizes. Images is 0 where there
// are no statistics.
type regadSettings struct {
	Arch          string            `json:"arch"`
	Layers        engine.LayerNames `json:"layers"`
	Warp          string            `json:"warp"`
	Hidden        int               `json:"hidden"`
	Shots         int               `json:"shots"`
	Queries       int               `json:"queries"`
	Epochs        int               `json:"epochs"`
	Rate          float64           `json:"rate"`
	Momentum      float64           `json:"momentum"`
	TrainedTarget bool              `json:"trained_target"`
	Epsilon       float64           `json:"epsilon"`
	engine.ViewSettings
	Seed    [2]uint64 `json:"seed"`
	Classes []string  `json:"classes"`
	engine.Sizes
}

func (s regadSettings) Config() (c RegADConfig, err error) {
	c = RegADConfig{
		Hidden: s.Hidden, Shots: s.Shots, Queries: s.Queries, Epochs: s.Epochs, Rate: s.Rate, Momentum: s.Momentum,
		TrainedTarget: s.TrainedTarget, Epsilon: s.Epsilon, Sigma: s.Sigma, Batch: s.Batch,
		Transform: s.Transform(), Normalize: s.Normalize(),
	}
	if c.Layers, err = s.Layers.Layers(); err != nil {
		return c, err
	}
	if c.Warp, err = ParseWarp(s.Warp); err != nil {
		return c, err
	}
	if err := c.Validate(); err != nil {
		return c, err
	}
	if l := c.Layers[0]; l < backbone.Layer1 || c.Layers[len(c.Layers)-1] > backbone.Layer4 {
		return c, fmt.Errorf("layers %v are no stages", c.Layers)
	}
	if s.Images < 0 || s.Images > maxShots {
		return c, fmt.Errorf("%d support images", s.Images)
	}
	if len(s.Classes) == 0 || !slices.IsSorted(s.Classes) {
		return c, fmt.Errorf("classes %q", s.Classes)
	}
	z := s.Sizes
	z.Images = max(z.Images, 1) // there are none where it is trained and not fitted
	if _, err := s.Agree(z); err != nil {
		return c, err
	}
	// The grid is bounded by the weights, the input by the grid.
	return c, z.Check(4 << (c.Layers[0] - backbone.Layer1))
}

// WriteTo writes the whole network, settings, and the statistics where it is fitted: see "Files" above. All of it is in memory
// twice meanwhile. Errors wrap [ErrNotTrained] or are w's.
func (r *RegAD) WriteTo(w io.Writer) (int64, error) {
	c, err := r.current()
	if err != nil {
		return 0, err
	}
	return c.Write(w, r.core.Who, regadKind)
}

// current is what a file says of what is in force: statistics with their network, or a
// network alone.
func (r *RegAD) current() (c *engine.Contents, err error) {
	if g, ok := r.core.Current.Hold(); ok {
		defer r.core.Release(g)
		c, err = contentsOf(r, g)
	} else {
		var n *regad.Network
		if n, err = r.network("save"); err != nil {
			return nil, err
		}
		defer func() { _ = r.trained.Release(n) }() // frees memory, cannot fail
		c, err = r.saved(n, nil)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.core.Who.Doing("save"), err)
	}
	return c, nil
}

// settings is what a file says of the settings, of the classes of a training and
// of the sizes of its network.
func (r *RegAD) settings(classes []string, z engine.Sizes) regadSettings {
	c := r.cfg
	return regadSettings{
		Arch: r.arch, Layers: engine.NamesOf(c.Layers), Warp: c.Warp.String(), Hidden: c.Hidden, Shots: c.Shots, Queries: c.Queries,
		Epochs: c.Epochs, Rate: c.Rate, Momentum: c.Momentum, TrainedTarget: c.TrainedTarget, Epsilon: c.Epsilon,
		ViewSettings: engine.ViewOf(c.Sigma, c.Transform, c.Normalize, c.Batch), Seed: r.seed, Classes: classes, Sizes: z,
	}
}

// contents is what a file says of g.
func (r *RegAD) contents(g *supports) (*engine.Contents, error) { return r.saved(g.net, g) }

// saved is what a file says of a network and of statistics, which may be nil.
func (r *RegAD) saved(net *regad.Network, g *supports) (*engine.Contents, error) {
	settings := r.settings(net.Classes, net.Sizes())
	arrays, err := net.Arrays(context.Background())
	if err != nil || g == nil {
		return &engine.Contents{Settings: settings, Arrays: arrays}, err
	}
	settings.Images = g.Images
	stats, err := g.Params.Arrays(context.Background())
	if err != nil {
		return nil, err
	}
	for _, sp := range g.stats.Specs() { // the tables of smoothing follow from the settings
		a, err := engine.ArrayNamed(stats, sp.Name)
		if err != nil {
			return nil, err
		}
		a.Name = supportPrefix + a.Name
		arrays = append(arrays, a)
	}
	return &engine.Contents{Settings: settings, Arrays: arrays}, nil
}

// Save writes the trained detector to a file that appears whole or not at all:
// after Train, so that a long training is kept, or after Fit.
func (r *RegAD) Save(path string) error { return engine.Save(path, r) }

// OpenRegAD reads a detector that Save wrote.
func OpenRegAD(ctx context.Context, path string, dev tensor.Device, opts ...Option) (*RegAD, error) {
	return engine.OpenSaved(ctx, path, whoIs("RegAD"), dev, ReadRegAD, opts)
}

// ReadRegAD reads a detector that WriteTo wrote, to work on a device: see "Files" above. It is
// trained, and fitted if the other was. A Train goes on from its network.
func ReadRegAD(ctx context.Context, r io.Reader, dev tensor.Device, opts ...Option) (*RegAD, error) {
	return readRegAD(ctx, r, dev, func(name string, last backbone.Layer) (regad.Grower, error) {
		arch, err := backbone.ParseArch(name)
		if err != nil {
			return nil, err
		}
		return growResNet(arch, last, dev), nil
	}, opts...)
}

// readRegAD is ReadRegAD for any trunk.
func readRegAD(ctx context.Context, from io.Reader, dev tensor.Device, growing func(arch string, last backbone.Layer) (regad.Grower, error), opts ...Option) (*RegAD, error) {
	st, cfg, arrays, also, err := readFitted[RegADConfig, regadSettings](from, whoIs("RegAD"), regadKind)
	if err != nil {
		return nil, err
	}
	grow, err := growing(st.Arch, cfg.Layers[len(cfg.Layers)-1])
	if err != nil {
		return nil, fmt.Errorf("downstream: read RegAD: %w: %w", ErrFile, err)
	}
	var weights, stats []tensor.Array
	for _, a := range arrays {
		if name, ok := strings.CutPrefix(a.Name, supportPrefix); ok {
			a.Name = name
			stats = append(stats, a)
			continue
		}
		weights = append(weights, a)
	}
	r := newRegAD(weights, grow, st.Arch, dev, cfg, st.Seed, opts...)
	if err := r.load(ctx, st, stats, also); err != nil {
		// What the network's weights do to libtorch is the file's fault, what the
		// machine lacks is not.
		machine := errors.Is(err, tensor.ErrOutOfMemory) || errors.Is(err, tensor.ErrDevice)
		if !errors.Is(err, ErrFile) && !machine && ctx.Err() == nil {
			err = fmt.Errorf("%w: %w", ErrFile, err)
		}
		return nil, r.core.Failed(ctx, "read", err)
	}
	return r, nil
}

// load puts the network of r.first in force, and the statistics where the
// settings say that there are some.
func (r *RegAD) load(ctx context.Context, st regadSettings, stats []tensor.Array, also beside) (err error) {
	if err := regad.CheckGrid(r.first, r.cfg.shape(), st.Sizes); err != nil {
		return err
	}
	net, err := r.build(ctx, r.first, image.Pt(st.Input[0], st.Input[1]))
	if err != nil {
		return err
	}
	net.Classes = st.Classes
	if err := net.Settle(ctx, r.core.Dev); err != nil {
		return errors.Join(err, net.Free())
	}
	if m := net.Maps[0]; m.W != st.Grid[0] || m.H != st.Grid[1] {
		return errors.Join(fmt.Errorf("%w: the grid is %v, for an input of %v the network makes %dx%d", ErrFile, st.Grid, st.Input, m.W, m.H), net.Free())
	}
	if err := r.trained.Install(net); err != nil || st.Images == 0 {
		return err
	}
	g := &supports{net: net, state: state{Model: st.NewModel(r.core.Dev)}, stats: regad.NewFactors(regad.Sizes{Count: regad.Variations * st.Images, Maps: net.Maps}, r.cfg.Epsilon)}
	g.take(also)
	r.trained.Share(net)
	g.Also = func() error { return r.trained.Release(net) }
	err = g.stats.Load(ctx, g.Params, stats)
	if err == nil {
		err = g.AddSmoothing(ctx, r.cfg.Sigma)
	}
	if err != nil {
		return errors.Join(err, g.Free(), r.trained.Install(nil))
	}
	return r.core.Current.Install(g)
}
