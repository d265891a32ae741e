package service

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"slices"

	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/downstream/heatmap"
	"github.com/gotab/gotab/inspect"
)

// drawMap lays the colours of a verdict's map over the picture, as PNG.
func drawMap(img *image.RGBA, v inspect.Verdict) ([]byte, error) {
	m := v.Map
	if m.W != img.Rect.Dx() || m.H != img.Rect.Dy() {
		var err error
		if m, err = m.ToInput(img.Rect.Dx(), img.Rect.Dy()); err != nil {
			return nil, err
		}
	}
	m, hidden := reveal(m, v.Scale)
	over, err := heatmap.Overlay(img, m, v.Scale)
	if err != nil {
		return nil, err
	}
	hatch(over, hidden)
	var b bytes.Buffer
	enc := png.Encoder{CompressionLevel: png.BestSpeed}
	if err := enc.Encode(&b, over); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// reveal gives the places that a bundle's regions hide a value without colour, since
// heatmap takes NaN for a frame around the map and for nothing else, and returns which
// they are; nil for none. A map without hidden places is returned as it is.
func reveal(m downstream.Map, s heatmap.Scale) (downstream.Map, []bool) {
	if len(m.Data) != m.W*m.H || !slices.ContainsFunc(m.Data, func(v float32) bool { return v != v }) {
		return m, nil
	}
	hidden := make([]bool, len(m.Data))
	all := true
	data := slices.Clone(m.Data)
	for i, v := range data {
		if hidden[i] = v != v; hidden[i] {
			data[i] = float32(s.Low - (s.High - s.Low))
		} else {
			all = false
		}
	}
	if all { // Overlay says that there is nothing to be seen
		return m, nil
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
