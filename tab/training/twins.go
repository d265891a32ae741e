package training

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/internal/atomicfile"
	"github.com/gotab/gotab/synth"
	"github.com/gotab/gotab/tab"
	"github.com/gotab/gotab/tab/card"
)

// foreign is how many images of the other classes a class takes foreign texture
// from.
const foreign = 32

// mixtures gives each class the mixture, in which what is foreign is material of
// the other classes, where there are any.
func mixtures(ctx context.Context, o Config, ds dataset.Dataset, cfg tab.Config) (map[string]synth.Mixture, error) {
	return tab.MixturesByClass(ctx, ds, cfg.Transform, foreign, cfg.Seed, func(_ string, t synth.Textures) (synth.Mixture, error) {
		return o.mixture(t)
	})
}

// mixture is the mixture of kinds, less those that are kept out.
func (o Config) mixture(t synth.Textures) (synth.Mixture, error) {
	m := synth.NewMixture(synth.SmallDefects(), t)
	if len(o.Twins.Without) == 0 {
		return m, nil
	}
	return m.Without(o.Twins.Without...)
}

// tableFile is where the table of twins lies, beside the weights.
func tableFile(o Config) string { return o.Out + ".twins.json" }

// twinned is what a run knows of its twins.
type twinned struct {
	gen  synth.Generator
	hash string              // of the table, "" without one
	seen []tab.Detectability // of the classes of the data, as they were at first
	only []string            // the classes that are trained; nil for all
	tied []string            // the classes that are held to the start; nil for none
}

// keeps says whether an image is of a class that is trained.
func (t twinned) keeps(it dataset.Item) bool {
	return t.only == nil || slices.Contains(t.only, it.Class)
}

// told is what the card says of it.
func (t twinned) told() (out []card.Detectability) {
	for _, d := range t.seen {
		c := card.Detectability{Class: d.Class, StandsOut: d.StandsOut, Blind: d.Blind, LeftOut: !t.keeps(dataset.Item{Class: d.Class}), Tied: slices.Contains(t.tied, d.Class)}
		for kind, v := range d.Foreign {
			if c.Foreign == nil {
				c.Foreign = map[string]float64{}
			}
			c.Foreign[string(kind)] = v
		}
		out = append(out, c)
	}
	return out
}

// twins makes the generator of each class from its mixture. Where they are measured it fits
// what a table says of the class: measured in the network as it is before the
// first step, or, where a run is resumed, as it was then, or, with Twins.Table, of
// another run. Where WhereBlind leaves classes out there is no generator yet, and alone makes it.
func twins(ctx context.Context, o Config, ds dataset.Dataset, cfg tab.Config, net tab.VisualEncoder) (t twinned, err error) {
	own, err := mixtures(ctx, o, ds, cfg)
	if err != nil {
		return t, err
	}
	if !o.Twins.Measured && o.Twins.Table == "" {
		by := tab.TwinsByClass{}
		for class, m := range own {
			by[class] = m
		}
		t.gen = controlled(o, by)
		return t, nil
	}
	raw, table, err := tableOf(ctx, o, ds, cfg, net, own)
	if err != nil {
		return t, err
	}
	for _, d := range table.Detectability() {
		if _, ok := own[d.Class]; ok {
			t.seen = append(t.seen, d)
		}
	}
	if !o.Resume {
		if err := advise(t.seen, o.Print); err != nil {
			return t, err
		}
	}
	if o.Twins.WhereBlind {
		only, others, err := o.blind(ds.Classes(), t.seen)
		switch {
		case err != nil:
			return t, err
		case o.Twins.Tie:
			t.tied = others
		case only != nil:
			t.only = only
			return t, nil
		}
	}
	return t.fitted(o, own, raw, table)
}

// alone makes the generator of the classes that are trained, which are all that ds has.
func (t twinned) alone(ctx context.Context, o Config, ds dataset.Dataset, cfg tab.Config, net tab.VisualEncoder) (twinned, error) {
	own, err := mixtures(ctx, o, ds, cfg)
	if err != nil {
		return t, err
	}
	raw, table, err := tableOf(ctx, o, ds, cfg, net, own)
	if err != nil {
		return t, err
	}
	if o.Twins.Table != "" && !o.Resume { // what lies beside the weights has the classes that are trained, so that a resumed run knows them
		table.Products = slices.DeleteFunc(table.Products, func(p tab.ProductTwins) bool { return !t.keeps(dataset.Item{Class: p.Class}) })
		var b bytes.Buffer
		if _, err := table.WriteTo(&b); err != nil {
			return t, err
		}
		raw = b.Bytes()
	}
	return t.fitted(o, own, raw, table)
}

