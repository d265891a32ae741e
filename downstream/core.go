package downstream

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"iter"

	"github.com/gotab/gotab/downstream/internal/sentinel"
	"github.com/gotab/gotab/internal/pipeline"
	"github.com/gotab/gotab/tensor"
)

// core is what detectors and the classifier have in common: the way of images to the
// network, the model M in force and the turns in which it is changed.
type core[M held] struct {
	who     who
	dev     tensor.Device
	in      reader
	batch   int // the largest number of images in one pass
	options options
	// embed returns the vectors of images [N, 3, H, W], [N, h, w, C] in row-major
	// order; nil where a detector has another way to its network.
	embed func(s *tensor.Scope, x *tensor.Tensor) *tensor.Tensor

	turns   turns   // of changes of the model
	current slot[M] // the model in force
}

// who says in messages whose they are.
type who struct {
	pkg  string // "downstream"
	name string // "PaDiM"
}

// doing returns the beginning of an error: package, what was done and by whom.
func (w who) doing(what string) string { return w.pkg + ": " + what + " " + w.name }

// invalid makes the errors of a Validate.
func (w who) invalid(format string, args ...any) error {
	return fmt.Errorf("%s: %s: %w: %s", w.pkg, w.name, sentinel.ErrConfig, fmt.Sprintf(format, args...))
}

// acquire returns the model in force; release must follow.
func (d *core[M]) acquire(doing string) (M, error) {
	g, ok := d.current.hold()
	switch {
	case ok:
		return g, nil
	case d.current.isClosed():
		return g, d.closedError(doing)
	}
	return g, fmt.Errorf("%s: %w", d.who.doing(doing), sentinel.ErrNotFitted)
}

// release lets go of a model that was acquired. It frees memory, which cannot fail.
func (d *core[M]) release(g M) { _ = d.current.release(g) }

// failed puts before err what the detector was doing; ctx's own error stays as
// it is.
func (d *core[M]) failed(ctx context.Context, doing string, err error) error {
	if cause := ctx.Err(); cause != nil && errors.Is(err, cause) {
		return err
	}
	return fmt.Errorf("%s: %w", d.who.doing(doing), err)
}

func (d *core[M]) closedError(doing string) error {
	return fmt.Errorf("%s: %w", d.who.doing(doing), tensor.ErrClosed)
}

// change runs do when all changes that were asked for before have ended; what do
// puts in force, it puts there before the next one begins. doing names it in
// messages. The context of do ends with ctx and with the detector.
func (d *core[M]) change(ctx context.Context, doing string, do func(ctx context.Context) error) error {
	if d.current.isClosed() {
		return d.closedError(doing)
	}
	inner, done, err := d.turns.begin(ctx)
	if err == nil {
		defer done() // also where do panics or ends its goroutine
		err = do(inner)
	}
	switch {
	case err == nil:
		return nil
	case !d.current.isClosed():
		return d.failed(ctx, doing, err)
	case errors.Is(err, tensor.ErrClosed) || errors.Is(err, context.Canceled):
		return d.closedError(doing)
	}
	return fmt.Errorf("%w: %w", d.closedError(doing), err)
}

// refit is a change that puts the model in force that fit makes.
func (d *core[M]) refit(ctx context.Context, doing string, fit func(ctx context.Context) (M, error)) error {
	return d.change(ctx, doing, func(ctx context.Context) error {
		g, err := fit(ctx)
		if err != nil {
			return err
		}
		return d.current.install(g)
	})
}

// reset is a change that takes the model in force away.
func (d *core[M]) reset(ctx context.Context) error {
	return d.refit(ctx, "reset", func(context.Context) (none M, _ error) { return none, nil })
}

// close takes the model away and lets no other follow.
func (d *core[M]) close() error {
	err := d.current.shut() // first: a change that ends from now on knows why
	d.turns.finish()
	return err
}

// write is WriteTo of a detector: contents says what a file holds of the model in
// force.
func (d *core[M]) write(w io.Writer, kind string, contents func(g M) (*contents, error)) (int64, error) {
	g, err := d.acquire("save")
	if err != nil {
		return 0, err
	}
	defer d.release(g)
	c, err := contents(g)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", d.who.doing("save"), err)
	}
	return c.write(w, d.who, kind)
}

// stream yields what answer says of n images, a batch at a time and in their
// order. doing names the stage to those who watch the progress.
func stream[M held, T any](ctx context.Context, d *core[M], doing string, n int, answer func(ctx context.Context, span [2]int) ([]T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		cores := tensor.GetThreads().Cores
		cut := spans(n, d.batch, cores)
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
			d.report(doing, done, n)
			for _, r := range rs {
				if !yield(r, nil) {
					return
				}
			}
		}
	}
}

// vectors returns what embed makes of a batch, [n, h, w, C]; a grid that is not
// the fitted one fails s.
func (d *core[M]) vectors(s *tensor.Scope, g M, b *packed) *tensor.Tensor {
	m := g.common()
	e := d.embed(s, s.FromNHWC(b.pixels, b.n, m.inH, m.inW, 3))
	if s.Err() != nil {
		return nil
	}
	if int(e.Size(1)) != m.gridH || int(e.Size(2)) != m.gridW {
		s.Fail(fmt.Errorf("%w: the grid is %dx%d, when fitted it was %dx%d", sentinel.ErrLayers, e.Size(2), e.Size(1), m.gridW, m.gridH))
		return nil
	}
	return e
}

// checkGrid holds the grid of a file against what the network makes of its input
// size.
func (d *core[M]) checkGrid(ctx context.Context, z sizes) error {
	return tensor.Run(ctx, d.dev, tensor.Evaluation, func(s *tensor.Scope) error {
		e := d.embed(s, s.Zeros(1, 3, int64(z.Input[1]), int64(z.Input[0])))
		if err := s.Err(); err != nil {
			return err
		}
		if int(e.Size(1)) != z.Grid[1] || int(e.Size(2)) != z.Grid[0] {
			return fmt.Errorf("%w: the grid is %v, for an input of %v the extractor makes %dx%d", sentinel.ErrFile, z.Grid, z.Input, e.Size(2), e.Size(1))
		}
		return nil
	})
}

// picture is the one that fingerprints are taken of: ramps for the coarse filters, a
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
