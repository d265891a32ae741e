package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/gotab/gotab/metrics"
)

// summary is one class by one method with one setting: a record for each seed.
type summary struct{ records []record }

// summaries puts records together that differ in nothing but the seed, in the
// order of their first ones; seeds rise, the reference first.
func summaries(records []record) (out []*summary) {
	at := map[key]*summary{}
	for _, r := range records {
		k := r.key()
		k.seed = ""
		if at[k] == nil {
			at[k] = &summary{}
			out = append(out, at[k])
		}
		at[k].records = append(at[k].records, r)
	}
	for _, s := range out {
		slices.SortStableFunc(s.records, func(a, b record) int { return compareSeeds(a.Seed, b.Seed) })
	}
	return out
}

func compareSeeds(a, b string) int {
	x, errX := parseSeed(a)
	y, errY := parseSeed(b)
	switch {
	case errX != nil || errY != nil: // of a file that another program wrote
		return strings.Compare(a, b)
	case x.reference != y.reference:
		return map[bool]int{true: -1, false: 1}[x.reference]
	}
	return cmp.Compare(x.n, y.n)
}

// first is the record of the first seed: what does not depend on the seed is the
// same in all.
func (s *summary) first() *record { return &s.records[0] }

// seeds are the seeds of the records.
func (s *summary) seeds() (out []string) {
	for _, r := range s.records {
		out = append(out, r.Seed)
	}
	return out
}

// figure is the mean of a figure over the seeds with what is known of its
// uncertainty: the deviation over the seeds, and the interval over the images, whose
// ends are those of one seed in the mean. It is false where there is no such figure.
func (s *summary) figure(kind figureKind) (f metrics.Figure, ok bool, err error) {
	var values []float64
	var low, high float64
	var over interval
	intervals := 0
	bound := 0.0
	for i := range s.records {
		r := &s.records[i]
		v, ok := kind.of(r)
		if !ok {
			return f, false, nil
		}
		values = append(values, v)
		if b := kind.bound(r); b != nil {
			bound = max(bound, *b)
		}
		if got, ok := r.Intervals[kind.key]; ok {
			over = got
			low, high, intervals = low+got.Low, high+got.High, intervals+1
		}
	}
	spread, err := metrics.OverSeeds(values)
	if err != nil {
		return f, false, err
	}
	name := kind.name
	if rule := ruleOf(s.first()); rule != "" && (kind.key == escape || kind.key == overkill) {
		name += " at " + rule + " of the other half"
	}
	if f, err = metrics.NewFigure(name, spread.Mean, s.first().protocol(len(values))); err != nil {
		return f, false, err
	}
	f.Bound = bound
	if len(values) > 1 {
		f.Spread = &spread
	}
	if n := float64(intervals); intervals == len(values) {
		if intervals > 1 {
			over.Method += ", ends averaged over seeds"
		}
		f.Interval = &metrics.Interval{Value: f.Value, Low: low / n, High: high / n, Level: over.Level, Method: over.Method}
	}
	return f, true, nil
}

// peakText is peak in MB, "-" where it is not known.
func (s *summary) peakText() string {
	if p := s.peak(); p > 0 {
		return fmt.Sprint(p / 1e6)
	}
	return "-"
}

// speed is the mean over the seeds.
func (s *summary) speed(of func(r *record) float64) float64 {
	sum := 0.0
	for i := range s.records {
		sum += of(&s.records[i])
	}
	return sum / float64(len(s.records))
}

// peak is the largest resident memory of any seed, in bytes.
func (s *summary) peak() (top int64) {
	for _, r := range s.records {
		top = max(top, r.PeakRSS)
	}
	return top
}

// way is all classes that one method with one setting has been tried on.
type way struct{ summaries []*summary }

// ways puts summaries together that differ in their class only.
func ways(all []*summary) (out []*way) {
	at := map[string]*way{}
	for _, s := range all {
		r := s.first()
		k := fmt.Sprintf("%q", []any{r.Method, r.Arch, r.WeightsSHA256, r.Layers, r.Epochs, r.Shots, r.Epoch, r.Mask, r.Score, r.Transform,
			string(r.Settings), ruleOf(r), s.seeds()})
		if at[k] == nil {
			at[k] = &way{}
			out = append(out, at[k])
		}
		at[k].summaries = append(at[k].summaries, s)
	}
	return out
}

