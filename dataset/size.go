package dataset

import (
	"fmt"
	"image"
)

// Size reads the size of an image in its file's header, without decoding it, as it is
// stored: an EXIF orientation may still turn it. The other bytes may be missing. Errors
// wrap [ErrDecode] or [ErrTooLarge], the latter above MaxPixels.
func (d Decoder) Size(data []byte) (size image.Point, err error) {
	defer func() { // as in decodeAs
		if v := recover(); v != nil {
			size, err = image.Point{}, fmt.Errorf("dataset: size: %w: damaged: %v", ErrDecode, v)
		}
	}()
	if err := d.Validate(); err != nil {
		return image.Point{}, err
	}
	c, err := codecOf(data)
	if err != nil {
		return image.Point{}, fmt.Errorf("dataset: size: %w", err)
	}
	if size, err = c.size(data); err != nil {
		return image.Point{}, fmt.Errorf("dataset: size: %w", decodeError(c, data, err))
	}
	if err := d.admit(c, size); err != nil {
		return image.Point{}, fmt.Errorf("dataset: size: %w", err)
	}
	return size, nil
}
