package evaluate

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/gotab/gotab/metrics"
)

// Summary is one class by one method with one setting: a record for each seed, at
// least one. [Summarize] makes them.
type Summary struct{ Records []Record }

// Summarize puts records together that differ in nothing but the seed, in the
// order of their first ones. Seeds rise, the reference first. Of records of one
// [Key] it takes the first. Those of trials that failed are left out.
func Summarize(records []Record) (out []*Summary) {
	at := map[Key]*Summary{}
	seen := map[Key]bool{}
	for _, r := range records {
		k := r.Key()
		if seen[k] || r.Failed != "" {
			continue
		}
		seen[k] = true
		k.Seed = ""
		if at[k] == nil {
			at[k] = &Summary{}
			out = append(out, at[k])
		}
		at[k].Records = append(at[k].Records, r)
	}
	for _, s := range out {
		slices.SortStableFunc(s.Records, func(a, b Record) int { return compareSeeds(a.Seed, b.Seed) })
	}
	return out
}

func compareSeeds(a, b string) int {
	x, errX := ParseSeed(a)
	y, errY := ParseSeed(b)
	switch {
	case errX != nil || errY != nil: // of a file that another program wrote
		return strings.Compare(a, b)
	case x.Reference != y.Reference:
		return map[bool]int{true: -1, false: 1}[x.Reference]
	}
	return cmp.Compare(x.Number, y.Number)
}

// first is the record of the first seed: what does not depend on the seed is the
// same in all.
func (s *Summary) first() Record {
	if s == nil || len(s.Records) == 0 { // made by hand
		return Record{}
	}
	return s.Records[0]
}

// Seeds are the seeds of the records.
func (s *Summary) Seeds() (out []string) {
	for _, r := range s.Records {
		out = append(out, r.Seed)
	}
	return out
}

