package service

import (
	"bytes"
	"image"
	"image/png"

	"github.com/gotab/gotab/inspect"
)

// drawMap lays the colours of a verdict's map over the image, as PNG.
func drawMap(img *image.RGBA, v inspect.Verdict) ([]byte, error) {
	over, err := v.Overlay(img)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	enc := png.Encoder{CompressionLevel: png.BestSpeed}
	if err := enc.Encode(&b, over); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
