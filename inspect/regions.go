package inspect

import (
	"context"
	"errors"
	"fmt"
	"image"
	"iter"
	"math"
	"sync"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/internal/usual"
	"github.com/gotab/gotab/metrics"
)

// Regions say where on an image defects are looked for. Rectangles are in parts of the
// image's width and height, from 0 (left, top) to 1 (right, bottom), so that they fit
// images of every size. The zero value looks everywhere.
type Regions struct {
	// Of are the places that are looked at; empty for all.
	Of []dataset.Rect `json:"of,omitempty"`
	// Ignore are places that are not looked at, also where they lie in Of.
	Ignore []dataset.Rect `json:"ignore,omitempty"`
	// Mask, unless it is nil, is stretched over the image; where it is 128 or more, the
	// place is not looked at. At most 16,777,216 pixels.
	Mask *image.Gray `json:"-"`
}

const (
	maxRegions    = 1024
	maxMaskPixels = 1 << 24
)

// All says whether everything is looked at.
func (g Regions) All() bool { return len(g.Of) == 0 && len(g.Ignore) == 0 && g.Mask == nil }

// Validate names the first region that makes no sense; the error wraps
// [downstream.ErrConfig].
func (g Regions) Validate() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("inspect: regions: %w: %s", downstream.ErrConfig, fmt.Sprintf(format, args...))
	}
	if n := len(g.Of) + len(g.Ignore); n > maxRegions {
		return bad("%d rectangles, at most %d are taken", n, maxRegions)
	}
	for _, list := range []struct {
		name  string
		rects []dataset.Rect
	}{{"Of", g.Of}, {"Ignore", g.Ignore}} {
		for i, r := range list.rects {
			if !(r.MinX >= 0 && r.MinX < r.MaxX && r.MaxX <= 1 && r.MinY >= 0 && r.MinY < r.MaxY && r.MaxY <= 1) {
				return bad("%s[%d] is %+v, want parts of the image: 0 <= Min < Max <= 1", list.name, i, r)
			}
		}
	}
	if g.Mask != nil {
		w, h := g.Mask.Rect.Dx(), g.Mask.Rect.Dy()
		if w < 1 || h < 1 || w > maxMaskPixels/h || len(g.Mask.Pix) < (h-1)*g.Mask.Stride+w || g.Mask.Stride < w {
			return bad("Mask has %dx%d pixels in %d bytes of %d a row, want 1 to %d of them", w, h, len(g.Mask.Pix), g.Mask.Stride, maxMaskPixels)
		}
	}
	return nil
}

// looks says whether a place is looked at.
func (g Regions) looks(x, y float64) bool {
	in := func(rects []dataset.Rect) bool {
		for _, r := range rects {
			if x >= r.MinX && x < r.MaxX && y >= r.MinY && y < r.MaxY {
				return true
			}
		}
		return false
	}
	if len(g.Of) > 0 && !in(g.Of) || in(g.Ignore) {
		return false
	}
	if m := g.Mask; m != nil {
		w, h := m.Rect.Dx(), m.Rect.Dy()
		at := min(int(y*float64(h)), h-1)*m.Stride + min(int(x*float64(w)), w-1)
		return m.Pix[at] < 128
	}
	return true
}

// each calls f with every value of m that is looked at, or that is not. size is that of
// the image. A value belongs to the place of its centre.
func (g Regions) each(m downstream.Map, size image.Point, looked bool, f func(at int)) {
	for y := range m.H {
		fy := (m.Rect.MinY + (float64(y)+0.5)*(m.Rect.MaxY-m.Rect.MinY)/float64(m.H)) / float64(size.Y)
		for x := range m.W {
			fx := (m.Rect.MinX + (float64(x)+0.5)*(m.Rect.MaxX-m.Rect.MinX)/float64(m.W)) / float64(size.X)
			if g.looks(min(max(fx, 0), 1), min(max(fy, 0), 1)) == looked {
				f(y*m.W + x)
			}
		}
	}
}

// score returns the largest value that is looked at.
func (g Regions) score(m downstream.Map, size image.Point) (float64, error) {
	if m.W < 1 || m.H < 1 || len(m.Data) != m.W*m.H {
		return 0, fmt.Errorf("%w: a map of %dx%d has %d values", downstream.ErrImage, m.W, m.H, len(m.Data))
	}
	top, any := math.Inf(-1), false
	g.each(m, size, true, func(at int) {
		v := float64(m.Data[at])
		if v > top || v != v {
			top = v
		}
		any = true
	})
	switch {
	case !any:
		return 0, fmt.Errorf("%w: no value of the map, which is %dx%d, lies where the regions look; make them larger", downstream.ErrConfig, m.W, m.H)
	case top-top != 0:
		return 0, fmt.Errorf("%w: the score within the regions is %v", downstream.ErrNotFinite, top)
	}
	return top, nil
}

// hide makes what is not looked at NaN; [Verdict.Overlay] draws that as not seen.
func (g Regions) hide(m downstream.Map, size image.Point) {
	if g.All() {
		return
	}
	g.each(m, size, false, func(at int) { m.Data[at] = float32(math.NaN()) })
}

