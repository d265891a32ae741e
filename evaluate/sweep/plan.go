package sweep

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/evaluate"
	"github.com/gotab/gotab/evaluate/detectors"
	"github.com/gotab/gotab/evaluate/study"
)

// Plan is what a sweep does. It is a file, so that it can stand before its results.
type Plan struct {
	// Start are the weights that every training begins with and every network is
	// compared with.
	Start string `json:"start"`
	// Data are roots in MVTec AD's layout. Training reads their good images,
	// evaluation fits on these and scores the test images.
	Data    []string `json:"data"`
	Classes []string `json:"classes"` // of Data that are evaluated; all where empty
	// Pretrain are flags of the program pretrain that all trainings have, -bank for
	// example. -data, -init, -seed, -out and -log are the sweep's own; -device is Config.Device unless given here.
	Pretrain []string `json:"pretrain"`
	PaDiM    Draws    `json:"padim"`
	// PatchCore has seeds only, its Reference must be false.
	PatchCore Draws `json:"patchcore"`
	// Detectors are others that are fitted besides.
	Detectors []Detector `json:"detectors"`
	// Synthetic replaces the test images by twins of good images that are neither
	// trained nor fitted on: what settings may be chosen by.
	Synthetic *Synthetic `json:"synthetic"`
	Networks  []Network  `json:"networks"`
}

// Draws says how often a detector is fitted.
type Draws struct {
	Reference bool `json:"reference"` // the reference program's channels
	Seeds     int  `json:"seeds"`     // besides, with the seeds 1 to Seeds
	// Pixels is how many of the seeds have their pixels counted, which takes as long as
	// a fit; all where it is 0. The reference draw has.
	Pixels int `json:"pixels"`
}

// Detector is one of detectors.Kinds, PaDiM and PatchCore apart, and none that learns from other classes.
type Detector struct {
	Name string `json:"name"` // such as rd4ad
	Draws
	Epochs int      `json:"epochs"` // of one that trains; 0: its article's
	Layers []string `json:"layers"` // in place of its own
}

// kind is the method of that name, and the layers that the plan has for it.
func (d Detector) kind() (detectors.Kind, []backbone.Layer, error) {
	var names []string
	for _, k := range detectors.Kinds() {
		if k.Shots || k.Name == "padim" || k.Name == "patchcore" {
			continue
		}
		if k.Name == d.Name {
			layers, err := backbone.ParseLayers(d.Layers...)
			for i, l := range layers {
				if slices.Contains(layers[:i], l) {
					return k, nil, fmt.Errorf(`"layers" has %s twice`, l)
				}
			}
			return k, layers, err
		}
		names = append(names, k.Name)
	}
	return detectors.Kind{}, nil, fmt.Errorf("want one of %v", names)
}

// Synthetic describes a synthetic test set: as many damaged twins as there are good
// images that are kept apart, times Twins.
type Synthetic struct {
	Share float64  `json:"share"` // of the good images, above 0 and below 1
	Seed  uint64   `json:"seed"`
	Kinds []string `json:"kinds"` // of synth.Mixture; those that training leaves out say most
	Twins int      `json:"twins"` // of each kind and image
}

// Network is one recipe, a file of weights, or a control.
type Network struct {
	Name string `json:"name"`
	// File holds weights that are there already, and Control says how weights come of
	// the start's without training; else Pretrain has the flags of a training, which is
	// done with each of Seeds.
	File     string   `json:"file"`
	Pretrain []string `json:"pretrain"`
	Seeds    []uint64 `json:"seeds"`
	// Data are the roots that this training reads in place of the plan's, and
	// Without names classes that it does not read.
	Data    []string `json:"data"`
	Without []string `json:"without"`
	// Shares are the shares of the trained weights, the rest being the start's;
	// one without any.
	Shares  []float64 `json:"shares"`
	Control *Control  `json:"control"`
}

// trained says whether the weights come from the program pretrain.
func (n Network) trained() bool { return n.File == "" && n.Control == nil }

// ErrPlan reports a plan that makes no sense, or data that are not as it says.
var ErrPlan = errors.New("plan")

