package dataset

import "fmt"

// Label is what is known of a sample's condition. The zero value is
// [LabelUnknown], so that a label that was forgotten is never taken for good.
type Label uint8

const (
	// LabelUnknown means that it is not known whether the sample is good or
	// defective. Such a sample can be scored; it cannot be learnt from or
	// measured with.
	LabelUnknown Label = iota
	// LabelGood means that the sample shows no defect.
	LabelGood
	// LabelDefective means that the sample shows a defect.
	LabelDefective
)

var labelNames = [...]string{LabelUnknown: "unknown", LabelGood: "good", LabelDefective: "defective"}

// String returns "unknown", "good" or "defective".
func (l Label) String() string {
	if int(l) < len(labelNames) {
		return labelNames[l]
	}
	return fmt.Sprintf("Label(%d)", uint8(l))
}

// ParseLabel is the reverse of [Label.String]. Other texts are an error that
// wraps [ErrLabel].
func ParseLabel(s string) (Label, error) {
	for l, name := range labelNames {
		if s == name {
			return Label(l), nil
		}
	}
	return LabelUnknown, fmt.Errorf("dataset: %w: %q, want unknown, good or defective", ErrLabel, s)
}

// MarshalText implements [encoding.TextMarshaler], which JSON uses too: the text
// is that of [Label.String]. It returns an error that wraps [ErrLabel] if l is
// none of the three values.
func (l Label) MarshalText() ([]byte, error) {
	if int(l) >= len(labelNames) {
		return nil, fmt.Errorf("dataset: %w: %s is no label", ErrLabel, l)
	}
	return []byte(l.String()), nil
}

// UnmarshalText implements [encoding.TextUnmarshaler] with [ParseLabel].
func (l *Label) UnmarshalText(text []byte) error {
	v, err := ParseLabel(string(text))
	if err == nil {
		*l = v
	}
	return err
}

// LabelOf returns the label that goes with a value of [Item.Defect]: good for
// [Good], unknown for [Unknown] and the empty text, defective for any kind of
// defect.
func LabelOf(defect string) Label {
	switch defect {
	case Good:
		return LabelGood
	case Unknown, "":
		return LabelUnknown
	}
	return LabelDefective
}

// IsGood says whether the sample is known to show no defect. Use it to choose
// what a detector is fitted on or a threshold is taken from:
//
//	good := dataset.Filter(ds, dataset.Item.IsGood)
func (it Item) IsGood() bool { return it.Label == LabelGood }

// IsDefective says whether the sample is known to show a defect. An unlabelled
// sample is neither good nor defective: use [Item.Truth] to measure.
func (it Item) IsDefective() bool { return it.Label == LabelDefective }

// IsLabelled says whether the sample is known to be good or to be defective.
func (it Item) IsLabelled() bool { return it.IsGood() || it.IsDefective() }

// Truth says whether the sample is defective, for figures that compare it with
// what a detector says. It returns an error that wraps [ErrLabel] and names the
// sample if its label is unknown.
func (it Item) Truth() (defective bool, err error) {
	if !it.IsLabelled() {
		return false, fmt.Errorf("dataset: sample %s: %w: it is not known whether it is good or defective; leave such samples out with dataset.Filter(ds, dataset.Item.IsLabelled)", it.Name, ErrLabel)
	}
	return it.IsDefective(), nil
}

// RequireGood returns an error that wraps [ErrLabel] and names the first sample
// that is not known to be good. What learns what normal looks like, or takes a
// threshold from good samples, asks for it first.
func RequireGood(ds Dataset) error {
	const todo = "choose good ones with dataset.Filter(ds, dataset.Item.IsGood)"
	if ds == nil {
		return nil
	}
	for i := range ds.Len() {
		switch it := ds.Item(i); {
		case it.IsDefective():
			return fmt.Errorf("dataset: sample %s: %w: it is labelled %q, only good samples are taken; %s", it.Name, ErrLabel, it.Defect, todo)
		case !it.IsGood():
			return fmt.Errorf("dataset: sample %s: %w: it is not known to be good; %s", it.Name, ErrLabel, todo)
		}
	}
	return nil
}

// RequireLabels returns an error that wraps [ErrLabel] and names the first
// sample whose label is unknown. What measures a detector asks for it first.
func RequireLabels(ds Dataset) error {
	if ds == nil {
		return nil
	}
	for i := range ds.Len() {
		if _, err := ds.Item(i).Truth(); err != nil {
			return err
		}
	}
	return nil
}

// checkLabel says whether Label and Defect contradict each other. An empty
// Defect contradicts nothing.
func (it Item) checkLabel() error {
	switch {
	case int(it.Label) >= len(labelNames):
		return fmt.Errorf("%w: Label is %s", ErrLabel, it.Label)
	case it.Defect == "" || it.Label == LabelOf(it.Defect):
		return nil
	case it.IsDefective() && it.Defect == Unknown: // the kind is not known
		return nil
	}
	return fmt.Errorf("%w: Label is %s and Defect is %q; set both, for instance Label: dataset.LabelOf(defect)", ErrLabel, it.Label, it.Defect)
}

// Kind names what an image shows, for people and as the name of a folder: [Good], the kind of defect,
// "defective" where that is not told, or [Unknown] where there is no label.
func (it Item) Kind() string {
	switch {
	case it.IsGood():
		return Good
	case !it.IsLabelled():
		return Unknown
	case it.Defect == Unknown || it.Defect == "":
		return "defective"
	}
	return it.Defect
}
