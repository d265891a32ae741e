package sweep

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"github.com/gotab/gotab/evaluate"
	"github.com/gotab/gotab/evaluate/study"
	"github.com/gotab/gotab/metrics"
)

// view is a column of the tables: which fits are averaged.
type view struct {
	name, method string
	seeds        func(seed string) bool
}

func (p Plan) views() []view {
	upTo := func(n int) func(string) bool {
		return func(seed string) bool {
			i, err := strconv.Atoi(seed)
			return err == nil && i <= n
		}
	}
	var out []view
	if p.PaDiM.Reference {
		out = append(out, view{"PaDiM, reference draw", "padim", func(s string) bool { return s == "reference" }})
	}
	if p.PaDiM.Seeds > 0 {
		out = append(out, view{fmt.Sprintf("PaDiM, %d draws", p.PaDiM.Seeds), "padim", upTo(p.PaDiM.Seeds)})
	}
	if p.PatchCore.Seeds > 0 {
		out = append(out, view{"PatchCore", "patchcore", upTo(p.PatchCore.Seeds)})
	}
	for _, d := range p.Detectors {
		name := d.Name
		if d.Epochs > 0 {
			name += fmt.Sprintf(", %d epochs", d.Epochs)
		}
		if len(d.Layers) > 0 {
			name += " on " + strings.Join(d.Layers, " ")
		}
		out = append(out, view{name, d.Name, upTo(d.Seeds)})
	}
	return out
}

// results is all that tables are made of.
type results struct {
	records  []evaluate.Record // none that failed
	failures []string          // a line each
}

// cell gathers what a group of networks (a recipe with all its seeds) gives on a class.
func (r results) cell(group, class string, v view) (c evaluate.Cell) {
	for _, x := range r.records {
		if x.Class == class && x.Method == v.method && study.GroupOf(x) == group && v.seeds(x.Seed) {
			c = append(c, x)
		}
	}
	return c
}

func failedLine(network string, seed uint64, reason string) string {
	return fmt.Sprintf("- %s seed %d: %s\n", network, seed, reason)
}

// tables writes what is known: for each view a table of image AUROC with paired
// differences from the start, and those of pixels.
func tables(ctx context.Context, w io.Writer, p Plan, r results, groups []string) error {
	var classes []string
	for _, x := range r.records {
		if !slices.Contains(classes, x.Class) {
			classes = append(classes, x.Class)
		}
	}
	slices.Sort(classes)
	var b strings.Builder
	for _, v := range p.views() {
		if err := r.images(ctx, &b, v, groups, classes); err != nil {
			return err
		}
		for _, k := range []evaluate.FigureKey{evaluate.PixelAUROC, evaluate.AUPRO} {
			r.pixels(&b, v, k, groups, classes)
		}
	}
	b.WriteString("In brackets: less the start on the same images and draws, ± standard error over images (bootstrap of good and defective images, the fits kept);\n" +
		"then s: deviation over the seeds of training, d: over the draws of a detector. The mean's error adds those of the classes as independent.\n")
	if len(r.failures) > 0 {
		fmt.Fprintf(&b, "\n## Failed\n\n%s", strings.Join(r.failures, ""))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// images writes the table of image AUROC.
func (r results) images(ctx context.Context, b *strings.Builder, v view, groups, classes []string) error {
	fmt.Fprintf(b, "## %s: image AUROC, %%\n\n| network |", v.name)
	for _, c := range classes {
		fmt.Fprintf(b, " %s |", c)
	}
	b.WriteString(" mean |\n|---|" + strings.Repeat("---|", len(classes)+1) + "\n")
	for _, g := range groups {
		fmt.Fprintf(b, "| %s |", g)
		var all float64
		var diffs []evaluate.Difference
		n := 0
		for _, class := range classes {
			x := r.cell(g, class, v)
			mean, ok := x.Mean(evaluate.ImageAUROC)
			if !ok { // not done yet
				b.WriteString(" - |")
				continue
			}
			s, d, err := x.Deviations(evaluate.ImageAUROC)
			if err != nil {
				return err
			}
			all, n = all+mean, n+1
			if g == study.Start {
				fmt.Fprintf(b, " %.2f d%.2f |", 100*mean, 100*d)
				continue
			}
			own, base := x.SameSeeds(r.cell(study.Start, class, v), evaluate.ImageAUROC)
			diff, ok, err := own.Over(ctx, base, bootstrap(), drawn())
			if err != nil {
				return fmt.Errorf("%s, class %s: %w", g, class, err)
			}
			if !ok {
				fmt.Fprintf(b, " %.2f s%.2f d%.2f |", 100*mean, 100*s, 100*d)
				continue
			}
			diffs = append(diffs, diff)
			fmt.Fprintf(b, " %.2f (%+.2f ± %.2f) s%.2f d%.2f |", 100*mean, 100*(diff.B-diff.A), 100*diff.Error, 100*s, 100*d)
		}
		switch mean := 100 * all / float64(max(n, 1)); {
		case n < len(classes), n == 0:
			b.WriteString(" - |\n")
		case len(diffs) < n:
			fmt.Fprintf(b, " %.2f |\n", mean)
		default:
			d, e := evaluate.MeanOf(diffs)
			fmt.Fprintf(b, " %.2f (**%+.2f** ± %.2f) |\n", mean, 100*d, 100*e)
		}
	}
	b.WriteString("\n")
	return nil
}

// pixels writes the table of a figure of pixels, of the classes that have it.
func (r results) pixels(b *strings.Builder, v view, key evaluate.FigureKey, groups, classes []string) {
	var masked []string
	for _, c := range classes {
		if _, ok := r.cell(study.Start, c, v).Mean(key); ok {
			masked = append(masked, c)
		}
	}
	if len(masked) == 0 {
		return
	}
	fmt.Fprintf(b, "### %s: %s, %%\n\n| network | %s | mean |\n|---|%s\n", v.name, key.Name(), strings.Join(masked, " | "), strings.Repeat("---|", len(masked)+1))
	for _, g := range groups {
		fmt.Fprintf(b, "| %s |", g)
		var all, diff float64
		n, paired := 0, 0
		for _, c := range masked {
			cell := r.cell(g, c, v)
			x, ok := cell.Mean(key)
			if !ok {
				b.WriteString(" - |")
				continue
			}
			all, n = all+x, n+1
			own, base := cell.SameSeeds(r.cell(study.Start, c, v), key)
			mean, ok := own.Mean(key)
			from, _ := base.Mean(key)
			if ok {
				diff, paired = diff+mean-from, paired+1
			}
			if g == study.Start || !ok {
				fmt.Fprintf(b, " %.2f |", 100*x)
			} else {
				fmt.Fprintf(b, " %.2f (%+.2f) |", 100*x, 100*(mean-from))
			}
		}
		switch {
		case n < len(masked):
			b.WriteString(" - |\n")
		case paired < n:
			fmt.Fprintf(b, " %.2f |\n", 100*all/float64(n))
		default:
			fmt.Fprintf(b, " %.2f (%+.2f) |\n", 100*all/float64(n), 100*diff/float64(n))
		}
	}
	b.WriteString("\n")
}

// bootstrap is how often images are drawn anew, and drawn by what generator.
func bootstrap() metrics.BootstrapConfig {
	cfg := metrics.DefaultBootstrap()
	cfg.Resamples = 500
	return cfg
}

func drawn() *rand.Rand { return rand.New(rand.NewPCG(1, 3)) }
