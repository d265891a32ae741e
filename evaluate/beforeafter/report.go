// Package beforeafter shows what a pre-training does for a detector: [Judge] fits PaDiM with a network as
// it was before and as it is after, product by product, and a [Report] puts the two beside one another, as
// a table, as a page of heat maps, and as a contact sheet.
package beforeafter

import (
	"errors"
	"fmt"
	"image"
	"io"

	"github.com/gotab/gotab/downstream/heatmap"
)

// SplitScale is the split of further good images, which set the scale of colours.
const SplitScale = "scale"

// Report compares a network of random weights with the same one after pre-training.
type Report struct {
	Title, Heading string // of the page
	Line           string // the first half of a sentence on what was run
	Recipe         string // what pre-training did
	Device         string
	Anchors        string
	Seed           uint64
	Seconds        float64
	Products       []Product
	Mean           Product // means over the products, without images; see [Report.Average]
}

// Product compares the two networks on one product.
type Product struct {
	Class         string
	Images        []*image.RGBA // the test images, in the order of the verdicts
	Before, After Verdict
}

// ErrReport reports products that cannot be shown.
var ErrReport = errors.New("products that cannot be shown")

// check says whether the networks have judged the same images, and whether there is a damaged one
// beside a good one.
func (r *Report) check() error {
	for _, p := range r.Products {
		if n := len(p.Images); n != len(p.Before.Scored) || n != len(p.After.Scored) {
			return fmt.Errorf("beforeafter: %w: %s has %d images, and %d and %d are scored; want the same of each", ErrReport, p.Class, n, len(p.Before.Scored), len(p.After.Scored))
		}
		if kinds, good := p.kinds(); len(kinds) == 0 || good < 0 {
			return fmt.Errorf("beforeafter: %w: %s has not both good and defective test images", ErrReport, p.Class)
		}
	}
	return nil
}

// Average makes Mean of the products.
func (r *Report) Average() {
	r.Mean = Product{Class: "mean"}
	n := float64(len(r.Products))
	for _, p := range r.Products {
		r.Mean.Before.Image += p.Before.Image / n
		r.Mean.Before.Pixel += p.Before.Pixel / n
		r.Mean.After.Image += p.After.Image / n
		r.Mean.After.Pixel += p.After.Pixel / n
	}
}

// draw draws test image i: as it is, with the truth, and with both maps.
func (p Product) draw(i int) ([]*image.RGBA, error) {
	img := p.Images[i]
	truth, err := heatmap.Truth(img, p.Before.Scored[i].Mask)
	if err != nil {
		return nil, err
	}
	random, err := p.Before.draw(img, i)
	if err != nil {
		return nil, err
	}
	trained, err := p.After.draw(img, i)
	if err != nil {
		return nil, err
	}
	return []*image.RGBA{img, truth, random, trained}, nil
}

// WriteTable writes both AUROCs of both networks in percent.
func (r *Report) WriteTable(w io.Writer) error {
	fmt.Fprintf(w, "\n%-16s %22s   %22s\n", "AUROC in %", "image level", "pixel level")
	fmt.Fprintf(w, "%-16s %8s %13s   %8s %13s\n", "", "random", "pre-trained", "random", "pre-trained")
	for _, p := range append(append([]Product(nil), r.Products...), r.Mean) {
		fmt.Fprintf(w, "%-16s %8.1f %13.1f   %8.1f %13.1f\n", p.Class,
			100*p.Before.Image, 100*p.After.Image, 100*p.Before.Pixel, 100*p.After.Pixel)
	}
	_, err := fmt.Fprintf(w, "\nOne run with seed %d, printed as it came out, in %.0f seconds. %s\n", r.Seed, r.Seconds, r.Sentence())
	return err
}

// Sentence says in words what the means say, whichever way they point.
func (r *Report) Sentence() string {
	return fmt.Sprintf("Against the same network with random weights, pre-training %s %.1f points of image AUROC and %s %.1f of pixel AUROC.",
		gained(r.Mean.After.Image-r.Mean.Before.Image), points(r.Mean.After.Image-r.Mean.Before.Image),
		gained(r.Mean.After.Pixel-r.Mean.Before.Pixel), points(r.Mean.After.Pixel-r.Mean.Before.Pixel))
}

func gained(d float64) string {
	if d < 0 {
		return "lost"
	}
	return "gained"
}

func points(d float64) float64 { return 100 * max(d, -d) }

// shown picks the test images that the page shows: the first of each kind of
// defect and the first good one, whatever their scores.
func (p Product) shown() []int {
	var index []int
	seen := map[string]bool{}
	for i, s := range p.Before.Scored {
		if !seen[s.Defect] {
			seen[s.Defect] = true
			index = append(index, i)
		}
	}
	return index
}

// kinds are the shown images of defects, and the good one; -1 where there is none.
func (p Product) kinds() (defective []int, good int) {
	good = -1
	for _, i := range p.shown() {
		if !p.Before.Scored[i].IsGood() {
			defective = append(defective, i)
		} else if good < 0 {
			good = i
		}
	}
	return defective, good
}