// Regional is a detector that looks at some places only: a score is the largest value of
// the map within its regions. That is what the score of PaDiM, RD4AD, RegAD and of tiled ones
// of these is without regions; the score of PatchCore, which weighs by neighbours, and of
// SimpleNet, which is taken before the map is smoothed, become another one. So a Regional has a
// calibration of its own, made with its regions.
//
// A map is smoothed: a defect that lies outside of the regions, nearer than two
// deviations, still raises the values inside. Maps keep their values everywhere, so that
// this can be seen. Regional is as safe for concurrent use as its detector.
type Regional struct {
	d       downstream.Detector
	regions Regions

	mu          sync.Mutex
	calibration *downstream.Calibration
}

var _ downstream.Detector = (*Regional)(nil)

// Within makes a detector look at regions only. It takes d over unless there is an
// error, which wraps [downstream.ErrConfig]. From then on d is fitted and calibrated
// through it alone.
func Within(d downstream.Detector, regions Regions) (*Regional, error) {
	if d == nil {
		return nil, fmt.Errorf("inspect: regions: %w: the detector is nil", downstream.ErrConfig)
	}
	if err := regions.Validate(); err != nil {
		return nil, err
	}
	return &Regional{d: d, regions: regions}, nil
}

// made refuses a Regional that is not of Within, and no context.
func (r *Regional) made(ctx context.Context) error {
	switch {
	case ctx == nil:
		return fmt.Errorf("inspect: regions: %w", errNoContext)
	case r.d == nil:
		return fmt.Errorf("inspect: regions: %w: make it with Within", downstream.ErrConfig)
	}
	return nil
}

// Detector returns the detector inside, which stays r's.
func (r *Regional) Detector() downstream.Detector { return r.d }

// Regions returns where it looks.
func (r *Regional) Regions() Regions { return r.regions }

// Fit fits the detector on whole images: what is normal is learnt everywhere. The
// calibration ends.
func (r *Regional) Fit(ctx context.Context, normal dataset.Dataset) error {
	if err := r.made(ctx); err != nil {
		return err
	}
	err := r.d.Fit(ctx, normal)
	if err == nil {
		r.setCalibration(nil)
	}
	return err
}

func (r *Regional) setCalibration(c *downstream.Calibration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calibration = c
}

// now returns the calibration, nil for none.
func (r *Regional) now() *downstream.Calibration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.calibration
}

// Calibration returns what the last Calibrate made. It returns
// [downstream.ErrNotCalibrated] if there was none since the last Fit.
func (r *Regional) Calibration() (*downstream.Calibration, error) {
	if c := r.now(); c != nil {
		return c, nil
	}
	return nil, fmt.Errorf("inspect: calibration within regions: %w", downstream.ErrNotCalibrated)
}

// Score judges images of any size, in their order. Errors are the detector's, or
// [downstream.ErrConfig] if the regions are too small for a map.
func (r *Regional) Score(ctx context.Context, imgs ...image.Image) ([]downstream.Result, error) {
	if err := r.made(ctx); err != nil {
		return nil, err
	}
	c := r.now()
	results, err := r.d.Score(ctx, imgs...)
	if err != nil {
		return nil, err
	}
	for i := range results {
		if results[i], err = r.within(results[i], imgs[i].Bounds().Size(), c); err != nil {
			return nil, fmt.Errorf("inspect: score within regions: image %d: %w", i, err)
		}
	}
	return results, nil
}

// within is a result of the regions alone.
func (r *Regional) within(of downstream.Result, size image.Point, c *downstream.Calibration) (downstream.Result, error) {
	score, err := r.regions.score(of.Map, size)
	if err != nil {
		return downstream.Result{}, err
	}
	return c.Mark(downstream.Result{Score: score, Map: of.Map}), nil
}

// ScoreSeq judges images as they come and yields their results in order. An error ends
// it.
func (r *Regional) ScoreSeq(ctx context.Context, imgs iter.Seq[image.Image]) iter.Seq2[downstream.Result, error] {
	return func(yield func(downstream.Result, error) bool) {
		fail := func(err error) {
			yield(downstream.Result{}, fmt.Errorf("inspect: score within regions: %w", err))
		}
		if err := r.made(ctx); err != nil {
			yield(downstream.Result{}, err)
			return
		}
		if imgs == nil {
			fail(fmt.Errorf("%w: the sequence is nil", downstream.ErrImage))
			return
		}
		c := r.now()
		var mu sync.Mutex
		var sizes []image.Point // of images whose results have not come
		seen := func(yield func(image.Image) bool) {
			for img := range imgs {
				if !absent(img) { // no image is an error of the detector, and has no result
					mu.Lock()
					sizes = append(sizes, img.Bounds().Size())
					mu.Unlock()
				}
				if !yield(img) {
					return
				}
			}
		}
		for res, err := range r.d.ScoreSeq(ctx, seen) {
			if err != nil {
				yield(downstream.Result{}, err)
				return
			}
			mu.Lock()
			size := sizes[0]
			sizes = sizes[1:]
			mu.Unlock()
			out, err := r.within(res, size, c)
			if err != nil {
				fail(err)
				return
			}
			if !yield(out, nil) {
				return
			}
		}
	}
}

