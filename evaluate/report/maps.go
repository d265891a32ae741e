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
	"github.com/gotab/gotab/internal/apart"
	"github.com/gotab/gotab/internal/atomicfile"
)

// WriteMaps scores a test set once more and writes one picture a test image to dir/kind/name.png: image, truth, map
// and cut side by side at the size that the detector sees, with score, name and legend below. Where kind or name is
// no name of a file, or another image of the kind has it, it is changed so that all pictures lie below dir and none is
// written over another one. A file that is there is replaced. v says how maps are drawn, its Map is passed over. It returns an error that wraps [ErrData] if the detector or the data set is nil, what reading, scoring and
// drawing return, and ctx's; what was written by then stays.
func WriteMaps(ctx context.Context, dir string, det evaluate.Detector, test dataset.Dataset, by evaluate.Protocol, v heatmap.View) error {
	if det == nil || test == nil {
		return fmt.Errorf("report: write maps: %w: detector and test images must not be nil", ErrData)
	}
	legend, err := heatmap.Legend(v)
	if err != nil {
		return err
	}
	i, names := 0, pictureNames{}
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
		to := filepath.Join(dir, names.next(sc.Item))
		if err := os.MkdirAll(filepath.Dir(to), 0o777); err != nil {
			return fmt.Errorf("report: draw %s: %w", sc.Name, err)
		}
		if err := atomicfile.Write(to, func(w io.Writer) error { return png.Encode(w, pic) }); err != nil {
			return fmt.Errorf("report: draw %s: %w", sc.Name, err)
		}
	}
	return nil
}

// pictureNames are the names that have been given to pictures, in lower case: there are file systems that do not
// tell a from A.
type pictureNames map[string]bool

// next is the path of an image's picture, below the folder of all: kind/name.png, as data sets have them. Both come
// from outside. A second image of the kind with that name is called by its whole path.
func (p pictureNames) next(it dataset.Item) string {
	base := path.Base(it.Name)
	own := strings.TrimSuffix(base, path.Ext(base))
	folder := ""
	if it.Defect != "" {
		folder = apart.FileName(it.Defect)
	}
	taken := func() bool { return p[strings.ToLower(filepath.Join(folder, own))] }
	if !filepath.IsLocal(own) || filepath.Base(own) != own || taken() {
		own = apart.FileName(it.Name)
	}
	whole := own
	for n := 2; taken(); n++ { // the same image twice, or names that mean to be mistaken
		own = fmt.Sprintf("%s-%d", whole, n)
	}
	name := filepath.Join(folder, own)
	p[strings.ToLower(name)] = true
	return name + ".png"
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
