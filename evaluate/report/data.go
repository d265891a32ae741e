package report

import (
	"context"
	"errors"
	"fmt"
	"image"

	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/downstream/heatmap"
	"github.com/gotab/gotab/metrics"
)

// ErrData reports data that do not fit together or that are not complete; the message
// names the class and the field.
var ErrData = errors.New("data do not fit")

// Head is what a report says once.
type Head struct {
	Title   string   // not empty
	Intro   []string // paragraphs below the title: which data, weights, settings
	Notes   []string // paragraphs below the table: what its columns mean
	Command string   // that makes the report again; may be empty
	Gallery Gallery
}

// Data is a whole report.
type Data struct {
	Head
	Classes []Class // at least one, names all different
}

// Gallery says how many parts of each kind the gallery of a class shows, at most. All zero:
// there is none.
type Gallery struct {
	Missed  int // defective parts, lowest scores first
	Alarms  int // good parts, highest scores first
	Typical int // further parts, half of them defective, evenly over their scores
}

// DefaultGallery shows sixteen parts, which is about 2 MB a class in the page.
func DefaultGallery() Gallery { return Gallery{Missed: 6, Alarms: 6, Typical: 4} }

// Class is one product.
type Class struct {
	Name    string
	Notes   []string // paragraphs below the name, such as what is missing; may be empty
	Samples []Sample // all test images
	// Detectors are what was evaluated: other methods, or the same on a second backbone. They
	// share the curves, and their figures and maps stand beside one another. The gallery is of
	// the first one's mistakes.
	Detectors []Detector
	// Load returns the pictures of Samples[i]. It is called for one part after the other, before
	// Add returns. Nil: the class has no gallery.
	Load func(ctx context.Context, i int) (Item, error)
}

// Sample is one test image.
type Sample struct {
	Name      string // such as its path
	Kind      string // of defect, or what good parts are called
	Defective bool
}

// Detector is what one detector said about a class. Scores of two detectors are not on one
// scale: each has a threshold and a scale of its own.
type Detector struct {
	Name    string   // such as "PaDiM, ImageNet"; all different within a class
	Figures []Figure // columns of the table
	// Seeds names the seeds that the figures are means over; empty where there is nothing to
	// name. All else is of the first of them.
	Seeds  []string
	Scores []float64 // of Class.Samples, in their order; higher is more anomalous
	// Beside names another detector of the class whose image AUROC this one's is compared with,
	// on the same images by DeLong's paired test; empty for none.
	Beside string
	// Threshold: a part that scores at least this is rejected. ThresholdFrom says how it was
	// chosen, such as "at most 1 % overkill among the fitted images", because a
	// threshold that was chosen on the test images looks better than it is.
	Threshold     float64
	ThresholdFrom string
	// Scale is of the colours of the maps, from maps of good images, and Line the value of the
	// maps that the line and the cut are drawn at. Where a score is the maximum of its
	// map, Threshold is a good Line: a line is seen on the parts that are rejected.
	// Both are for the gallery alone.
	Scale heatmap.Scale
	Line  float64
	// ScaleOf names the detector of the class whose Scale this one has too; empty where the
	// scale is its own.
	ScaleOf string
}

// Figure is a column of the table for one detector.
type Figure struct {
	metrics.Figure
	// Values are those of the detector's seeds, in their order: the deviation of a mean over
	// classes follows from them. Nil where there is one seed.
	Values []float64
}

// Item is the pictures of one part.
type Item struct {
	Image image.Image
	// Whole says what Image is. True: the input as it was read; each map covers its Rect of
	// it and is resampled. False: what the detectors saw of it, of the size of their maps.
	Whole bool
	Mask  *image.Gray      // truth, of the size of Image; nil where there is none
	Maps  []downstream.Map // one for each detector
}

func (h Head) validate() error {
	switch {
	case h.Title == "":
		return fmt.Errorf("%w: there is no title", ErrData)
	case h.Gallery.Missed < 0 || h.Gallery.Alarms < 0 || h.Gallery.Typical < 0:
		return fmt.Errorf("%w: the gallery is %+v, want no negative number", ErrData, h.Gallery)
	}
	return nil
}

// validate checks everything but what Load will return.
func (c Class) validate() error {
	if c.Name == "" {
		return fmt.Errorf("%w: the class has no name", ErrData)
	}
	if len(c.Detectors) == 0 {
		return fmt.Errorf("%w: there are no detectors", ErrData)
	}
	names := map[string]bool{}
	for _, det := range c.Detectors {
		if det.Name == "" || names[det.Name] {
			return fmt.Errorf("%w: detector name %q is empty or used twice", ErrData, det.Name)
		}
		names[det.Name] = true
		if err := det.validate(c); err != nil {
			return fmt.Errorf("%s: %w", det.Name, err)
		}
	}
	for _, det := range c.Detectors {
		if det.Beside != "" && (det.Beside == det.Name || !names[det.Beside]) {
			return fmt.Errorf("%w: %s is to be compared with %q, want another detector of the class", ErrData, det.Name, det.Beside)
		}
		if det.ScaleOf != "" && (det.ScaleOf == det.Name || !names[det.ScaleOf]) {
			return fmt.Errorf("%w: the scale of %s is that of %q, want another detector of the class", ErrData, det.Name, det.ScaleOf)
		}
	}
	return nil
}

func (det Detector) validate(c Class) error {
	if _, err := det.cut(c); err != nil {
		return err
	}
	for i, s := range det.Scores {
		if s-s != 0 { // NaN is refused by the cut
			return fmt.Errorf("%w: the score of %s is %v", ErrData, c.Samples[i].Name, s)
		}
	}
	if det.ThresholdFrom == "" {
		return fmt.Errorf("%w: it is not said where the threshold comes from", ErrData)
	}
	names := map[string]bool{}
	for _, f := range det.Figures {
		if names[f.Name] {
			return fmt.Errorf("%w: there are two figures %q", ErrData, f.Name)
		}
		names[f.Name] = true
		if _, err := metrics.NewFigure(f.Name, f.Value, f.Protocol); err != nil {
			return fmt.Errorf("%w: %w", ErrData, err)
		}
		if f.Values != nil && len(f.Values) != len(det.Seeds) {
			return fmt.Errorf("%w: figure %s has %d values for %d seeds", ErrData, f.Name, len(f.Values), len(det.Seeds))
		}
	}
	if c.Load == nil {
		return nil
	}
	if det.Line != det.Line {
		return fmt.Errorf("%w: the line of the maps is NaN", ErrData)
	}
	return det.Scale.Validate()
}

// cut counts escapes and overkill at the threshold.
func (det Detector) cut(c Class) (metrics.Cut, error) {
	return metrics.CutAt(det.Scores, c.labels(), det.Threshold)
}

func (c Class) labels() []bool {
	labels := make([]bool, len(c.Samples))
	for i, s := range c.Samples {
		labels[i] = s.Defective
	}
	return labels
}
