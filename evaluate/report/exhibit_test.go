package report_test

import (
	"context"
	"errors"
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/downstream/heatmap"
	"github.com/gotab/gotab/evaluate"
	"github.com/gotab/gotab/evaluate/report"
	"github.com/gotab/gotab/metrics"
)

// darkest is a detector without a network: a map says how dark each pixel is.
type darkest struct{ fails error }

func (darkest) Fit(context.Context, dataset.Dataset) error { return nil }
func (darkest) Close() error                               { return nil }

func (d darkest) Score(_ context.Context, in image.Image) (evaluate.Result, error) {
	img := in.(*image.RGBA)
	m := evaluate.Map{W: img.Rect.Dx(), H: img.Rect.Dy(), Data: make([]float32, len(img.Pix)/4),
		Rect: dataset.Rect{MaxX: float64(img.Rect.Dx()), MaxY: float64(img.Rect.Dy())}}
	for k := range m.Data {
		m.Data[k] = 255 - float32(img.Pix[4*k])
	}
	return evaluate.Result{Score: downstream.Map(m).Max(), Map: m}, d.fails
}

// plates are good images and such with a dark corner.
func plates(t *testing.T) dataset.Dataset {
	t.Helper()
	var all []dataset.Sample
	for i := range 12 {
		s := dataset.Sample{Item: dataset.Item{Name: fmt.Sprintf("test/%d.png", i), Class: "plate", Split: dataset.Test, Defect: dataset.Good, Label: dataset.LabelGood},
			Image: image.NewRGBA(image.Rect(0, 0, 40, 30))}
		for k := range s.Image.Pix {
			s.Image.Pix[k] = byte(200 + (k/4*7+i*13)%31)
			if k%4 == 3 {
				s.Image.Pix[k] = 255
			}
		}
		if i%2 == 1 {
			s.Defect, s.Label, s.Mask = "stain", dataset.LabelDefective, image.NewGray(s.Image.Rect)
			for y := 5; y < 12; y++ {
				for x := 5; x < 12; x++ {
					s.Mask.Pix[y*40+x] = 255
					s.Image.Pix[4*(y*40+x)] = byte(20 + i)
				}
			}
		}
		all = append(all, s)
	}
	ds, err := dataset.NewMemory(all)
	require.NoError(t, err)
	return ds
}

// show evaluates the detector and hands the outcome to f while it is open.
func show(t *testing.T, d darkest, s report.Shown, seed uint64, f func(context.Context, report.Shown) error) error {
	t.Helper()
	s.Test = plates(t)
	s.Protocol = evaluate.DefaultProtocol()
	s.Protocol.Transform, s.Protocol.Bootstrap.Resamples = dataset.Transform{}, 20
	s.Protocol.Rule = metrics.Overkill(0.2)
	var good heatmap.Good
	_, err := evaluate.Run(t.Context(), evaluate.Trial{Method: evaluate.Method{Name: s.Method, Protocol: s.Protocol,
		New: func(evaluate.Seed) (evaluate.Detector, error) { return darkest{}, nil }}, Seed: evaluate.Seed{Number: seed}, Class: "plate", Train: s.Test, Test: s.Test},
		evaluate.WithScored(func(sc evaluate.Scored) error {
			if sc.IsGood() {
				return good.Add(downstream.Map(sc.Map))
			}
			return nil
		}),
		evaluate.WithDetector(func(ctx context.Context, _ evaluate.Detector, o *evaluate.Outcome) error {
			s.Outcome, s.Detector, s.Good = o, d, &good
			return f(ctx, s)
		}))
	return err
}