// ScoreSet judges a data set and yields its samples in order. Regions are parts of whole
// images: a data set whose samples have gone through a transform is
// [errors.ErrUnsupported].
func (r *Regional) ScoreSet(ctx context.Context, ds dataset.Dataset) iter.Seq2[downstream.Scored, error] {
	return r.scored(ctx, ds, r.now())
}

func (r *Regional) scored(ctx context.Context, ds dataset.Dataset, c *downstream.Calibration) iter.Seq2[downstream.Scored, error] {
	return func(yield func(downstream.Scored, error) bool) {
		fail := func(err error) { yield(downstream.Scored{}, fmt.Errorf("inspect: score within regions: %w", err)) }
		if err := r.made(ctx); err != nil {
			yield(downstream.Scored{}, err)
			return
		}
		if ds == nil {
			fail(fmt.Errorf("%w: the data set is nil", downstream.ErrImage))
			return
		}
		if t, ok := dataset.TransformOf(ds); ok {
			fail(fmt.Errorf("%w: the samples have gone through a transform (%s), regions are parts of whole images", errors.ErrUnsupported, t))
			return
		}
		measured := &measured{Dataset: ds, sizes: make(map[int]image.Point)}
		i := 0
		for s, err := range r.d.ScoreSet(ctx, measured) {
			if err != nil {
				yield(downstream.Scored{}, err)
				return
			}
			size, ok := measured.take(i)
			if !ok {
				fail(fmt.Errorf("image %s: %w: the detector has not read it", s.Name, downstream.ErrImage))
				return
			}
			if s.Result, err = r.within(s.Result, size, c); err != nil {
				fail(fmt.Errorf("image %s: %w", s.Name, err))
				return
			}
			i++
			if !yield(s, nil) {
				return
			}
		}
	}
}

// measured notes the sizes of the samples that go through it.
type measured struct {
	dataset.Dataset
	mu    sync.Mutex
	sizes map[int]image.Point // of samples whose results are to come
}

func (m *measured) Sample(ctx context.Context, i int) (dataset.Sample, error) {
	s, err := m.Dataset.Sample(ctx, i)
	if err == nil && !absent(s.Image) {
		m.mu.Lock()
		m.sizes[i] = s.Image.Bounds().Size()
		m.mu.Unlock()
	}
	return s, err
}

// Transform is that of the samples: regions refuse any.
func (m *measured) Transform() (dataset.Transform, bool) { return dataset.TransformOf(m.Dataset) }

func (m *measured) take(i int) (image.Point, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	size, ok := m.sizes[i]
	delete(m.sizes, i)
	return size, ok
}

// Calibrate chooses a threshold by a rule from the scores within the regions. The
// detector inside is calibrated first, on whole images, by which it refuses parts that it
// was fitted on; so the parts are scored twice. Errors are those of the detector's
// Calibrate, of ScoreSet and of [downstream.NewCalibration]; after one of them r's
// calibration is as it was before. The colour scale is that of the values within the regions.
func (r *Regional) Calibrate(ctx context.Context, parts dataset.Dataset, rule metrics.Rule) (*downstream.Calibration, error) {
	if err := r.made(ctx); err != nil {
		return nil, err
	}
	if _, err := r.d.Calibrate(ctx, parts, rule); err != nil {
		return nil, err
	}
	var good, defective []float64
	var maps usual.Values
	sized := &measured{Dataset: parts, sizes: make(map[int]image.Point)}
	i := 0
	for s, err := range r.scored(ctx, sized, nil) {
		if err != nil {
			return nil, err
		}
		size, ok := sized.take(i)
		if !ok {
			return nil, fmt.Errorf("inspect: calibrate within regions: image %s: %w: the detector has not read it", s.Name, downstream.ErrImage)
		}
		i++
		if s.IsDefective() {
			defective = append(defective, s.Score)
			continue
		}
		good = append(good, s.Score)
		var seen []float32
		r.regions.each(s.Map, size, true, func(at int) { seen = append(seen, s.Map.Data[at]) })
		maps.Add(seen)
	}
	low, high := maps.Scale(usual.Quantile, usual.Reach)
	c, err := downstream.NewCalibration(good, defective, downstream.ColourScale{Low: low, High: high}, rule)
	if err != nil {
		return nil, fmt.Errorf("inspect: calibrate within regions: %w", err)
	}
	r.setCalibration(c)
	return c, nil
}

// Save saves the detector inside. Neither regions nor the calibration within them are
// in its file; a bundle has both ([Create]).
func (r *Regional) Save(path string) error {
	if r.d == nil {
		return fmt.Errorf("inspect: regions: %w", downstream.ErrNotFitted)
	}
	return r.d.Save(path)
}

// Close closes the detector.
func (r *Regional) Close() error {
	if r.d == nil {
		return nil
	}
	return r.d.Close()
}
