package training

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/internal/atomicfile"
	"github.com/gotab/gotab/synth"
	"github.com/gotab/gotab/tab"
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

// twins makes the generator of each class from its mixture. Where they are measured it fits
// what a table says of the class: measured in the network as it is before the
// first step, or, where a run is resumed, as it was then, or, with Twins.Table, of
// another run. The second result is the
// table's hash, "" without one.
func twins(ctx context.Context, o Config, ds dataset.Dataset, cfg tab.Config, net tab.VisualEncoder) (synth.Generator, string, error) {
	own, err := mixtures(ctx, o, ds, cfg)
	if err != nil {
		return nil, "", err
	}
	if !o.Twins.Measured && o.Twins.Table == "" {
		by := tab.TwinsByClass{}
		for class, m := range own {
			by[class] = m
		}
		return controlled(o, by), "", nil
	}
	var raw []byte
	var table *tab.TwinTable
	switch file := o.Twins.Table; {
	case o.Resume:
		if raw, table, err = readTable(tableFile(o)); err != nil {
			return nil, "", fmt.Errorf("the table of twins that the run was begun with: %w", err)
		}
	case file != "":
		if raw, table, err = readTable(file); err != nil {
			return nil, "", fmt.Errorf("twins: %w", err)
		}
	default:
		raw, err = aside(ctx, o.Group, func(ctx context.Context) ([]byte, error) {
			fmt.Fprintf(o.Log, "measuring %d twins of each kind on %d classes\n", o.Twins.Draws, len(ds.Classes()))
			measured, err := tab.MeasureTwinsByClass(ctx, net, ds, own, measurement(o, cfg))
			if err != nil {
				return nil, err
			}
			var b bytes.Buffer
			_, err = measured.WriteTo(&b)
			return b.Bytes(), err
		})
		if err != nil {
			return nil, "", err
		}
		if table, err = tab.ReadTwinTable(bytes.NewReader(raw)); err != nil {
			return nil, "", err
		}
		if err := show(table, o.Print); err != nil {
			return nil, "", err
		}
	}
	var surplus []string
	for _, p := range table.Products {
		if _, ok := own[p.Class]; !ok {
			surplus = append(surplus, p.Class)
		}
	}
	if len(surplus) > 0 {
		fmt.Fprintf(o.Log, "note: the table of twins%s is of more products than are trained; passed over: %s\n", of(o.Twins.Table), strings.Join(surplus, ", "))
	}
	fits, err := table.FitsByClass(own)
	if errors.Is(err, tab.ErrNoTwin) {
		return nil, "", fmt.Errorf("%w; without a table the mixture is taken as it is", err)
	}
	if err != nil {
		return nil, "", err
	}
	if !o.Resume && first(o.Group) {
		if err := atomicfile.Write(tableFile(o), func(w io.Writer) error {
			_, err := w.Write(raw)
			return err
		}); err != nil {
			return nil, "", err
		}
		fmt.Fprintf(o.Log, "table of twins written to %s\n", tableFile(o))
	}
	return controlled(o, fits), fmt.Sprintf("sha256:%x", sha256.Sum256(raw)), nil
}

// readTable reads the table of a file, which is bounded by [tab.ReadTwinTable].
func readTable(path string) ([]byte, *tab.TwinTable, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	var raw bytes.Buffer
	table, err := tab.ReadTwinTable(io.TeeReader(f, &raw))
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return raw.Bytes(), table, nil
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
