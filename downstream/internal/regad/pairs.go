package regad

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream/internal/sentinel"
	"github.com/gotab/gotab/internal/seed"
)

// Category is one class of a training set: the numbers of its images.
type Category struct {
	Class  string
	Images []int
}

// Categories sorts the images of a training set by class. Each class must have
// two images, so that a query meets another.
func Categories(ds dataset.Dataset) ([]Category, error) {
	byClass := map[string]int{}
	var out []Category
	for i := range ds.Len() {
		it := ds.Item(i)
		if it.Class == "" {
			return nil, fmt.Errorf("%w: sample %s has none", sentinel.ErrClass, it.Name)
		}
		at, ok := byClass[it.Class]
		if !ok {
			at = len(out)
			byClass[it.Class] = at
			out = append(out, Category{Class: it.Class})
		}
		out[at].Images = append(out[at].Images, i)
	}
	for _, c := range out {
		if len(c.Images) < 2 {
			return nil, fmt.Errorf("%w: class %q has only sample %s, a query needs another image of its class to meet", sentinel.ErrTooFewImages, c.Class, ds.Item(c.Images[0]).Name)
		}
	}
	slices.SortFunc(out, func(a, b Category) int { return strings.Compare(a.Class, b.Class) })
	return out, nil
}

// Pairs returns the batches of an epoch, counted from 0, in an order that the
// seed decides: up to queries images of one class, followed by shots other images
// of that class for the first of them, for the second, and so on. Every image is
// a query once. Each support image is drawn from all of the class but the query,
// as in the authors' program, so that one may come twice.
func Pairs(cs []Category, queries, shots int, from [2]uint64, epoch int) [][]int {
	var out [][]int
	for i, c := range cs {
		rng := seed.Rand(from[0], "pairs", from[1], uint64(epoch), uint64(i))
		order := rng.Perm(len(c.Images))
		for len(order) > 0 {
			n := min(queries, len(order))
			var batch []int
			for _, q := range order[:n] {
				batch = append(batch, c.Images[q])
			}
			for _, q := range order[:n] {
				for range shots {
					k := rng.IntN(len(c.Images) - 1)
					if k >= q { // all numbers but q
						k++
					}
					batch = append(batch, c.Images[k])
				}
			}
			out = append(out, batch)
			order = order[n:]
		}
	}
	seed.Rand(from[0], "shuffle", from[1], uint64(epoch)).Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}