// ReadPlan reads a plan from a JSON file of at most 1 MiB. Paths in it are relative to its
// folder. Errors wrap [ErrPlan] where the plan makes no sense.
func ReadPlan(path string) (p Plan, err error) {
	f, err := os.Open(path)
	if err != nil {
		return p, err
	}
	raw, err := io.ReadAll(io.LimitReader(f, maxPlan+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return p, err
	}
	if len(raw) > maxPlan {
		return p, fmt.Errorf("%s: %w: longer than %d bytes", path, ErrPlan, maxPlan)
	}
	if p, err = parsePlan(raw); err != nil {
		return p, fmt.Errorf("%s: %w", path, err)
	}
	dir := filepath.Dir(path)
	p.Start = under(dir, p.Start)
	for i := range p.Data {
		p.Data[i] = under(dir, p.Data[i])
	}
	for i := range p.Networks {
		n := &p.Networks[i]
		n.File = under(dir, n.File)
		if n.Control != nil {
			n.Control.Noise = under(dir, n.Control.Noise)
		}
		for k := range n.Data {
			n.Data[k] = under(dir, n.Data[k])
		}
	}
	return p, nil
}

func parsePlan(raw []byte) (p Plan, err error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&p); err != nil {
		return p, fmt.Errorf("%w: %w", ErrPlan, err)
	}
	if dec.More() {
		return p, fmt.Errorf("%w: there is more behind its end", ErrPlan)
	}
	return p, p.Validate()
}

