package dataset

import (
	"context"
	"errors"
	"fmt"
	"image"

	"github.com/gotab/gotab/internal/pixels"
)

// What can go wrong; every error of the package wraps one of these, the error
// of the file system, or the context's.
var (
	// ErrLayout says that folders are not laid out as the data set wants them.
	ErrLayout = errors.New("wrong folder layout")
	// ErrDecode says that a file is damaged or of a kind that is not read.
	ErrDecode = errors.New("cannot decode image")
	// ErrTooLarge says that an image has more pixels than the limit.
	ErrTooLarge = errors.New("image too large")
	// ErrMask says that a mask does not fit its image.
	ErrMask = errors.New("mask does not fit")
	// ErrSize says that an image has a size that cannot be worked with.
	ErrSize = errors.New("wrong image size")
	// ErrIndex says that a sample number is out of range.
	ErrIndex = errors.New("index out of range")
	// ErrConfig says that a setting makes no sense.
	ErrConfig = errors.New("invalid setting")
	// ErrLabel says that a sample's label does not fit what is done with it, or
	// that it is no label.
	ErrLabel = errors.New("label does not fit")
)

// Values of [Item.Defect] that are not kinds of defect. Folders that are called
// so hold such samples. Whether a sample is good is said by [Item.Label].
const (
	// Good is the value for normal samples.
	Good = "good"
	// Unknown is the value where the data set keeps the answer to itself.
	Unknown = "unknown"
)

// Splits of a data set, named as MVTec AD and MVTec AD 2 name them.
const (
	Train      = "train"
	Validation = "validation"
	Test       = "test"
)

// Item is what is known of a sample without decoding anything.
type Item struct {
	Name     string // path below the root with slashes, or a caller's own name
	Class    string // product, for instance "bottle"
	Split    string // "train" or "test", for instance; empty where the data set has none
	Defect   string // kind of defect, Good for good ones, Unknown where it is not known
	Label    Label  // whether the sample is good or defective; unknown unless it is set
	MaskName string // path of the mask below the root, empty where there is none
	// Group is the part or scene that the image shows, where several images
	// show the same one; a split keeps them together. Empty where not known.
	Group string
}

// Sample is an item with its pixels. The pixels may be shared with other
// holders of the same sample: they are to be read, not written.
type Sample struct {
	Item
	Image *image.RGBA // alpha 255, origin (0,0)
	Mask  *image.Gray // 0 or 255, of the size of Image; nil where the data has none
}

// check says whether the sample can be worked with.
func (s Sample) check() error {
	if s.Image == nil || s.Image.Rect.Empty() {
		return fmt.Errorf("dataset: sample %s: %w: it has no pixels", s.Name, ErrSize)
	}
	if err := pixels.Check(s.Image); err != nil {
		return fmt.Errorf("dataset: sample %s: %w: %w", s.Name, ErrSize, err)
	}
	if err := s.checkMaskSize(); err != nil {
		return err
	}
	if s.Mask != nil {
		if err := pixels.Check(s.Mask); err != nil {
			return fmt.Errorf("dataset: sample %s: %w: mask %s: %w", s.Name, ErrMask, s.maskName(), err)
		}
	}
	return nil
}

// checkMaskSize says whether the mask has the image's size; pixels are not looked at.
func (s Sample) checkMaskSize() error {
	if s.Mask != nil && s.Mask.Rect.Size() != s.Image.Rect.Size() {
		return fmt.Errorf("dataset: sample %s: %w: mask %s is %s, the image is %s; bring the mask to that size (nearest neighbour)",
			s.Name, ErrMask, s.maskName(), sizeText(s.Mask.Rect.Size()), sizeText(s.Image.Rect.Size()))
	}
	return nil
}

func (s Sample) maskName() string {
	if s.MaskName == "" {
		return "of " + s.Name
	}
	return s.MaskName
}

func sizeText(p image.Point) string { return fmt.Sprintf("%dx%d", p.X, p.Y) }

// Dataset is a list of samples in a fixed order. All methods are safe for
// concurrent use. Item and Sample take 0 <= i < Len(); Sample returns an error
// that wraps [ErrIndex] for other values, Item an empty Item.
type Dataset interface {
	// Len is the number of samples.
	Len() int
	// Classes are the names of the classes, sorted, each once. The caller may
	// change the slice.
	Classes() []string
	// Item says what is known of sample i without decoding it.
	Item(i int) Item
	// Sample reads sample i.
	Sample(ctx context.Context, i int) (Sample, error)
}

// indexError is the error for a sample number that does not exist.
func indexError(i, n int) error {
	return fmt.Errorf("dataset: sample %d: %w: there are %d", i, ErrIndex, n)
}
