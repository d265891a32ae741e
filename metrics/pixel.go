package metrics

import (
	"fmt"
	"image"
	"math"

	"github.com/gotab/gotab/internal/pixels"
)

const (
	keyBytes = 4       // bytes of a pixel in exact mode
	growStep = 1 << 16 // keys, the least by which a list grows
	binBits  = 16
	binCount = 1 << binBits
	// maskThreshold splits a mask of 0 and 255; what resampling left between them
	// belongs to the nearer.
	maskThreshold = 128
)

// PixelResult is what PixelAUROC found.
type PixelResult struct {
	AUROC            float64 // from 0 to 1
	Exact            bool    // whether every pair was compared at full float32 precision
	Bound            float64 // the true area is within AUROC-Bound and AUROC+Bound; 0 where Exact
	Pixels, Positive int64   // how many were added, and how many of them are defective
}

// PixelAUROC pools the pixels of many images and computes the area under their
// common ROC curve. It starts exact and keeps the score of every pixel, 4 bytes
// each; when that would take more than its budget, it turns for good, and without
// forgetting any pixel, to counting in 2^16 bins (1 MiB). A bin holds the scores
// whose float32 share sign, exponent and the upper 7 bits of the mantissa, so no
// range need be known beforehand, and a bin is less than 0.8 % wide. Pairs that
// share a bin count one half, which is wrong by at most one half: Bound is half of
// the fraction of such pairs.
//
// A PixelAUROC is not safe for concurrent use. The order in which pixels are added
// does not matter to the area in either mode.
type PixelAUROC struct {
	budget   int64
	pos, neg []uint32 // keys, in exact mode
	sorted   bool
	bins     []binPair // nil in exact mode
	pixels   int64
	positive int64
}

// binPair counts the pixels of a bin.
type binPair struct{ pos, neg uint64 }

// NewPixelAUROC returns an empty accumulator that keeps scores in at most
// budgetBytes bytes while it is exact. A pixel takes 4 bytes, and while a list grows
// its copy counts too: 9 bytes a pixel, and 1 MiB, always suffice. With 0 or less it
// counts in bins from the start.
func NewPixelAUROC(budgetBytes int64) *PixelAUROC {
	p := &PixelAUROC{budget: budgetBytes, sorted: true}
	if budgetBytes <= 0 {
		p.bins = make([]binPair, binCount)
	}
	return p
}

// Add adds pixels with their labels. Unequal lengths are ErrLength, a NaN is
// ErrNaN; after an error nothing was added.
func (p *PixelAUROC) Add(scores []float32, positive []bool) error {
	if len(scores) != len(positive) {
		return fmt.Errorf("metrics: add pixels: %w: %d scores, %d labels", ErrLength, len(scores), len(positive))
	}
	return p.add(scores, positive)
}

// AddMask adds the pixels of one image: scores in row-major order, W*H of them for
// a mask of W x H. Pixels of the mask of 128 and above are defective. A nil mask says
// that the image has no anomaly. A mask of another size is ErrSize, a NaN is ErrNaN.
func (p *PixelAUROC) AddMask(scores []float32, mask *image.Gray) error {
	if mask == nil {
		return p.add(scores, nil)
	}
	if err := pixels.Check(mask); err != nil {
		return fmt.Errorf("metrics: add pixels: %w: %w", ErrSize, err)
	}
	b := mask.Bounds()
	w, h := b.Dx(), b.Dy()
	if len(scores) != w*h {
		return fmt.Errorf("metrics: add pixels: %w: %d scores, mask of %d x %d", ErrSize, len(scores), w, h)
	}
	positive := make([]bool, 0, w*h)
	for y := b.Min.Y; y < b.Max.Y; y++ {
		at := mask.PixOffset(b.Min.X, y)
		for _, v := range mask.Pix[at : at+w] {
			positive = append(positive, v >= maskThreshold)
		}
	}
	return p.add(scores, positive)
}

// add takes pixels with as many labels, or with none where all are negative.
func (p *PixelAUROC) add(scores []float32, positive []bool) error {
	for i, s := range scores {
		if s != s { // only a NaN differs from itself
			return fmt.Errorf("metrics: add pixels: %w: number %d of %d", ErrNaN, i, len(scores))
		}
	}
	n := 0
	for _, v := range positive {
		if v {
			n++
		}
	}
	if p.bins == nil && !p.reserve(n, len(scores)-n) {
		p.stream()
	}
	for i, s := range scores {
		k, pos := key(s), positive != nil && positive[i]
		switch {
		case p.bins != nil && pos:
			p.bins[k>>(32-binBits)].pos++
		case p.bins != nil:
			p.bins[k>>(32-binBits)].neg++
		case pos:
			p.pos = append(p.pos, k)
		default:
			p.neg = append(p.neg, k)
		}
	}
	p.sorted = p.sorted && len(scores) == 0
	p.pixels += int64(len(scores))
	p.positive += int64(n)
	return nil
}

// reserve makes room for pos and neg further keys, or says that the budget does
// not allow it. Both lists and the copy of the one that grows count.
func (p *PixelAUROC) reserve(pos, neg int) bool {
	free := func() int64 { return p.budget - keyBytes*int64(cap(p.pos)+cap(p.neg)) }
	return grow(&p.pos, pos, keyBytes, free(), keyBytes*growth(p.neg, neg)) && grow(&p.neg, neg, keyBytes, free(), 0)
}

