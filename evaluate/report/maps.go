package report

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

// WriteMaps scores a test set once more and writes one picture a test image to dir/kind/name.png: image, truth, map
// and cut side by side at the size that the detector sees, with score, name and legend below. A file that is there
// is replaced. v says how maps are drawn, its Map is passed over. It returns an error that wraps [ErrData] if the detector or the data set is nil, what reading, scoring and
// drawing return, and ctx's; what was written by then stays.
func WriteMaps(ctx context.Context, dir string, det evaluate.Detector, test dataset.Dataset, by evaluate.Protocol, v heatmap.View) error {
	if det == nil || test == nil {
		return fmt.Errorf("report: write maps: %w: detector and test images must not be nil", ErrData)
	}
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
			return fmt.Errorf("report: draw %s: %w", sc.Name, err)
		}
		base := path.Base(sc.Name)
		to := filepath.Join(dir, sc.Defect, strings.TrimSuffix(base, path.Ext(base))+".png")
		if err := os.MkdirAll(filepath.Dir(to), 0o777); err != nil {
			return fmt.Errorf("report: draw %s: %w", sc.Name, err)
		}
		if err := atomicfile.Write(to, func(w io.Writer) error { return png.Encode(w, pic) }); err != nil {
			return fmt.Errorf("report: draw %s: %w", sc.Name, err)
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
