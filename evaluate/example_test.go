package evaluate_test

import (
	"context"
	"fmt"
	"image"
	"image/color"
	"log"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/evaluate"
)

// darkest is a detector of one's own: the darkest pixel is the most abnormal one.
type darkest struct{}

func (darkest) Fit(context.Context, dataset.Dataset) error { return nil }
func (darkest) Close() error                               { return nil }
func (darkest) Score(_ context.Context, img image.Image) (r evaluate.Result, err error) {
	b := img.Bounds()
	r.Map = evaluate.Map{W: b.Dx(), H: b.Dy(), Data: make([]float32, b.Dx()*b.Dy())}
	for i := range r.Map.Data {
		y, _, _, _ := img.At(b.Min.X+i%b.Dx(), b.Min.Y+i/b.Dx()).RGBA()
		r.Map.Data[i] = float32(0xffff - y)
		r.Score = max(r.Score, float64(r.Map.Data[i]))
	}
	return r, nil
}

// A detector of one's own has three methods.
func Example() {
	train, test := plates() // or dataset.Open
	out, err := evaluate.Run(context.Background(), evaluate.Trial{
		Method: evaluate.Method{
			Name:     "darkest",
			Protocol: evaluate.DefaultProtocol(),
			New:      func(evaluate.Seed) (evaluate.Detector, error) { return darkest{}, nil },
		},
		Train: train, Test: test,
	})
	if err != nil {
		log.Fatal(err)
	}
	r := out.Record
	fmt.Printf("image AUROC %.3f, AUPRO %.3f\n", r.ImageAUROC, *r.AUPRO)
	fmt.Println(r.Cut)
	// Output:
	// image AUROC 0.883, AUPRO 0.990
	// of 12 defects 4 would be shipped (escape 33.33 %), of 20 good parts 2 would be rejected (overkill 10.00 %): lowest threshold that rejects at most 5 % of the good parts, chosen on one half of the images and counted on the other (35980 and 36237; 36237 on all)
}

// A store remembers what is done; several seeds give a mean and a deviation, which is 0
// here because the detector draws nothing.
func ExampleStore() {
	train, test := plates()
	store, err := evaluate.OpenStore("", false) // a path keeps them on a disk
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	for _, seed := range []uint64{1, 2, 1} {
		_, done, err := store.Run(context.Background(), evaluate.Trial{
			Method: evaluate.Method{Name: "darkest", Protocol: evaluate.DefaultProtocol(), New: func(evaluate.Seed) (evaluate.Detector, error) { return darkest{}, nil }},
			Seed:   evaluate.Seed{Number: seed}, Train: train, Test: test,
		})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("seed", seed, "was there:", done)
	}
	for _, s := range evaluate.Summarize(store.Records()) {
		f, _, err := s.Figure(evaluate.ImageAUROC)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s: %.3f, %s\n", f.Name, f.Value, f.Spread)
	}
	// Output:
	// seed 1 was there: false
	// seed 2 was there: false
	// seed 1 was there: true
	// image AUROC: 0.883, 0.8833 ± 0.0000 (n = 2)
}

// plates are grey pictures; the defective ones have a dark square.
func plates() (train, test dataset.Dataset) {
	var good, mixed []dataset.Sample
	for i := range 32 {
		s := dataset.Sample{Image: image.NewRGBA(image.Rect(0, 0, 16, 16)), Item: dataset.Item{Name: fmt.Sprint(i), Class: "plate", Label: dataset.LabelGood}}
		for p := range 256 {
			v := uint8(120 + (p*7+i*5)%61 - i%7)
			s.Image.SetRGBA(p%16, p/16, color.RGBA{v, v, v, 255})
		}
		if i%8 > 4 {
			s.Label, s.Mask = dataset.LabelDefective, image.NewGray(s.Image.Rect)
			for p := range 9 {
				x, y, v := 4+p%3, 6+p/3, uint8(95+i%8*3)
				s.Image.SetRGBA(x, y, color.RGBA{v, v, v, 255})
				s.Mask.SetGray(x, y, color.Gray{Y: 255})
			}
		}
		mixed = append(mixed, s)
		if s.IsGood() {
			good = append(good, s)
		}
	}
	a, err := dataset.NewMemory(good[:10])
	if err != nil {
		log.Fatal(err)
	}
	b, err := dataset.NewMemory(mixed)
	if err != nil {
		log.Fatal(err)
	}
	return a, b
}