// Reserve makes room for so many further pixels at once, where the budget has it and the scores are kept: a list that grows is copied, and
// for that time it is there twice. It changes no result but this: near the end of its budget a list that need not grow holds a few more
// pixels than one that must.
func (p *PixelAUROC) Reserve(positive, negative int) {
	if p.bins != nil {
		return
	}
	free := func() int64 { return p.budget - keyBytes*int64(cap(p.pos)+cap(p.neg)) }
	exactly(&p.pos, positive, keyBytes, free())
	exactly(&p.neg, negative, keyBytes, free())
}

// exactly makes room for more further elements and no others, if the free bytes allow it. So many that nobody has them are not believed.
func exactly[T any](list *[]T, more int, bytes, free int64) {
	const most = 1 << 28
	if need := growth(*list, more); need > 0 && need <= min(free/bytes, most) {
		bigger := make([]T, len(*list), need)
		copy(bigger, *list)
		*list = bigger
	}
}

// growth is how many elements a list has to be allocated with to take more; 0 where
// they fit.
func growth[T any](list []T, more int) int64 {
	if need := len(list) + more; need > cap(list) {
		return int64(need)
	}
	return 0
}

// grow makes room for more further elements of so many bytes each, or says that
// the free bytes do not allow it: those that are left beside the list as it is,
// because it stays until it is copied. What it takes beyond the need leaves keep bytes.
func grow[T any](list *[]T, more int, bytes, free, keep int64) bool {
	need := growth(*list, more)
	if need == 0 {
		return true
	}
	if need > free/bytes {
		return false
	}
	// A quarter in reserve, so that growing costs a constant time an element; but at
	// most half of what is left.
	spare := max(0, min(need/4+growStep, ((free-keep)/bytes-need)/2))
	bigger := make([]T, len(*list), need+spare)
	copy(bigger, *list)
	*list = bigger
	return true
}

// stream moves every key into its bin.
func (p *PixelAUROC) stream() {
	p.bins = make([]binPair, binCount)
	for _, k := range p.pos {
		p.bins[k>>(32-binBits)].pos++
	}
	for _, k := range p.neg {
		p.bins[k>>(32-binBits)].neg++
	}
	p.pos, p.neg = nil, nil
}

// Result computes the area over all pixels added so far; more may be added
// afterwards. Fewer than one positive or one negative is ErrOneClass.
func (p *PixelAUROC) Result() (PixelResult, error) {
	var t tally
	if err := p.walk(func(_ uint32, pos, neg uint64) { t.add(pos, neg) }); err != nil {
		return PixelResult{}, fmt.Errorf("metrics: pixel AUROC: %w", err)
	}
	r := PixelResult{AUROC: t.auroc(), Exact: p.bins == nil, Pixels: p.pixels, Positive: p.positive}
	if !r.Exact {
		r.Bound = t.halfTied()
	}
	return r, nil
}

// F1Max returns the highest F1 over all pixels added so far and the threshold that
// reaches it, as the function of that name does: pixels that score at least
// threshold are called defective. F1 is the exact value at that threshold; once in
// bins, only the lower ends of bins are tried. Fewer than one positive or one
// negative is ErrOneClass.
func (p *PixelAUROC) F1Max() (f1 float64, threshold float32, err error) {
	b := bestF1[uint32]{pos: uint64(p.positive), neg: uint64(p.pixels - p.positive), positives: uint64(p.positive)}
	if err := p.walk(b.add); err != nil {
		return 0, 0, fmt.Errorf("metrics: pixel F1: %w", err)
	}
	return b.f1, score(b.threshold), nil
}

// walk calls fn for each distinct key or each bin in use, rising.
func (p *PixelAUROC) walk(fn func(key uint32, pos, neg uint64)) error {
	if p.positive == 0 || p.positive == p.pixels {
		return fmt.Errorf("%w: %d of %d pixels are positive", ErrOneClass, p.positive, p.pixels)
	}
	if p.bins == nil {
		if !p.sorted {
			sortKeys(p.pos)
			sortKeys(p.neg)
			p.sorted = true
		}
		merge(p.pos, p.neg, func(k uint32, pos, neg int) { fn(k, uint64(pos), uint64(neg)) })
		return nil
	}
	for i, b := range p.bins {
		if b.pos|b.neg != 0 {
			fn(uint32(i)<<(32-binBits), b.pos, b.neg)
		}
	}
	return nil
}

// key maps a float32 that is not NaN to an integer of the same order: negative
// numbers have all bits flipped, others the sign bit. -0 becomes 0, which equals it.
func key(s float32) uint32 {
	const sign = 1 << 31
	b := math.Float32bits(s)
	if b == sign {
		b = 0
	}
	return b ^ (uint32(int32(b)>>31) | sign)
}

// score is the inverse of key. Keys below that of -Inf, which only the lower end of
// a bin can be, give -Inf.
func score(k uint32) float32 {
	k = max(k, key(float32(math.Inf(-1))))
	return math.Float32frombits(k ^ (uint32(int32(^k)>>31) | 1<<31))
}
