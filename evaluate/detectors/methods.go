package detectors

import (
	"fmt"
	"slices"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/evaluate"
	"github.com/gotab/gotab/metrics"
)

// Kind is a method by name, before its settings are made up for a network.
type Kind struct {
	Name   string
	Trains bool // has epochs, which Choice.Epochs sets
	Shots  bool // is fitted on a support set, whose size Choice.Shots sets
	// Chooses says that it chooses the images that it learns from, which tiles do not go
	// with.
	Chooses bool
	// Layers are those that it reads where Choice.Layers is nil.
	Layers []backbone.Layer
	// Plan makes the settings up. The method draws on the network of the choice, which
	// must stay open.
	Plan func(c Choice) (evaluate.Method, error)
}

// Choice is what is asked of a method. Zero values leave it to the method; Net is
// needed.
type Choice struct {
	Net    *Network
	Layers []backbone.Layer
	Epochs int
	Shots  int
	// Tune changes the transform of the method; nil leaves it.
	Tune func(dataset.Transform) dataset.Transform
	// Progress is called as downstream.WithProgress says; nil for none.
	Progress func(downstream.Progress)
}

// check refuses a choice that no method can work with.
func (c Choice) check() error {
	if c.Net == nil || c.Net.Net == nil {
		return fmt.Errorf("detectors: %w: there is no network", downstream.ErrConfig)
	}
	if c.Epochs < 0 || c.Shots < 0 {
		return fmt.Errorf("detectors: %w: %d epochs, %d shots", downstream.ErrConfig, c.Epochs, c.Shots)
	}
	return nil
}

// tuned is a method's transform as the choice has it.
func (c Choice) tuned(t dataset.Transform) dataset.Transform {
	if c.Tune == nil {
		return t
	}
	return c.Tune(t)
}

// options are those of every detector.
func (c Choice) options() []downstream.Option {
	if c.Progress == nil {
		return nil
	}
	return []downstream.Option{downstream.WithProgress(c.Progress)}
}

// method begins a method on the network of the choice.
func (c Choice) method(name string, layers []backbone.Layer, settings any) evaluate.Method {
	m := evaluate.Method{Name: name, Protocol: evaluate.DefaultProtocol(), Settings: settings, Arch: c.arch(name),
		Weights: c.Net.Weights, WeightsSHA256: c.Net.SHA256, Seed: evaluate.Seed{Number: 1}}
	for _, l := range layers {
		m.Layers = append(m.Layers, l.String())
	}
	return m
}

// arch names the architecture, and the precision of the features where it is not the usual
// one. RegAD has a network of its own.
func (c Choice) arch(name string) string {
	arch := c.Net.Arch.String()
	if c.Net.Net == nil || name == "regad" || c.Net.Net.Precision() == backbone.Float32 {
		return arch
	}
	return arch + " in " + c.Net.Net.Precision().String()
}

// Kinds lists all methods. Each has the protocol of its reference: the size and the
// rule for masks that its published figures are made by.
//
//   - padim and patchcore need no training. padim-twins and padim-twins-rank choose
//     PaDiM's channels by twins of the good images.
//   - rd4ad and simplenet train for Choice.Epochs, the article's by default, and keep
//     the weights after the last; simplenet-best-on-test keeps those that the test set
//     likes best, which flatters, as SimpleNet's published figures do.
//   - regad trains on all other classes and is then shown Choice.Shots good images of
//     the class. A seed is a support set.
func Kinds() []Kind {
	padim, simplenet := downstream.DefaultPaDiM().Layers, downstream.DefaultSimpleNet().Layers
	return []Kind{
		{Name: "padim", Layers: padim, Plan: PaDiM},
		{Name: "padim-twins", Layers: padim, Plan: PaDiMTwins},
		{Name: "padim-twins-rank", Layers: padim, Plan: PaDiMTwinsRank},
		{Name: "patchcore", Layers: downstream.DefaultPatchCore().Layers, Plan: PatchCore},
		{Name: "rd4ad", Trains: true, Layers: downstream.DefaultRD4AD().Layers, Plan: RD4AD},
		{Name: "simplenet", Trains: true, Layers: simplenet, Plan: SimpleNet},
		{Name: "simplenet-best-on-test", Trains: true, Chooses: true, Layers: simplenet, Plan: SimpleNetBestOnTest},
		{Name: "regad", Trains: true, Shots: true, Chooses: true, Layers: downstream.DefaultRegAD().Layers, Plan: RegAD},
	}
}

