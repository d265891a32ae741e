package dataset

import (
	"context"
	"fmt"
	"image"
	"math"
	"runtime"
	"sort"
	"sync"

	"github.com/gotab/gotab/internal/pipeline"
)

// Tiles says how images are cut into squares that overlap and together cover all
// of them, so that a network of a small input sees the ends of a long part, or a
// large image without being shrunk to it. A Tiles is a value and safe for
// concurrent use.
type Tiles struct {
	// Side is the width and height of a tile in pixels of the image. 0 takes the
	// shorter side of each image, so that a long part becomes a row of squares. A
	// image with a shorter side below Side is cut into squares of that side.
	Side int
	// Overlap is the least share of its side that a tile has in common with the next
	// one, 0 to 0.9. Tiles are spread evenly, so it is mostly more. A defect of up to
	// that share lies whole in some tile. Default 0.25.
	Overlap float64
	// Most is the largest number of tiles of one image, at least 1. Default 1024.
	Most int
}

// DefaultTiles returns squares of an image's shorter side that overlap by a quarter.
func DefaultTiles() Tiles { return Tiles{Overlap: 0.25, Most: 1024} }

// Validate names the first field that is out of range; the error wraps [ErrConfig].
func (t Tiles) Validate() error {
	switch {
	case t.Side < 0 || t.Side > maxSide:
		return fmt.Errorf("dataset: tiles: %w: Side is %d, want 1 to %d, or 0 for an image's shorter side", ErrConfig, t.Side, maxSide)
	case !(t.Overlap >= 0 && t.Overlap <= 0.9):
		return fmt.Errorf("dataset: tiles: %w: Overlap is %g, want 0 to 0.9", ErrConfig, t.Overlap)
	case t.Most < 1 || t.Most > 1<<20:
		return fmt.Errorf("dataset: tiles: %w: Most is %d, want 1 to %d", ErrConfig, t.Most, 1<<20)
	}
	return nil
}

// String describes the tiles for logs.
func (t Tiles) String() string {
	side := "the shorter side"
	if t.Side > 0 {
		side = fmt.Sprintf("%d pixels", t.Side)
	}
	return fmt.Sprintf("tiles of %s, overlap %g %%", side, 100*t.Overlap)
}

// row is the number of tiles of a side that cover a length.
func (t Tiles) row(length, side int) float64 {
	step := max(1, float64(side)*(1-t.Overlap))
	return 1 + math.Ceil(float64(length-side)/step-1e-9)
}

// Count returns how many tiles an image of w x h pixels is cut into. More than Most
// is an error that wraps [ErrSize].
func (t Tiles) Count(w, h int) (int, error) {
	if err := t.Validate(); err != nil {
		return 0, err
	}
	if w < 1 || h < 1 {
		return 0, fmt.Errorf("dataset: tiles: %w: the image is %dx%d", ErrSize, w, h)
	}
	side := t.side(w, h)
	n := t.row(w, side) * t.row(h, side)
	if n > float64(t.Most) {
		return 0, fmt.Errorf("dataset: tiles: %w: an image of %dx%d pixels is cut into %.0f tiles of %d, at most %d are allowed; a larger Side makes fewer", ErrSize, w, h, n, side, t.Most)
	}
	return int(n), nil
}

func (t Tiles) side(w, h int) int {
	side := min(w, h)
	if t.Side > 0 {
		side = min(side, t.Side)
	}
	return side
}

// Cut returns the tiles of an image of w x h pixels whose origin is (0,0), row by
// row. Every pixel lies in one of them at least, and none reaches beyond the image.
// The error is that of Count.
func (t Tiles) Cut(w, h int) ([]image.Rectangle, error) {
	n, err := t.Count(w, h)
	if err != nil {
		return nil, err
	}
	side := t.side(w, h)
	starts := func(length int) []int {
		k := int(t.row(length, side))
		out := make([]int, k)
		for i := range out {
			if k > 1 {
				out[i] = int(math.Round(float64(i) * float64(length-side) / float64(k-1)))
			}
		}
		return out
	}
	out := make([]image.Rectangle, 0, n)
	xs := starts(w)
	for _, y := range starts(h) {
		for _, x := range xs {
			out = append(out, image.Rect(x, y, x+side, y+side))
		}
	}
	return out, nil
}

// Tiled is a data set whose samples are the tiles of another one's images.
type Tiled struct {
	ds    Dataset
	tiles Tiles
	sizes []image.Point // of the images
	ends  []int         // tiles in the images up to and including each
	kept  [2]keptPicture
}

// keptPicture is an image that has been decoded, because the next tile is mostly of the
// same.
type keptPicture struct {
	mu sync.Mutex
	at int // 1 + its number; 0: none
	s  Sample
}

