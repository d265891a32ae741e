// Package beforeafter shows what a pre-training does for a detector: [Judge] fits PaDiM with a network as
// it was before and as it is after, product by product, and a [Report] puts the two beside one another, as
// a table, as a page of heat maps, and as a contact sheet.
package beforeafter

import (
	"cmp"
	"errors"
	"fmt"
	"image"
	"io"
	"slices"

	"github.com/gotab/gotab/downstream/heatmap"
)

// SplitScale is the split of further good images, which set the scale of colours.
const SplitScale = "scale"

// Report compares a network as it was before with the same one after.
type Report struct {
	Title, Heading string // of the page
	Line           string // the first half of a sentence on what was run
	Before, After  string // names of the two networks in a few letters; empty for before and after
	// Change begins the sentence that goes on with what was gained: "Against W, a training". Empty for the two names.
	Change string
	// About is a paragraph of the page on what is compared; empty for [Report.Sentence].
	About    string
	Device   string
	Anchors  string // what text the training was against; empty for none
	Seed     uint64
	Seconds  float64
	Products []Product
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
	if len(r.Products) == 0 {
		return fmt.Errorf("beforeafter: %w: there is none", ErrReport)
	}
	for _, p := range r.Products {
		if n := len(p.Images); n != len(p.Before.Scored) || n != len(p.After.Scored) {
			return fmt.Errorf("beforeafter: %w: %s has %d images, and %d and %d are scored; want the same of each", ErrReport, p.Class, n, len(p.Before.Scored), len(p.After.Scored))
		}
		for i, s := range p.Before.Scored {
			if name := p.After.Scored[i].Name; name != s.Name {
				return fmt.Errorf("beforeafter: %w: test image %d of %s is %s before and %s after; want the same images in the same order", ErrReport, i+1, p.Class, s.Name, name)
			}
		}
		if kinds, good := p.kinds(); len(kinds) == 0 || good < 0 {
			return fmt.Errorf("beforeafter: %w: %s has not both good and defective test images", ErrReport, p.Class)
		}
	}
	return nil
}

// mean has the means over the products, without images.
func (r *Report) mean() Product {
	m := Product{Class: "mean"}
	n := float64(len(r.Products))
	for _, p := range r.Products {
		m.Before.Image += p.Before.Image / n
		m.Before.Pixel += p.Before.Pixel / n
		m.After.Image += p.After.Image / n
		m.After.Pixel += p.After.Pixel / n
	}
	return m
}

// names are those of the two networks.
func (r *Report) names() (before, after string) {
	return cmp.Or(r.Before, "before"), cmp.Or(r.After, "after")
}

// draw draws test image i: as it is, with the truth, and with both maps.
func (p Product) draw(i int) ([]*image.RGBA, error) {
	img := p.Images[i]
	truth, err := heatmap.Truth(img, p.Before.Scored[i].Mask)
	if err != nil {
		return nil, err
	}
	before, err := p.Before.draw(img, i)
	if err != nil {
		return nil, err
	}
	after, err := p.After.draw(img, i)
	if err != nil {
		return nil, err
	}
	return []*image.RGBA{img, truth, before, after}, nil
}

// WriteTable writes both AUROCs of both networks in percent, product by product and in the mean. It returns
// [ErrReport] where there is no product.
func (r *Report) WriteTable(w io.Writer) error {
	if len(r.Products) == 0 {
		return fmt.Errorf("beforeafter: %w: there is none", ErrReport)
	}
	before, after := r.names()
	a, b := max(8, len(before)), max(13, len(after)) // columns
	fmt.Fprintf(w, "\n%-16s %*s   %*s\n", "AUROC in %", a+1+b, "image level", a+1+b, "pixel level")
	fmt.Fprintf(w, "%-16s %*s %*s   %*s %*s\n", "", a, before, b, after, a, before, b, after)
	for _, p := range append(slices.Clone(r.Products), r.mean()) {
		fmt.Fprintf(w, "%-16s %*.1f %*.1f   %*.1f %*.1f\n", p.Class,
			a, 100*p.Before.Image, b, 100*p.After.Image, a, 100*p.Before.Pixel, b, 100*p.After.Pixel)
	}
	_, err := fmt.Fprintf(w, "\nOne run with seed %d, printed as it came out, in %.0f seconds. %s\n", r.Seed, r.Seconds, r.Sentence())
	return err
}

// Sentence says in words what the means say, whichever way they point.
func (r *Report) Sentence() string {
	before, after := r.names()
	m := r.mean()
	img, pixel := m.After.Image-m.Before.Image, m.After.Pixel-m.Before.Pixel
	return fmt.Sprintf("%s %s %.1f points of image AUROC and %s %.1f of pixel AUROC.", cmp.Or(r.Change, fmt.Sprintf("Against %q, %q", before, after)),
		gained(img), points(img), gained(pixel), points(pixel))
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