// LayersOf are the layers that kinds read where Choice.Layers is chosen: what a network is opened for
// ([NetworkOptions.Layers]).
func LayersOf(kinds []Kind, chosen []backbone.Layer) (all []backbone.Layer) {
	if chosen != nil {
		return slices.Clone(chosen)
	}
	for _, k := range kinds {
		all = append(all, k.Layers...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// PaDiM is the method of downstream.PaDiM. The hundred channels of the reference are
// a draw of their own, the reference seed, that fits the default layers of ResNet-18;
// every other seed, and every other network or layer, draws anew, as many as the
// article has.
func PaDiM(c Choice) (evaluate.Method, error) {
	if err := c.check(); err != nil {
		return evaluate.Method{}, err
	}
	cfg := downstream.DefaultPaDiM()
	cfg.Transform = c.tuned(cfg.Transform)
	reference := c.Net.Arch == backbone.ArchResNet18 && (c.Layers == nil || slices.Equal(c.Layers, cfg.Layers))
	if c.Layers != nil {
		cfg.Layers = c.Layers
	}
	all := channels(c.Net.Arch, cfg.Layers)
	drawn := 100
	if c.Net.Arch == backbone.ArchResNet50 || c.Net.Arch == backbone.ArchWideResNet50 {
		drawn = 550
	}
	chance := ""
	if drawn < all {
		chance = fmt.Sprintf("the draw of %d of %d channels", drawn, all)
		cfg.Channels, cfg.Reduced = nil, drawn
	} else { // all of them: nothing to draw
		cfg.Channels, cfg.Reduced = nil, 0
	}
	m := c.method("padim", cfg.Layers, cfg)
	m.Protocol.Transform, m.Chance = cfg.Transform, chance
	m.Seed.Reference = reference
	if reference {
		m.Seed.Number = 0
	}
	m.New = func(s evaluate.Seed) (evaluate.Detector, error) {
		cfg := cfg
		if s.Reference {
			cfg.Channels, cfg.Reduced = downstream.DefaultPaDiM().Channels, 0
		}
		return made(downstream.NewPaDiM(c.Net.Features(), cfg, s.Rand(), c.options()...))
	}
	return m, nil
}

// PatchCore is the method of downstream.PatchCore. Bottleneck networks have patches of the article's 1024
// values, others keep their channels, see downstream.DefaultPatchCore.
func PatchCore(c Choice) (evaluate.Method, error) {
	if err := c.check(); err != nil {
		return evaluate.Method{}, err
	}
	cfg := downstream.DefaultPatchCore()
	cfg.Transform = c.tuned(cfg.Transform)
	if c.Layers != nil {
		cfg.Layers = c.Layers
	}
	if c.Net.Arch == backbone.ArchResNet50 || c.Net.Arch == backbone.ArchWideResNet50 {
		const article = 1024
		cfg.Dim = article - article%len(cfg.Layers) // it must divide by their number
	}
	m := c.method("patchcore", cfg.Layers, cfg)
	m.Protocol.Transform, m.Protocol.Score = cfg.Transform, metrics.ScorePatchMax
	m.Chance = "the projection and the first patches of the memory bank"
	m.New = func(s evaluate.Seed) (evaluate.Detector, error) {
		return made(downstream.NewPatchCore(c.Net.Features(), cfg, s.Rand(), c.options()...))
	}
	return m, nil
}

// Custom is a method of your own: make returns a detector of package downstream that
// sees images through tr. Settings are what it is made with. The protocol is
// evaluate.DefaultProtocol otherwise, and there is no reference draw.
func Custom(name string, settings any, tr dataset.Transform, make func(s evaluate.Seed) (downstream.SetScorer, error)) evaluate.Method {
	m := evaluate.Method{Name: name, Settings: settings, Protocol: evaluate.DefaultProtocol(), Seed: evaluate.Seed{Number: 1}}
	m.Protocol.Transform = tr
	m.New = func(s evaluate.Seed) (evaluate.Detector, error) { return made(make(s)) }
	return m
}

// channels counts those of layers.
func channels(arch backbone.Arch, layers []backbone.Layer) int {
	n := 0
	for _, l := range layers {
		n += arch.Channels(l)
	}
	return n
}
