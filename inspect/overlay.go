package inspect

import (
	"fmt"
	"image"
	"image/color"
	"slices"

	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/downstream/heatmap"
	"github.com/gotab/gotab/internal/pixels"
)

// Overlay lays the colours of the verdict's map over the image that was inspected, at
// the image's size. What the bundle's regions hide is hatched, wherever it lies;
// heatmap.Overlay takes hidden places only as a frame. It returns [downstream.ErrImage]
// for an image that is none or has more than 2^28 pixels, and heatmap's errors for a map or scale that cannot be drawn.
func (v Verdict) Overlay(img image.Image) (*image.RGBA, error) {
	if err := pixels.Check(img); err != nil {
		return nil, fmt.Errorf("inspect: overlay: %w: %w", downstream.ErrImage, err)
	}
	m, size := v.Map, img.Bounds().Size()
	if size.X == 0 || size.Y == 0 {
		return nil, fmt.Errorf("inspect: overlay: %w: the image has no pixels", downstream.ErrImage)
	}
	if m.W != size.X || m.H != size.Y {
		var err error
		if m, err = m.ToInput(size.X, size.Y); err != nil {
			return nil, fmt.Errorf("inspect: overlay: %w", err)
		}
	}
	m, hidden := reveal(m, v.Scale)
	over, err := heatmap.Overlay(img, m, v.Scale)
	if err != nil {
		return nil, fmt.Errorf("inspect: overlay: %w", err)
	}
	hatch(over, hidden)
	return over, nil
}

// reveal gives the places that a bundle's regions hide a value without colour, since
// heatmap takes NaN for a frame around the map and for nothing else, and returns which
// they are; nil for none. A map without hidden places is returned as it is.
func reveal(m downstream.Map, s heatmap.Scale) (downstream.Map, []bool) {
	if len(m.Data) != m.W*m.H || !slices.ContainsFunc(m.Data, func(v float32) bool { return v != v }) {
		return m, nil
	}
	hidden := make([]bool, len(m.Data))
	data := slices.Clone(m.Data)
	for i, v := range data {
		if hidden[i] = v != v; hidden[i] {
			data[i] = float32(s.Low - (s.High - s.Low))
		}
	}
	m.Data = data
	return m, hidden
}

// hatch marks hidden places as heatmap marks what a detector has not looked at.
func hatch(dst *image.RGBA, hidden []bool) {
	stripe := max(2, min(dst.Rect.Dx(), dst.Rect.Dy())/56) // pixels
	for i, h := range hidden {
		if x, y := i%dst.Rect.Dx(), i/dst.Rect.Dx(); h && (x+y)/stripe%2 == 0 {
			dst.SetRGBA(x, y, color.RGBA{72, 72, 72, 255})
		}
	}
}
