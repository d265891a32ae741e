package inspect

import (
	"context"
	"errors"
	"fmt"
	"image"
	"reflect"
	"sync"

	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/inspect/internal/batch"
	"github.com/gotab/gotab/inspect/internal/drift"
)

// Inspector decides about parts, for any number of goroutines. Images that come
// together are scored together; so many as [Config.Queue] says may wait. Make one with
// [New], and Close it. It is safe for concurrent use.
type Inspector struct {
	cfg   Config
	alarm func(Drift) // may be nil
	queue *batch.Queue[asked, judged]

	replacing sync.Mutex // one Replace after another
	mu        sync.Mutex
	now       *inForce
	closed    bool
	counts    Stats // verdicts, failures and replacements
	shut      chan struct{}
	shutErr   error
}

// inForce is a bundle that decides, or has decided and is not yet let go.
type inForce struct {
	bundle  *Bundle
	monitor *drift.Monitor
	users   int           // batches; guarded by Inspector.mu
	retired bool          // another one is in force
	idle    chan struct{} // closed when retired and without users
}

// New makes an inspector of a bundle, which it takes over unless there is an error. The
// error wraps [downstream.ErrConfig], or [ErrClosed] for a closed bundle.
func New(b *Bundle, cfg Config, opts ...Option) (*Inspector, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	i := &Inspector{cfg: cfg, shut: make(chan struct{})}
	f, err := i.enforceable(b)
	if err != nil {
		return nil, err
	}
	i.now = f
	for _, opt := range opts {
		if opt != nil {
			opt(i)
		}
	}
	i.queue = batch.New(cfg.batching(), i.answer)
	return i, nil
}

func (i *Inspector) enforceable(b *Bundle) (*inForce, error) {
	if b == nil {
		return nil, fmt.Errorf("inspect: %w: the bundle is nil", downstream.ErrConfig)
	}
	b.using.RLock()
	defer b.using.RUnlock()
	if b.over() {
		return nil, fmt.Errorf("inspect: bundle of %s: %w", b.info.Product, ErrClosed)
	}
	return &inForce{bundle: b, monitor: drift.New(b.usual(), i.cfg.drift()), idle: make(chan struct{})}, nil
}

// Inspect decides about a part by its image, of any size. It returns [ErrBusy] at once
// if the queue is full, the end of ctx as soon as it comes, also while the image waits, and
// [ErrClosed] after Close; others are those of the detector's Score, such as
// [downstream.ErrImage]. An image must not change until Inspect has returned, and, where
// ctx has ended, until the batch that it is in has.
func (i *Inspector) Inspect(ctx context.Context, img image.Image) (Verdict, error) {
	v, _, err := i.InspectHeld(ctx, img)
	return v, err
}

// InspectHeld is Inspect for callers that count the memory of images: held is closed when
// the Inspector has the image no longer. That is so when InspectHeld returns, unless ctx has
// ended while a batch with the image was scored. It is never nil.
func (i *Inspector) InspectHeld(ctx context.Context, img image.Image) (v Verdict, held <-chan struct{}, err error) {
	verdicts, held, err := i.inspect(ctx, []image.Image{img})
	if err != nil {
		return Verdict{}, held, err
	}
	return verdicts[0], held, nil
}

// InspectAll decides about several parts, in their order. All images get into the queue, or
// none does: more than fit into it together are always [ErrBusy]. Errors are
// those of Inspect, name the images and are joined; there is no partial result.
func (i *Inspector) InspectAll(ctx context.Context, imgs ...image.Image) ([]Verdict, error) {
	out, _, err := i.inspect(ctx, imgs)
	return out, err
}

// let is closed: there is nothing that the Inspector has.
var let = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

