package drawn

import (
	"context"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"runtime"
	"slices"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/internal/pipeline"
)

// MaxBytes bounds the pixels of a data set: four bytes a pixel, and one for its mask.
const MaxBytes = 16 << 30

// Part is a split of the data set, for each class.
type Part struct {
	Split string // name, for example [dataset.Train]
	Good  int    // images without a fault
	// Each is the number of images of each kind of defect.
	Each int
	// Balanced adds as many good images as there are defective ones.
	Balanced bool
}

// Config says what is drawn.
type Config struct {
	Classes []string // products, of [Classes]; nil for all
	Size    int      // side of an image in pixels, [MinSize] to [MaxSize]
	Parts   []Part   // splits, each with a name of its own
	Seed    uint64   // with an image's name it decides all of its pixels
}

// Default returns 64 good images of each product for training, and for testing four of each
// kind of defect with as many good ones, of 128 pixels a side and seed 1: what
// examples/quickstart takes.
func Default() Config {
	return Config{Size: 128, Seed: 1, Parts: []Part{{Split: dataset.Train, Good: 64}, {Split: dataset.Test, Each: 4, Balanced: true}}}
}

// Validate reports settings that make no sense. The error wraps [ErrConfig], [ErrClass] or
// [ErrSize].
func (c Config) Validate() error {
	_, err := c.items()
	return err
}

// items lists what is to be drawn, without a pixel.
func (c Config) items() (items []dataset.Item, err error) {
	if c.Size < MinSize || c.Size > MaxSize {
		return nil, fmt.Errorf("drawn: %w: Size is %d, want %d to %d pixels", ErrSize, c.Size, MinSize, MaxSize)
	}
	classes := c.Classes
	if classes == nil {
		classes = Classes()
	}
	most := MaxBytes / (5 * c.Size * c.Size)
	for i, class := range classes {
		kinds, err := Defects(class)
		if err != nil {
			return nil, err
		}
		if slices.Contains(classes[:i], class) {
			return nil, fmt.Errorf("drawn: %w: class %s is named twice", ErrConfig, class)
		}
		for k, p := range c.Parts {
			switch {
			case p.Split == "" || slices.ContainsFunc(c.Parts[:k], func(o Part) bool { return o.Split == p.Split }):
				return nil, fmt.Errorf("drawn: %w: part %d is called %q, want a name of its own", ErrConfig, k, p.Split)
			case p.Good < 0 || p.Each < 0:
				return nil, fmt.Errorf("drawn: %w: part %s has %d good images and %d of each kind, want 0 or more", ErrConfig, p.Split, p.Good, p.Each)
			case p.Good > most || p.Each > most/(2*len(kinds)):
				return nil, fmt.Errorf("drawn: %w: part %s takes more than %d bytes of pixels; draw fewer or smaller images", ErrSize, p.Split, MaxBytes)
			}
			add := func(kind string, n int) {
				for i := range n {
					items = append(items, dataset.Item{Name: fmt.Sprintf("%s/%s/%s/%03d", class, p.Split, kind, i),
						Class: class, Split: p.Split, Defect: kind, Label: dataset.LabelOf(kind)})
				}
			}
			for _, kind := range kinds {
				add(kind, p.Each)
			}
			good := p.Good
			if p.Balanced {
				good += p.Each * len(kinds)
			}
			if len(items)+good > most {
				return nil, fmt.Errorf("drawn: %w: the images take more than %d bytes of pixels; draw fewer or smaller ones", ErrSize, MaxBytes)
			}
			add(dataset.Good, good)
		}
	}
	return items, nil
}

// New draws a data set on all cores. An image depends on the seed and on its name alone, so neither
// the number of cores nor what else is drawn changes it. Names are class, split, kind of defect and number, as in
// MVTec AD's layout. Defective images have a mask. The error wraps [ErrConfig], [ErrClass],
// [ErrSize] or [ErrInvisible], or is that of ctx.
func New(ctx context.Context, c Config) (*dataset.Memory, error) {
	if ctx == nil {
		return nil, fmt.Errorf("drawn: %w: the context is nil; pass context.Background()", ErrConfig)
	}
	items, err := c.items()
	if err != nil {
		return nil, err
	}
	workers := runtime.GOMAXPROCS(0)
	samples := make([]dataset.Sample, 0, len(items))
	for s, err := range pipeline.Ordered(ctx, len(items), workers, 2*workers, func(_ context.Context, i int) (dataset.Sample, error) { return c.draw(items[i]) }) {
		if err != nil {
			return nil, err
		}
		samples = append(samples, s)
	}
	return dataset.NewMemory(samples)
}

func (c Config) draw(it dataset.Item) (dataset.Sample, error) {
	h := fnv.New64a()
	h.Write([]byte(it.Name)) // never fails
	rng := rand.New(rand.NewPCG(c.Seed, h.Sum64()))
	if it.IsGood() {
		img, err := Good(it.Class, c.Size, rng)
		return dataset.Sample{Item: it, Image: img}, err
	}
	d, err := Damaged(it.Class, it.Defect, c.Size, rng)
	return dataset.Sample{Item: it, Image: d.Image, Mask: d.Mask}, err
}
