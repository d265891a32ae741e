package evaluate

import (
	"context"
	"fmt"
	"image"
	"image/color"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/metrics"
)

// darkness is a detector without a network: a map says how dark each pixel is. The
// seed changes it a little, so that seeds differ. darkMethod says how it is to
// misbehave.
type darkness struct {
	*darkMethod
	seed Seed
}

type darkMethod struct {
	transform dataset.Transform
	fits      int
	closed    int
	inFit     func(ctx context.Context, good dataset.Dataset) error // nil: nothing
	change    func(r *Result, name string)                          // nil: nothing
	name      string                                                // of the image that is scored
}

// newDark looks at 23x17 pixels, where each rule gives masks of its own.
func newDark() *darkMethod {
	return &darkMethod{transform: dataset.Transform{Exact: image.Pt(23, 17), Filter: dataset.Bilinear}}
}

func (f *darkMethod) method() Method {
	p := DefaultProtocol()
	p.Transform = f.transform
	p.Bootstrap.Resamples = 100
	return Method{Name: "dark", Protocol: p, Chance: "a shade", Seed: Seed{Number: 1}, New: func(s Seed) (Detector, error) { return &darkness{f, s}, nil }}
}

func (f *darkMethod) trial(train, test dataset.Dataset) Trial {
	return Trial{Method: f.method(), Seed: Seed{Number: 1}, Data: "plant", Train: train, Test: test}
}

func (d *darkness) Fit(ctx context.Context, good dataset.Dataset) error {
	d.fits++
	if d.inFit != nil {
		return d.inFit(ctx, good)
	}
	return nil
}

func (d *darkness) Close() error {
	d.closed++
	return nil
}

func (d *darkness) Score(_ context.Context, in image.Image) (Result, error) {
	img, err := d.transform.Image(in)
	if err != nil {
		return Result{}, err
	}
	m := Map{W: img.Rect.Dx(), H: img.Rect.Dy(), Data: make([]float32, len(img.Pix)/4)}
	rng := d.seed.Rand()
	top := 0.0
	for k := range m.Data {
		m.Data[k] = 255 - float32(img.Pix[4*k]) + 40*float32(rng.NormFloat64())
		top = max(top, float64(m.Data[k]))
	}
	r := Result{Score: top, Map: m}
	if d.change != nil {
		d.change(&r, d.name)
	}
	return r, nil
}

// watched tells a detector the name of the image that it is about to be given.
type watched struct {
	dataset.Dataset
	of *darkMethod
}

func (w watched) Sample(ctx context.Context, i int) (dataset.Sample, error) {
	s, err := w.Dataset.Sample(ctx, i)
	w.of.name = s.Name
	return s, err
}

// plates are pictures of one class in memory: even grey with noise, the defective ones
// with a dark square, and its mask if masks is set.
func plates(t testing.TB, class string, masks bool) (train, test *dataset.Memory) {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, uint64(len(class))))
	picture := func(split string, i int, defect bool) dataset.Sample {
		s := dataset.Sample{Image: image.NewRGBA(image.Rect(0, 0, 40, 32)),
			Item: dataset.Item{Class: class, Split: split, Defect: dataset.Good, Label: dataset.LabelGood}}
		if defect {
			s.Defect, s.Label = "hole", dataset.LabelDefective
			if masks {
				s.Mask = image.NewGray(s.Image.Rect)
			}
		}
		s.Name = fmt.Sprintf("%s/%s/%s/%d.png", class, split, s.Defect, i)
		for y := range 32 {
			for x := range 40 {
				v := uint8(140 + rng.IntN(20))
				if defect && x >= 14 && x < 22 && y >= 10 && y < 18 {
					v = 20
					if masks {
						s.Mask.SetGray(x, y, color.Gray{Y: 255})
					}
				}
				s.Image.SetRGBA(x, y, color.RGBA{v, v, v - 10, 255})
			}
		}
		return s
	}
	var good, mixed []dataset.Sample
	for i := range 4 {
		good = append(good, picture(dataset.Train, i, false))
	}
	for i := range 2 {
		mixed = append(mixed, picture(dataset.Test, i, false))
	}
	for i := range 2 {
		mixed = append(mixed, picture(dataset.Test, i, true))
	}
	train, err := dataset.NewMemory(good)
	require.NoError(t, err)
	test, err = dataset.NewMemory(mixed)
	require.NoError(t, err)
	return train, test
}

// dark runs a trial of darkness.
func dark(t testing.TB, f *darkMethod, class string, masks bool, seed uint64) *Outcome {
	t.Helper()
	train, test := plates(t, class, masks)
	trial := f.trial(train, test)
	trial.Seed = Seed{Number: seed}
	o, err := Run(t.Context(), trial)
	require.NoError(t, err)
	return o
}

// made is a record as a run writes it.
func made(class, seed string) Record {
	r := Record{Version: RecordVersion, Data: "plant", Class: class, Method: "padim", Seed: seed, Hash: class,
		ImageAUROC: 0.5, ImageAP: 0.5, ImageF1: 0.25, FitImages: 10, ScoreImages: 20, FitSpeed: 30, ScoreSpeed: 40,
		Arch: "resnet18", Layers: []string{"layer1"}, Weights: "w.safetensors", WeightsSHA256: "0123456789abcdef",
		Width: 224, Height: 200, Transform: "square", Mask: metrics.MaskNearest, Epoch: metrics.EpochNone, Score: metrics.ScoreMapMax,
		Settings: []byte(`{"a":1}`), Made: Origin{Command: "evaluate -data plant", Go: "go1.24", Libtorch: "2.1.2", Device: "cpu", Cores: 2}}
	r.keep(ImageAUROC, metrics.Interval{Low: 0.4, High: 0.6, Level: 0.95, Method: "DeLong"})
	return r
}

// timeless leaves out what differs from run to run.
func timeless(r Record) Record {
	r.FitSpeed, r.ScoreSpeed, r.PeakRSS = 0, 0, 0
	r.FitSeconds, r.ScoreSeconds, r.MetricsSeconds, r.TrainSeconds = 0, 0, 0, 0
	r.Made = Origin{}
	return r
}

func itemOf(i int) dataset.Item { return dataset.Item{Name: fmt.Sprint(i), Class: "alpha"} }
