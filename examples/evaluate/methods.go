package main

import (
	"context"
	"fmt"
	"image"
	"iter"
	"slices"
	"time"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/metrics"
	"github.com/gotab/gotab/tab"
)

// detector is what a method must offer to be evaluated.
type detector interface {
	downstream.Detector
	ScoreSet(ctx context.Context, ds dataset.Dataset) iter.Seq2[downstream.Scored, error]
}

// method is one that -method knows. A further one is a function like padim, put
// into the list of methods.
type method struct {
	name   string
	trains bool // has epochs, which -epochs sets
	shots  bool // is fitted on a support set, whose size -shots sets
	plan   func(c choice) (plan, error)
}

// choice is what the flags ask of a method; zero values leave it to the method.
type choice struct {
	arch   backbone.Arch
	layers []backbone.Layer
	epochs int
	shots  int
	// tune is what -transform and -bits make of a method's transform; nil leaves it.
	tune func(dataset.Transform) dataset.Transform
}

// tuned is a method's transform as the flags have it.
func (c choice) tuned(t dataset.Transform) dataset.Transform {
	if c.tune == nil {
		return t
	}
	return c.tune(t)
}

// plan is a method whose settings are made up for one kind of network.
type plan struct {
	settings  any                     // of the detector, for the record: equal ones give equal figures
	layers    []backbone.Layer        // that it looks at
	transform dataset.Transform       // brings images, or tiles of them, to its maps
	tiles     *downstream.TiledConfig // nil where images are seen whole
	mask      maskRule                // brings masks to its maps
	score     string                  // how a map becomes an image's score, see metrics.Protocol
	epoch     string                  // which state of the training is taken, see metrics.Protocol
	epochs    int                     // of the training; 0 where there is none
	shots     int                     // images of the support set; 0 where there is none
	others    bool                    // it learns from the other classes' images too
	chance    string                  // what a seed decides; empty where nothing is drawn
	seed      seed                    // the one that is taken where none is asked for

	// make returns a detector that is not fitted.
	make maker
	// fit teaches the detector and says by what; nil fits it on all good images of the
	// class.
	fit func(ctx context.Context, d detector, m material) (learnt, error)
}

// learnt says what a detector learnt from.
type learnt struct {
	images int // of its class
	// others is how many images of other classes went through the network in a training
	// before the fit, which took so long; 0 where there was none.
	others   int
	training time.Duration
}

// maker makes a detector that draws what it draws by a seed, which [plan.has] has let
// through.
type maker func(net *backbone.ResNet, s seed, opts ...downstream.Option) (detector, error)

// material is what a detector of one class may learn from.
type material struct {
	root, class string
	seed        seed
	good        dataset.Dataset // the class's images for training
	// others are the images for training of all other classes of the same root; nil
	// where the plan does not ask for them.
	others dataset.Dataset
	// test is the class's test set, for a method whose name says that it chooses
	// by it; every other method leaves it alone.
	test dataset.Dataset
	// checkpoint is the path of a file that a long training may go on from, empty for
	// none.
	checkpoint string
}

// support draws k of the good images; the seed decides which.
func (m material) support(k int) (dataset.Dataset, error) {
	items, err := dataset.Support(dataset.Items(m.good), k, nil, m.seed.rand(forSupport))
	if err != nil {
		return nil, fmt.Errorf("support set of %s: %w", m.class, err)
	}
	return dataset.Apply(m.good, items)
}

// maskRule brings masks to the size of a map and makes them black and white; name
// is what metrics.Protocol calls it.
type maskRule struct {
	name string
	of   func(t dataset.Transform, m *image.Gray) (*image.Gray, error)
}

// nearestMask is the rule of PaDiM, PatchCore and RegAD.
func nearestMask() maskRule { return maskRule{metrics.MaskNearest, dataset.Transform.Mask} }

// halfMask is the rule of RD4AD.
func halfMask() maskRule {
	return maskRule{metrics.MaskBilinearHalf, func(t dataset.Transform, m *image.Gray) (*image.Gray, error) { return t.MaskBilinear(m, 128) }}
}

