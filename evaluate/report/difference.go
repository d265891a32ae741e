package report

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/gotab/gotab/metrics"
)

// confidence is the level of the intervals of differences.
const confidence = 0.95

// difference is how much higher the image AUROC of one detector is than another's, on the same
// images.
type difference struct {
	name, beside string // of the detectors
	seeds        string // that it is of, where there are several; else empty
	metrics.Comparison
}

// difference compares a detector with the one that it names. There is none where it names none, or
// where a kind has one image only, which has no variance.
func (c Class) difference(det Detector) (d difference, ok bool, err error) {
	if det.Beside == "" {
		return d, false, nil
	}
	other := c.Detectors[slices.IndexFunc(c.Detectors, func(o Detector) bool { return o.Name == det.Beside })]
	d.name, d.beside = det.Name, det.Beside
	if len(det.Seeds) > 1 || len(other.Seeds) > 1 {
		d.seeds = "seed " + firstOf(det.Seeds)
		if s := "seed " + firstOf(other.Seeds); s != d.seeds {
			d.seeds += " against " + s
		}
	}
	d.Comparison, err = metrics.DeLongTest(det.Scores, other.Scores, c.labels(), confidence)
	if errors.Is(err, metrics.ErrOneClass) {
		return d, false, nil
	}
	return d, err == nil, err
}

func firstOf(seeds []string) string {
	if len(seeds) == 0 {
		return "of its own"
	}
	return seeds[0]
}

// figure names the difference as a figure.
func (d difference) figure() string { return "image AUROC less that of " + d.beside }

// known says whether there is a p: where all images agree on a difference, nothing tells how
// far chance goes.
func (d difference) known() bool { return !math.IsInf(d.Z, 0) }

// p says how likely a difference as large were if there were none.
func (d difference) p() string {
	switch {
	case !d.known():
		return "p is not known"
	case d.P < 0.001:
		return "p < 0.001"
	}
	return fmt.Sprintf("p = %.3f", d.P)
}

// method says how the interval and p were made.
func (d difference) method() string {
	text := "DeLong's paired test on the same images"
	if d.seeds != "" {
		text += ", " + d.seeds
	}
	return text
}

// String is the difference in points, which are percent of the area.
func (d difference) String() string {
	i := d.Difference
	return fmt.Sprintf("%s: %+.2f points [%s, %s], %s (%.4g %% interval; %s)",
		d.figure(), 100*i.Value, percent(i.Low), percent(i.High), d.p(), 100*i.Level, d.method())
}

// Differences says, a line each, how the image AUROC of each detector that is compared with
// another one differs from that one's.
func (c Class) Differences() (lines []string, err error) {
	for _, det := range c.Detectors {
		d, ok, err := c.difference(det)
		if err != nil {
			return nil, fmt.Errorf("report: %s: %s beside %s: %w", c.Name, det.Name, det.Beside, err)
		}
		if ok {
			lines = append(lines, fmt.Sprintf("%s, %s, %s", c.Name, det.Name, d))
		}
	}
	return lines, nil
}

// allDifferences are those of all classes.
func allDifferences(classes []Class) (lines []string, err error) {
	for _, c := range classes {
		of, err := c.Differences()
		if err != nil {
			return nil, err
		}
		lines = append(lines, of...)
	}
	return lines, nil
}
