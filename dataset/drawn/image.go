package drawn

import (
	"errors"
	"fmt"
	"image"
	"math/rand/v2"
	"slices"
	"strings"
)

// Errors of this package.
var (
	// ErrConfig says that settings make no sense.
	ErrConfig = errors.New("invalid configuration")
	// ErrClass says that no product has the name asked for.
	ErrClass = errors.New("unknown class")
	// ErrDefect says that a product has no such defect.
	ErrDefect = errors.New("unknown defect")
	// ErrSize says that an image's side is out of range.
	ErrSize = errors.New("size out of range")
	// ErrNoRand says that the random source is nil.
	ErrNoRand = errors.New("the random source is nil")
	// ErrInvisible says that no try made a defect large enough to be seen.
	ErrInvisible = errors.New("the defect does not show")
)

const (
	// MinSize and MaxSize bound an image's side in pixels.
	MinSize, MaxSize = 32, 1024
	// Visible is by how many grey levels a pixel must differ from the undamaged
	// drawing, in its most different channel, to belong to the mask.
	Visible = 6
	// MinShare is the least share of an image's pixels that a mask covers: what
	// is smaller nobody could be asked to find.
	MinShare = 0.002
	// tries is how many draws of a defect are made until one shows.
	tries = 24
)

// Drawing is one image of a damaged product.
type Drawing struct {
	Image     *image.RGBA // alpha 255, origin (0,0)
	Undamaged *image.RGBA // the same product, light and noise without the defect
	Mask      *image.Gray // 255 where the two differ by more than Visible grey levels, else 0
}

// plan is a product whose measures are drawn: phase, turn, colours. paint lays
// it out with n points a side.
type plan interface {
	paint(n int) *surface
}

// defect is one way to be damaged: before changes the plan (nil: not at all),
// after the painted surface (nil: not at all). Both draw from the same source.
type defect struct {
	name   string
	before func(p plan, r *rand.Rand)
	after  func(s *surface, p plan, r *rand.Rand)
}

type product struct {
	name    string
	plan    func(r *rand.Rand) plan
	defects []defect
}

// products lists what can be drawn, sorted by name.
func products() []product {
	return []product{brushedMetal(), ceramicTiles(), leather(), steelWasher(), woodBoard(), wovenFabric()}
}

func find(class string) (product, error) {
	for _, p := range products() {
		if p.name == class {
			return p, nil
		}
	}
	return product{}, fmt.Errorf("drawn: class %q: %w, there are %s", class, ErrClass, strings.Join(Classes(), ", "))
}

// Classes returns the names of the products, sorted.
func Classes() []string {
	var names []string
	for _, p := range products() {
		names = append(names, p.name)
	}
	return names
}

// Defects returns the names of a class's defects. The error wraps ErrClass.
func Defects(class string) ([]string, error) {
	p, err := find(class)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, d := range p.defects {
		names = append(names, d.name)
	}
	return names, nil
}

// Good draws a product without a fault, size pixels a side. The error wraps
// ErrClass, ErrSize or ErrNoRand.
func Good(class string, size int, rng *rand.Rand) (*image.RGBA, error) {
	p, look, _, err := prepare(class, size, rng)
	if err != nil {
		return nil, err
	}
	img, _ := p.good(look, size)
	return img, nil
}

// Damaged draws a product with a defect. From the same random source Good
// draws the undamaged twin. The error wraps ErrClass, ErrDefect, ErrSize,
// ErrNoRand or ErrInvisible.
func Damaged(class, kind string, size int, rng *rand.Rand) (Drawing, error) {
	p, look, harm, err := prepare(class, size, rng)
	if err != nil {
		return Drawing{}, err
	}
	k := slices.IndexFunc(p.defects, func(d defect) bool { return d.name == kind })
	if k < 0 {
		return Drawing{}, fmt.Errorf("drawn: defect %q of %s: %w", kind, class, ErrDefect)
	}
	good, light := p.good(look, size)
	for try := range uint64(tries) {
		// The plan is drawn anew from the same seed, so that a defect that
		// changes it starts from the undamaged one.
		r := look.rand()
		_ = newLamp(r)
		made := p.plan(r)
		hr := rand.New(rand.NewPCG(harm, try))
		d := p.defects[k]
		if d.before != nil {
			d.before(made, hr)
		}
		s := made.paint(size * over)
		if d.after != nil {
			d.after(s, made, hr)
		}
		bad := s.photograph(light)
		if mask, count := difference(good, bad); float64(count) >= MinShare*float64(size*size) {
			return Drawing{Image: bad, Undamaged: good, Mask: mask}, nil
		}
	}
	return Drawing{}, fmt.Errorf("drawn: %s on %s: %w after %d tries", kind, class, ErrInvisible, tries)
}

// seedOf starts the source that a product's look is drawn from.
type seedOf uint64

func (s seedOf) rand() *rand.Rand { return rand.New(rand.NewPCG(uint64(s), 0)) }

func (p product) good(look seedOf, size int) (*image.RGBA, lamp) {
	r := look.rand()
	light := newLamp(r)
	return p.plan(r).paint(size * over).photograph(light), light
}

func prepare(class string, size int, rng *rand.Rand) (p product, look seedOf, harm uint64, err error) {
	if p, err = find(class); err != nil {
		return p, 0, 0, err
	}
	if size < MinSize || size > MaxSize {
		return p, 0, 0, fmt.Errorf("drawn: %s: %w: %d is not within %d and %d pixels", class, ErrSize, size, MinSize, MaxSize)
	}
	if rng == nil {
		return p, 0, 0, fmt.Errorf("drawn: %s: %w", class, ErrNoRand)
	}
	return p, seedOf(rng.Uint64()), rng.Uint64(), nil
}

// difference marks where two images of one size differ by more than Visible.
func difference(a, b *image.RGBA) (mask *image.Gray, count int) {
	mask = image.NewGray(a.Rect)
	for i := range mask.Pix {
		for c := range 3 {
			d := int(a.Pix[4*i+c]) - int(b.Pix[4*i+c])
			if d > Visible || d < -Visible {
				mask.Pix[i] = 255
				count++
				break
			}
		}
	}
	return mask, count
}
