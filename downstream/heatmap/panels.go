package heatmap

import (
	"fmt"
	"image"

	"github.com/gotab/gotab/downstream"
)

// Part is one inspected image with its truth and what detectors say.
type Part struct {
	Image image.Image
	Mask  *image.Gray // of the defect, from 128 on; nil where there is none
	Views []View      // at least one
}

// View is what one detector says about an image, and how that is drawn.
type View struct {
	Name      string // of the detector, for titles; may be empty where there is one
	Map       downstream.Map
	Scale     Scale   // of this detector: see the package comment on two of them
	Threshold float64 // of the line and the cut, in values of the map; Scale.Low where no value of it decides
}

// Panel is a picture with a title of one line.
type Panel struct {
	Title string
	Image *image.RGBA
}

// Panels draws a part as pictures of one size, which stand side by side: the image, the
// truth, the map of each view with the line at its threshold, and the cut by the first view.
// No view is ErrNoMaps; other errors are those of Overlay, Contour and Truth.
func (p Part) Panels() ([]Panel, error) {
	if len(p.Views) == 0 {
		return nil, fmt.Errorf("heatmap: panels: %w", ErrNoMaps)
	}
	plain, err := canvas(p.Image)
	if err != nil {
		return nil, fmt.Errorf("heatmap: panels: %w", err)
	}
	truth, err := Truth(plain, p.Mask)
	if err != nil {
		return nil, err
	}
	panels := []Panel{{"image", plain}, {"truth", truth}}
	if p.Mask == nil {
		panels[1].Title = "truth: no mask"
	}
	for _, v := range p.Views {
		m, err := v.draw(plain)
		if err != nil {
			return nil, err
		}
		panels = append(panels, m)
	}
	cut, err := Cut(plain, p.Views[0].Map, p.Views[0].Threshold)
	if err != nil {
		return nil, err
	}
	return append(panels, Panel{"cut", cut}), nil
}

// draw is the panel of the map.
func (v View) draw(img *image.RGBA) (Panel, error) {
	over, err := Overlay(img, v.Map, v.Scale)
	if err != nil {
		return Panel{}, err
	}
	lined, err := Contour(over, v.Map, v.Threshold)
	if err != nil {
		return Panel{}, err
	}
	title := "map"
	if v.Name != "" {
		title = "map: " + v.Name
	}
	return Panel{title, lined}, nil
}
