package dataset

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"io/fs"
	"sort"
	"sync/atomic"
)

// WindowConfig says in which order [Shards.Window] gives images, and what it holds.
type WindowConfig struct {
	// Images of a window, at least 1: so many files are held, and an image comes at most so
	// many places from where it lies. Default 4096.
	Images int
	// Seed and Epoch decide the order. Default 0.
	Seed, Epoch uint64
	// From is the place at which reading begins, from 0 to the number of images. It changes
	// no order: an order is gone on with at the place of the first image that has not been
	// seen. Default 0.
	From int
}

// DefaultWindow returns the defaults that the fields name.
func DefaultWindow() WindowConfig { return WindowConfig{Images: 4096} }

// WindowPosition is a place in the order of a [Window], for a file that a run goes on from. It
// marshals to JSON.
type WindowPosition struct {
	Index  string `json:"index_sha256"`            // of the index of the shards
	Choice string `json:"choice_sha256,omitempty"` // of which images were chosen; empty for all
	Count  int    `json:"count"`                   // images that were chosen
	Images int    `json:"images"`                  // of a window
	Seed   uint64 `json:"seed"`
	Epoch  uint64 `json:"epoch"`
	Next   int    `json:"next"` // place of the first image that has not been seen
}

// Window is a [Dataset] of the images of [Shards] in a shuffled order. Who reads it from the
// front to the back, as [Loader] and detectors do, on any number of goroutines, reads every shard from its front to its back:
// with each image the next one of the window behind is read. So the files of about one window
// are held, encoded, and no goroutine runs ahead. Any other image is read where it lies, as
// [Shards] does; so it costs no more than that to draw a partner for an image.
//
// What the order is worth: shards come in a random order, a new one in every epoch. The images,
// in the order of the shards, are cut into windows, at places that differ from epoch to epoch, and each
// window is shuffled evenly. So an image is given less than a window from where it lies in that
// order. Batches are as mixed as the images of a window are: where shards were written shuffled
// (ShardsConfig.Shuffle) a window is a random sample of the whole set, and what
// remains of the order on disk is that images of one shard meet in more batches than in a
// full shuffle. Where shards are in the order of folders a window has the classes that lie beside
// each other there, and a training suffers. A window as large as the set is a full shuffle.
//
// The order is computed from the configuration, so it is gone on with by a number:
// [Window.Position].
type Window struct {
	s      *Shards
	cfg    WindowConfig
	starts []int // first place of each shard in the order of shards, and their number
	shards []int // in that order
	first  int   // images of the first window, which is cut short

	closed  atomic.Bool   // before the turn is waited for, so that who reads a window stops
	turn    chan struct{} // holds the one who may use what follows; a lock that a context can be waited with
	begun   bool
	before  heldWindow // what has not been given of the one before
	now     heldWindow // is given
	after   heldWindow // is read meanwhile
	missed  int        // images of the next window that were asked for too early
	reading sequence
}

// heldWindow is a window whose files are in memory, as far as they have been read and not
// been given.
type heldWindow struct {
	number int
	gone   int          // places at its front that were given before it was begun
	read   int          // entries, in the order in which they lie
	left   int          // that have not been given
	files  []windowFile // nil before the first is read
}

// windowFile is an entry of a window.
type windowFile struct {
	e           shardEntry
	it          Item
	image, mask []byte
	err         error
}

