package main

import (
	"context"
	"fmt"
	"image"
	"image/png"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/downstream/heatmap"
	"github.com/gotab/gotab/evaluate"
	"github.com/gotab/gotab/internal/atomicfile"
)

// mapsOf is the folder of the maps of a class: where roots share its name, one in a
// folder of its root.
func (s *session) mapsOf(data, class string) string {
	if s.shared[class] {
		return filepath.Join(s.o.maps, data)
	}
	return s.o.maps
}

// viewOf is how the maps of a class are drawn: on the scale that follows from its good test
// images, with the line where the colours begin: a threshold would be of scores.
func viewOf(good *heatmap.Good) (heatmap.View, error) {
	s, err := good.Scale(heatmap.DefaultGood())
	return heatmap.View{Scale: s, Threshold: s.Low}, err
}

// drawAll scores the test set once more and writes one picture a test image to
// dir/class/kind/name.png. v says how, its Map is passed over.
func drawAll(ctx context.Context, dir, class string, det evaluate.Detector, test dataset.Dataset, by evaluate.Protocol, v heatmap.View) error {
	legend, err := heatmap.Legend(v)
	if err != nil {
		return err
	}
	i := 0
	for sc, err := range evaluate.ScoreSet(ctx, det, test) {
		if err != nil {
			return err
		}
		sample, err := test.Sample(ctx, i)
		if err != nil {
			return err
		}
		i++
		pic, err := compose(sample, sc, by.View(sc.Map), v, legend)
		if err != nil {
			return fmt.Errorf("draw %s: %w", sc.Name, err)
		}
		base := path.Base(sc.Name)
		to := filepath.Join(dir, class, sc.Defect, strings.TrimSuffix(base, path.Ext(base))+".png")
		if err := os.MkdirAll(filepath.Dir(to), 0o777); err != nil {
			return fmt.Errorf("draw %s: %w", sc.Name, err)
		}
		if err := atomicfile.Write(to, func(w io.Writer) error { return png.Encode(w, pic) }); err != nil {
			return fmt.Errorf("draw %s: %w", sc.Name, err)
		}
	}
	return nil
}

// compose puts image, truth, map and cut side by side, at the size that the detector sees,
// with score, name and legend below.
func compose(sample dataset.Sample, sc evaluate.Scored, transform dataset.Transform, v heatmap.View, legend *image.RGBA) (*image.RGBA, error) {
	img, err := transform.Image(sample.Image)
	if err != nil {
		return nil, err
	}
	mask, err := transform.Mask(sc.Mask)
	if err != nil {
		return nil, err
	}
	v.Map = downstream.Map(sc.Map)
	panels, err := heatmap.Part{Image: img, Mask: mask, Views: []heatmap.View{v}}.Panels()
	if err != nil {
		return nil, err
	}
	row, err := heatmap.Row(panels, fmt.Sprintf("score %.4g  %s", sc.Score, sc.Name))
	if err != nil {
		return nil, err
	}
	return heatmap.Stack(row, legend)
}
