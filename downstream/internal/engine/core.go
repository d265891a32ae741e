package engine

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"iter"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/downstream/internal/feed"
	"github.com/gotab/gotab/downstream/internal/life"
	"github.com/gotab/gotab/downstream/internal/sentinel"
	"github.com/gotab/gotab/internal/pipeline"
	"github.com/gotab/gotab/tensor"
)

// Core is what detectors and the classifier have in common: the way of images to the
// network, the model M in force and the turns in which it is changed.
type Core[M Held] struct {
	Who     Who
	Dev     tensor.Device
	In      feed.Reader
	Batch   int // the largest number of images in one pass
	Options Options
	// embed returns the vectors of images [N, 3, H, W], [N, h, w, C] in row-major
	// order; nil where a detector has another way to its network.
	Embed func(s *tensor.Scope, x *tensor.Tensor) *tensor.Tensor
	// Precision is that of the features now; nil for float32 always.
	Precision func() backbone.Precision

	turns   life.Turns   // of changes of the model
	Current life.Slot[M] // the model in force
}

// Who says in messages whose they are.
type Who struct {
	Pkg  string // "downstream"
	Name string // "PaDiM"
}

// Doing returns the beginning of an error: package, what was done and by whom.
func (w Who) Doing(what string) string { return w.Pkg + ": " + what + " " + w.Name }

// Invalid makes the errors of a Validate.
func (w Who) Invalid(format string, args ...any) error {
	return fmt.Errorf("%s: %s: %w: %s", w.Pkg, w.Name, sentinel.ErrConfig, fmt.Sprintf(format, args...))
}

// Acquire returns the model in force; release must follow.
func (d *Core[M]) Acquire(doing string) (M, error) {
	g, ok := d.Current.Hold()
	switch {
	case ok:
		return g, nil
	case d.Current.IsClosed():
		return g, d.ClosedError(doing)
	}
	return g, fmt.Errorf("%s: %w", d.Who.Doing(doing), sentinel.ErrNotFitted)
}

// Release lets go of a model that was acquired. It frees memory, which cannot fail.
func (d *Core[M]) Release(g M) { _ = d.Current.Release(g) }

// Failed puts before err what the detector was doing; ctx's own error stays as
// it is.
func (d *Core[M]) Failed(ctx context.Context, doing string, err error) error {
	if cause := ctx.Err(); cause != nil && errors.Is(err, cause) {
		return err
	}
	return fmt.Errorf("%s: %w", d.Who.Doing(doing), err)
}

// ClosedError is what a method returns after Close; doing says what was asked for.
func (d *Core[M]) ClosedError(doing string) error {
	return fmt.Errorf("%s: %w", d.Who.Doing(doing), tensor.ErrClosed)
}

// Change runs do when all changes that were asked for before have ended; what do
// puts in force, it puts there before the next one begins. doing names it in
// messages. The context of do ends with ctx and with the detector.
func (d *Core[M]) Change(ctx context.Context, doing string, do func(ctx context.Context) error) error {
	if d.Current.IsClosed() {
		return d.ClosedError(doing)
	}
	inner, done, err := d.turns.Begin(ctx)
	if err == nil {
		defer done() // also where do panics or ends its goroutine
		err = do(inner)
	}
	switch {
	case err == nil:
		return nil
	case !d.Current.IsClosed():
		return d.Failed(ctx, doing, err)
	case errors.Is(err, tensor.ErrClosed) || errors.Is(err, context.Canceled):
		return d.ClosedError(doing)
	}
	return fmt.Errorf("%w: %w", d.ClosedError(doing), err)
}

// Refit is a change that puts the model in force that fit makes.
func (d *Core[M]) Refit(ctx context.Context, doing string, fit func(ctx context.Context) (M, error)) error {
	return d.Change(ctx, doing, func(ctx context.Context) error {
		g, err := fit(ctx)
		if err != nil {
			return err
		}
		return d.Current.Install(g)
	})
}

