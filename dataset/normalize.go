package dataset

import (
	"fmt"
	"image"

	"github.com/gotab/gotab/internal/pixels"
)

// Normalize turns a channel value v of 0 to 255 into (v/255 - Mean)/Std, each
// step rounded to float32, which is what torchvision's ToTensor and Normalize
// do. Channels are red, green, blue. A Normalize is safe for concurrent use.
type Normalize struct {
	Mean, Std [3]float32 // fractions of full scale; Std is not 0
}

// ImageNet are the mean and deviation that torchvision's weights expect.
func ImageNet() Normalize {
	return Normalize{Mean: [3]float32{0.485, 0.456, 0.406}, Std: [3]float32{0.229, 0.224, 0.225}}
}

// CLIPNorm are the mean and deviation that CLIP's visual encoders expect.
func CLIPNorm() Normalize {
	return Normalize{
		Mean: [3]float32{0.48145466, 0.4578275, 0.40821073},
		Std:  [3]float32{0.26862954, 0.26130258, 0.27577711},
	}
}

// Validate reports deviations that are not positive numbers and means that are
// not numbers; the error wraps [ErrConfig].
func (n Normalize) Validate() error {
	for c := range 3 {
		if m := n.Mean[c]; m-m != 0 {
			return fmt.Errorf("dataset: normalise: %w: Mean[%d] is %v, want a finite number", ErrConfig, c, m)
		}
		if s := n.Std[c]; !(s > 0) || s-s != 0 {
			return fmt.Errorf("dataset: normalise: %w: Std[%d] is %v, want a positive number", ErrConfig, c, s)
		}
	}
	return nil
}

// Pack writes img into dst as W*H*3 floats: rows from the top, pixels from the
// left, channels red, green, blue (one image of an NHWC batch). dst has
// exactly that length.
func (n Normalize) Pack(dst []float32, img *image.RGBA) error {
	if err := n.Validate(); err != nil {
		return err
	}
	if err := pixels.Check(img); err != nil {
		return fmt.Errorf("dataset: pack: %w: %w", ErrSize, err)
	}
	w, h := img.Rect.Dx(), img.Rect.Dy()
	if len(dst) != w*h*3 {
		return fmt.Errorf("dataset: pack: %w: %dx%d pixels need %d floats, have %d", ErrSize, w, h, w*h*3, len(dst))
	}
	t := n.table()
	t.pack(dst, img)
	return nil
}

// normTable holds the value for each byte of each channel.
type normTable [3][256]float32

func (n Normalize) table() *normTable {
	t := new(normTable)
	for c := range t {
		for v := range t[c] {
			x := float32(v) / 255
			x -= n.Mean[c]
			t[c][v] = x / n.Std[c]
		}
	}
	return t
}

// pack fills dst, whose length is right.
func (t *normTable) pack(dst []float32, img *image.RGBA) {
	w, h := img.Rect.Dx(), img.Rect.Dy()
	for y := range h {
		row := img.Pix[y*img.Stride:]
		row = row[:4*w]
		out := dst[y*w*3:]
		out = out[:3*w]
		for len(row) >= 4 && len(out) >= 3 {
			out[0] = t[0][row[0]]
			out[1] = t[1][row[1]]
			out[2] = t[2][row[2]]
			row, out = row[4:], out[3:]
		}
	}
}
