package article

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/gotab/gotab/evaluate"
	"github.com/gotab/gotab/evaluate/study"
	"github.com/gotab/gotab/metrics"
	"github.com/gotab/gotab/tab/card"
)

// column is a network of a table.
type column struct{ label, name string }

// group is a row of means.
type group struct {
	label string
	has   func(s study.Set) bool
}

// textures are those of MVTec AD; its other ten classes are objects.
var (
	textures = []string{"carpet", "grid", "leather", "tile", "wood"}
	objects  = []string{"bottle", "cable", "capsule", "hazelnut", "metal_nut", "pill", "screw", "toothbrush", "transistor", "zipper"}
)

// groups are the rows of means: MVTec AD's groups where all classes are its own, each data
// set where there are several, and all.
func groups(tested []study.Set) (out []group) {
	var names []string
	mvtec := true
	for _, s := range tested {
		mvtec = mvtec && slices.Contains(slices.Concat(textures, objects), s.Class)
		if !slices.Contains(names, s.Data) {
			names = append(names, s.Data)
		}
	}
	if mvtec {
		for _, g := range []struct {
			label   string
			classes []string
		}{{"texture", textures}, {"object", objects}} {
			has := func(s study.Set) bool { return slices.Contains(g.classes, s.Class) }
			if slices.ContainsFunc(tested, has) {
				out = append(out, group{g.label, has})
			}
		}
	}
	if len(names) > 1 {
		for _, n := range names {
			out = append(out, group{n, func(s study.Set) bool { return s.Data == n }})
		}
	}
	return append(out, group{"overall", func(study.Set) bool { return true }})
}

// cell gathers what a network's trainings gave on a class by a method.
func (d *detecting) cell(name string, s study.Set, m method) (c evaluate.Cell) {
	for _, j := range d.judged {
		if j.Variant.Name == name && j.Fit.Name == m.label && j.Set.Data == s.Data && j.Set.Class == s.Class {
			c = append(c, j.Record)
		}
	}
	return c
}

// number is a figure and its difference from the start's, from 0 to 1.
type number struct {
	value, difference, err float64
	known, paired, errs    bool // there is a value, a difference, a standard error
}

// number of one class.
func (d *detecting) number(ctx context.Context, key evaluate.FigureKey, name string, s study.Set, m method) (n number, err error) {
	c := d.cell(name, s, m)
	if n.value, n.known = c.Mean(key); !n.known || name == study.Start {
		return n, nil
	}
	c, base := c.SameSeeds(d.cell(study.Start, s, m), key)
	own, ok := c.Mean(key)
	if !ok {
		return n, nil
	}
	from, _ := base.Mean(key)
	n.difference, n.paired = own-from, true
	if key != evaluate.ImageAUROC {
		return n, nil
	}
	cfg := metrics.DefaultBootstrap()
	cfg.Resamples = 1000
	over, ok, err := c.Over(ctx, base, cfg, rand.New(rand.NewPCG(1, 4)))
	n.err, n.errs = over.Error, ok
	return n, err
}

// mean of several classes; known only where all are. The error of a figure of pixels is
// that of the mean over classes.
func mean(of []number, key evaluate.FigureKey) number {
	out := number{known: len(of) > 0, paired: len(of) > 0, errs: len(of) > 0}
	var differences []float64
	n := float64(len(of))
	for _, x := range of {
		out.value += x.value / n
		out.difference += x.difference / n
		out.err += x.err * x.err
		out.known, out.paired, out.errs = out.known && x.known, out.paired && x.paired, out.errs && x.errs
		differences = append(differences, x.difference)
	}
	out.err = math.Sqrt(out.err) / n
	if key == evaluate.ImageAUROC {
		return out
	}
	if s, err := metrics.OverSeeds(differences); err == nil && len(of) > 1 {
		out.err, out.errs = s.Deviation/math.Sqrt(n), out.paired
	}
	return out
}

func (n number) String() string {
	switch {
	case !n.known:
		return "-"
	case !n.paired:
		return fmt.Sprintf("%.2f", 100*n.value)
	case !n.errs:
		return fmt.Sprintf("%.2f (%+.2f)", 100*n.value, 100*n.difference)
	}
	return fmt.Sprintf("%.2f (%+.2f ± %.2f)", 100*n.value, 100*n.difference, 100*n.err)
}