func under(dir, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// maxPlan bounds a plan, in bytes.
const maxPlan = 1 << 20

var nameOf = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$`)

// Validate names the first thing in the plan that makes no sense; the error wraps [ErrPlan].
func (p Plan) Validate() error {
	bad := func(format string, a ...any) error { return fmt.Errorf("%w: %s", ErrPlan, fmt.Sprintf(format, a...)) }
	switch {
	case p.Start == "":
		return bad(`"start" is missing, the weights that all begin with`)
	case len(p.Data) == 0:
		return bad(`"data" is missing, folders with one folder a class`)
	case p.PatchCore.Reference:
		return bad(`"patchcore" has no reference draw`)
	case p.PaDiM.Seeds < 0 || p.PatchCore.Seeds < 0 || p.PaDiM.Seeds > 1000 || p.PatchCore.Seeds > 1000:
		return bad(`"seeds" of a detector are 0 to 1000`)
	case p.PaDiM.Pixels < 0 || p.PatchCore.Pixels < 0:
		return bad(`"pixels" of a detector are 0 or more`)
	case p.PaDiM.Seeds == 0 && !p.PaDiM.Reference && p.PatchCore.Seeds == 0 && len(p.Detectors) == 0:
		return bad(`neither "padim" nor "patchcore" nor one of "detectors" is to be fitted`)
	}
	for i, d := range p.Detectors {
		k, _, err := d.kind()
		switch {
		case err != nil:
			return bad(`detector %d is %q: %v`, i, d.Name, err)
		case slices.ContainsFunc(p.Detectors[:i], func(o Detector) bool { return o.Name == d.Name }):
			return bad(`two of "detectors" are %q`, d.Name)
		case d.Reference || d.Seeds < 1 || d.Seeds > 1000 || d.Pixels < 0:
			return bad(`detector %q: it has no reference draw, "seeds" are 1 to 1000 and "pixels" 0 or more`, d.Name)
		case d.Epochs < 0 || d.Epochs > 0 && !k.Trains:
			return bad(`detector %q: "epochs" is %d, want 0 or more, and 0 for one that does not train`, d.Name, d.Epochs)
		}
	}
	if s := p.Synthetic; s != nil {
		switch {
		case !(s.Share > 0 && s.Share < 1):
			return bad(`"share" of "synthetic" is %v, want above 0 and below 1`, s.Share)
		case len(s.Kinds) == 0 || s.Twins < 1 || s.Twins > 1000:
			return bad(`"synthetic" needs "kinds" and 1 to 1000 "twins"`)
		}
	}
	var names []string
	for i, n := range p.Networks {
		switch {
		case !nameOf.MatchString(n.Name) || n.Name == startName:
			return bad(`"name" of network %d is %q, want letters, digits and . _ + -, and not %q`, i, n.Name, startName)
		case slices.Contains(names, n.Name):
			return bad("two networks are called %q", n.Name)
		case n.Control == nil && (n.File == "") == (len(n.Seeds) == 0):
			return bad(`network %q: give either a "file", a "control" or the "seeds" of its trainings`, n.Name)
		case !n.trained() && (len(n.Pretrain) > 0 || len(n.Data) > 0 || len(n.Without) > 0):
			return bad(`network %q has a "file" or a "control": nothing is trained`, n.Name)
		}
		if n.Control != nil {
			if reason := n.Control.validate(n); reason != "" {
				return bad(`network %q: "control": %s`, n.Name, reason)
			}
		}
		for _, a := range n.Shares {
			if !(a > 0 && a <= 1) {
				return bad(`network %q: a share is %v, want above 0 and up to 1`, n.Name, a)
			}
		}
		names = append(names, n.Name)
	}
	return nil
}

// startName is what the weights of the start are called.
const startName = study.Start

// variants lists the networks of the plan with all their seeds and shares.
func (p Plan) variants(r *study.Runner) []study.Variant {
	var vs []study.Variant
	add := func(n Network, seed uint64, file string) {
		shares := n.Shares
		if len(shares) == 0 {
			shares = []float64{1}
		}
		for _, a := range shares {
			vs = append(vs, study.Variant{Training: evaluate.Training{Name: n.Name, Seed: seed, Share: a}, File: file})
		}
	}
	for _, n := range p.Networks {
		if n.File != "" {
			add(n, 0, n.File)
		}
		if n.Control != nil && len(n.Seeds) == 0 {
			add(n, 0, r.Weights(n.Name, 0))
		}
		for _, s := range n.Seeds {
			add(n, s, r.Weights(n.Name, s))
		}
	}
	return vs
}

// fits lists all that are wanted of a class on a network.
func (p Plan) fits() []study.Fit {
	var out []study.Fit
	add := func(name string, seed evaluate.Seed, pixels bool, method func(detectors.Choice) (evaluate.Method, error)) {
		out = append(out, study.Fit{Name: name, Seed: seed, Pixels: pixels, Method: func(n *detectors.Network) (evaluate.Method, error) {
			m, err := method(detectors.Choice{Net: n})
			m.Protocol.Bootstrap.Resamples = 100 // intervals of single fits are not shown
			m.Protocol.PixelBytes = 256 << 20    // exact for 500 images
			return m, err
		}})
	}
	if p.PaDiM.Reference {
		add("padim", evaluate.Seed{Reference: true}, true, detectors.PaDiM)
	}
	for i := range p.PaDiM.Seeds {
		add("padim", evaluate.Seed{Number: uint64(i + 1)}, p.PaDiM.counts(i), detectors.PaDiM)
	}
	for i := range p.PatchCore.Seeds {
		add("patchcore", evaluate.Seed{Number: uint64(i + 1)}, p.PatchCore.counts(i), patchCore)
	}
	for _, d := range p.Detectors {
		k, layers, _ := d.kind() // which Validate has seen
		for i := range d.Seeds {
			add(d.Name, evaluate.Seed{Number: uint64(i + 1)}, d.counts(i), func(c detectors.Choice) (evaluate.Method, error) {
				c.Epochs, c.Layers = d.Epochs, layers
				return k.Plan(c)
			})
			out[len(out)-1].Alone = k.Trains
		}
	}
	return out
}

// patchCore is PatchCore with the draws that studies have had from the beginning.
func patchCore(c detectors.Choice) (evaluate.Method, error) {
	m, err := detectors.PatchCore(c)
	if err != nil {
		return m, err
	}
	cfg, ok := m.Settings.(downstream.PatchCoreConfig)
	if !ok {
		return m, fmt.Errorf("%w: PatchCore's settings are %T", ErrPlan, m.Settings)
	}
	m.New = detectors.Custom(m.Name, cfg, cfg.Transform, func(s evaluate.Seed) (downstream.SetScorer, error) {
		return downstream.NewPatchCore(c.Net.Features(), cfg, rand.New(rand.NewPCG(s.Number, 2)))
	}).New
	return m, nil
}

// counts says whether the pixels of seed i+1 are counted.
func (d Draws) counts(i int) bool { return d.Pixels == 0 || i < d.Pixels }
