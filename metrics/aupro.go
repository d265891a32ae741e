package metrics

import (
	"fmt"
	"image"
	"math"
	"slices"

	"github.com/gotab/gotab/internal/pixels"
)

// Limits of the false positive rate that published tables integrate to.
const (
	LimitMVTec    = 0.3  // MVTec AD, and nearly every table since
	LimitMVTecAD2 = 0.05 // MVTec AD 2
)

const regionBytes = 8 // bytes of a defect's pixel in exact mode

// AUPROResult is what AUPRO found.
type AUPROResult struct {
	AUPRO            float64 // from 0 to 1, divided by Limit
	Limit            float64 // the false positive rate up to which it was integrated
	Exact            bool    // whether scores were compared at full float32 precision
	Bound            float64 // the true value is within AUPRO-Bound and AUPRO+Bound; 0 where Exact
	Pixels, Positive int64   // how many were added, and how many of them are defective
	Components       int64   // connected defects, over all images
}

// AUPRO is the area under the per-region overlap curve over the images of a class.
// At a threshold, the overlap of a connected defect is the fraction of its pixels that
// score above it, PRO is the mean over all defects of all images (so that a
// small defect counts as much as a large one), and FPR is the fraction of all pixels
// without a defect, of good and of damaged images, that score above it. The curve has
// a point for each score that a pixel without a defect has, and (1, 1); straight
// lines join the points, and the area below them from FPR 0 to the limit, with the
// last line cut at it, is divided by the limit. Pixels are connected
// through their 8 neighbours.
//
// Memory: 4 bytes for a pixel without a defect and 8 for one with, in
// lists whose size and whose copies while they grow stay below the budget; beyond it
// the accumulator turns for good to 2^16 bins (1 MiB, those of PixelAUROC) and states
// by how much the area can be off. One image's labels, 4 bytes a pixel, come on top
// while it is added. Time: n log n for n pixels.
//
// An AUPRO is not safe for concurrent use. The order of the images does not matter
// (in bins: but for rounding).
//
// Source: Bergmann et al., "The MVTec Anomaly Detection Dataset", IJCV 129, 2021,
// section 5; the evaluation code published with it takes a sample of the thresholds,
// see Sampled.
type AUPRO struct {
	budget     int64
	good       []uint32 // keys of pixels without a defect, in exact mode
	bad        []uint64 // key << 32 | size of the component, in exact mode
	sorted     bool
	bins       []regionBin // nil in exact mode
	pixels     int64
	positive   int64
	components int64
}

// regionBin counts the pixels without a defect of a bin and weighs those with one.
type regionBin struct {
	good   uint64
	weight float64 // sum of 1/size of the component over its pixels
}

// NewAUPRO returns an empty accumulator that keeps scores in at most budgetBytes
// bytes while it is exact; 9 bytes for each good pixel and 18 for each other, and
// 2 MiB, always suffice. With 0 or less it counts in bins from the start.
func NewAUPRO(budgetBytes int64) *AUPRO {
	a := &AUPRO{budget: budgetBytes, sorted: true}
	if budgetBytes <= 0 {
		a.bins = make([]regionBin, binCount)
	}
	return a
}

// AddMask adds the pixels of one image: scores in row-major order, W*H of them for
// a mask of W x H. Pixels of the mask of 128 and above are defective. A nil mask says
// that the image has no anomaly. A mask of another size is ErrSize, a NaN is ErrNaN;
// after an error nothing was added.
func (a *AUPRO) AddMask(scores []float32, mask *image.Gray) error {
	labels, sizes, err := labelled(scores, mask)
	if err != nil {
		return fmt.Errorf("metrics: AUPRO: add pixels: %w", err)
	}
	positive := 0
	for _, n := range sizes {
		positive += int(n)
	}
	if a.bins == nil && !a.reserve(positive, len(scores)-positive) {
		a.stream()
	}
	for i, s := range scores {
		k, size := key(s), uint32(0)
		if labels != nil && labels[i] != 0 {
			size = sizes[labels[i]-1]
		}
		switch {
		case a.bins != nil && size != 0:
			a.bins[k>>(32-binBits)].weight += 1 / float64(size)
		case a.bins != nil:
			a.bins[k>>(32-binBits)].good++
		case size != 0:
			a.bad = append(a.bad, uint64(k)<<32|uint64(size))
		default:
			a.good = append(a.good, k)
		}
	}
	a.sorted = a.sorted && len(scores) == 0
	a.pixels += int64(len(scores))
	a.positive += int64(positive)
	a.components += int64(len(sizes))
	return nil
}