// body is a table for each figure.
func (d *detecting) body(ctx context.Context, b *strings.Builder) error {
	domain := "in-domain: good training images of these classes were in pre-training"
	if d.table.cross {
		domain = "cross-data: no image of these classes was in pre-training"
	}
	for _, key := range d.table.figures {
		fmt.Fprintf(b, "## %s, %% (%s)\n\n", key.Name(), domain)
		if err := d.figure(ctx, b, key); err != nil {
			return err
		}
	}
	b.WriteString("In brackets: less the start on the same images, ± standard error. That of an image AUROC is over images (bootstrap of good and defective images,\n" +
		"the fits kept), and a mean's adds those of its classes as independent; that of a mean of pixel figures is over classes, and a class has none.\n")
	return nil
}

// figure is the table of one figure. A class without masks has no figures of pixels and
// no line there.
func (d *detecting) figure(ctx context.Context, b *strings.Builder, key evaluate.FigureKey) error {
	var tested []study.Set
	var cells [][]number // a row for each class
	for _, s := range d.tested {
		var row []number
		for _, m := range d.methods {
			for _, c := range d.columns {
				n, err := d.number(ctx, key, c.name, s, m)
				if err != nil {
					return fmt.Errorf("%s, %s, %s: %w", c.label, s.Class, m.label, err)
				}
				row = append(row, n)
			}
		}
		if key == evaluate.ImageAUROC || slices.ContainsFunc(row, func(n number) bool { return n.known }) {
			tested, cells = append(tested, s), append(cells, row)
		}
	}
	if len(tested) == 0 {
		b.WriteString("No class has masks of its defects.\n\n")
		return nil
	}
	b.WriteString("| |")
	for _, m := range d.methods {
		for _, c := range d.columns {
			fmt.Fprintf(b, " %s, %s |", m.label, c.label)
		}
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(d.methods)*len(d.columns)) + "\n")
	for _, g := range groups(tested) {
		fmt.Fprintf(b, "| **%s** |", g.label)
		for k := range len(d.methods) * len(d.columns) {
			var of []number
			for i, s := range tested {
				if g.has(s) {
					of = append(of, cells[i][k])
				}
			}
			fmt.Fprintf(b, " %s |", mean(of, key))
		}
		b.WriteString("\n")
	}
	for i, s := range tested {
		fmt.Fprintf(b, "| %s |", s.Class)
		for _, n := range cells[i] {
			fmt.Fprintf(b, " %s |", n)
		}
		b.WriteString("\n")
	}
	b.WriteString("\n")
	return nil
}

// head says what the table is of and how it was made.
func (r *runner) head(b *strings.Builder) error {
	start, err := card.FileAt(r.o.Start)
	if err != nil {
		return err
	}
	fmt.Fprintf(b, "# Table %d: %s\n\n", r.o.Table, r.table.title)
	words := fmt.Sprintf("start: %s (SHA-256 %s); recipe of TAB: %s; trainings of each network: %d", start.Name, start.SHA256[:8], r.o.Recipe, r.o.Seeds)
	if len(r.o.Layers) > 0 {
		words += fmt.Sprintf("; detectors read %v", r.o.Layers)
	}
	if r.o.Small {
		words += "; **a trial of the way with a few steps (Small), whose figures mean nothing**"
	}
	if r.held != nil {
		words += "; kept out of pre-training: " + strings.Join(r.held, ", ")
	}
	fmt.Fprintf(b, "%s.\n\n", words)
	return nil
}

// foot lists what failed.
func (r *runner) foot(b *strings.Builder) {
	failed := slices.Clone(r.failures)
	for _, x := range r.Store.Records() {
		if x.Failed == "" || x.Training == nil || !slices.ContainsFunc(r.columns, func(c column) bool { return c.name == x.Training.Name }) {
			continue
		}
		line := fmt.Sprintf("%s seed %d, %s of %s by %s, seed %s: %s", x.Training.Name, x.Training.Seed, x.Class, x.Data, x.Method, x.Seed, x.Failed)
		if _, done := r.Store.Find(x.Key()); !done && !slices.Contains(failed, line) {
			failed = append(failed, line)
		}
	}
	if len(failed) > 0 {
		b.WriteString("\n## Failed\n\n")
		for _, f := range failed {
			const most = 400 // bytes of a line
			if f = strings.ReplaceAll(f, "\n", " "); len(f) > most {
				f = strings.ToValidUTF8(f[:most], "") + " ..."
			}
			fmt.Fprintf(b, "- %s\n", f)
		}
	}
}

// startSum is the checksum of the weights of the start.
func (r *runner) startSum() (string, error) {
	f, err := card.FileAt(r.o.Start)
	if err != nil {
		return "", err
	}
	return f.SHA256, nil
}
