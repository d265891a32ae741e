package main

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/dataset/drawn"
	"github.com/gotab/gotab/downstream/heatmap"
	"github.com/gotab/gotab/tensor"
)

// report is everything that the page shows.
type report struct {
	Settings settings
	Device   string
	Anchors  string
	Seconds  float64
	Products []productReport
	Mean     productReport // means over the products, without pictures
}

// productReport compares the two networks on one product.
type productReport struct {
	Class           string
	Pictures        []*image.RGBA // the test pictures, in the order of the verdicts
	Random, Trained verdict
}

// measure draws the pictures and does all the work: PaDiM with the random
// network, pre-training, PaDiM with the trained one.
func (r *report) measure(ctx context.Context, dev tensor.Device, log *progress) (err error) {
	pictures, err := drawAll(ctx, r.Settings)
	if err != nil {
		return err
	}
	good := dataset.Only(pictures, "", splitTrain)
	log.say("drew %d good pictures to learn from and %d to test on", good.Len(), dataset.Only(pictures, "", splitTest).Len())

	net, err := backbone.NewResNet18(dev, stream(r.Settings.seed, "weights"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, net.Close()) }()

	classes := drawn.Classes()
	r.Products = make([]productReport, len(classes))
	for i, class := range classes {
		r.Products[i].Class = class
		test := dataset.Only(pictures, class, splitTest)
		for k := range test.Len() {
			s, err := test.Sample(ctx, k)
			if err != nil {
				return err
			}
			r.Products[i].Pictures = append(r.Products[i].Pictures, s.Image)
		}
	}
	each := func(name string, to func(*productReport) *verdict) error {
		for i := range r.Products {
			p := &r.Products[i]
			v, err := detect(ctx, net, pictures, p.Class, r.Settings.size)
			if err != nil {
				return err
			}
			*to(p) = v
			log.say("PaDiM with the %s network: %-13s image AUROC %5.1f, pixel AUROC %5.1f", name, p.Class, 100*v.Image, 100*v.Pixel)
		}
		return nil
	}
	if err := each("random", func(p *productReport) *verdict { return &p.Random }); err != nil {
		return err
	}
	if r.Anchors, err = pretrain(ctx, net, good, r.Settings, dev, log); err != nil {
		return err
	}
	if r.Settings.keep != "" {
		if err := keep(ctx, r.Settings.keep, pictures, net); err != nil {
			return err
		}
		log.say("kept in %s: the pictures and %s", r.Settings.keep, keepWeights)
	}
	if err := each("pre-trained", func(p *productReport) *verdict { return &p.Trained }); err != nil {
		return err
	}
	r.Mean = productReport{Class: "mean"}
	n := float64(len(r.Products))
	for _, p := range r.Products {
		r.Mean.Random.Image += p.Random.Image / n
		r.Mean.Random.Pixel += p.Random.Pixel / n
		r.Mean.Trained.Image += p.Trained.Image / n
		r.Mean.Trained.Pixel += p.Trained.Pixel / n
	}
	return nil
}

// draw draws test picture i: as it is, with the truth, and with both maps.
func (p productReport) draw(i int) ([]*image.RGBA, error) {
	picture := p.Pictures[i]
	truth, err := heatmap.Truth(picture, p.Random.Scored[i].Mask)
	if err != nil {
		return nil, err
	}
	random, err := p.Random.draw(picture, i)
	if err != nil {
		return nil, err
	}
	trained, err := p.Trained.draw(picture, i)
	if err != nil {
		return nil, err
	}
	return []*image.RGBA{picture, truth, random, trained}, nil
}

// printTable prints both AUROCs of both networks in percent.
func (r *report) printTable(w io.Writer) {
	fmt.Fprintf(w, "\n%-16s %22s   %22s\n", "AUROC in %", "image level", "pixel level")
	fmt.Fprintf(w, "%-16s %8s %13s   %8s %13s\n", "", "random", "pre-trained", "random", "pre-trained")
	for _, p := range append(append([]productReport(nil), r.Products...), r.Mean) {
		fmt.Fprintf(w, "%-16s %8.1f %13.1f   %8.1f %13.1f\n", p.Class,
			100*p.Random.Image, 100*p.Trained.Image, 100*p.Random.Pixel, 100*p.Trained.Pixel)
	}
	fmt.Fprintf(w, "\nOne run with seed %d, printed as it came out, in %.0f seconds. %s\n", r.Settings.seed, r.Seconds, r.sentence())
}

// sentence says in words what the means say, whichever way they point.
func (r *report) sentence() string {
	return fmt.Sprintf("Against the same network with random weights, pre-training %s %.1f points of image AUROC and %s %.1f of pixel AUROC.",
		gained(r.Mean.Trained.Image-r.Mean.Random.Image), points(r.Mean.Trained.Image-r.Mean.Random.Image),
		gained(r.Mean.Trained.Pixel-r.Mean.Random.Pixel), points(r.Mean.Trained.Pixel-r.Mean.Random.Pixel))
}

func gained(d float64) string {
	if d < 0 {
		return "lost"
	}
	return "gained"
}

func points(d float64) float64 { return 100 * max(d, -d) }

// shown picks the test pictures that the page shows: the first of each kind of
// defect and the first good one, whatever their scores.
func (p productReport) shown() []int {
	var index []int
	seen := map[string]bool{}
	for i, s := range p.Random.Scored {
		if !seen[s.Defect] {
			seen[s.Defect] = true
			index = append(index, i)
		}
	}
	return index
}
