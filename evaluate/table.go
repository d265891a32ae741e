package evaluate

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/gotab/gotab/metrics"
)

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

// WriteTable writes records for people, one table for each [Setting] with means over
// its classes, and below them what they were made with and what the columns mean.
// Numbers are in percent.
func WriteTable(w io.Writer, records []Record) error {
	if w == nil {
		return noWriter()
	}
	all := Settings(Summarize(records))
	for _, setting := range all {
		if err := writeSetting(w, setting); err != nil {
			return err
		}
		if _, err := fmt.Fprintln(w); err != nil {
			return err
		}
	}
	for _, m := range Meanings(all) {
		if _, err := fmt.Fprintln(w, m); err != nil {
			return err
		}
	}
	return nil
}

// WriteDetails writes every figure of the records with its interval and its
// protocol, class by class.
func WriteDetails(w io.Writer, records []Record) error {
	if w == nil {
		return noWriter()
	}
	for _, s := range Summarize(records) {
		if err := writeDetails(w, s); err != nil {
			return err
		}
	}
	return nil
}

func noWriter() error { return fmt.Errorf("evaluate: table: %w: the writer is nil", ErrConfig) }

// writeSetting writes the classes of one setting, their means, and what they were
// made with.
func writeSetting(w io.Writer, setting *Setting) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "class\timage AUROC %\t\tpixel AUROC %\tAUPRO %\tescape %\toverkill %\tfit images/s\tscore images/s\tpeak MB\t")
	for _, s := range setting.Classes {
		row := []string{setting.Label(s)}
		for _, key := range MainFigures() {
			f, ok, err := s.Figure(key)
			if err != nil {
				return err
			}
			row = append(row, percent(f, ok))
			if key == ImageAUROC {
				row = append(row, between(f))
			}
		}
		fmt.Fprintf(tw, "%s\t%.1f\t%.1f\t%s\t\n", strings.Join(row, "\t"),
			s.speed(func(r Record) float64 { return r.FitSpeed }), s.speed(func(r Record) float64 { return r.ScoreSpeed }), s.peakText())
	}
	if len(setting.Classes) > 1 {
		row := []string{"mean"}
		for _, key := range MainFigures() {
			mean, of, err := setting.Mean(key)
			if err != nil {
				return err
			}
			row = append(row, percent(mean, of > 0))
			if key == ImageAUROC {
				row = append(row, "")
			}
		}
		fmt.Fprintf(tw, "%s\t\t\t\t\n", strings.Join(row, "\t"))
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	for _, n := range setting.notes() {
		if _, err := fmt.Fprintln(w, n); err != nil {
			return err
		}
	}
	return nil
}

// writeDetails writes everything that is known of one class.
func writeDetails(w io.Writer, s *Summary) error {
	r := s.first()
	fmt.Fprintf(w, "%s, %s, seed %s\n", r.Class, r.Method, strings.Join(s.Seeds(), ", "))
	for _, key := range FigureKeys() {
		f, ok, err := s.Figure(key)
		if err != nil {
			return err
		}
		if ok {
			fmt.Fprintf(w, "  %s\n", f)
		}
	}
	for _, r := range s.Records {
		fmt.Fprintf(w, "  seed %s: highest F1 at threshold %.6g\n", r.Seed, r.F1Threshold)
		if r.Cut != nil {
			fmt.Fprintf(w, "  seed %s: %s\n", r.Seed, r.Cut)
		}
	}
	for _, r := range s.Records {
		if r.TrainImages > 0 {
			fmt.Fprintf(w, "  seed %s: trained on other classes, %d images in %.1f s\n", r.Seed, r.TrainImages, r.TrainSeconds)
		}
	}
	_, err := fmt.Fprintf(w, "  fit %.1f images/s, score %.1f images/s, figures and intervals %.2f s\n\n",
		s.speed(func(r Record) float64 { return r.FitSpeed }), s.speed(func(r Record) float64 { return r.ScoreSpeed }),
		s.speed(func(r Record) float64 { return r.MetricsSeconds }))
	return err
}
