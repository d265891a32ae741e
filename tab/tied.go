package tab

import (
	"fmt"
	"slices"

	"github.com/gotab/gotab/internal/seed"
	"github.com/gotab/gotab/tensor"
)

// checkTied says whether tied names some of the classes, none twice, and leaves one.
func checkTied(tied, classes []string) error {
	for i, c := range tied {
		switch {
		case !slices.Contains(classes, c):
			return fmt.Errorf("Config.Tied: %w: %q is none of the classes %q", ErrUnknownClass, c, classes)
		case slices.Contains(tied[:i], c):
			return bad("Tied", fmt.Sprintf("%q", tied), "each class once")
		}
	}
	if len(tied) > 0 && len(tied) == len(classes) {
		return bad("Tied", fmt.Sprintf("%q", tied), "a class at least that is not tied, or nothing is trained")
	}
	return nil
}

// tied says of each pair of a batch whether its class is tied; nil where no class is.
func (p *Pretrainer) tied(b Batch) []bool {
	if len(p.cfg.Tied) == 0 {
		return nil
	}
	out := make([]bool, len(b.Class))
	for i, k := range b.Class {
		out[i] = slices.Contains(p.cfg.Tied, p.classes[k])
	}
	return out
}

// ones is float32 [len(is)], 1 where is says so and 0 elsewhere.
func ones(s *tensor.Scope, is []bool) *tensor.Tensor {
	out := make([]float32, len(is))
	for i, one := range is {
		if one {
			out[i] = 1
		}
	}
	return s.FromFloats(out, int64(len(out)))
}

// places are the images of an epoch before they are shuffled: all Repeat times, or, where classes are tied, those of
// the others Repeat times and as many of the tied, class after class. Each tied class goes on through its images where
// the epoch before ended, in an order that is drawn anew each time round: a small one is seen as often as a large one, and no
// image of it a second time before all others were.
func (f *feed) places() ([]int, error) {
	cfg := f.p.cfg
	free := f.ds.Len() // images of classes that are not tied
	var tied []string  // of which there are images
	for _, c := range cfg.Tied {
		if of := len(f.byClass[c]); of > 0 {
			free, tied = free-of, append(tied, c)
		}
	}
	n, all, more := free*cfg.Repeat, free*cfg.Repeat, ""
	if len(tied) > 0 {
		all, more = 2*n, " and as many of tied classes"
	}
	switch {
	case free == 0 && len(tied) > 0:
		return nil, fmt.Errorf("tab: data: %w: there is no image of a class that is not tied (%q are), so nothing would be trained", ErrConfig, cfg.Tied)
	case all < cfg.Batch:
		return nil, fmt.Errorf("tab: data: %w: an epoch of %d x %d images%s does not fill a batch of %d pairs; take a smaller Batch or a larger Repeat",
			ErrConfig, cfg.Repeat, free, more, cfg.Batch)
	}
	out := make([]int, 0, all)
	for i := range f.ds.Len() {
		if len(tied) == 0 || !slices.Contains(tied, f.ds.Item(i).Class) {
			out = append(out, i)
		}
	}
	for range cfg.Repeat - 1 {
		out = append(out, out[:free]...)
	}
	for k, c := range tied {
		each := (n - k + len(tied) - 1) / len(tied) // places of this class in an epoch
		images := f.byClass[c]
		var order []int
		for at, round := f.epoch*each, -1; at < (f.epoch+1)*each; at++ {
			if at/len(images) != round {
				round = at / len(images)
				order = slices.Clone(images)
				seed.Rand(cfg.Seed, "tied", uint64(k), uint64(round)).Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
			}
			out = append(out, order[at%len(images)])
		}
	}
	return out, nil
}
