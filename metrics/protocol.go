package metrics

import (
	"fmt"
	"math"
	"strings"
)

// Choices that published numbers differ by. Any other text is allowed where a
// Protocol has it: it is printed as it is.
const (
	MaskNearest      = "nearest, >= 128"        // PaDiM, RegAD
	MaskBilinearHalf = "bilinear, > 0.5"        // RD4AD
	MaskBilinearOne  = "bilinear, = 1"          // SimpleNet
	EpochNone        = "no training"            // PaDiM, PatchCore
	EpochLast        = "last epoch"             // nothing of the test set has been used
	EpochBestOnTest  = "best epoch ON TEST SET" // flatters: the test set chose
	ScoreMapMax      = "maximum of map"
	ScorePatchMax    = "maximum of patches"
)

// Protocol says how a number was made. Numbers of different protocols are not
// comparable, which is why it is part of a Figure.
type Protocol struct {
	Data   string // data set and split, such as "MVTec AD, official test split"
	Width  int    // working resolution of image and map, pixels
	Height int
	Mask   string // how masks came to that resolution and became black and white
	Epoch  string // which state of the training was taken
	Score  string // how a map became the score of an image
	Seeds  int    // runs that the number is over; at least 1
	Notes  string // anything else; may be empty
}

// Validate names the field that is not stated, as ErrProtocol.
func (p Protocol) Validate() error {
	for _, f := range []struct {
		name   string
		stated bool
	}{
		{"Data", p.Data != ""}, {"Width", p.Width > 0}, {"Height", p.Height > 0}, {"Mask", p.Mask != ""},
		{"Epoch", p.Epoch != ""}, {"Score", p.Score != ""}, {"Seeds", p.Seeds > 0},
	} {
		if !f.stated {
			return fmt.Errorf("metrics: protocol: %s: %w", f.name, ErrProtocol)
		}
	}
	return nil
}

// String is one line.
func (p Protocol) String() string {
	seeds := "1 seed"
	if p.Seeds != 1 {
		seeds = fmt.Sprintf("%d seeds", p.Seeds)
	}
	parts := []string{p.Data, fmt.Sprintf("%d x %d px", p.Width, p.Height), "masks: " + p.Mask, "weights: " + p.Epoch, "image score: " + p.Score, seeds}
	if p.Notes != "" {
		parts = append(parts, p.Notes)
	}
	return strings.Join(parts, "; ")
}

// Figure is a number that can be trusted: with its protocol and with what is known of
// its uncertainty.
type Figure struct {
	Name     string    // such as "image AUROC" or "AUPRO to 0.3"
	Value    float64   // from 0 to 1
	Interval *Interval // of confidence; nil where none was computed
	Spread   *Spread   // over seeds; nil where there was one run
	Bound    float64   // how far Value can be off because pixels were counted in bins; 0 where exact
	Protocol Protocol
}

// NewFigure checks that the protocol is complete (ErrProtocol) and that the value is
// one: named, else ErrEmpty, and not NaN, else ErrNaN. Uncertainty is filled in by the caller.
func NewFigure(name string, value float64, p Protocol) (Figure, error) {
	if name == "" {
		return Figure{}, fmt.Errorf("metrics: figure: name: %w", ErrEmpty)
	}
	if math.IsNaN(value) {
		return Figure{}, fmt.Errorf("metrics: figure: %s: %w", name, ErrNaN)
	}
	if err := p.Validate(); err != nil {
		return Figure{}, fmt.Errorf("metrics: figure: %s: %w", name, err)
	}
	return Figure{Name: name, Value: value, Protocol: p}, nil
}

// String is one line: the name, the value, what is known of its uncertainty, and the
// protocol in braces. An incomplete protocol says so in its place.
func (f Figure) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %.4f", f.Name, f.Value)
	if f.Interval != nil {
		fmt.Fprintf(&b, " [%.4f, %.4f] (%.4g %% %s)", f.Interval.Low, f.Interval.High, 100*f.Interval.Level, f.Interval.Method)
	}
	if f.Spread != nil {
		fmt.Fprintf(&b, ", over seeds %s", f.Spread)
	}
	if f.Bound > 0 {
		fmt.Fprintf(&b, ", binned: off by at most %.2g", f.Bound)
	}
	if err := f.Protocol.Validate(); err != nil {
		fmt.Fprintf(&b, " {%v}", err)
	} else {
		fmt.Fprintf(&b, " {%s}", f.Protocol)
	}
	return b.String()
}