// tableOf returns the table, measured or from a file, and its bytes: those of the first process for all.
func tableOf(ctx context.Context, o Config, ds dataset.Dataset, cfg tab.Config, net tab.VisualEncoder, own map[string]synth.Mixture) ([]byte, *tab.TwinTable, error) {
	raw, err := aside(ctx, o.Group, func(ctx context.Context) ([]byte, error) {
		switch file := o.Twins.Table; {
		case o.Resume:
			raw, err := readTable(tableFile(o))
			if err != nil {
				return nil, fmt.Errorf("the table of twins that the run was begun with: %w", err)
			}
			return raw, nil
		case file != "":
			raw, err := readTable(file)
			if err != nil {
				return nil, fmt.Errorf("twins: %w", err)
			}
			return raw, nil
		}
		fmt.Fprintf(o.Log, "measuring %d twins of each kind on %d classes\n", o.Twins.Draws, len(ds.Classes()))
		found, err := tab.MeasureTwinsByClass(ctx, net, ds, own, measurement(o, cfg))
		if err != nil {
			return nil, err
		}
		var b bytes.Buffer
		_, err = found.WriteTo(&b)
		return b.Bytes(), err
	})
	if err != nil {
		return nil, nil, err
	}
	table, err := tab.ReadTwinTable(bytes.NewReader(raw))
	if err != nil {
		return nil, nil, err
	}
	if !o.Resume && o.Twins.Table == "" {
		if err := show(table, o.Print); err != nil {
			return nil, nil, err
		}
	}
	return raw, table, nil
}