// Window returns the images in a shuffled order. The error wraps [ErrConfig].
func (s *Shards) Window(cfg WindowConfig) (*Window, error) {
	n := s.Len()
	switch {
	case n == 0:
		return nil, fmt.Errorf("dataset: window: %w: the shards are not open", ErrConfig)
	case cfg.Images < 1:
		return nil, fmt.Errorf("dataset: window: %w: Images is %d, want at least 1", ErrConfig, cfg.Images)
	case cfg.From < 0 || cfg.From > n:
		return nil, fmt.Errorf("dataset: window: %w: From is %d, there are %d images", ErrConfig, cfg.From, n)
	}
	cfg.Images = min(cfg.Images, n)
	w := &Window{s: s, cfg: cfg, turn: make(chan struct{}, 1), reading: sequence{s: s}}
	order := newPermutation(uint64(len(s.head.Shards)), cfg.Seed, "shards of a window", cfg.Epoch)
	w.starts = []int{0}
	for i := range order.Len() {
		number := order.At(i)
		if m := s.starts[number+1] - s.starts[number]; m > 0 {
			w.shards = append(w.shards, number)
			w.starts = append(w.starts, w.starts[len(w.starts)-1]+m)
		}
	}
	if cfg.Images < n {
		w.first = 1 + newPermutation(uint64(cfg.Images), cfg.Seed, "cuts of a window", cfg.Epoch).At(0)
	} else {
		w.first = n
	}
	return w, nil
}

// Resume returns the order that a position is of, from there on. It returns an error that
// wraps [ErrConfig] for one of other shards, or of another choice of classes and splits.
func (s *Shards) Resume(p WindowPosition) (*Window, error) {
	if p.Index != s.sum || p.Count != s.Len() {
		return nil, fmt.Errorf("dataset: window: %w: the position is of %d images of an index %.12s, this one has %d of %.12s", ErrConfig, p.Count, p.Index, s.Len(), s.sum)
	}
	if p.Choice != s.choice {
		return nil, fmt.Errorf("dataset: window: %w: the position is of another choice of classes and splits, which are %d images too", ErrConfig, p.Count)
	}
	return s.Window(WindowConfig{Images: p.Images, Seed: p.Seed, Epoch: p.Epoch, From: p.Next})
}

// Position is the place behind so many images of the order, from which [Shards.Resume] goes on.
func (w *Window) Position(seen int) WindowPosition {
	if w.s == nil {
		return WindowPosition{}
	}
	return WindowPosition{Index: w.s.sum, Choice: w.s.choice, Count: w.s.Len(), Images: w.cfg.Images, Seed: w.cfg.Seed, Epoch: w.cfg.Epoch, Next: seen}
}

// window is the window of a place and the places that it has.
func (w *Window) window(place int) (number, from, to int) {
	if place < w.first {
		return 0, 0, w.first
	}
	number = (place - w.first) / w.cfg.Images
	from = w.first + number*w.cfg.Images
	return number + 1, from, min(from+w.cfg.Images, w.s.Len())
}

// windows is how many there are.
func (w *Window) windows() int {
	return 1 + (w.s.Len()-w.first+w.cfg.Images-1)/w.cfg.Images
}

// bounds are the places of a window.
func (w *Window) bounds(number int) (from, to int) {
	if number == 0 {
		return 0, w.first
	}
	_, from, to = w.window(w.first + (number-1)*w.cfg.Images)
	return from, to
}

// shuffle is the order within a window.
func (w *Window) shuffle(number, n int) Permutation {
	return newPermutation(uint64(n), w.cfg.Seed, "window", w.cfg.Epoch, uint64(number))
}

// lies is the image at a place of the order of shards.
func (w *Window) lies(at int) int {
	k := sort.SearchInts(w.starts, at+1) - 1
	return w.s.starts[w.shards[k]] + at - w.starts[k]
}

// image is the number, among those of the shards, of the image at a place.
func (w *Window) image(place int) int {
	number, from, to := w.window(place)
	return w.lies(from + w.shuffle(number, to-from).At(place-from))
}

// Len implements [Dataset].
func (w *Window) Len() int {
	if w.s == nil {
		return 0
	}
	return w.s.Len()
}

// Classes implements [Dataset].
func (w *Window) Classes() []string {
	if w.s == nil {
		return []string{}
	}
	return w.s.Classes()
}

