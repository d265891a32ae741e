package report

import (
	"context"
	"fmt"
	"image"
	"math"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream/heatmap"
)

// embedded is the longest side of the images in the page, in pixels. Those of the detectors'
// working resolution are mostly smaller and stay as they are.
const embedded = 320

// loadItem asks for the images of a part and checks what can be checked before they are drawn.
func loadItem(ctx context.Context, c Class, i int) (Item, error) {
	if err := ctx.Err(); err != nil {
		return Item{}, err
	}
	it, err := c.Load(ctx, i)
	if err != nil {
		return Item{}, err
	}
	if it.Image == nil {
		return Item{}, fmt.Errorf("%w: there is no image", ErrData)
	}
	if len(it.Maps) != len(c.Detectors) {
		return Item{}, fmt.Errorf("%w: %d maps for %d detectors", ErrData, len(it.Maps), len(c.Detectors))
	}
	if size := it.Image.Bounds().Size(); it.Mask != nil && it.Mask.Bounds().Size() != size {
		return Item{}, fmt.Errorf("%w: the mask is %v, the image %v", heatmap.ErrSize, it.Mask.Bounds().Size(), size)
	}
	return it, nil
}

// part brings the images of an item to one size: their own, or, where limit is above 0 and a
// side is longer, one whose longest side is limit.
func (it Item) part(c Class, limit int) (heatmap.Part, error) {
	size := it.Image.Bounds().Size()
	to := size
	if longest := max(size.X, size.Y); limit > 0 && longest > limit {
		shrink := func(n int) int { return max(1, int(math.Round(float64(n)*float64(limit)/float64(longest)))) }
		to = image.Pt(shrink(size.X), shrink(size.Y))
	}
	p := heatmap.Part{Image: it.Image, Mask: it.Mask}
	if to != size {
		transform := dataset.Transform{Exact: to, Filter: dataset.Lanczos}
		img, err := transform.Image(it.Image)
		if err != nil {
			return heatmap.Part{}, err
		}
		p.Image = img
		if p.Mask, err = transform.Mask(it.Mask); err != nil {
			return heatmap.Part{}, err
		}
	}
	for k, m := range it.Maps {
		det := c.Detectors[k]
		if !it.Whole && image.Pt(m.W, m.H) != size {
			return heatmap.Part{}, fmt.Errorf("%w: %s: the map is %dx%d, the image %v", heatmap.ErrSize, det.Name, m.W, m.H, size)
		}
		if it.Whole || to != size {
			if !it.Whole {
				m.Rect = dataset.Rect{MaxX: float64(m.W), MaxY: float64(m.H)}
			}
			x, y := float64(to.X)/float64(size.X), float64(to.Y)/float64(size.Y)
			m.Rect = dataset.Rect{MinX: x * m.Rect.MinX, MinY: y * m.Rect.MinY, MaxX: x * m.Rect.MaxX, MaxY: y * m.Rect.MaxY}
			var err error
			if m, err = m.ToInput(to.X, to.Y); err != nil {
				return heatmap.Part{}, fmt.Errorf("%s: %w", det.Name, err)
			}
		}
		v := det.view(len(c.Detectors) > 1)
		v.Map = m
		p.Views = append(p.Views, v)
	}
	return p, nil
}

// view is how the maps of a detector are drawn.
func (det Detector) view(named bool) heatmap.View {
	v := heatmap.View{Scale: det.Scale, Threshold: det.Line}
	if named {
		v.Name = det.Name
	}
	return v
}

// legend explains the images of a class.
func legend(c Class) (*image.RGBA, error) {
	var views []heatmap.View
	for _, det := range c.Detectors {
		views = append(views, det.view(len(c.Detectors) > 1))
	}
	return heatmap.Legend(views...)
}

// captions say what was made of a part, for the image files: a line for the part, and one for
// each detector.
func captions(c Class, i int) []string {
	s := c.Samples[i]
	lines := []string{fmt.Sprintf("%s (%s)", s.Name, s.Kind)}
	for _, det := range c.Detectors {
		lines = append(lines, fmt.Sprintf("%s: %s, score %.4g, threshold %.4g", det.Name, det.verdict(s, det.Scores[i]).word, det.Scores[i], det.Threshold))
	}
	return lines
}
