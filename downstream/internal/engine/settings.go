package engine

import (
	"fmt"
	"image"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream/internal/feed"
	"github.com/gotab/gotab/tensor"
)

// LayerNames is the JSON form of layers.
type LayerNames []string

// NamesOf returns the names of layers.
func NamesOf(layers []backbone.Layer) (names LayerNames) {
	for _, l := range layers {
		names = append(names, l.String())
	}
	return names
}

// Layers returns the layers of the names.
func (names LayerNames) Layers() (out []backbone.Layer, err error) {
	for _, name := range names {
		l, err := backbone.ParseLayer(name)
		if err != nil {
			return nil, err
		}
		out = append(out, l)
	}
	return out, nil
}

// ViewSettings is the JSON form of how images are brought to the network, and
// maps back.
type ViewSettings struct {
	Sigma     float64    `json:"sigma"`
	Shorter   int        `json:"transform_shorter"`
	Exact     [2]int     `json:"transform_exact"`
	Filter    string     `json:"transform_filter"`
	Crop      [2]int     `json:"transform_crop"`
	RowsFirst bool       `json:"transform_rows_first"`
	Bits16    int        `json:"transform_bits16,omitempty"`
	Mean      [3]float32 `json:"normalize_mean"`
	Std       [3]float32 `json:"normalize_std"`
	Batch     int        `json:"batch"`
}

// ViewOf returns the JSON form of settings that all have.
func ViewOf(sigma float64, t dataset.Transform, n dataset.Normalize, batch int) ViewSettings {
	return ViewSettings{
		Sigma:   sigma,
		Shorter: t.Shorter, Exact: [2]int{t.Exact.X, t.Exact.Y},
		Filter: t.Filter.String(), Crop: [2]int{t.Crop.X, t.Crop.Y}, RowsFirst: t.RowsFirst, Bits16: t.Bits16,
		Mean: n.Mean, Std: n.Std, Batch: batch,
	}
}

// Transform returns a filter of a name that there is not as -1, which Validate
// refuses.
func (v ViewSettings) Transform() dataset.Transform {
	t := dataset.Transform{Shorter: v.Shorter, Exact: image.Pt(v.Exact[0], v.Exact[1]), Filter: -1,
		Crop: image.Pt(v.Crop[0], v.Crop[1]), RowsFirst: v.RowsFirst, Bits16: v.Bits16}
	for _, k := range []dataset.Kernel{dataset.Lanczos, dataset.Bicubic, dataset.Bilinear, dataset.Nearest} {
		if k.String() == v.Filter {
			t.Filter = k
		}
	}
	return t
}

// Normalize returns how bytes become the floats of the network.
func (v ViewSettings) Normalize() dataset.Normalize {
	return dataset.Normalize{Mean: v.Mean, Std: v.Std}
}

// Sizes is the JSON form of the sizes of a model.
type Sizes struct {
	Grid   [2]int `json:"grid"`  // columns, rows
	Input  [2]int `json:"input"` // columns, rows
	Images int    `json:"images"`
	// Precision is that of the features of the fit; files from before have none, which is
	// float32.
	Precision backbone.Precision `json:"precision,omitempty"`
}

// coarsest is how many pixels of a side there may be for a position of the grid
// in a file: twice those of a ResNet's last stage.
const Coarsest = 64

// Check refuses sizes that the settings beside them do not give. A small file must
// not ask for a large image, so that the input is held against the transform
// and, where that leaves it open, against the grid: no more than coarsest pixels
// for a position.
func (v ViewSettings) Check(z Sizes) error {
	fixed, err := v.Agree(z)
	switch {
	case err != nil:
		return err
	case fixed:
		return z.Check(feed.MaxSide)
	}
	return z.Check(Coarsest)
}

// Agree refuses an input that the transform does not give: a detector with one
// would refuse every image. fixed says that the transform gives one size alone.
func (v ViewSettings) Agree(z Sizes) (fixed bool, err error) {
	in, t := image.Pt(z.Input[0], z.Input[1]), v.Transform()
	want := t.Crop
	if want == (image.Point{}) {
		want = t.Exact
	}
	if want != (image.Point{}) {
		if in != want {
			return true, fmt.Errorf("input %v: the transform (%s) gives %dx%d", z.Input, t, want.X, want.Y)
		}
		return true, nil
	}
	if short := min(in.X, in.Y); t.Shorter > 0 && short != t.Shorter {
		return false, fmt.Errorf("input %v: the transform (%s) gives a shorter side of %d", z.Input, t, t.Shorter)
	}
	return false, nil
}

// Check refuses sizes that no fit gives; perPosition is the largest number of
// pixels of a side for a position of the grid.
func (z Sizes) Check(perPosition int) error {
	for i := range 2 {
		if g, n := z.Grid[i], z.Input[i]; g < 1 || n < g || n > feed.MaxSide || n > perPosition*g {
			return fmt.Errorf("grid %v and input %v do not fit each other", z.Grid, z.Input)
		}
	}
	const most = 1 << 40 // images: sums of two such numbers are far from overflow
	if z.Images < 1 || z.Images > most {
		return fmt.Errorf("images is %d, want 1 to 2^40", z.Images)
	}
	if z.Input[0]*z.Input[1] > feed.MaxPixels {
		return fmt.Errorf("input %v: at most %d pixels are taken", z.Input, feed.MaxPixels)
	}
	return nil
}

// NewModel returns a model of these sizes that is empty.
func (z Sizes) NewModel(dev tensor.Device) Model {
	return Model{Params: tensor.NewParams(dev), GridW: z.Grid[0], GridH: z.Grid[1], InW: z.Input[0], InH: z.Input[1], Images: z.Images, Precision: z.Precision}
}
