package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"github.com/gotab/gotab/metrics"
)

// view is a column of the tables: which fits are averaged.
type view struct {
	name     string
	detector string
	draws    func(draw string) bool
}

func (p plan) views() []view {
	// Results may hold more draws than the plan has now: all networks are judged by the
	// plan's.
	upTo := func(n int) func(string) bool {
		return func(draw string) bool {
			i, err := strconv.Atoi(draw)
			return err == nil && i <= n
		}
	}
	var out []view
	if p.PaDiM.Reference {
		out = append(out, view{"PaDiM, reference draw", "padim", func(d string) bool { return d == "reference" }})
	}
	if p.PaDiM.Seeds > 0 {
		out = append(out, view{fmt.Sprintf("PaDiM, %d draws", p.PaDiM.Seeds), "padim", upTo(p.PaDiM.Seeds)})
	}
	if p.PatchCore.Seeds > 0 {
		out = append(out, view{"PatchCore", "patchcore", upTo(p.PatchCore.Seeds)})
	}
	return out
}

// cell is what a group of networks (a recipe with all its seeds) gives on a class.
type cell struct {
	image, pixel, pro float64 // means over seeds and draws; pixel and pro NaN without masks
	draws, seeds      float64 // deviations over draws (within a seed) and over seeds of the means
	n                 int     // fits
	records           []record
}

func gather(records []record, group, class string, v view, groupOf func(record) string) (c cell) {
	bySeed := map[uint64][]float64{}
	var image, pixel, pro []float64
	for _, r := range records {
		if groupOf(r) != group || r.Class != class || r.Detector != v.detector || !v.draws(r.Draw) || r.Failed != "" {
			continue
		}
		c.records = append(c.records, r)
		image = append(image, r.ImageAUROC)
		bySeed[r.Seed] = append(bySeed[r.Seed], r.ImageAUROC)
		if r.PixelAUROC != nil {
			pixel, pro = append(pixel, *r.PixelAUROC), append(pro, *r.AUPRO)
		}
	}
	c.n = len(image)
	c.image, c.pixel, c.pro = mean(image), mean(pixel), mean(pro)
	var means []float64
	var within float64
	for _, of := range bySeed {
		means = append(means, mean(of))
		d := deviation(of)
		within += d * d / float64(len(bySeed))
	}
	c.draws, c.seeds = math.Sqrt(within), deviation(means)
	return c
}

func mean(v []float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	s := 0.0
	for _, x := range v {
		s += x
	}
	return s / float64(len(v))
}

// deviation is that of a sample; 0 for one value.
func deviation(v []float64) float64 {
	if len(v) < 2 {
		return 0
	}
	m, s := mean(v), 0.0
	for _, x := range v {
		s += (x - m) * (x - m)
	}
	return math.Sqrt(s / float64(len(v)-1))
}

// paired is the difference of two cells on the same images, with its standard error and
// interval over images: the test images are drawn anew, good and defective apart, and the
// areas of all fits averaged on each draw (the draws of channels and seeds stay).
type paired struct{ difference, low, high, err float64 }

const resamples = 500

func compare(ctx context.Context, a, b cell) (paired, error) {
	if len(a.records) == 0 || len(b.records) == 0 {
		return paired{math.NaN(), math.NaN(), math.NaN(), math.NaN()}, nil
	}
	positive := a.records[0].Defective
	for _, r := range append(slices.Clone(a.records), b.records...) {
		if !slices.Equal(r.Defective, positive) {
			return paired{}, errors.New("two networks were scored on different images")
		}
	}
	ra, rb := newPairs(a.records), newPairs(b.records)
	cfg := metrics.DefaultBootstrap()
	cfg.Resamples = resamples
	var all []float64
	i, err := metrics.Resample(ctx, positive, func(images []int) (float64, error) {
		v := ra.area(images, positive) - rb.area(images, positive)
		all = append(all, v)
		return v, nil
	}, cfg, rand.New(rand.NewPCG(1, 3)))
	if errors.Is(err, metrics.ErrOneClass) {
		return paired{a.image - b.image, math.NaN(), math.NaN(), math.NaN()}, nil
	}
	if err != nil {
		return paired{}, err
	}
	return paired{a.image - b.image, i.Low, i.High, deviation(all[1:])}, nil
}

// pairs has the placements of many fits: for each good and defective image whether the
// defect scores above, averaged over the fits, so that an area on drawn images is one
// sum over pairs.
type pairs struct {
	above [][]float32 // [image][image], of defective and good images
}

func newPairs(records []record) pairs {
	n := len(records[0].Scores)
	p := pairs{above: make([][]float32, n)}
	w := 1 / float32(len(records))
	for i := range n {
		p.above[i] = make([]float32, n)
	}
	for _, r := range records {
		for i, d := range r.Defective {
			if !d {
				continue
			}
			for k, e := range r.Defective {
				switch {
				case e:
				case r.Scores[i] > r.Scores[k]:
					p.above[i][k] += w
				case r.Scores[i] == r.Scores[k]:
					p.above[i][k] += w / 2
				}
			}
		}
	}
	return p
}