// fullMask is the rule of SimpleNet.
func fullMask() maskRule {
	return maskRule{metrics.MaskBilinearOne, func(t dataset.Transform, m *image.Gray) (*image.Gray, error) { return t.MaskBilinear(m, 255) }}
}

// methods lists what -method knows.
func methods() []method {
	return []method{
		{name: "padim", plan: padim},
		{name: "padim-twins", plan: padimTwins(tab.ProductChannels.Choose, "together")},
		{name: "padim-twins-rank", plan: padimTwins(tab.ProductChannels.Rank, "each by itself")},
		{name: "patchcore", plan: patchcore},
		{name: "rd4ad", trains: true, plan: rd4ad},
		{name: "simplenet", trains: true, plan: simplenet},
		{name: "simplenet-best-on-test", trains: true, plan: bestOnTest},
		{name: "regad", trains: true, shots: true, plan: regad},
	}
}

// padim is PaDiM. The hundred channels of the reference are a draw of their own,
// "reference", that fits the default layers of ResNet-18; every other seed, and
// every other network or layer, draws anew, as many as the article has.
func padim(c choice) (plan, error) {
	cfg := downstream.DefaultPaDiM()
	cfg.Transform = c.tuned(cfg.Transform)
	reference := c.arch == backbone.ArchResNet18 && (c.layers == nil || slices.Equal(c.layers, cfg.Layers))
	if c.layers != nil {
		cfg.Layers = c.layers
	}
	all := channels(c.arch, cfg.Layers)
	drawn := 100
	if c.arch == backbone.ArchResNet50 || c.arch == backbone.ArchWideResNet50 {
		drawn = 550
	}
	p := plan{layers: cfg.Layers, transform: cfg.Transform, mask: nearestMask(), score: metrics.ScoreMapMax, epoch: metrics.EpochNone, seed: seed{n: 1}}
	if reference {
		p.seed = seed{reference: true}
	}
	if drawn < all {
		p.chance = fmt.Sprintf("the draw of %d of %d channels", drawn, all)
		cfg.Channels, cfg.Reduced = nil, drawn
	} else { // all of them: nothing to draw
		cfg.Channels, cfg.Reduced = nil, 0
	}
	p.settings = cfg
	p.make = func(net *backbone.ResNet, s seed, opts ...downstream.Option) (detector, error) {
		cfg := cfg
		if s.reference {
			cfg.Channels, cfg.Reduced = downstream.DefaultPaDiM().Channels, 0
		}
		return made(downstream.NewPaDiM(net, cfg, s.rand(forMethod), opts...))
	}
	return p, nil
}

// patchcore is PatchCore. Bottleneck networks have patches of the article's 1024
// values, others keep their channels, see downstream.DefaultPatchCore.
func patchcore(c choice) (plan, error) {
	cfg := downstream.DefaultPatchCore()
	cfg.Transform = c.tuned(cfg.Transform)
	if c.layers != nil {
		cfg.Layers = c.layers
	}
	if c.arch == backbone.ArchResNet50 || c.arch == backbone.ArchWideResNet50 {
		const article = 1024
		cfg.Dim = article - article%len(cfg.Layers) // it must divide by their number
	}
	p := plan{layers: cfg.Layers, transform: cfg.Transform, mask: nearestMask(), score: metrics.ScorePatchMax, epoch: metrics.EpochNone, settings: cfg,
		chance: "the projection and the first patches of the memory bank", seed: seed{n: 1}}
	p.make = func(net *backbone.ResNet, s seed, opts ...downstream.Option) (detector, error) {
		return made(downstream.NewPatchCore(net, cfg, s.rand(forMethod), opts...))
	}
	return p, nil
}

// made keeps a nil detector from becoming an interface that is not nil.
func made[D detector](d D, err error) (detector, error) {
	if err != nil {
		return nil, err
	}
	return d, nil
}

// channels counts those of layers.
func channels(arch backbone.Arch, layers []backbone.Layer) int {
	n := 0
	for _, l := range layers {
		n += arch.Channels(l)
	}
	return n
}