// labelled checks an image's scores against its mask and labels its defects, as
// components does; without a mask there is none.
func labelled(scores []float32, mask *image.Gray) (labels, sizes []uint32, err error) {
	for i, s := range scores {
		if s != s { // only a NaN differs from itself
			return nil, nil, fmt.Errorf("%w: number %d of %d", ErrNaN, i, len(scores))
		}
	}
	if mask == nil {
		return nil, nil, nil
	}
	if err := pixels.Check(mask); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrSize, err)
	}
	if b := mask.Bounds(); len(scores) != b.Dx()*b.Dy() {
		return nil, nil, fmt.Errorf("%w: %d scores, mask of %d x %d", ErrSize, len(scores), b.Dx(), b.Dy())
	}
	labels, sizes = components(mask)
	return labels, sizes, nil
}

// Reserve makes room for so many further pixels with a defect and without one, as [PixelAUROC.Reserve] does.
func (a *AUPRO) Reserve(bad, good int) {
	if a.bins != nil {
		return
	}
	free := func() int64 { return a.budget - keyBytes*int64(cap(a.good)) - regionBytes*int64(cap(a.bad)) }
	exactly(&a.bad, bad, regionBytes, free())
	exactly(&a.good, good, keyBytes, free())
}

// reserve makes room for further pixels, or says that the budget does not allow it.
func (a *AUPRO) reserve(bad, good int) bool {
	free := func() int64 { return a.budget - keyBytes*int64(cap(a.good)) - regionBytes*int64(cap(a.bad)) }
	return grow(&a.bad, bad, regionBytes, free(), keyBytes*growth(a.good, good)) && grow(&a.good, good, keyBytes, free(), 0)
}

// stream moves every pixel into its bin.
func (a *AUPRO) stream() {
	a.bins = make([]regionBin, binCount)
	for _, k := range a.good {
		a.bins[k>>(32-binBits)].good++
	}
	for _, v := range a.bad {
		a.bins[v>>(64-binBits)].weight += 1 / float64(uint32(v))
	}
	a.good, a.bad = nil, nil
}

// Result computes the area over all images added so far, with every score of a
// pixel without a defect as a threshold; more may be added afterwards. limit is above
// 0 and at most 1 (LimitMVTec, LimitMVTecAD2), else ErrRange. Without a defect, or
// without a pixel outside of one, it is ErrOneClass.
func (a *AUPRO) Result(limit float64) (AUPROResult, error) {
	if err := a.ready(limit); err != nil {
		return AUPROResult{}, err
	}
	good, all := float64(a.pixels-a.positive), float64(a.components)
	c := areaTo{limit: limit}
	var fp uint64
	var weight compensated
	first := true
	a.fall(func(n uint64, w float64) bool {
		above := min(1, weight.value()/all)
		weight.add(w)
		if n == 0 {
			return true
		}
		with := min(1, weight.value()/all)
		if first {
			c.y, first = above, false
		} else {
			c.to(float64(fp)/good, above, with)
		}
		fp += n
		return c.x < limit
	})
	c.to(1, 1, 1)
	r := a.result(limit, c)
	if r.Exact = a.bins == nil; r.Exact {
		r.Bound = 0
	}
	return r, nil
}