// Figure is the mean of a figure over the seeds with what is known of its
// uncertainty: the deviation over the seeds, and the interval over the images, whose
// ends are those of one seed in the mean. It returns false where a record has no
// such figure.
func (s *Summary) Figure(key FigureKey) (f metrics.Figure, ok bool, err error) {
	var values []float64
	var low, high float64
	var over Interval
	intervals := 0
	bound := 0.0
	for _, r := range s.Records {
		v, ok := r.Value(key)
		if !ok {
			return f, false, nil
		}
		values = append(values, v)
		bound = max(bound, r.Bound(key))
		if got, ok := r.Intervals[key]; ok {
			over = got
			low, high, intervals = low+got.Low, high+got.High, intervals+1
		}
	}
	if len(values) == 0 {
		return f, false, nil
	}
	spread, err := metrics.OverSeeds(values)
	if err != nil {
		return f, false, err
	}
	first := s.first()
	name := first.Name(key)
	if rule := ruleOf(first); rule != "" && (key == Escape || key == Overkill) {
		name += " at " + rule + " of the other half"
	}
	if f, err = metrics.NewFigure(name, spread.Mean, first.Protocol(len(values))); err != nil {
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
func (s *Summary) peakText() string {
	if p := s.peak(); p > 0 {
		return fmt.Sprint(p / 1e6)
	}
	return "-"
}

// speed is the mean over the seeds.
func (s *Summary) speed(of func(r Record) float64) float64 {
	sum := 0.0
	for _, r := range s.Records {
		sum += of(r)
	}
	return sum / float64(len(s.Records))
}

// peak is the largest resident memory of any seed, in bytes.
func (s *Summary) peak() (top int64) {
	for _, r := range s.Records {
		top = max(top, r.PeakRSS)
	}
	return top
}

// Setting is one method with one setting on one network, and the classes that it has
// been tried on, at least one. [Settings] makes them.
type Setting struct{ Classes []*Summary }

// Settings puts summaries together that differ in nothing but their class, in the
// order of their first ones. A class that is there twice, because its images have changed since, makes another setting: no mean has
// it twice.
func Settings(all []*Summary) (out []*Setting) {
	at := map[string][]*Setting{}
	for _, s := range all {
		if s == nil || len(s.Records) == 0 {
			continue
		}
		r := s.first()
		k := fmt.Sprintf("%q", []any{r.Method, r.Arch, r.WeightsSHA256, r.Layers, r.Epochs, r.Shots, r.Epoch, r.Mask, r.Score, r.Transform,
			string(r.Settings), ruleOf(r), s.Seeds()})
		i := slices.IndexFunc(at[k], func(w *Setting) bool { return w.limitFits(r) && !w.holds(r) })
		if i < 0 {
			i = len(at[k])
			at[k] = append(at[k], &Setting{})
			out = append(out, at[k][i])
		}
		at[k][i].Classes = append(at[k][i].Classes, s)
	}
	return out
}

// limitFits says whether a record has no AUPRO, or one up to the limit of the
// classes that are there.
func (w *Setting) limitFits(r Record) bool {
	limit := w.limit()
	return r.AUPROLimit == nil || limit == nil || *limit == *r.AUPROLimit
}

// holds says whether the class of a record is there already.
func (w *Setting) holds(r Record) bool {
	return slices.ContainsFunc(w.Classes, func(s *Summary) bool {
		o := s.first()
		return o.Class == r.Class && o.Data == r.Data
	})
}

// limit is that of AUPRO of the classes that have it; nil where none has.
func (w *Setting) limit() *float64 {
	for _, s := range w.Classes {
		if s != nil && s.first().AUPROLimit != nil {
			return s.first().AUPROLimit
		}
	}
	return nil
}

// name is the name of a figure in the head of the setting's table.
func (w *Setting) name(k FigureKey) string { return Record{AUPROLimit: w.limit()}.Name(k) }

func ruleOf(r Record) string {
	if r.Cut == nil {
		return ""
	}
	return r.Cut.Rule
}

func (w *Setting) first() Record {
	if len(w.Classes) == 0 || w.Classes[0] == nil { // made by hand
		return Record{}
	}
	return w.Classes[0].first()
}

// Seeds are the seeds that each class has been tried with.
func (w *Setting) Seeds() []string {
	if len(w.Classes) == 0 || w.Classes[0] == nil {
		return nil
	}
	return w.Classes[0].Seeds()
}

// Has says whether some class has a figure.
func (w *Setting) Has(key FigureKey) bool {
	return slices.ContainsFunc(w.Classes, func(s *Summary) bool {
		return s != nil && slices.ContainsFunc(s.Records, func(r Record) bool {
			_, ok := r.Value(key)
			return ok
		})
	})
}

// Label names a class of the setting, with its data where two data sets have one of
// that name.
func (w *Setting) Label(s *Summary) string {
	r := s.first()
	for _, other := range w.Classes {
		if other == nil {
			continue
		}
		if o := other.first(); o.Class == r.Class && o.Data != r.Data {
			return r.Data + "/" + r.Class
		}
	}
	return r.Class
}

// Title names the method and its network.
func (w *Setting) Title() string {
	r := w.first()
	if n := r.Network(); n != "" {
		return r.Method + " on " + n
	}
	return r.Method
}

// Mean is the mean of a figure over the classes that have it, of which there are
// of; 0 where none has it. Its deviation is that of the seeds' means, not the mean of
// their deviations: what a seed takes from one class it may give to another.
func (w *Setting) Mean(key FigureKey) (f metrics.Figure, of int, err error) {
	sums := make([]float64, len(w.Seeds()))
	for _, s := range w.Classes {
		if s == nil || len(s.Records) != len(sums) {
			return f, 0, fmt.Errorf("evaluate: mean over classes: %w: they have not the same seeds", ErrConfig)
		}
		if _, ok, err := s.Figure(key); err != nil {
			return f, 0, err
		} else if !ok {
			continue
		}
		of++
		for i := range s.Records {
			v, _ := s.Records[i].Value(key)
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
	f.Name, f.Value = w.name(key), spread.Mean
	if len(sums) > 1 {
		f.Spread = &spread
	}
	return f, of, nil
}

// notes say what the rows of a way's table were made with, a sentence each.
func (w *Setting) notes() (out []string) {
	r := w.first()
	p := r.Protocol(1)
	weights := ""
	if r.Weights != "" {
		weights = fmt.Sprintf("; weights %s (SHA-256 %s)", r.Weights, short(r.WeightsSHA256))
	}
	out = append(out, fmt.Sprintf("%s%s; %d x %d px (%s); masks: %s; weights taken: %s; image score: %s.",
		w.Title(), weights, p.Width, p.Height, r.Transform, r.Mask, r.Epoch, r.Score))
	seeds := w.Seeds()
	switch {
	case len(seeds) > 1:
		out = append(out, fmt.Sprintf("±: deviation over the %d seeds %s. A seed decides %s.", len(seeds), strings.Join(seeds, ", "), r.Chance))
	case r.Chance != "":
		out = append(out, fmt.Sprintf("Seed %s. A seed decides %s.", seeds[0], r.Chance))
	}
	return out
}

// Meanings say what the columns of the tables of all settings mean, each thing once,
// a sentence or two each.
func Meanings(all []*Setting) (out []string) {
	for _, w := range all {
		if w == nil {
			continue
		}
		for _, m := range w.meanings() {
			if !slices.Contains(out, m) {
				out = append(out, m)
			}
		}
	}
	return out
}

func (w *Setting) meanings() (out []string) {
	r, seeds := w.first(), w.Seeds()
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
	if w.Has(AUPRO) {
		limit := metrics.LimitMVTec
		if l := w.limit(); l != nil {
			limit = *l
		}
		out = append(out, MeaningOfAUPRO(limit))
	}
	if rule, err := metrics.ParseRule(ruleOf(r)); err == nil {
		out = append(out, MeaningOfCut(rule))
	}
	return out
}
