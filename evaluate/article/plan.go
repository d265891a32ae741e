package article

import (
	"fmt"
	"slices"

	"github.com/gotab/gotab/evaluate"
	"github.com/gotab/gotab/evaluate/detectors"
	"github.com/gotab/gotab/evaluate/study"
)

// table is what a table of the article compares.
type table struct {
	title    string
	networks []network // columns beside the start
	methods  []method
	figures  []evaluate.FigureKey
	cross    bool // tested on other data than it is trained on
	wafers   bool // classified, not detected
}

// network is a way to pre-train.
type network struct {
	label   string
	flags   []string // of pretrain
	prompts string   // list of sentences; empty where no text is needed
}

// fullPrompts is the list of sentences that all tables but the one about sentences take.
const fullPrompts = "industrial"

// method is a detector as a column.
type method struct {
	label, kind string
	shots       int
}

func tableOf(o Config) table {
	image, pixel := evaluate.ImageAUROC, evaluate.PixelAUROC
	tab := network{"TAB", []string{"-recipe", o.Recipe}, fullPrompts}
	with := func(label string, flags ...string) network {
		return network{label, append([]string{"-recipe", "paper"}, flags...), fullPrompts}
	}
	binary := with("classification", "-objective", "binary")
	binary.prompts = ""
	padim, rd4ad, simple := method{"PaDiM", "padim", 0}, method{"RD4AD", "rd4ad", 0}, method{"SimpleNet", "simplenet", 0}
	five := []method{padim, rd4ad, simple, {"RegAD-4", "regad", 4}, {"RegAD-8", "regad", 8}}
	both := []evaluate.FigureKey{image, pixel}
	switch o.Table {
	case 1:
		return table{title: "detection", networks: []network{tab}, methods: five, figures: []evaluate.FigureKey{image}}
	case 2:
		return table{title: "localisation", networks: []network{tab}, methods: five, figures: []evaluate.FigureKey{pixel}}
	case 3:
		return table{title: "classification of wafer maps", networks: []network{tab}, wafers: true}
	case 4:
		return table{title: "other data sets", networks: []network{tab}, methods: []method{padim, simple, rd4ad}, figures: both, cross: true}
	case 5:
		return table{title: "ways to pre-train", networks: []network{binary, tab}, methods: []method{padim, simple, rd4ad}, figures: both}
	case 6:
		return table{title: "kinds of damaged twins", methods: []method{padim}, figures: both,
			networks: []network{with("Perlin", "-synth", "perlin"), with("Mask", "-synth", "mask"), with("CutPaste", "-synth", "cutpaste"), with("NSA")}}
	case 7:
		return table{title: "what the loss aligns", methods: []method{padim}, figures: both,
			networks: []network{binary, with("TAB, normal only", "-objective", "normal"), with("TAB")}}
	}
	t := table{title: "sentences", methods: []method{padim}, figures: both}
	for _, p := range []struct{ label, preset string }{{"one class", "one-class"}, {"two classes", "two-class"}, {"states", "state-ensemble"},
		{"+ CLIP's templates", "clip-template"}, {"+ industrial words", fullPrompts}} {
		t.networks = append(t.networks, network{p.label, []string{"-recipe", "paper"}, p.preset})
	}
	return t
}

// flags are those of a training that change its weights, but its data, text and seed.
func (o Config) flags(n network) []string {
	out := slices.Clone(n.flags)
	if o.Small {
		out = append(out, "-steps", "4", "-batch", "4", "-size", "72")
		if slices.Contains(n.flags, "amplify") {
			out = append(out, "-crop", "64", "-warmup", "2", "-twins", "plain") // a handful of images has no spread to measure twins by
		}
	}
	return append(out, o.Pretrain...)
}

// machine are the flags of a program about where it runs.
func (o Config) machine() []string {
	return append([]string{"-device", o.Device.String()}, o.Machine...)
}

// fits are those of a method, a seed each.
func (o Config) fits(m method) ([]study.Fit, error) {
	i := slices.IndexFunc(o.Kinds, func(k detectors.Kind) bool { return k.Name == m.kind })
	if i < 0 {
		return nil, fmt.Errorf("%w: there is no detector %q", ErrConfig, m.kind)
	}
	kind := o.Kinds[i]
	seeds := []evaluate.Seed{{Number: 1}}
	if m.kind == "padim" {
		seeds = []evaluate.Seed{{Reference: true}}
	}
	if o.Draws > 0 {
		var err error
		if seeds, err = evaluate.Seeds(o.Draws); err != nil {
			return nil, err
		}
	}
	epochs := o.Epochs
	if epochs == 0 && o.Small {
		epochs = 1
	}
	var out []study.Fit
	for _, s := range seeds {
		out = append(out, study.Fit{Name: m.label, Seed: s, Pixels: true, Alone: kind.Trains, Method: func(n *detectors.Network) (evaluate.Method, error) {
			c := detectors.Choice{Net: n, Layers: o.Layers}
			if kind.Trains {
				c.Epochs = epochs
			}
			if kind.Shots {
				c.Shots = m.shots
			}
			m, err := kind.Plan(c)
			m.Protocol.Bootstrap.Resamples = 100 // intervals of single fits are not shown
			return m, err
		}})
	}
	return out, nil
}

// wanted says whether a method is among those of Methods.
func (o Config) wanted(m method) bool {
	return len(o.Methods) == 0 || slices.Contains(o.Methods, m.kind)
}