// NewTiled cuts the images of ds, and their masks, into tiles. It reads the head of
// every file, and decodes what is no file, to know the sizes. An image that cannot be
// read is an error; so is one of more tiles than Most, which wraps [ErrSize].
//
// A tile is named as its image with "#" and the tile's corner behind it, and is of
// its group, so that splits keep the tiles of an image together. Tiles of good
// images are good. Those of others have no label, because only some of them show the
// defect. Two decoded images are kept at a time, however many tiles are asked for.
// It is safe for concurrent use.
func NewTiled(ctx context.Context, ds Dataset, t Tiles) (*Tiled, error) {
	if ds == nil {
		return nil, fmt.Errorf("dataset: tiles: %w: the data set is nil", ErrConfig)
	}
	if err := t.Validate(); err != nil {
		return nil, err
	}
	if ctx == nil {
		return nil, fmt.Errorf("dataset: tiles: %w: the context is nil", ErrConfig)
	}
	out := &Tiled{ds: ds, tiles: t}
	workers := runtime.GOMAXPROCS(0)
	n, i := 0, 0
	for s, err := range pipeline.Ordered(ctx, ds.Len(), workers, 4*workers, func(ctx context.Context, i int) (seen, error) {
		s := outline(ctx, ds, i)
		return s, s.err
	}) {
		if err != nil {
			return nil, fmt.Errorf("dataset: tiles: %w", err)
		}
		k, err := t.Count(s.size.X, s.size.Y)
		if err != nil {
			return nil, fmt.Errorf("%w (image %s)", err, ds.Item(i).Name)
		}
		n += k
		i++
		out.sizes, out.ends = append(out.sizes, s.size), append(out.ends, n)
	}
	return out, nil
}

// outline is the size of an image; masks are left alone.
func outline(ctx context.Context, ds Dataset, i int) (s seen) {
	if f, at := asStored(ds, i); f != nil {
		it := f.Item(at)
		h, err := f.head(it.Name, false)
		if err != nil {
			s.err = fmt.Errorf("dataset: read %s: %w", f.where(it.Name), err)
		}
		s.size = turned(h.size, h.turn)
		return s
	}
	sample, err := checked(ctx, ds, i)
	if err != nil {
		s.err = err
		return s
	}
	s.size = sample.Image.Rect.Size()
	return s
}

// asStored follows data sets that show others, with images as they are, to the files.
func asStored(ds Dataset, i int) (*Files, int) {
	for next, at, ok := shown(ds, i); ok; next, at, ok = shown(ds, i) {
		ds, i = next, at
	}
	f, ok := ds.(*Files)
	if !ok {
		return nil, 0
	}
	return f, i
}

// find returns the image of tile i and the tile's number in it.
func (t *Tiled) find(i int) (picture, tile int) {
	picture = sort.SearchInts(t.ends, i+1)
	if picture > 0 {
		i -= t.ends[picture-1]
	}
	return picture, i
}

// Len implements [Dataset].
func (t *Tiled) Len() int {
	if len(t.ends) == 0 {
		return 0
	}
	return t.ends[len(t.ends)-1]
}

// Classes implements [Dataset].
func (t *Tiled) Classes() []string { return orEmpty(t.ds).Classes() }

// Images returns the number of images that are cut.
func (t *Tiled) Images() int { return len(t.ends) }

// Item implements [Dataset].
func (t *Tiled) Item(i int) Item {
	if i < 0 || i >= t.Len() {
		return Item{}
	}
	p, k := t.find(i)
	return t.item(p, t.cut(p)[k])
}

func (t *Tiled) cut(picture int) []image.Rectangle {
	r, err := t.tiles.Cut(t.sizes[picture].X, t.sizes[picture].Y)
	if err != nil {
		return make([]image.Rectangle, 1) // NewTiled has refused it
	}
	return r
}

func (t *Tiled) item(picture int, r image.Rectangle) Item {
	it := t.ds.Item(picture)
	if it.Group == "" {
		it.Group = it.Name
	}
	it.Name = fmt.Sprintf("%s#%d,%d", it.Name, r.Min.X, r.Min.Y)
	if !it.IsGood() {
		it.Label, it.Defect = LabelUnknown, Unknown
	}
	return it
}

// Sample implements [Dataset].
func (t *Tiled) Sample(ctx context.Context, i int) (Sample, error) {
	if i < 0 || i >= t.Len() {
		return Sample{}, indexError(i, t.Len())
	}
	p, k := t.find(i)
	whole, err := t.picture(ctx, p)
	if err != nil {
		return Sample{}, err
	}
	r := t.cut(p)[k]
	s := Sample{Item: t.item(p, r), Image: image.NewRGBA(image.Rectangle{Max: r.Size()})}
	if whole.Mask != nil {
		s.Mask = image.NewGray(s.Image.Rect)
	}
	for y := range r.Dy() {
		copy(s.Image.Pix[y*s.Image.Stride:][:4*r.Dx()], whole.Image.Pix[whole.Image.PixOffset(r.Min.X, r.Min.Y+y):])
		if s.Mask != nil {
			copy(s.Mask.Pix[y*s.Mask.Stride:][:r.Dx()], whole.Mask.Pix[whole.Mask.PixOffset(r.Min.X, r.Min.Y+y):])
		}
	}
	return s, nil
}

// picture reads an image, or takes it where it has been read.
func (t *Tiled) picture(ctx context.Context, p int) (Sample, error) {
	kept := &t.kept[p%len(t.kept)]
	kept.mu.Lock()
	defer kept.mu.Unlock()
	if kept.at == p+1 {
		return kept.s, ended(ctx)
	}
	s, err := t.ds.Sample(ctx, p)
	if err == nil {
		err = s.check()
	}
	if err != nil {
		return Sample{}, err
	}
	if got, want := s.Image.Rect.Size(), t.sizes[p]; got != want {
		return Sample{}, fmt.Errorf("dataset: tiles: %s: %w: it is %s now, it was %s", s.Name, ErrSize, sizeText(got), sizeText(want))
	}
	kept.at, kept.s = p+1, s
	return s, nil
}