func (i *Inspector) inspect(ctx context.Context, imgs []image.Image) (_ []Verdict, held <-chan struct{}, err error) {
	switch {
	case ctx == nil:
		return nil, let, fmt.Errorf("inspect: %w", errNoContext)
	case i.queue == nil:
		return nil, let, fmt.Errorf("inspect: inspector: %w", ErrClosed)
	}
	bits, _ := ctx.Value(decodedKey{}).(int)
	questions := make([]asked, len(imgs))
	for k, img := range imgs {
		if absent(img) {
			i.count(func(s *Stats) { s.Failed++ })
			return nil, let, fmt.Errorf("inspect: image %d: %w: it is nil", k, downstream.ErrImage)
		}
		questions[k] = asked{img, bits}
	}
	answers, held, err := i.queue.Do(ctx, questions...)
	switch {
	case errors.Is(err, batch.ErrFull):
		return nil, held, fmt.Errorf("inspect: %w: %w", ErrBusy, err)
	case errors.Is(err, batch.ErrClosed):
		return nil, held, fmt.Errorf("inspect: inspector: %w", ErrClosed)
	case err != nil:
		return nil, held, fmt.Errorf("inspect: %w", err)
	}
	// Maps are enlarged here and not by the worker, which goes on to the next batch.
	out := make([]Verdict, len(answers))
	for k, a := range answers {
		out[k] = a.Value.Verdict
		if a.Err == nil && !mapless(ctx) {
			out[k].Map, a.Err = enlarged(out[k].Map, imgs[k].Bounds().Size(), i.cfg.MapPixels)
		}
		if a.Err != nil {
			if !errors.Is(a.Err, ErrReplaced) {
				i.count(func(s *Stats) { s.Failed++ })
			}
			err = errors.Join(err, fmt.Errorf("inspect: image %d: %w", k, a.Err))
			continue
		}
		a.Value.by.regions.hide(out[k].Map, imgs[k].Bounds().Size())
		out[k].Waited, out[k].Took = a.Waited, a.Took
	}
	if err != nil {
		return nil, held, err
	}
	return out, held, nil
}

// asked is an image with the Bits16 that its file was read with; 0 where nobody said.
type asked struct {
	img  image.Image
	bits int
}

// answer scores a batch with the bundle that is in force when it begins. Images that were
// read for another one are not scored.
func (i *Inspector) answer(ctx context.Context, questions []asked) []batch.Answer[judged] {
	f := i.hold()
	defer i.release(f)
	out := make([]batch.Answer[judged], len(questions))
	bits := f.bundle.Decoder().Bits16
	var imgs []image.Image
	var at []int // of the answers
	for k, q := range questions {
		if q.bits != 0 && q.bits != bits {
			out[k].Err = fmt.Errorf("%w: its file was read with %d of 16 bits, the bundle that is in force wants %d", ErrReplaced, q.bits, bits)
			continue
		}
		imgs, at = append(imgs, q.img), append(at, k)
	}
	if len(imgs) == 0 {
		return out
	}
	verdicts, err := f.bundle.decide(ctx, imgs)
	switch {
	case err == nil:
		for k, v := range verdicts {
			out[at[k]].Value = judged{v, f.bundle}
		}
	case len(imgs) == 1 || ctx.Err() != nil:
		for _, k := range at {
			out[k].Err = err
		}
	default: // each by itself: one that is broken must not take the others along
		for k, img := range imgs {
			verdicts, err := f.bundle.decide(ctx, []image.Image{img})
			if out[at[k]].Err = err; err == nil {
				out[at[k]].Value = judged{verdicts[0], f.bundle}
			}
		}
	}
	alarm := false
	for _, a := range out {
		switch {
		case a.Err != nil: // counted by whom it is told
		case a.Value.Reject:
			i.count(func(s *Stats) { s.Rejected++ })
		default:
			i.count(func(s *Stats) { s.Accepted++ })
			alarm = f.monitor.Add(a.Value.Score) || alarm
		}
	}
	if alarm && i.alarm != nil {
		i.alarm(f.drift())
	}
	return out
}

// judged is a verdict with the detector's own map, and the bundle that gave it, which may
// have been closed since.
type judged struct {
	Verdict
	by *Bundle
}

func (i *Inspector) count(f func(s *Stats)) {
	i.mu.Lock()
	defer i.mu.Unlock()
	f(&i.counts)
}

