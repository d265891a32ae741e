package downstream

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/internal/seed"
)

// category is one class of a training set: the numbers of its images.
type category struct {
	class  string
	images []int
}

// categories sorts the images of a training set by class. Each class must have
// two images, so that a query meets another.
func categories(ds dataset.Dataset) ([]category, error) {
	byClass := map[string]int{}
	var out []category
	for i := range ds.Len() {
		it := ds.Item(i)
		if it.Class == "" {
			return nil, fmt.Errorf("%w: sample %s has none", ErrClass, it.Name)
		}
		at, ok := byClass[it.Class]
		if !ok {
			at = len(out)
			byClass[it.Class] = at
			out = append(out, category{class: it.Class})
		}
		out[at].images = append(out[at].images, i)
	}
	for _, c := range out {
		if len(c.images) < 2 {
			return nil, fmt.Errorf("%w: class %q has only sample %s, a query needs another image of its class to meet", ErrTooFewImages, c.class, ds.Item(c.images[0]).Name)
		}
	}
	slices.SortFunc(out, func(a, b category) int { return strings.Compare(a.class, b.class) })
	return out, nil
}

// pairs returns the batches of an epoch, counted from 0, in an order that the
// seed decides: up to queries images of one class, followed by shots other images
// of that class for the first of them, for the second, and so on. Every image is
// a query once. Each support image is drawn from all of the class but the query,
// as in the authors' program, so that one may come twice.
func pairs(cs []category, queries, shots int, from [2]uint64, epoch int) [][]int {
	var out [][]int
	for i, c := range cs {
		rng := seed.Rand(from[0], "pairs", from[1], uint64(epoch), uint64(i))
		order := rng.Perm(len(c.images))
		for len(order) > 0 {
			n := min(queries, len(order))
			var batch []int
			for _, q := range order[:n] {
				batch = append(batch, c.images[q])
			}
			for _, q := range order[:n] {
				for range shots {
					k := rng.IntN(len(c.images) - 1)
					if k >= q { // all numbers but q
						k++
					}
					batch = append(batch, c.images[k])
				}
			}
			out = append(out, batch)
			order = order[n:]
		}
	}
	seed.Rand(from[0], "shuffle", from[1], uint64(epoch)).Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}