// advise says of each class in a sentence whether training is likely to help. What it says of the six sets is in docs/results.md.
func advise(seen []tab.Detectability, w io.Writer) error {
	for _, d := range seen {
		var by []string
		for _, kind := range []synth.Kind{synth.KindTexture, synth.KindNoise} {
			if v, ok := d.Foreign[kind]; ok {
				by = append(by, fmt.Sprintf("%s %.2f", kind, v))
			}
		}
		stands := fmt.Sprintf("(%s times what good parts vary by)", strings.Join(by, " and "))
		says := "how far foreign matter stands out in the start was not measured, so nothing is known of whether training helps"
		switch {
		case d.Blind:
			says = fmt.Sprintf("the start hardly sees damage %s: training is likely to help, as it did on both such products that were tried, circuit boards and screws", stands)
		case len(by) > 0:
			says = fmt.Sprintf("the start sees damage already %s: of the five such sets of six that were tried four lost up to five points by training and one stayed; "+
				"keep the start for it, or compare before you use it (evaluate/beforeafter)", stands)
		}
		if _, err := fmt.Fprintf(w, "%s: %s\n", d.Class, says); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(w)
	return err
}

// blind returns the classes that WhereBlind trains, nil for all of them, and the others, nil for none. A resumed run
// trains those that its table has, or, where the others are tied, goes by the table as it did.
func (o Config) blind(classes []string, seen []tab.Detectability) (only, left []string, err error) {
	if !o.Resume && len(seen) < len(classes) {
		return nil, nil, nil // the table has not all, which is an error of its own
	}
	for _, class := range classes {
		i := slices.IndexFunc(seen, func(d tab.Detectability) bool { return d.Class == class })
		if i >= 0 && (seen[i].Blind || o.Resume && !o.Twins.Tie) {
			only = append(only, class)
		} else {
			left = append(left, class)
		}
	}
	switch {
	case o.Resume && o.Twins.Tie && (len(seen) < len(classes) || len(only) == 0):
		return nil, nil, fmt.Errorf("training: %w: Twins.Tie is for a run that was begun with it, and that of %s was not; leave it out, or begin anew", tab.ErrCheckpoint, Checkpoint(o.Out))
	case len(left) == 0, len(only) == 0 && o.Resume: // the latter is a table that fits none
		return nil, nil, nil
	case len(only) == 0:
		return nil, nil, fmt.Errorf("training: %w (%s): nothing is trained and nothing was written; the start's own weights are the ones to use", ErrNoneBlind, strings.Join(left, ", "))
	}
	becomes := "left out"
	if o.Twins.Tie {
		becomes = "held to the start"
	}
	fmt.Fprintf(o.Log, "trained, because the start hardly sees damage there: %s; %s: %s\n", strings.Join(only, ", "), becomes, strings.Join(left, ", "))
	return only, left, nil
}

// fitted makes the generator of each class from its mixture and the table, which it writes beside the weights.
func (t twinned) fitted(o Config, own map[string]synth.Mixture, raw []byte, table *tab.TwinTable) (twinned, error) {
	var surplus []string
	for _, p := range table.Products {
		if _, ok := own[p.Class]; !ok {
			surplus = append(surplus, p.Class)
		}
	}
	if len(surplus) > 0 {
		fmt.Fprintf(o.Log, "note: the table of twins%s is of more products than are trained; passed over: %s\n", of(o.Twins.Table), strings.Join(surplus, ", "))
	}
	fitting, held := t.apart(o, own, table)
	fits, err := table.FitsByClass(fitting)
	if errors.Is(err, tab.ErrNoTwin) {
		return t, fmt.Errorf("%w; without a table the mixture is taken as it is", err)
	}
	if errors.Is(err, tab.ErrUnknownClass) {
		return t, fmt.Errorf("%w; take a table of all classes that are trained, or have the twins measured", err)
	}
	if err != nil {
		return t, err
	}
	if !o.Resume && first(o.Group) {
		if err := atomicfile.Write(tableFile(o), func(w io.Writer) error {
			_, err := w.Write(raw)
			return err
		}); err != nil {
			return t, err
		}
		fmt.Fprintf(o.Log, "table of twins written to %s\n", tableFile(o))
	}
	maps.Copy(fits, held)
	t.gen, t.hash = controlled(o, fits), fmt.Sprintf("sha256:%x", sha256.Sum256(raw))
	return t, nil
}

// apart returns the mixtures that the table has to fit, and those of tied classes of which it leaves no twin, which are taken as they are: that the
// start sees all kinds there is what such a class is held for. A resumed run need not say what is tied, and was not begun where another class has none.
func (t twinned) apart(o Config, own map[string]synth.Mixture, table *tab.TwinTable) (fitting map[string]synth.Mixture, held tab.TwinsByClass) {
	fitting, held = maps.Clone(own), tab.TwinsByClass{}
	for class, m := range own {
		if !o.Resume && !slices.Contains(t.tied, class) {
			continue
		}
		if _, err := table.Mixture(class, m); errors.Is(err, tab.ErrNoTwin) {
			held[class] = m
			delete(fitting, class)
		}
	}
	return fitting, held
}

// readTable reads the table of a file, which is bounded by [tab.ReadTwinTable], and returns its bytes.
func readTable(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var raw bytes.Buffer
	if _, err := tab.ReadTwinTable(io.TeeReader(f, &raw)); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return raw.Bytes(), nil
}

// measurement are the settings of the table: the training's own, so that twins and
// objective are held against one spread.
func measurement(o Config, cfg tab.Config) tab.TwinConfig {
	c := tab.DefaultTwins()
	c.Transform, c.Normalize, c.Seed, c.Draws = cfg.Transform, cfg.Normalize, cfg.Seed, o.Twins.Draws
	n := cfg.Objective.Needs()
	if len(n.Stages) > 0 {
		c.Layers = n.Stages
	}
	if n.Metric {
		c.Ridge, c.Images = cfg.Metric.Ridge, cfg.Metric.Images
	}
	return c
}

func show(t *tab.TwinTable, w io.Writer) error {
	fmt.Fprintf(w, "What twins are in the network before training: \"normal\" within 95 %% of good parts at every layer, \"far\" beyond\n"+
		"%g times their 99 %% at every layer, \"drawn\" between. Under the layers how far the median twin stands out, in units of\n"+
		"the 95 %%. \"weight\" is the share with which each kind of damage is drawn.\n\n", t.Far)
	if err := t.Text(w, false); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w)
	return err
}

// controlled is what Misplaced makes of the twins of each class.
func controlled(o Config, by tab.TwinsByClass) tab.TwinsByClass {
	if !o.Twins.Misplaced {
		return by
	}
	out := tab.TwinsByClass{}
	for class, g := range by {
		out[class] = synth.Misplaced{Generator: g}
	}
	return out
}

// of is " of FILE" where there is a file.
func of(file string) string {
	if file == "" {
		return ""
	}
	return " of " + file
}
