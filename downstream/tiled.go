package downstream

import (
	"context"
	"errors"
	"fmt"
	"image"
	"iter"
	"math"
	"sync/atomic"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream/internal/feed"
	"github.com/gotab/gotab/downstream/internal/network"
	"github.com/gotab/gotab/internal/pipeline"
	"github.com/gotab/gotab/internal/usual"
	"github.com/gotab/gotab/metrics"
)

// TiledConfig says how a detector looks at images tile by tile.
type TiledConfig struct {
	// Tiles says how images are cut. Default: squares of the shorter side that overlap
	// by a quarter.
	Tiles dataset.Tiles
	// Batch is the largest number of tiles that are handed to the detector at a time, at
	// least 1; it bounds the memory of an image. Default 32.
	Batch int
	// MapPixels is the largest number of values of an image's map, at least 1. A map that
	// would be larger is made coarser. Default 4,194,304, which are 16 MiB.
	MapPixels int
}

// DefaultTiled returns the defaults.
func DefaultTiled() TiledConfig {
	return TiledConfig{Tiles: dataset.DefaultTiles(), Batch: 32, MapPixels: 1 << 22}
}

// Validate names the first field that is out of range; the error wraps [ErrConfig].
func (c TiledConfig) Validate() error {
	switch {
	case c.Batch < 1 || c.Batch > 1<<16:
		return fmt.Errorf("downstream: tiled: %w: Batch is %d, want 1 to %d", ErrConfig, c.Batch, 1<<16)
	case c.MapPixels < 1 || c.MapPixels > maxTiledMap:
		return fmt.Errorf("downstream: tiled: %w: MapPixels is %d, want 1 to %d", ErrConfig, c.MapPixels, maxTiledMap)
	}
	if err := c.Tiles.Validate(); err != nil {
		return fmt.Errorf("downstream: tiled: %w: %w", ErrConfig, err)
	}
	return nil
}

const maxTiledMap = 1 << 28

// Tiled is a detector that sees whole images as tiles that overlap, so that the ends
// of a long part are seen and a large image is not shrunk to the network's input. It
// is fitted on the tiles of good images. An image's score is that of its worst tile;
// its map is stitched of theirs: each place has the largest of the values that the tiles
// have there, so that the score is the map's maximum where it is a tile's.
//
// What a detector learns of places (PaDiM has a distribution for each) it learns of
// places in a tile, and no more of places on the part.
//
// Besides the image itself, the memory of an image is that of Batch tiles and of its
// map, whatever its size. A Tiled is as safe for concurrent use as its detector.
type Tiled struct {
	d   Detector
	cfg TiledConfig
}

var _ Detector = (*Tiled)(nil)

