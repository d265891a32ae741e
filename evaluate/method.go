package evaluate

import (
	"encoding/json"
	"fmt"

	"github.com/gotab/gotab/dataset"
)

// Method is a way of finding defects with its settings made up. Name, New and
// Protocol are needed; the rest describes the method in records and tables, and tells
// results of different settings apart.
type Method struct {
	Name string
	// New returns a detector that is not fitted, which draws what it draws by the seed.
	New func(s Seed) (Detector, error)
	// Protocol is how its figures are made. [DefaultProtocol] is a start.
	Protocol Protocol
	// Settings are the detector's, in a form that encoding/json can write. Equal ones
	// give equal figures.
	Settings any
	// Arch, Weights and WeightsSHA256 describe the network; empty where there is none.
	Arch, Weights, WeightsSHA256 string
	// Training says which training of a study made the weights; nil for none.
	Training *Training
	// Layers are those of the network that the method looks at.
	Layers []string
	// Epochs of the training; 0 where there is none.
	Epochs int
	// Shots are the images of the support set; 0 where there is none.
	Shots int
	// Others says that the method learns from the other classes' images too.
	Others bool
	// Chance says what a seed decides, such as "the draw of channels". It is empty
	// where nothing is drawn: one seed is enough then.
	Chance string
	// Seed is the one to take where none is asked for. Seed.Reference says that there is
	// a draw of the reference program; other methods have none.
	Seed Seed
}

// Validate returns [ErrConfig], or the error of the protocol.
func (m Method) Validate() error {
	switch {
	case m.Name == "":
		return fmt.Errorf("evaluate: %w: the method has no name", ErrConfig)
	case m.New == nil:
		return fmt.Errorf("evaluate: method %s: %w: New is nil", m.Name, ErrConfig)
	case m.Epochs < 0 || m.Shots < 0:
		return fmt.Errorf("evaluate: method %s: %w: %d epochs, %d shots", m.Name, ErrConfig, m.Epochs, m.Shots)
	}
	if err := m.Protocol.Validate(); err != nil {
		return fmt.Errorf("method %s: %w", m.Name, err)
	}
	return nil
}

// Has returns [ErrSeed] for the draw of a reference program if the method has none.
func (m Method) Has(s Seed) error {
	if !s.Reference || m.Seed.Reference {
		return nil
	}
	return fmt.Errorf("evaluate: %w: %s has no reference draw", ErrSeed, m.Name)
}

// Trial is one method on one class with one seed: what makes a [Record].
type Trial struct {
	Method Method
	Seed   Seed
	// Data is the name of the data set; it may be empty.
	Data string
	// Class is the product. Empty: the one class of Test.
	Class string
	// Train are the good images to fit on. Test are labelled images of both kinds, where
	// either every defect has a mask or none.
	Train, Test dataset.Dataset
	// Others are the training images of other classes, for a method that asks for them.
	Others dataset.Dataset
	// Decoder is what the files were read with; the zero value stands for the default.
	Decoder dataset.Decoder
	// Skipped are the names of images that could not be read and were left out, and
	// Unseen is the largest share of an image that the transform cuts off, from 0 to 1.
	// Both are for the record.
	Skipped []string
	Unseen  float64
	// Checkpoint is the path of a file that a long training may go on from; empty for
	// none.
	Checkpoint string
	// Made says by what the record is made.
	Made Origin
}

// class is Class, or the one of the test set.
func (t Trial) class() (string, error) {
	if t.Class != "" {
		return t.Class, nil
	}
	if c := t.Test.Classes(); len(c) == 1 && c[0] != "" {
		return c[0], nil
	}
	return "", fmt.Errorf("evaluate: %w: the test set has the classes %q; name one, or give one class", ErrConfig, t.Test.Classes())
}

// Known returns what is known of the trial before it is run. Its [Record.Key] is that
// of the record that [Run] will make, so that [Store.Find] tells whether it is there
// already. It returns [ErrConfig] for a trial that makes no sense, [ErrSeed] for a
// seed that the method does not have, and the errors of [CheckTest].
func (t Trial) Known() (Record, error) {
	r, _, err := t.known()
	return r, err
}

func (t Trial) known() (r Record, masked bool, err error) {
	m := t.Method
	if err := m.Validate(); err != nil {
		return r, false, err
	}
	if err := m.Has(t.Seed); err != nil {
		return r, false, err
	}
	switch {
	case t.Train == nil || t.Test == nil:
		return r, false, fmt.Errorf("evaluate: %s: %w: there are no images for training or none for the test", m.Name, ErrConfig)
	case m.Others && (t.Others == nil || t.Others.Len() == 0):
		return r, false, fmt.Errorf("evaluate: %w: %s learns from other classes, and there is none", ErrConfig, m.Name)
	}
	if masked, err = CheckTest(t.Test); err != nil {
		return r, false, err
	}
	class, err := t.class()
	if err != nil {
		return r, false, err
	}
	settings := m.Settings
	if settings == nil {
		settings = struct{}{}
	}
	text, err := json.Marshal(settings)
	if err != nil {
		return r, false, fmt.Errorf("settings of %s: %w", m.Name, err)
	}
	by := m.Protocol
	r = Record{
		Version: RecordVersion, Data: t.Data, Class: class, Method: m.Name, Seed: t.Seed.String(),
		ScoreImages: t.Test.Len(), Chance: m.Chance, Arch: m.Arch, Weights: m.Weights, WeightsSHA256: m.WeightsSHA256,
		Epochs: m.Epochs, Shots: m.Shots, Transform: by.Seen(), Mask: by.Mask, Epoch: by.Epoch, Score: by.Score,
		Width: by.Width, Height: by.Height, Settings: text, Skipped: t.Skipped, Unseen: t.Unseen, Made: t.Made, Training: m.Training,
	}
	r.Layers = append(r.Layers, m.Layers...)
	r.Hash, err = t.hash(r)
	return r, masked, err
}
