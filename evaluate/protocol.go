package evaluate

import (
	"fmt"
	"image"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/metrics"
)

// Protocol is how the figures of a detector are made. Two numbers are comparable
// if their protocols are the same.
type Protocol struct {
	// Transform brings an image to what the detector's maps are of, and its mask with
	// it. The zero value leaves both as they are.
	Transform dataset.Transform
	// Tiles says how images are cut into tiles, which the transform is then of. A map is
	// stitched to one of the whole image, of a size of its own. Nil: images are seen whole.
	Tiles *dataset.Tiles
	// Mask is the rule by which a mask comes to the size of a map and becomes black and
	// white: [metrics.MaskNearest], [metrics.MaskBilinearHalf] or [metrics.MaskBilinearOne].
	Mask string
	// Epoch says which state of a training is judged, such as [metrics.EpochLast].
	Epoch string
	// Score says how a map becomes the score of an image, such as
	// [metrics.ScoreMapMax].
	Score string
	// Width and Height are what a detector without maps works at, in pixels. Those of
	// a detector with maps are the maps' own.
	Width, Height int
	// Limit is the false positive rate up to which AUPRO is integrated, above 0 and at
	// most 1.
	Limit float64
	// Rule chooses the threshold for escape and overkill, on half of the test images at
	// a time ([NewCrossFit]).
	Rule metrics.Rule
	// Bootstrap says how often images are drawn anew for intervals. Its level is that
	// of all intervals.
	Bootstrap metrics.BootstrapConfig
	// PixelBytes is how much memory the pixels of a test set may take, for the pixel
	// AUROC and for AUPRO each, before they are counted in bins.
	PixelBytes int64
}

// DefaultProtocol has nearest masks, the maximum of the map as the score of an
// image, no training, AUPRO to 0.3, the threshold for 5 % overkill, 2,000 bootstrap
// sets at 95 %, and exact pixel figures up to 14 million pixels (128 MiB), which are
// 290 images of 224x224.
func DefaultProtocol() Protocol {
	return Protocol{Mask: metrics.MaskNearest, Epoch: metrics.EpochNone, Score: metrics.ScoreMapMax, Limit: metrics.LimitMVTec,
		Rule: metrics.Overkill(0.05), Bootstrap: metrics.DefaultBootstrap(), PixelBytes: 128 << 20}
}

// Validate returns [ErrConfig], or the error of the part that makes no sense.
func (p Protocol) Validate() error {
	switch p.Mask {
	case metrics.MaskNearest, metrics.MaskBilinearHalf, metrics.MaskBilinearOne:
	default:
		return fmt.Errorf("evaluate: %w: protocol: mask rule %q, want %q, %q or %q", ErrConfig, p.Mask,
			metrics.MaskNearest, metrics.MaskBilinearHalf, metrics.MaskBilinearOne)
	}
	switch {
	case p.Epoch == "" || p.Score == "":
		return fmt.Errorf("evaluate: %w: protocol: epoch %q and score %q, one is not stated", ErrConfig, p.Epoch, p.Score)
	case p.Width < 0 || p.Height < 0:
		return fmt.Errorf("evaluate: %w: protocol: %d x %d pixels", ErrConfig, p.Width, p.Height)
	case !(p.Limit > 0 && p.Limit <= 1):
		return fmt.Errorf("evaluate: %w: protocol: AUPRO to %v, want above 0 to 1", ErrConfig, p.Limit)
	case p.PixelBytes < 0:
		return fmt.Errorf("evaluate: %w: protocol: %d bytes for pixels", ErrConfig, p.PixelBytes)
	}
	if err := p.Transform.Validate(); err != nil {
		return fmt.Errorf("evaluate: protocol: %w", err)
	}
	if p.Tiles != nil {
		if err := p.Tiles.Validate(); err != nil {
			return fmt.Errorf("evaluate: protocol: %w", err)
		}
	}
	if err := p.Bootstrap.Validate(); err != nil {
		return fmt.Errorf("evaluate: protocol: %w", err)
	}
	if err := p.Rule.Validate(); err != nil {
		return fmt.Errorf("evaluate: protocol: %w", err)
	}
	return nil
}

// View is the transform that brings an image and its mask to a map: Transform, or where
// there are tiles the resizing to the map's own size.
func (p Protocol) View(m Map) dataset.Transform {
	if p.Tiles == nil {
		return p.Transform
	}
	return dataset.Transform{Exact: image.Pt(m.W, m.H), Filter: p.Transform.Filter, Bits16: p.Transform.Bits16}
}

// Seen says what the detector sees of an image.
func (p Protocol) Seen() string {
	if p.Tiles == nil {
		return p.Transform.String()
	}
	return fmt.Sprintf("%s, each %s", *p.Tiles, p.Transform)
}

// MaskOf brings the mask of an input image to the size of its map, black and white. A
// nil mask stays nil. Errors are those of [dataset.Transform.Mask].
func (p Protocol) MaskOf(mask *image.Gray, m Map) (*image.Gray, error) {
	switch p.Mask {
	case metrics.MaskBilinearHalf: // RD4AD
		return p.View(m).MaskBilinear(mask, 128)
	case metrics.MaskBilinearOne: // SimpleNet
		return p.View(m).MaskBilinear(mask, 255)
	}
	return p.View(m).Mask(mask)
}
