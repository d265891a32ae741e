// Detector evaluates a detector of its own on a data set: how far each pixel of a small
// grey picture lies from those of good pictures, in their standard deviations. It needs
// no network and no libtorch.
//
//	CGO_ENABLED=0 go run ./detector -data ROOT
package main

import (
	"context"
	"errors"
	"flag"
	"image"
	"log"
	"math"
	"os"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/evaluate"
)

const side = 64 // pixels of the picture that is compared

// view brings pictures, and the masks of the protocol, to what the detector compares.
var view = dataset.Square(side)

// Deviation is the detector.
type Deviation struct{ mean, spread []float64 } // of each pixel, nil before Fit

var errNotFitted = errors.New("deviation: Fit comes before Score")

// brightness returns the grey values of a picture in the view.
func brightness(img image.Image) ([]float64, error) {
	px, err := view.Image(img)
	if err != nil {
		return nil, err
	}
	v := make([]float64, side*side)
	for i := range v {
		v[i] = (float64(px.Pix[4*i]) + float64(px.Pix[4*i+1]) + float64(px.Pix[4*i+2])) / 3
	}
	return v, nil
}

// Fit takes mean and deviation of every pixel.
func (d *Deviation) Fit(ctx context.Context, good dataset.Dataset) error {
	mean, square := make([]float64, side*side), make([]float64, side*side)
	n := float64(good.Len())
	for i := range good.Len() {
		s, err := good.Sample(ctx, i)
		if err != nil {
			return err
		}
		v, err := brightness(s.Image)
		if err != nil {
			return err
		}
		for p, x := range v {
			mean[p] += x / n
			square[p] += x * x / n
		}
	}
	spread := make([]float64, side*side)
	for p := range spread {
		spread[p] = math.Sqrt(max(square[p]-mean[p]*mean[p], 0)) + 4 // grey levels that count as noise
	}
	d.mean, d.spread = mean, spread
	return nil
}

// Score returns the map of deviations and its largest value.
func (d *Deviation) Score(_ context.Context, img image.Image) (r evaluate.Result, err error) {
	if d.mean == nil {
		return r, errNotFitted
	}
	v, err := brightness(img)
	if err != nil {
		return r, err
	}
	r.Map = evaluate.Map{W: side, H: side, Data: make([]float32, len(v))}
	for p, x := range v {
		far := math.Abs(x-d.mean[p]) / d.spread[p]
		r.Map.Data[p] = float32(far)
		r.Score = max(r.Score, far)
	}
	return r, nil
}

// Close has nothing to free.
func (d *Deviation) Close() error { return nil }

func main() {
	data := flag.String("data", "", "data set in any layout that has the splits train and test")
	flag.Parse()
	if err := judge(context.Background(), *data); err != nil {
		log.Fatal(err)
	}
}

func judge(ctx context.Context, data string) error {
	all, closer, err := dataset.Open(ctx, data, dataset.DefaultConfig())
	if err != nil {
		return err
	}
	defer closer.Close()
	method := evaluate.Method{
		Name:     "deviation",
		Protocol: evaluate.DefaultProtocol(),
		New:      func(evaluate.Seed) (evaluate.Detector, error) { return &Deviation{}, nil },
	}
	method.Protocol.Transform = view
	var records []evaluate.Record
	for _, class := range all.Classes() {
		out, err := evaluate.Run(ctx, evaluate.Trial{
			Method: method, Class: class,
			Train: dataset.Filter(all, func(it dataset.Item) bool { return it.Class == class && it.Split == dataset.Train && it.IsGood() }),
			Test:  dataset.Filter(all, func(it dataset.Item) bool { return it.Class == class && it.Split == dataset.Test }),
		})
		if err != nil {
			return err
		}
		records = append(records, out.Record)
	}
	return evaluate.WriteTable(os.Stdout, records)
}