// Methods, seeds and a second network become one class of a page.
func TestExhibit(t *testing.T) {
	x := &report.Exhibit{Name: "plate", Rule: metrics.Overkill(0.2), Gallery: report.DefaultGallery(), SharedScale: true}
	require.NoError(t, show(t, darkest{}, report.Shown{Name: "dark, one", Method: "dark"}, 1, x.Add))
	require.NoError(t, show(t, darkest{}, report.Shown{Name: "dark, one", Method: "dark"}, 2, x.Add))
	require.NoError(t, show(t, darkest{}, report.Shown{Name: "dark, two", Method: "dark", Second: true}, 1, x.Add))
	require.Equal(t, 2, x.Len())
	require.True(t, x.Has("dark", false, evaluate.Seed{Number: 2}))
	require.False(t, x.Has("dark", true, evaluate.Seed{Number: 2}))
	c, err := x.Class()
	require.NoError(t, err)
	require.Equal(t, "plate", c.Name)
	require.Len(t, c.Samples, 12)
	require.Len(t, c.Detectors, 2)
	require.Equal(t, []string{"1", "2"}, c.Detectors[0].Seeds)
	require.Equal(t, "dark, one", c.Detectors[1].Beside)
	require.Equal(t, "dark, one", c.Detectors[1].ScaleOf)
	require.Equal(t, c.Detectors[0].Scale, c.Detectors[1].Scale)
	require.NotEmpty(t, c.Detectors[0].Figures)
	require.Len(t, c.Detectors[0].Figures[0].Values, 2)

	dir := t.TempDir()
	w, err := report.Create(dir, report.Head{Title: "Plates", Gallery: report.DefaultGallery()})
	require.NoError(t, err)
	require.NoError(t, w.Add(t.Context(), c))
	require.NoError(t, w.Finish())
	require.Contains(t, readPage(t, dir).text, "dark, two")

	// What fails leaves the exhibit as it was.
	broken := errors.New("out of paint")
	require.ErrorIs(t, show(t, darkest{fails: broken}, report.Shown{Name: "pale", Method: "pale"}, 1, x.Add), broken)
	require.Equal(t, 2, x.Len())
	require.ErrorIs(t, x.Add(t.Context(), report.Shown{Name: "none"}), report.ErrData)
	require.ErrorIs(t, show(t, darkest{}, report.Shown{Name: "pale", Method: "pale"}, 1, func(ctx context.Context, s report.Shown) error {
		o := *s.Outcome
		o.Items = o.Items[1:]
		s.Outcome = &o
		return x.Add(ctx, s)
	}), report.ErrData)
}

func TestWriteMaps(t *testing.T) {
	dir, test := t.TempDir(), plates(t)
	by := evaluate.DefaultProtocol()
	by.Transform = dataset.Transform{}
	v := heatmap.View{Scale: heatmap.Scale{Low: 60, High: 200}, Threshold: 60}
	require.NoError(t, report.WriteMaps(t.Context(), dir, darkest{}, test, by, v))
	f, err := os.Open(filepath.Join(dir, "stain", "3.png"))
	require.NoError(t, err)
	defer f.Close()
	_, err = png.Decode(f)
	require.NoError(t, err)
	good, err := os.ReadDir(filepath.Join(dir, dataset.Good))
	require.NoError(t, err)
	require.Len(t, good, 6)
	require.ErrorIs(t, report.WriteMaps(t.Context(), dir, nil, test, by, v), report.ErrData)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, report.WriteMaps(ctx, dir, darkest{}, test, by, v), context.Canceled)
}

func TestPoints(t *testing.T) {
	p := report.Points{Classes: []string{"a", "b"}, At: [][2]float64{{0, 0}, {1, 1}, {2, 0}}, Class: []int{0, 1, 1}, Defective: []bool{false, true, false}}
	inks := func(m *image.RGBA) (n int) {
		for i := 0; i < len(m.Pix); i += 4 {
			if m.Pix[i] < 255 || m.Pix[i+1] < 255 {
				n++
			}
		}
		return n
	}
	s, err := p.Scatter(120)
	require.NoError(t, err)
	require.Equal(t, image.Pt(120, 120), s.Rect.Size())
	require.Positive(t, inks(s))
	l, err := p.Legend(150)
	require.NoError(t, err)
	require.Equal(t, 150, l.Rect.Dx())
	require.Positive(t, inks(l))
	_, err = p.Scatter(0)
	require.ErrorIs(t, err, report.ErrData)
	_, err = p.Legend(1 << 20)
	require.ErrorIs(t, err, report.ErrData)
	p.Class[0] = 2
	_, err = p.Scatter(100)
	require.ErrorIs(t, err, report.ErrData)
	p.Class = p.Class[1:]
	_, err = p.Scatter(100)
	require.ErrorIs(t, err, report.ErrData)
}