// NewTiled gives d, which it takes over unless there is an error, images tile by tile. d's transform must show
// all of a tile ([dataset.Square]): one that cuts a centre out leaves gaps, and Score
// refuses it. What d saves are its own settings: Tiles are to be kept beside.
func NewTiled(d Detector, cfg TiledConfig) (*Tiled, error) {
	if d == nil {
		return nil, fmt.Errorf("downstream: tiled: %w: the detector is nil", ErrConfig)
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Tiled{d, cfg}, nil
}

// Config returns what it was made with.
func (t *Tiled) Config() TiledConfig { return t.cfg }

// Fit fits the detector on the tiles of normal.
func (t *Tiled) Fit(ctx context.Context, normal dataset.Dataset) error {
	if err := dataset.RequireGood(normal); err != nil {
		return fmt.Errorf("downstream: fit tiled: %w: %w", ErrNotNormal, err)
	}
	tiles, err := dataset.NewTiled(ctx, normal, t.cfg.Tiles)
	if err != nil {
		return fmt.Errorf("downstream: fit tiled: %w", err)
	}
	return t.d.Fit(ctx, tiles)
}

// Score judges whole images, in their order. Errors are the detector's, and
// [dataset.ErrSize] for an image of too many tiles.
func (t *Tiled) Score(ctx context.Context, imgs ...image.Image) ([]Result, error) {
	out := make([]Result, 0, len(imgs))
	for i, img := range imgs {
		r, err := t.picture(ctx, img, nil)
		if err != nil {
			return nil, fmt.Errorf("downstream: score tiled: image %d: %w", i, err)
		}
		out = append(out, r)
	}
	return out, nil
}

// ScoreSet yields the results of a data set in its order, or one error. It reads a
// image ahead.
func (t *Tiled) ScoreSet(ctx context.Context, ds dataset.Dataset) iter.Seq2[Scored, error] {
	return func(yield func(Scored, error) bool) {
		if ds == nil {
			yield(Scored{}, fmt.Errorf("downstream: score tiled: %w: the data set is nil", ErrImage))
			return
		}
		for s, err := range pipeline.Ordered(ctx, ds.Len(), 1, 1, ds.Sample) {
			if err != nil {
				yield(Scored{}, fmt.Errorf("downstream: score tiled: %w", err))
				return
			}
			r, err := t.picture(ctx, s.Image, nil)
			if err != nil {
				yield(Scored{}, fmt.Errorf("downstream: score tiled: image %s: %w", s.Name, err))
				return
			}
			if !yield(Scored{Item: s.Item, Mask: s.Mask, Result: r}, nil) {
				return
			}
		}
	}
}

// ScoreSeq yields the results of images as they come, in order, or one error. It takes
// two images ahead. The sequence runs on a goroutine of its own and should heed ctx, as
// with the detectors of this package.
func (t *Tiled) ScoreSeq(ctx context.Context, imgs iter.Seq[image.Image]) iter.Seq2[Result, error] {
	return func(yield func(Result, error) bool) {
		if imgs == nil {
			yield(Result{}, fmt.Errorf("downstream: score tiled: %w: the sequence is nil", ErrImage))
			return
		}
		for r, err := range pipeline.Sequence(ctx, imgs, 1, 1, func(ctx context.Context, i int, img image.Image) (Result, error) {
			r, err := t.picture(ctx, img, nil)
			if err != nil {
				return r, fmt.Errorf("downstream: score tiled: image %d: %w", i, err)
			}
			return r, nil
		}) {
			if !yield(r, err) {
				return
			}
		}
	}
}

// cut names the tiles, for calibrations.
func (t *Tiled) cut() string {
	return fmt.Sprintf("tiles of side %d that overlap by %g", t.cfg.Tiles.Side, t.cfg.Tiles.Overlap)
}

// judged is a detector of this package.
type judged interface {
	judge(ctx context.Context, by judging) (*Calibration, error)
}

// Calibrate is that of the detectors of this package, for whole images: the threshold
// is of the score of the worst tile. The detector takes the calibration over and saves
// it; it decides only about images that are cut into the same tiles, and no more
// about single images. An image all of whose tiles the detector was fitted on is
// [ErrSeen]. It returns [errors.ErrUnsupported] if the detector is not one of this
// package.
func (t *Tiled) Calibrate(ctx context.Context, parts dataset.Dataset, rule metrics.Rule) (*Calibration, error) {
	d, ok := t.d.(judged)
	if !ok {
		return nil, fmt.Errorf("downstream: calibrate tiled: %w: the detector is a %T", errors.ErrUnsupported, t.d)
	}
	return d.judge(ctx, func(ctx context.Context, fitted func(digest uint64) bool) (*Calibration, error) {
		if err := checkParts(parts, rule); err != nil {
			return nil, err
		}
		return t.calibration(ctx, parts, rule, fitted)
	})
}

func (t *Tiled) calibration(ctx context.Context, parts dataset.Dataset, rule metrics.Rule, fitted func(digest uint64) bool) (*Calibration, error) {
	var good, defective []float64
	var maps usual.Values
	for s, err := range pipeline.Ordered(ctx, parts.Len(), 1, 1, parts.Sample) {
		if err != nil {
			return nil, err
		}
		var unknown atomic.Bool // of any tile
		r, err := t.picture(ctx, s.Image, func(px *image.RGBA) {
			if !fitted(feed.Digest(px)) {
				unknown.Store(true)
			}
		})
		switch {
		case err != nil:
			return nil, fmt.Errorf("image %s: %w", s.Name, err)
		case !unknown.Load():
			return nil, fmt.Errorf("image %s: %w: the detector was fitted on all of its tiles", s.Name, ErrSeen)
		case s.IsDefective():
			defective = append(defective, r.Score)
			continue
		}
		if v, ok := network.NotFinite(r.Map.Data); ok {
			return nil, fmt.Errorf("map of image %s: %w: %v", s.Name, ErrNotFinite, v)
		}
		good = append(good, r.Score)
		maps.Add(r.Map.Data)
	}
	low, high := maps.Scale(usual.Quantile, usual.Reach)
	c, err := newCalibration(good, defective, ColourScale{low, high}, rule)
	if err == nil {
		c.tiles = t.cut()
	}
	return c, err
}

// Save saves the detector, with the calibration of whole images. The TiledConfig is not
// in the file.
func (t *Tiled) Save(path string) error { return t.d.Save(path) }

// Close closes the detector.
func (t *Tiled) Close() error { return t.d.Close() }

// image scores one image. see, unless it is nil, is given the tiles as the network
// gets them, from several goroutines.
func (t *Tiled) picture(ctx context.Context, img image.Image, see func(px *image.RGBA)) (Result, error) {
	if feed.Absent(img) {
		return Result{}, fmt.Errorf("%w: it is nil", ErrImage)
	}
	whole := img.Bounds()
	cut, err := t.cfg.Tiles.Cut(whole.Dx(), whole.Dy())
	if err != nil {
		return Result{}, err
	}
	part, ok := img.(interface {
		SubImage(r image.Rectangle) image.Image
	})
	if !ok {
		part = dataset.ToRGBA(img)
		whole = image.Rectangle{Max: whole.Size()}
	}
	out := Result{Score: math.Inf(-1), tiles: t.cut()}
	for at := 0; at < len(cut); at += t.cfg.Batch {
		of := cut[at:min(at+t.cfg.Batch, len(cut))]
		tiles := make([]image.Image, len(of))
		for i, r := range of {
			tiles[i] = part.SubImage(r.Add(whole.Min))
			if see != nil {
				tiles[i] = feed.WatchedImage{Image: tiles[i], See: see}
			}
		}
		results, err := t.d.Score(ctx, tiles...)
		if err != nil {
			return Result{}, err
		}
		if len(results) != len(of) {
			return Result{}, fmt.Errorf("%w: the detector gives %d results for %d tiles", ErrImage, len(results), len(of))
		}
		if at == 0 {
			out.Map = t.cfg.empty(whole.Size(), of[0].Dx(), results[0].Map)
			out.calibration = results[0].calibration
		}
		if results[0].calibration != out.calibration { // a Fit or a Calibrate came between
			out.calibration = nil
		}
		for i, r := range results {
			if err := out.Map.stitch(r.Map, of[i]); err != nil {
				return Result{}, err
			}
			out.Score = max(out.Score, r.Score)
		}
	}
	return out, nil
}

// empty is the map of an image before any tile: as fine as a tile's where MapPixels
// allows it.
func (c TiledConfig) empty(size image.Point, side int, tile Map) Map {
	kx, ky := float64(max(1, tile.W))/float64(side), float64(max(1, tile.H))/float64(side)
	w, h := float64(size.X)*kx, float64(size.Y)*ky
	if shrink := math.Sqrt(float64(c.MapPixels) / (w * h)); shrink < 1 {
		w, h = w*shrink, h*shrink
	}
	// A side of less than one value is one; the other is then bounded alone.
	m := Map{W: max(1, int(math.Round(w))), H: max(1, int(math.Round(h))), Rect: dataset.Rect{MaxX: float64(size.X), MaxY: float64(size.Y)}}
	for m.W*m.H > c.MapPixels {
		if m.W >= m.H {
			m.W--
		} else {
			m.H--
		}
	}
	m.Data = make([]float32, m.W*m.H)
	for i := range m.Data {
		m.Data[i] = float32(math.Inf(-1)) // every place is in a tile
	}
	return m
}

// stitch takes a tile's map in: a value of m becomes at least the largest of the
// tile's values that it overlaps, so none of these is lost.
func (m *Map) stitch(tile Map, at image.Rectangle) error {
	full := dataset.Rect{MaxX: float64(at.Dx()), MaxY: float64(at.Dy())}
	if tile.W < 1 || tile.H < 1 || len(tile.Data) != tile.W*tile.H {
		return fmt.Errorf("%w: a tile's map of %dx%d has %d values", ErrImage, tile.W, tile.H, len(tile.Data))
	}
	const near = 1e-3 // of a pixel; sizes are up to 2^26
	if r := tile.Rect; math.Abs(r.MinX)+math.Abs(r.MinY)+math.Abs(r.MaxX-full.MaxX)+math.Abs(r.MaxY-full.MaxY) > near {
		return fmt.Errorf("%w: the detector sees %+v of a tile of %v pixels; give it a transform that shows all of it, such as dataset.Square", ErrConfig, r, at.Size())
	}
	xs := footprints(m.W, m.Rect.MaxX, at.Min.X, at.Max.X, tile.W)
	ys := footprints(m.H, m.Rect.MaxY, at.Min.Y, at.Max.Y, tile.H)
	for _, fy := range ys {
		for _, fx := range xs {
			top := m.Data[fy.cell*m.W+fx.cell]
			for y := fy.from; y < fy.to; y++ {
				for _, v := range tile.Data[y*tile.W+fx.from : y*tile.W+fx.to] {
					if v > top || v != v {
						top = v
					}
				}
			}
			m.Data[fy.cell*m.W+fx.cell] = top
		}
	}
	return nil
}

// footprint says which values of a tile, from to below to, a cell of the map
// overlaps.
type footprint struct{ cell, from, to int }

// footprints are those of all n cells over a length that overlap the tile from lo to
// hi, which has k values.
func footprints(n int, length float64, lo, hi, k int) []footprint {
	const edge = 1e-9 // of a cell: what merely touches does not overlap
	cell, value := length/float64(n), float64(hi-lo)/float64(k)
	first := max(0, int(math.Floor(float64(lo)/cell+edge)))
	last := min(n, int(math.Ceil(float64(hi)/cell-edge)))
	out := make([]footprint, 0, max(0, last-first))
	for c := first; c < last; c++ {
		from := int(math.Floor((float64(c)*cell-float64(lo))/value + edge))
		to := int(math.Ceil((float64(c+1)*cell-float64(lo))/value - edge))
		from = min(max(from, 0), k-1)
		to = min(max(to, from+1), k)
		out = append(out, footprint{c, from, to})
	}
	return out
}