// Reset is a change that takes the model in force away.
func (d *Core[M]) Reset(ctx context.Context) error {
	return d.Refit(ctx, "reset", func(context.Context) (none M, _ error) { return none, nil })
}

// Close takes the model away and lets no other follow.
func (d *Core[M]) Close() error {
	err := d.Current.Shut() // first: a change that ends from now on knows why
	d.turns.Finish()
	return err
}

// Write is WriteTo of a detector: contents says what a file holds of the model in
// force.
func (d *Core[M]) Write(w io.Writer, kind string, contents func(g M) (*Contents, error)) (int64, error) {
	g, err := d.Acquire("save")
	if err != nil {
		return 0, err
	}
	defer d.Release(g)
	c, err := contents(g)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", d.Who.Doing("save"), err)
	}
	return c.Write(w, d.Who, kind)
}

// Stream yields what answer says of n images, a batch at a time and in their
// order. doing names the stage to those who watch the progress.
func Stream[M Held, T any](ctx context.Context, d *Core[M], doing string, n int, answer func(ctx context.Context, span [2]int) ([]T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		cores := tensor.GetThreads().Cores
		cut := feed.Spans(n, d.Batch, cores)
		inner := ctx
		if len(cut) > 1 {
			inner = tensor.WithThreads(ctx, 1)
		}
		done := 0
		for rs, err := range pipeline.Ordered(inner, len(cut), cores+1, cores+1, func(ctx context.Context, i int) ([]T, error) {
			return answer(ctx, cut[i])
		}) {
			if err != nil {
				yield(none, err)
				return
			}
			done += len(rs)
			d.Report(doing, done, n)
			for _, r := range rs {
				if !yield(r, nil) {
					return
				}
			}
		}
	}
}

// Vectors returns what embed makes of a batch, [n, h, w, C]; a grid that is not
// the fitted one fails s.
func (d *Core[M]) Vectors(s *tensor.Scope, g M, b *feed.Batch) *tensor.Tensor {
	m := g.Common()
	e := d.Embed(s, s.FromNHWC(b.Pixels, b.N, m.InH, m.InW, 3))
	if s.Err() != nil {
		return nil
	}
	if err := d.SameGrid(g, e.Size(1), e.Size(2)); err != nil {
		s.Fail(err)
		return nil
	}
	return e
}

// SameGrid refuses a grid of h rows and w columns that is not the fitted one.
func (d *Core[M]) SameGrid(g M, h, w int64) error {
	if m := g.Common(); int(h) != m.GridH || int(w) != m.GridW {
		return fmt.Errorf("%w: the grid is %dx%d, when fitted it was %dx%d", sentinel.ErrLayers, w, h, m.GridW, m.GridH)
	}
	return nil
}

// CheckGrid holds the grid of a file against what the network makes of its input
// size.
func (d *Core[M]) CheckGrid(ctx context.Context, z Sizes) error {
	return tensor.Run(ctx, d.Dev, tensor.Evaluation, func(s *tensor.Scope) error {
		e := d.Embed(s, s.Zeros(1, 3, int64(z.Input[1]), int64(z.Input[0])))
		if err := s.Err(); err != nil {
			return err
		}
		if int(e.Size(1)) != z.Grid[1] || int(e.Size(2)) != z.Grid[0] {
			return fmt.Errorf("%w: the grid is %v, for an input of %v the extractor makes %dx%d", sentinel.ErrFile, z.Grid, z.Input, e.Size(2), e.Size(1))
		}
		return nil
	})
}

// image is the one that fingerprints are taken of: ramps for the coarse filters, a
// chequered pattern for the fine ones.
func picture(size image.Point) *image.RGBA {
	img := image.NewRGBA(image.Rectangle{Max: size})
	for y := range size.Y {
		for x := range size.X {
			at := img.Pix[img.PixOffset(x, y):]
			at[0], at[1], at[2], at[3] = uint8(x*3), uint8(y*5), uint8((x^y)*7), 255
		}
	}
	return img
}