func ruleOf(r *record) string {
	if r.Cut == nil {
		return ""
	}
	return r.Cut.Rule
}

func (w *way) first() *record { return w.summaries[0].first() }

// has says whether some class of the way has a figure.
func (w *way) has(kind figureKind) bool {
	return slices.ContainsFunc(w.summaries, func(s *summary) bool {
		return slices.ContainsFunc(s.records, func(r record) bool {
			_, ok := kind.of(&r)
			return ok
		})
	})
}

// label names a class of the way, with its data where two data sets have one of that
// name.
func (w *way) label(s *summary) string {
	r := s.first()
	for _, other := range w.summaries {
		if o := other.first(); o.Class == r.Class && o.Data != r.Data {
			return r.Data + "/" + r.Class
		}
	}
	return r.Class
}

// title names the method and its network.
func (w *way) title() string {
	r := w.first()
	return r.Method + " on " + r.network()
}

// mean is the mean of a figure over the classes that have it, of which there are
// of. Its deviation is that of the seeds' means, not the mean of their deviations:
// what a seed takes from one class it may give to another.
func (w *way) mean(kind figureKind) (f metrics.Figure, of int, err error) {
	sums := make([]float64, len(w.summaries[0].records)) // all classes have the same seeds
	for _, s := range w.summaries {
		if _, ok, err := s.figure(kind); err != nil {
			return f, 0, err
		} else if !ok {
			continue
		}
		of++
		for i := range s.records {
			v, _ := kind.of(&s.records[i])
			sums[i] += v
		}
	}
	if of == 0 {
		return f, 0, nil
	}
	for i := range sums {
		sums[i] /= float64(of)
	}
	spread, err := metrics.OverSeeds(sums)
	if err != nil {
		return f, 0, err
	}
	f.Value = spread.Mean
	if len(sums) > 1 {
		f.Spread = &spread
	}
	return f, of, nil
}

// notes say what the rows of a way's table were made with, a sentence each.
func (w *way) notes() (out []string) {
	r := w.first()
	p := r.protocol(1)
	out = append(out, fmt.Sprintf("%s; weights %s (SHA-256 %s); %d x %d px (%s); masks: %s; weights taken: %s; image score: %s.",
		w.title(), r.Weights, short(r.WeightsSHA256), p.Width, p.Height, r.Transform, r.Mask, r.Epoch, r.Score))
	seeds := w.summaries[0].seeds()
	switch {
	case len(seeds) > 1:
		out = append(out, fmt.Sprintf("±: deviation over the %d seeds %s. A seed decides %s.", len(seeds), strings.Join(seeds, ", "), r.Chance))
	case r.Chance != "":
		out = append(out, fmt.Sprintf("Seed %s. A seed decides %s.", seeds[0], r.Chance))
	}
	return out
}

// meanings say what the columns of the tables of all ways mean, each thing once.
func meanings(all []*way) (out []string) {
	for _, w := range all {
		for _, m := range w.meanings() {
			if !slices.Contains(out, m) {
				out = append(out, m)
			}
		}
	}
	return out
}

func (w *way) meanings() (out []string) {
	r, seeds := w.first(), w.summaries[0].seeds()
	intervals := "[low, high]: interval over the test images, %.3g %%; " +
		"DeLong for the image AUROC, Wilson for escape and overkill, else bootstrap of whole images. " +
		"Where all defects score above all good parts, DeLong's and the bootstrap of images have no length, which says that the test set is too easy to tell more. " +
		"F1-max has none: its own maximum makes every such interval too high."
	if len(seeds) > 1 {
		intervals += " Of several seeds, the ends are averaged."
	}
	for _, i := range r.Intervals {
		out = append(out, fmt.Sprintf(intervals, 100*i.Level))
		break
	}
	if slices.ContainsFunc(w.summaries, func(s *summary) bool { return s.first().AUPRO != nil }) {
		out = append(out, auproMeaning())
	}
	if rule, err := parseRule(ruleOf(r)); err == nil {
		out = append(out, rule.meaning())
	}
	return out
}
