package report_test

import (
	"context"
	"fmt"
	"image"
	"image/color"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/downstream/heatmap"
	"github.com/gotab/gotab/evaluate/report"
	"github.com/gotab/gotab/metrics"
)

// drawn is a test set of one product: plates with a hole, the defective ones with a spot of a
// darkness that falls from part to part, so that the last ones are hard to see.
type drawn struct {
	side    int // of the pictures, pixels
	samples []report.Sample
	loaded  *[]int // what was asked for, in order
}

func draw(side, defects, good int) drawn {
	d := drawn{side: side, loaded: new([]int)}
	for i := range defects {
		d.samples = append(d.samples, report.Sample{Name: fmt.Sprintf("plate/test/spot/%03d.png", i), Kind: []string{"spot", "smear"}[i%2], Defective: true})
	}
	for i := range good {
		d.samples = append(d.samples, report.Sample{Name: fmt.Sprintf("plate/test/good/%03d.png", i), Kind: "good"})
	}
	return d
}

// depth is how dark the spot of part i is, 0 to 1, and spot where.
func (d drawn) depth(i int) float64 {
	if !d.samples[i].Defective {
		return 0
	}
	return 1 / (1 + 0.4*float64(i))
}

func (d drawn) spot(i int) (x, y, r float64) {
	rng := rand.New(rand.NewPCG(uint64(i), 1))
	s := float64(d.side)
	return s * (0.25 + 0.5*rng.Float64()), s * (0.25 + 0.5*rng.Float64()), s * (0.04 + 0.04*rng.Float64())
}

func (d drawn) picture(i int) (*image.RGBA, *image.Gray) {
	rng := rand.New(rand.NewPCG(uint64(i), 2))
	img, mask := image.NewRGBA(image.Rect(0, 0, d.side, d.side)), image.NewGray(image.Rect(0, 0, d.side, d.side))
	sx, sy, sr := d.spot(i)
	half := float64(d.side) / 2
	for y := range d.side {
		for x := range d.side {
			v := 150 + 20*math.Sin(float64(y)*40/float64(d.side)) + 6*rng.NormFloat64()
			if math.Hypot(float64(x)-half, float64(y)-half) < half/4 {
				v = 40
			}
			if math.Hypot(float64(x)-sx, float64(y)-sy) < sr && d.samples[i].Defective {
				v *= 1 - 0.8*d.depth(i)
				mask.SetGray(x, y, color.Gray{255})
			}
			g := uint8(min(max(v, 0), 255))
			img.SetRGBA(x, y, color.RGBA{g, g, uint8(min(int(g)+12, 255)), 255})
		}
	}
	if !d.samples[i].Defective {
		mask = nil
	}
	return img, mask
}

// mapOf is what a detector with some noise makes of part i, at a quarter of the picture's size,
// over all of it but a frame of an eighth where cropped.
func (d drawn) mapOf(i int, noise float64, cropped bool) downstream.Map {
	rng := rand.New(rand.NewPCG(uint64(i), 3))
	frame := 0.0
	if cropped {
		frame = float64(d.side) / 8
	}
	n := d.side / 4
	m := downstream.Map{W: n, H: n, Data: make([]float32, n*n), Rect: dataset.Rect{MinX: frame, MinY: frame, MaxX: float64(d.side) - frame, MaxY: float64(d.side) - frame}}
	sx, sy, sr := d.spot(i)
	bumps := rng.NormFloat64()
	noise *= 0.4 + 1.2*rng.Float64()
	for y := range n {
		for x := range n {
			px := frame + (float64(x)+0.5)*(float64(d.side)-2*frame)/float64(n)
			py := frame + (float64(y)+0.5)*(float64(d.side)-2*frame)/float64(n)
			v := 10 + noise*math.Sin(px*17/float64(d.side)+bumps)*math.Cos(py*13/float64(d.side)-bumps)
			q := math.Hypot(px-sx, py-sy) / (1.6 * sr)
			m.Data[y*n+x] = float32(v + 14*d.depth(i)*math.Exp(-q*q))
		}
	}
	return m
}

func protocol(seeds int) metrics.Protocol {
	return metrics.Protocol{Data: "drawn plates", Width: 224, Height: 224, Mask: metrics.MaskNearest, Epoch: metrics.EpochNone, Score: metrics.ScoreMapMax, Seeds: seeds}
}

// class evaluates drawn parts with one detector for each level of noise.
func (d drawn) class(t *testing.T, name string, whole bool, noises ...float64) report.Class {
	c := report.Class{Name: name, Samples: d.samples}
	labels := make([]bool, len(d.samples))
	for i, s := range d.samples {
		labels[i] = s.Defective
	}
	for k, noise := range noises {
		det := report.Detector{Name: []string{"PaDiM, ImageNet", "PaDiM, pre-trained"}[k], ThresholdFrom: "best F1 on these images, so it looks better than it is"}
		var good heatmap.Good
		for i, s := range d.samples {
			m := d.mapOf(i, noise, whole)
			det.Scores = append(det.Scores, m.Max())
			if !s.Defective {
				require.NoError(t, good.Add(m))
			}
		}
		var err error
		det.Scale, err = good.Scale(heatmap.DefaultGood())
		require.NoError(t, err)
		_, det.Threshold, err = metrics.F1Max(det.Scores, labels)
		require.NoError(t, err)
		det.Line = det.Threshold
		auroc, err := metrics.DeLong(det.Scores, labels, 0.95)
		require.NoError(t, err)
		image, err := metrics.NewFigure("image AUROC", auroc.Value, protocol(1))
		require.NoError(t, err)
		image.Interval = &auroc
		pixel, err := metrics.NewFigure("pixel AUROC", 0.9712, protocol(3))
		require.NoError(t, err)
		pixel.Spread, pixel.Bound = &metrics.Spread{N: 3, Mean: 0.9712, Deviation: 0.0021}, 0.0004
		det.Seeds = []string{"1", "5", "9"}
		det.Figures = []report.Figure{{Figure: image}, {Figure: pixel, Values: []float64{0.9691, 0.9712, 0.9733}}}
		c.Detectors = append(c.Detectors, det)
	}
	c.Load = func(_ context.Context, i int) (report.Item, error) {
		*d.loaded = append(*d.loaded, i)
		img, mask := d.picture(i)
		it := report.Item{Image: img, Mask: mask, Whole: true}
		for _, noise := range noises {
			m := d.mapOf(i, noise, whole)
			if !whole { // as a detector gives it with the picture that it saw
				var err error
				if m, err = m.ToInput(d.side, d.side); err != nil {
					return it, err
				}
			}
			it.Maps = append(it.Maps, m)
		}
		it.Whole = whole
		return it, nil
	}
	return c
}
