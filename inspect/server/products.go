package server

import (
	"context"
	"errors"
	"fmt"

	"github.com/gotab/gotab/inspect"
	"github.com/gotab/gotab/inspect/service"
	"github.com/gotab/gotab/tensor"
)

// Product is what the server holds for a bundle's file.
type Product interface {
	service.Inspector
	// Reload puts the bundle in force that the file holds now, and says whether it is
	// another one. On an error the one before goes on.
	Reload(ctx context.Context) (changed bool, err error)
	// Close decides about what waits and lets go of the bundle.
	Close() error
}

// Opener opens the product of a bundle's file.
type Opener func(ctx context.Context, path string, s Settings) (Product, error)

// errProduct reports a bundle of another product than the one that it is to replace.
var errProduct = errors.New("bundle is of another product")

// product is an Inspector with the file of its bundle.
type product struct {
	*inspect.Inspector
	path   string
	device tensor.Device
}

// Open opens a bundle, replays its golden images and makes an Inspector of it.
func Open(ctx context.Context, path string, s Settings) (_ Product, err error) {
	dev, err := tensor.ParseDevice(s.Device)
	if err != nil {
		return nil, err
	}
	b, err := inspect.Open(ctx, path, inspect.OnDevice(dev))
	if err != nil {
		return nil, err
	}
	if err := b.Verify(ctx); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	in, err := inspect.New(b, s.Inspect)
	if err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return &product{in, path, dev}, nil
}

func (p *product) Reload(ctx context.Context) (bool, error) {
	b, err := inspect.Open(ctx, p.path, inspect.OnDevice(p.device))
	if err != nil {
		return false, err
	}
	was, is := p.Info(), b.Info()
	switch {
	case was.Product != is.Product:
		err = fmt.Errorf("%w: %q, and %q is in force; start the server anew for another product", errProduct, is.Product, was.Product)
	case was.Bundle == is.Bundle:
		return false, b.Close()
	default:
		err = p.Replace(ctx, b)
		if err == nil {
			return true, nil
		}
		if p.Info().Bundle == is.Bundle { // in force; the one before could not be closed
			return true, err
		}
	}
	return false, errors.Join(err, b.Close())
}