func (p pairs) area(images []int, positive []bool) float64 {
	var good []int
	for _, i := range images {
		if !positive[i] {
			good = append(good, i)
		}
	}
	sum, n := 0.0, 0
	for _, i := range images {
		if !positive[i] {
			continue
		}
		n++
		for _, k := range good {
			sum += float64(p.above[i][k])
		}
	}
	return sum / float64(n*len(good))
}

// tables writes what is known: for each view a table of image AUROC with paired
// differences from the start, and one of pixels.
func tables(ctx context.Context, w io.Writer, p plan, records []record, variants []variant) error {
	var groups []string
	for _, v := range variants {
		if !slices.Contains(groups, v.group()) {
			groups = append(groups, v.group())
		}
	}
	var classes []string
	for _, r := range records {
		if r.Failed == "" && !slices.Contains(classes, r.Class) {
			classes = append(classes, r.Class)
		}
	}
	slices.Sort(classes)
	groupOf := func(r record) string { return variant{Network: r.Network, Share: r.Share}.group() }
	var b strings.Builder
	for _, v := range p.views() {
		base := map[string]cell{}
		for _, c := range classes {
			base[c] = gather(records, startName, c, v, groupOf)
		}
		fmt.Fprintf(&b, "## %s: image AUROC, %%\n\n| network |", v.name)
		for _, c := range classes {
			fmt.Fprintf(&b, " %s |", c)
		}
		b.WriteString(" mean |\n|---|")
		b.WriteString(strings.Repeat("---|", len(classes)+1))
		b.WriteString("\n")
		for _, g := range append([]string{startName}, groups...) {
			if err := row(ctx, &b, g, classes, base, func(c string) cell { return gather(records, g, c, v, groupOf) }); err != nil {
				return err
			}
		}
		b.WriteString("\n")
		for _, f := range []struct {
			name string
			of   func(cell) float64
		}{{"pixel AUROC", func(c cell) float64 { return c.pixel }}, {"AUPRO to 0.3", func(c cell) float64 { return c.pro }}} {
			var masked []string
			for _, c := range classes {
				if !math.IsNaN(f.of(base[c])) {
					masked = append(masked, c)
				}
			}
			if len(masked) == 0 {
				continue
			}
			fmt.Fprintf(&b, "### %s: %s, %%\n\n| network | %s | mean |\n|---|%s\n", v.name, f.name, strings.Join(masked, " | "), strings.Repeat("---|", len(masked)+1))
			for _, g := range append([]string{startName}, groups...) {
				fmt.Fprintf(&b, "| %s |", g)
				var all, diff []float64
				for _, c := range masked {
					x := gather(records, g, c, v, groupOf)
					if x.n == 0 {
						b.WriteString(" - |")
						continue
					}
					all, diff = append(all, f.of(x)), append(diff, f.of(x)-f.of(base[c]))
					if g == startName {
						fmt.Fprintf(&b, " %.2f |", 100*f.of(x))
					} else {
						fmt.Fprintf(&b, " %.2f (%+.2f) |", 100*f.of(x), 100*(f.of(x)-f.of(base[c])))
					}
				}
				if len(all) < len(masked) {
					b.WriteString(" - |\n")
					continue
				}
				fmt.Fprintf(&b, " %.2f (%+.2f) |\n", 100*mean(all), 100*mean(diff))
			}
			b.WriteString("\n")
		}
	}
	b.WriteString("In brackets: less the start on the same images, ± standard error over images (bootstrap of good and defective images, the fits kept);\n" +
		"then s: deviation over the seeds of training, d: over the draws of a detector. The mean's error adds those of the classes as independent.\n")
	var failed []string
	for _, r := range records {
		if r.Failed != "" {
			failed = append(failed, fmt.Sprintf("- %s seed %d: %s\n", r.Network, r.Seed, r.Failed))
		}
	}
	if len(failed) > 0 {
		fmt.Fprintf(&b, "\n## Failed\n\n%s", strings.Join(failed, ""))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func row(ctx context.Context, b *strings.Builder, group string, classes []string, base map[string]cell, of func(class string) cell) error {
	fmt.Fprintf(b, "| %s |", group)
	var all, diffs, errs []float64
	for _, c := range classes {
		x := of(c)
		if x.n == 0 { // not done yet
			b.WriteString(" - |")
			continue
		}
		all = append(all, x.image)
		if group == startName {
			fmt.Fprintf(b, " %.2f d%.2f |", 100*x.image, 100*x.draws)
			continue
		}
		d, err := compare(ctx, x, base[c])
		if err != nil {
			return fmt.Errorf("%s, class %s: %w", group, c, err)
		}
		diffs, errs = append(diffs, d.difference), append(errs, d.err*d.err)
		fmt.Fprintf(b, " %.2f (%+.2f ± %.2f) s%.2f d%.2f |", 100*x.image, 100*d.difference, 100*d.err, 100*x.seeds, 100*x.draws)
	}
	if len(all) < len(classes) {
		b.WriteString(" - |\n")
		return nil
	}
	if group == startName {
		fmt.Fprintf(b, " %.2f |\n", 100*mean(all))
		return nil
	}
	fmt.Fprintf(b, " %.2f (**%+.2f** ± %.2f) |\n", 100*mean(all), 100*mean(diffs), 100*math.Sqrt(mean(errs)/float64(len(errs))))
	return nil
}
