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
// the others Repeat times and as many of the tied, class after class. Each tied class goes through its images in an
// order of the epoch's, so that a small one is seen as often as a large one, and all of a large one in time.
func (f *feed) places() ([]int, error) {
	cfg := f.p.cfg
	var free []int
	for i := range f.ds.Len() {
		if !slices.Contains(cfg.Tied, f.ds.Item(i).Class) {
			free = append(free, i)
		}
	}
	n := len(free) * cfg.Repeat
	all := n
	var tied []string // of which there are images
	for _, c := range cfg.Tied {
		if len(f.byClass[c]) > 0 {
			tied = append(tied, c)
		}
	}
	if len(tied) > 0 {
		all = 2 * n
	}
	if all < cfg.Batch {
		more := ""
		if all > n {
			more = " and as many of tied classes"
		}
		return nil, fmt.Errorf("tab: data: %w: an epoch of %d x %d images%s does not fill a batch of %d pairs; take a smaller Batch or a larger Repeat",
			ErrConfig, cfg.Repeat, len(free), more, cfg.Batch)
	}
	out := make([]int, 0, all)
	for i := range n {
		out = append(out, free[i%len(free)])
	}
	orders := make([][]int, len(tied))
	for k, c := range tied {
		orders[k] = slices.Clone(f.byClass[c])
		seed.Rand(cfg.Seed, "tied", uint64(f.epoch), uint64(k)).Shuffle(len(orders[k]), func(i, j int) {
			orders[k][i], orders[k][j] = orders[k][j], orders[k][i]
		})
	}
	for i := range all - n {
		o := orders[i%len(tied)]
		out = append(out, o[i/len(tied)%len(o)])
	}
	return out, nil
}