// Sampled computes the area as the evaluation code published with the data set
// does: its thresholds are so many scores of pixels without a defect, at equal steps
// of rank from the lowest to the highest, and the FPR of each is taken from its rank
// even where scores are equal. It needs the scores themselves: once in bins, it is
// ErrRange. thresholds is at least 2. Otherwise as Result.
func (a *AUPRO) Sampled(limit float64, thresholds int) (AUPROResult, error) {
	if err := a.ready(limit); err != nil {
		return AUPROResult{}, err
	}
	if thresholds < 2 {
		return AUPROResult{}, fmt.Errorf("metrics: AUPRO: thresholds is %d, needs at least 2: %w", thresholds, ErrRange)
	}
	if a.bins != nil {
		return AUPROResult{}, fmt.Errorf("metrics: AUPRO: a sample of thresholds needs all scores, and %d pixels did not fit into the budget of %d bytes: %w", a.pixels, a.budget, ErrRange)
	}
	a.sort()
	c := areaTo{limit: limit}
	var weight compensated
	next, n := len(a.bad), len(a.good)
	for i := thresholds - 1; i >= 0; i-- {
		// Truncation after one multiplication and, for the last, none: as numpy's linspace.
		at := n - 1
		if i < thresholds-1 {
			at = int(float64(i) * (float64(n-1) / float64(thresholds-1)))
		}
		for ; next > 0 && uint32(a.bad[next-1]>>32) > a.good[at]; next-- {
			weight.add(1 / float64(uint32(a.bad[next-1])))
		}
		x, y := 1-float64(at+1)/float64(n), min(1, weight.value()/float64(a.components))
		if i == thresholds-1 {
			c.x, c.y = x, y
		} else {
			c.to(x, y, y)
		}
	}
	c.to(1, 1, 1)
	r := a.result(limit, c)
	r.Exact, r.Bound = true, 0
	return r, nil
}

// ready says what keeps a value from existing.
func (a *AUPRO) ready(limit float64) error {
	if err := checkLimit(limit); err != nil {
		return fmt.Errorf("metrics: AUPRO: %w", err)
	}
	if a.positive == 0 || a.positive == a.pixels {
		return fmt.Errorf("metrics: AUPRO: %w: %d of %d pixels are positive", ErrOneClass, a.positive, a.pixels)
	}
	return nil
}

// checkLimit refuses what is no limit of a false positive rate, NaN included.
func checkLimit(limit float64) error {
	if !(limit > 0 && limit <= 1) {
		return fmt.Errorf("limit of the false positive rate is %g, must be above 0 and at most 1: %w", limit, ErrRange)
	}
	return nil
}

func (a *AUPRO) result(limit float64, c areaTo) AUPROResult {
	return AUPROResult{AUPRO: c.area.value() / limit, Limit: limit, Bound: c.off.value() / limit,
		Pixels: a.pixels, Positive: a.positive, Components: a.components}
}

func (a *AUPRO) sort() {
	if !a.sorted {
		sortKeys(a.good)
		slices.Sort(a.bad)
		a.sorted = true
	}
}

// fall calls fn for each distinct score or each bin in use, falling, with the pixels
// without a defect that have it and the weight of those with one, until fn is false.
func (a *AUPRO) fall(fn func(good uint64, weight float64) bool) {
	if a.bins != nil {
		for _, b := range slices.Backward(a.bins) {
			if (b.good != 0 || b.weight != 0) && !fn(b.good, b.weight) {
				return
			}
		}
		return
	}
	a.sort()
	for i, j := len(a.good), len(a.bad); i > 0 || j > 0; {
		var k uint32
		if i > 0 {
			k = a.good[i-1]
		}
		if j > 0 {
			k = max(k, uint32(a.bad[j-1]>>32))
		}
		n, w := uint64(0), 0.0
		for ; i > 0 && a.good[i-1] == k; i-- {
			n++
		}
		for ; j > 0 && uint32(a.bad[j-1]>>32) == k; j-- {
			w += 1 / float64(uint32(a.bad[j-1]))
		}
		if !fn(n, w) {
			return
		}
	}
}

// areaTo adds up the area below a rising line of points, as far as x = limit.
type areaTo struct {
	limit, x, y float64
	area        compensated
	off         compensated // how far the area can be from that of the true curve
}

// to draws the line to (x, y). most is what the true curve may reach before x.
func (c *areaTo) to(x, y, most float64) {
	if c.x >= c.limit {
		return
	}
	if x > c.limit {
		y = c.y + (y-c.y)*(c.limit-c.x)/(x-c.x)
		x = c.limit
	}
	mean := (c.y + y) / 2
	c.area.add((x - c.x) * mean)
	c.off.add((x - c.x) * math.Max(0, most-mean))
	c.x, c.y = x, y
}
