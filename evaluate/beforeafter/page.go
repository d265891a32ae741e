package beforeafter

import (
	"bytes"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"image"
	"image/png"
	"io"

	"github.com/gotab/gotab/downstream/heatmap"
)

//go:embed page.html
var pageText string

// pageData is what page.html shows.
type pageData struct {
	Report        *Report
	Sentence      string
	Before, After string // names
	Rows          []tableRow
	Legend        template.URL
	Products      []pageProduct
}

type tableRow struct {
	Class                    string
	ImageBefore, ImageAfter  string
	PixelBefore, PixelAfter  string
	ImageChange, PixelChange string
	Mean                     bool
}

type pageProduct struct {
	Class string
	Parts []pagePart
}

// pagePart is one test image with its maps.
type pagePart struct {
	Defect                        string
	Good                          bool
	Picture, Truth, Before, After template.URL
	BeforeScore, AfterScore       string // as a share of the highest on good parts
}

// WritePage writes one page that needs no other file. It returns [ErrReport] for products that cannot be
// shown.
func (r *Report) WritePage(w io.Writer) error {
	if err := r.check(); err != nil {
		return err
	}
	t, err := template.New("page").Parse(pageText)
	if err != nil {
		return err
	}
	d := pageData{Report: r, Sentence: r.Sentence()}
	d.Before, d.After = r.names()
	bar, err := heatmap.Bar(240, 14)
	if err != nil {
		return err
	}
	if d.Legend, err = inline(bar); err != nil {
		return err
	}
	for _, p := range r.Products {
		d.Rows = append(d.Rows, row(p))
		product, err := pageParts(p)
		if err != nil {
			return err
		}
		d.Products = append(d.Products, product)
	}
	mean := row(r.mean())
	mean.Mean = true
	d.Rows = append(d.Rows, mean)
	return t.Execute(w, d)
}

func row(p Product) tableRow {
	percent := func(v float64) string { return fmt.Sprintf("%.1f", 100*v) }
	change := func(a, b float64) string { return fmt.Sprintf("%+.1f", 100*(b-a)) }
	return tableRow{
		Class:       p.Class,
		ImageBefore: percent(p.Before.Image), ImageAfter: percent(p.After.Image), ImageChange: change(p.Before.Image, p.After.Image),
		PixelBefore: percent(p.Before.Pixel), PixelAfter: percent(p.After.Pixel), PixelChange: change(p.Before.Pixel, p.After.Pixel),
	}
}

func pageParts(p Product) (pageProduct, error) {
	out := pageProduct{Class: p.Class}
	for _, i := range p.shown() {
		a, b := p.Before.Scored[i], p.After.Scored[i]
		part := pagePart{
			Defect: a.Defect, Good: a.IsGood(),
			BeforeScore: fmt.Sprintf("%.2f", a.Score/p.Before.Top), AfterScore: fmt.Sprintf("%.2f", b.Score/p.After.Top),
		}
		imgs, err := p.draw(i)
		if err != nil {
			return out, err
		}
		for k, to := range []*template.URL{&part.Picture, &part.Truth, &part.Before, &part.After} {
			if *to, err = inline(imgs[k]); err != nil {
				return out, err
			}
		}
		out.Parts = append(out.Parts, part)
	}
	return out, nil
}

// inline returns an image as an address that holds its bytes.
func inline(img image.Image) (template.URL, error) {
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		return "", err
	}
	return template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(b.Bytes())), nil
}