// Item implements [Dataset].
func (w *Window) Item(i int) Item {
	if i < 0 || i >= w.Len() {
		return Item{}
	}
	return w.s.Item(w.image(i))
}

// Sample implements [Dataset], with the errors of [Shards.Sample].
func (w *Window) Sample(ctx context.Context, i int) (Sample, error) {
	if i < 0 || i >= w.Len() {
		return Sample{}, indexError(i, w.Len())
	}
	if err := ended(ctx); err != nil {
		return Sample{}, err
	}
	h, ok, err := w.take(ctx, i)
	if err != nil {
		return Sample{}, err
	}
	if !ok {
		return w.s.Sample(ctx, w.image(i))
	}
	if h.err != nil {
		return Sample{}, h.err
	}
	f := &Files{fsys: &shardFS{s: w.s, e: h.e, image: h.image, mask: h.mask}, dec: w.s.dec, root: w.s.head.Shards[h.e.Shard].Name}
	return f.sample(ctx, h.it)
}

// file is a data set of image i alone.
func (w *Window) file(i int) (*Files, int, error) {
	if i < 0 || i >= w.Len() {
		return nil, 0, indexError(i, w.Len())
	}
	return w.s.file(w.image(i))
}

// take gives the file of a place out of the windows that are held, and reads on. It returns
// false for one that is in none of them, or has been given. What is read when ctx ends stays.
func (w *Window) take(ctx context.Context, place int) (windowFile, bool, error) {
	number, from, to := w.window(place)
	at := w.shuffle(number, to-from).At(place - from)
	select {
	case w.turn <- struct{}{}:
		defer func() { <-w.turn }()
	case <-ctx.Done():
		return windowFile{}, false, ctx.Err()
	}
	if w.closed.Load() {
		return windowFile{}, false, nil
	}
	if !w.begun {
		start, from, _ := w.window(min(w.cfg.From, w.s.Len()-1))
		if number != start {
			return windowFile{}, false, nil
		}
		w.begun, w.now = true, heldWindow{number: start, gone: w.cfg.From - from}
	}
	if err := w.fill(ctx, &w.now); err != nil {
		return windowFile{}, false, err
	}
	if w.before.number == number {
		if f, ok := w.before.give(at); ok {
			return f, true, nil
		}
	}
	if next := (w.now.number + 1) % w.windows(); number == next && (number != w.now.number || w.now.left == 0) {
		// It may be but a partner of some image. The next window's turn is when most of this one
		// has been given, or much of the next is asked for.
		w.missed++
		if few := len(w.now.files) / 8; w.now.left > few && w.missed <= few {
			return windowFile{}, false, nil
		}
		if w.after.number != next {
			w.after = heldWindow{number: next}
		}
		if err := w.fill(ctx, &w.after); err != nil {
			return windowFile{}, false, err
		}
		w.before, w.now, w.after, w.missed = w.now, w.after, heldWindow{number: -1}, 0
	}
	if number != w.now.number {
		return windowFile{}, false, nil
	}
	if number+1 < w.windows() { // a second round may never come
		if w.after.number != number+1 {
			w.after = heldWindow{number: number + 1}
		}
		w.one(&w.after)
	}
	f, ok := w.now.give(at)
	return f, ok, nil
}

// give returns what is held of an entry, once.
func (h *heldWindow) give(at int) (windowFile, bool) {
	if at >= len(h.files) || h.files[at].image == nil && h.files[at].err == nil {
		return windowFile{}, false
	}
	f := h.files[at]
	h.files[at] = windowFile{}
	h.left--
	return f, true
}

// fill reads what is left of a window, and lets go of what was given before it was begun.
func (w *Window) fill(ctx context.Context, h *heldWindow) error {
	for w.one(h) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if w.closed.Load() {
			return fmt.Errorf("dataset: read a window: %w", fs.ErrClosed)
		}
	}
	if h.gone > 0 {
		order := w.shuffle(h.number, len(h.files))
		for i := range h.gone {
			h.give(order.At(i))
		}
		h.gone = 0
	}
	return nil
}