func (i *Inspector) hold() *inForce {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.now.users++
	return i.now
}

func (i *Inspector) release(f *inForce) {
	i.mu.Lock()
	defer i.mu.Unlock()
	f.users--
	f.settle()
}

// settle says that f is idle, if it is. The inspector is locked.
func (f *inForce) settle() {
	if f.retired && f.users == 0 {
		close(f.idle)
	}
}

// Replace verifies b and puts it in force: batches that begin later are decided by it,
// those that are being scored by the one before, and no image is dropped. The one before is
// closed when its last batch has ended, which Replace waits for. On an error of
// [Bundle.Verify], such as [ErrGolden], of ctx, or [ErrClosed] after Close, the bundle
// before goes on, and b stays the caller's. Otherwise b is in force, whatever closing
// the one before has returned. The drift monitor begins anew.
func (i *Inspector) Replace(ctx context.Context, b *Bundle) error {
	if i.queue == nil {
		return fmt.Errorf("inspect: replace bundle: inspector: %w", ErrClosed)
	}
	f, err := i.enforceable(b)
	if err != nil {
		return err
	}
	if err := b.Verify(ctx); err != nil {
		return err
	}
	i.replacing.Lock()
	defer i.replacing.Unlock()
	i.mu.Lock()
	switch {
	case i.closed:
		i.mu.Unlock()
		return fmt.Errorf("inspect: replace bundle: inspector: %w", ErrClosed)
	case i.now.bundle == b:
		i.mu.Unlock()
		return nil
	}
	old := i.now
	i.now = f
	i.counts.Replaced++
	old.retired = true
	old.settle()
	i.mu.Unlock()
	<-old.idle
	if err := old.bundle.Close(); err != nil {
		return fmt.Errorf("inspect: the new bundle is in force; close the one before: %w", err)
	}
	return nil
}

// Info describes the bundle that is in force.
func (i *Inspector) Info() Info {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.now == nil {
		return Info{}
	}
	return i.now.bundle.Info()
}

// Stats returns what has been counted.
func (i *Inspector) Stats() Stats {
	if i.queue == nil {
		return Stats{}
	}
	load := i.queue.Load()
	i.mu.Lock()
	s, f := i.counts, i.now
	i.mu.Unlock()
	s.Busy, s.Expired, s.Queued, s.Running = load.Full, load.Expired, load.Queued, load.Running
	s.Drift = f.drift()
	return s
}

// ResetDrift ends an alarm of the drift monitor, which begins a window.
func (i *Inspector) ResetDrift() {
	i.mu.Lock()
	f := i.now
	i.mu.Unlock()
	if f != nil {
		f.monitor.Reset()
	}
}

// drift says what the monitor has seen.
func (f *inForce) drift() Drift {
	s := f.monitor.State()
	d := Drift{Seen: s.Seen, PValue: s.PValue, Alarm: s.Alarm}
	if !s.Alarm {
		return d
	}
	share := func(n int) float64 { return 100 * float64(n) / float64(s.At) }
	d.Message = fmt.Sprintf("the scores of accepted parts are no longer those of the calibration: of %d parts %.0f %% score above its median and %.0f %% outside of its quartiles, where half are usual; look at light, focus and position, and calibrate anew where the change is meant",
		s.At, share(s.Above), share(s.Outside))
	return d
}

// Close refuses further images, decides about those that wait, and closes the bundle.
// It returns when that is done, with the error of closing. Closing twice is harmless.
func (i *Inspector) Close() error {
	if i.queue == nil {
		return nil
	}
	i.mu.Lock()
	first := !i.closed
	i.closed = true
	i.mu.Unlock()
	if !first {
		<-i.shut
		return i.shutErr
	}
	i.queue.Close()
	i.replacing.Lock() // of a Replace that has come before
	defer i.replacing.Unlock()
	i.shutErr = i.now.bundle.Close()
	close(i.shut)
	return i.shutErr
}

// absent says whether there is no image: a nil pointer in an image.Image is not nil.
func absent(img image.Image) bool {
	v := reflect.ValueOf(img)
	return !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil()
}
