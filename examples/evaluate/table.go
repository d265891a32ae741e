package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/gotab/gotab/metrics"
)

// kindOf returns the figure of a key.
func kindOf(key string) figureKind {
	for _, k := range figureKinds() {
		if k.key == key {
			return k
		}
	}
	return figureKind{}
}

// shown are the figures of the short table and of Markdown.
func shown() []figureKind {
	return []figureKind{kindOf(imageAUROC), kindOf(pixelAUROC), kindOf(aupro), kindOf(escape), kindOf(overkill)}
}

// percent is a figure in percent with its deviation and its bound, "-" for none.
func percent(f metrics.Figure, ok bool) string {
	if !ok {
		return "-"
	}
	text := fmt.Sprintf("%.2f", 100*f.Value)
	if f.Spread != nil {
		text += fmt.Sprintf(" ± %.2f", 100*f.Spread.Deviation)
	}
	if f.Bound > 0 {
		text += fmt.Sprintf(" (bins: ± %.2g)", 100*f.Bound)
	}
	return text
}

// between is the interval of a figure in percent.
func between(f metrics.Figure) string {
	if f.Interval == nil {
		return ""
	}
	return fmt.Sprintf("[%.1f, %.1f]", 100*f.Interval.Low, 100*f.Interval.High)
}

// printResults prints the records for people.
func printResults(w io.Writer, records []record, o options) error {
	all := summaries(records)
	if o.details {
		for _, s := range all {
			if err := printDetails(w, s); err != nil {
				return err
			}
		}
	}
	for _, way := range ways(all) {
		if err := printTable(w, way); err != nil {
			return err
		}
		fmt.Fprintln(w)
	}
	for _, m := range meanings(ways(all)) {
		if _, err := fmt.Fprintln(w, m); err != nil {
			return err
		}
	}
	return nil
}

// printTable prints the classes of one way, their means, and what they were made
// with.
func printTable(w io.Writer, way *way) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "class\timage AUROC %\t\tpixel AUROC %\tAUPRO %\tescape %\toverkill %\tfit images/s\tscore images/s\tpeak MB\t")
	for _, s := range way.summaries {
		row := []string{way.label(s)}
		for _, kind := range shown() {
			f, ok, err := s.figure(kind)
			if err != nil {
				return err
			}
			row = append(row, percent(f, ok))
			if kind.key == imageAUROC {
				row = append(row, between(f))
			}
		}
		fmt.Fprintf(tw, "%s\t%.1f\t%.1f\t%s\t\n", strings.Join(row, "\t"),
			s.speed(func(r *record) float64 { return r.FitSpeed }), s.speed(func(r *record) float64 { return r.ScoreSpeed }), s.peakText())
	}
	if len(way.summaries) > 1 {
		row := []string{"mean"}
		for _, kind := range shown() {
			mean, of, err := way.mean(kind)
			if err != nil {
				return err
			}
			row = append(row, percent(mean, of > 0))
			if kind.key == imageAUROC {
				row = append(row, "")
			}
		}
		fmt.Fprintf(tw, "%s\t\t\t\t\n", strings.Join(row, "\t"))
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	for _, n := range way.notes() {
		if _, err := fmt.Fprintln(w, n); err != nil {
			return err
		}
	}
	return nil
}

// printDetails prints everything that is known of one class.
func printDetails(w io.Writer, s *summary) error {
	r := s.first()
	fmt.Fprintf(w, "%s, %s, seed %s\n", r.Class, r.Method, strings.Join(s.seeds(), ", "))
	for _, kind := range figureKinds() {
		f, ok, err := s.figure(kind)
		if err != nil {
			return err
		}
		if ok {
			fmt.Fprintf(w, "  %s\n", f)
		}
	}
	for i := range s.records {
		r := &s.records[i]
		fmt.Fprintf(w, "  seed %s: highest F1 at threshold %.6g\n", r.Seed, r.F1Threshold)
		if r.Cut != nil {
			fmt.Fprintf(w, "  seed %s: %s\n", r.Seed, r.Cut)
		}
	}
	for i := range s.records {
		if r := &s.records[i]; r.TrainImages > 0 {
			fmt.Fprintf(w, "  seed %s: trained on other classes, %d images in %.1f s\n", r.Seed, r.TrainImages, r.TrainSeconds)
		}
	}
	_, err := fmt.Fprintf(w, "  fit %.1f images/s, score %.1f images/s, figures and intervals %.2f s\n\n",
		s.speed(func(r *record) float64 { return r.FitSpeed }), s.speed(func(r *record) float64 { return r.ScoreSpeed }),
		s.speed(func(r *record) float64 { return r.MetricsSeconds }))
	return err
}
