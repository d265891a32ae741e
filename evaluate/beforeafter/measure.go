package beforeafter

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/internal/atomicfile"
)

// Measure fills [Report.Products]: it judges net on every class of images, as [Judge] does, calls train, which changes net, and
// judges again. tell gets each verdict as it comes, with the name of the network that it is of; nil for nowhere. Errors are those of
// train and of Judge; the report is then as it was.
func (r *Report) Measure(ctx context.Context, net downstream.Extractor, images dataset.Dataset, size int, train func(context.Context) error, tell func(network, class string, v Verdict)) error {
	if ctx == nil || net == nil || images == nil || train == nil {
		return fmt.Errorf("beforeafter: measure: %w: context, network, images and train must not be nil", ErrReport)
	}
	products, err := untold(ctx, images)
	if err != nil {
		return err
	}
	judge := func(name string, of func(*Product) *Verdict) error {
		for i := range products {
			v, err := Judge(ctx, net, images, products[i].Class, size)
			if err != nil {
				return err
			}
			*of(&products[i]) = v
			if tell != nil {
				tell(name, products[i].Class, v)
			}
		}
		return nil
	}
	before, after := r.names()
	if err := judge(before, func(p *Product) *Verdict { return &p.Before }); err != nil {
		return err
	}
	if err := train(ctx); err != nil {
		return err
	}
	if err := judge(after, func(p *Product) *Verdict { return &p.After }); err != nil {
		return err
	}
	r.Products = products
	return nil
}

// untold are the classes of a data set with their test images, without verdicts.
func untold(ctx context.Context, images dataset.Dataset) ([]Product, error) {
	var all []Product
	for _, class := range images.Classes() {
		p := Product{Class: class}
		test := dataset.Only(images, class, dataset.Test)
		for i := range test.Len() {
			s, err := test.Sample(ctx, i)
			if err != nil {
				return nil, err
			}
			p.Images = append(p.Images, s.Image)
		}
		all = append(all, p)
	}
	return all, nil
}

// Save writes page and sheet as NAME.html and NAME.png into a folder that is there, each whole or not at all. Errors are those of
// [Report.WritePage], [Report.WriteSheet] and the system.
func (r *Report) Save(dir, name string) (page, sheet string, err error) {
	page, sheet = filepath.Join(dir, name+".html"), filepath.Join(dir, name+".png")
	return page, sheet, errors.Join(atomicfile.Write(page, r.WritePage), atomicfile.Write(sheet, r.WriteSheet))
}