// one reads the next entry of a window, in the order in which they lie. An error belongs to
// the image that it is about.
func (w *Window) one(h *heldWindow) bool {
	from, to := w.bounds(h.number)
	if h.files == nil {
		h.files, h.left = make([]windowFile, to-from), to-from
	}
	if h.read == len(h.files) {
		return false
	}
	f := &h.files[h.read]
	if f.e, f.it, f.err = w.s.entry(w.lies(from + h.read)); f.err == nil {
		if f.image, f.mask, f.err = w.reading.entry(&f.e); f.image == nil {
			f.image = []byte{} // an empty file has been read too
		}
	}
	h.read++
	return true
}

// sequence reads a shard from the front to the back.
type sequence struct {
	s      *Shards
	number int
	file   fs.File // nil for none
	r      *bufio.Reader
	at     int64
}

// entry reads an entry and its mask.
func (q *sequence) entry(e *shardEntry) (image, mask []byte, err error) {
	fail := func(name string, err error) ([]byte, []byte, error) {
		q.drop()
		return nil, nil, fmt.Errorf("dataset: read %s/%s: %w", q.s.head.Shards[e.Shard].Name, name, err)
	}
	if image, err = q.read(e.Shard, e.place); err != nil {
		return fail(e.Image, err)
	}
	if e.MaskAt == 0 {
		return image, nil, nil
	}
	if mask, err = q.read(e.Shard, e.part(true)); err != nil {
		return fail(e.Mask, err)
	}
	return image, mask, nil
}

// sequenceBuffer is read at once.
const sequenceBuffer = 1 << 20

func (q *sequence) read(shard int, p place) ([]byte, error) {
	if limit := q.s.dec.maxFile(); p.Bytes > limit {
		return nil, fmt.Errorf("%w: the file has %d bytes, the limit is %d", ErrTooLarge, p.Bytes, limit)
	}
	if q.file == nil || shard != q.number || p.At < q.at {
		q.drop()
		q.s.files.mu.Lock()
		done := q.s.files.done
		q.s.files.mu.Unlock()
		if done {
			return nil, fs.ErrClosed
		}
		file, err := openShardFile(q.s.fsys, q.s.head.Shards[shard])
		if err != nil {
			return nil, err
		}
		q.file, q.number, q.at = file, shard, 0
		if q.r == nil {
			q.r = bufio.NewReaderSize(file, sequenceBuffer)
		} else {
			q.r.Reset(file)
		}
	}
	if gap := p.At - q.at; gap > sequenceBuffer {
		if seeker, ok := q.file.(io.Seeker); ok {
			if _, err := seeker.Seek(p.At, io.SeekStart); err != nil {
				return nil, err
			}
			q.r.Reset(q.file)
			q.at = p.At
		}
	}
	if _, err := io.CopyN(io.Discard, q.r, p.At-q.at); err != nil {
		return nil, early(err)
	}
	data := make([]byte, p.Bytes)
	if _, err := io.ReadFull(q.r, data); err != nil {
		return nil, early(err)
	}
	q.at = p.At + p.Bytes
	return data, p.verify(data)
}

// drop closes the shard. Nothing was written, so that a failure to close loses nothing.
func (q *sequence) drop() {
	if q.file != nil {
		_ = q.file.Close()
		q.file = nil
	}
}

// Close lets go of the files that are held, and of the shard that is read. The shards
// stay open. The images can still be read, one by one.
func (w *Window) Close() error {
	if w.s == nil {
		return nil
	}
	w.closed.Store(true)
	w.turn <- struct{}{}
	defer func() { <-w.turn }()
	w.reading.drop()
	w.before, w.now, w.after = heldWindow{}, heldWindow{}, heldWindow{}
	return nil
}

var (
	_ Listed = (*Shards)(nil)
	_ Listed = (*Manifest)(nil)
)
