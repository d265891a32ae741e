package training

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/internal/seed"
	"github.com/gotab/gotab/tab"
)

// leastKnown is how many good images of a class a watch leaves to the training at least.
const leastKnown = 4

// keepApart takes [Config.Watch] of the images of each class out of found, and returns them. Which they are is said by a hash of
// seed, class and group or name, so that it depends neither on the order nor on other images, and is the same for all processes
// and where a run goes on. It notes the classes that are too small.
func (o Config) keepApart(found *images) (dataset.Dataset, error) {
	key := func(it dataset.Item) string { return fmt.Sprintf("%q %q", it.Class, cmp.Or(it.Group, it.Name)) }
	units, images := map[string][]string{}, map[string]int{} // keys of each class, and how many images each has
	for i := range found.Data.Len() {
		it := found.Data.Item(i)
		k := key(it)
		if images[k] == 0 {
			units[it.Class] = append(units[it.Class], k)
		}
		images[k]++
	}
	apart, kept := map[string]bool{}, 0
	var small []string
	for class, keys := range units {
		ranks, left := make([]string, len(keys)), 0
		for i, k := range keys {
			ranks[i] = fmt.Sprintf("gotab watch %d %s", o.Train.Seed, k)
			left += images[k]
		}
		taken, chosen := 0, seed.Lowest(ranks, o.Watch)
		for _, i := range chosen {
			taken += images[keys[i]]
		}
		if left-taken < leastKnown {
			small = append(small, class)
			continue
		}
		kept += taken
		for _, i := range chosen {
			apart[keys[i]] = true
		}
	}
	if len(small) > 0 {
		slices.Sort(small)
		fmt.Fprintf(o.Log, "note: too few good images to keep some apart, so what becomes of them is not watched: %s\n", strings.Join(small, ", "))
	}
	if kept == 0 {
		return nil, fmt.Errorf("training: %w: Watch is %g, and no class has so many good images that %d are left to train on; leave it out", ErrConfig, o.Watch, leastKnown)
	}
	is := func(it dataset.Item) bool { return apart[key(it)] }
	out := dataset.Filter(found.Data, is)
	found.keep(func(it dataset.Item) bool { return !is(it) })
	fmt.Fprintf(o.Log, "watch: %s kept apart\n", count(kept, "good image is", "good images are"))
	return out, nil
}

// watching is a probe of good parts that were kept apart, beside another one.
type watching struct {
	o     Config
	other tab.Probe  // nil for none
	watch *tab.Watch // nil where there is nothing to watch
	start *backbone.ResNet18
}

// begin measures the start on ds and on the images kept apart. close comes after it, whatever it returns.
func (w *watching) begin(ctx context.Context, ds, kept dataset.Dataset, cfg tab.Config) (err error) {
	if kept.Len() == 0 {
		fmt.Fprintln(w.o.Log, "note: no image of a class that is trained was kept apart, so nothing is watched")
		return nil
	}
	apart, err := dataset.NewCached(kept, cfg.Transform, cacheBytes)
	if err != nil {
		return err
	}
	if w.start, err = network(w.o, cfg.Seed); err != nil {
		return err
	}
	c := tab.DefaultWatch()
	c.Transform, c.Normalize, c.Seed = cfg.Transform, cfg.Normalize, cfg.Seed
	fmt.Fprintln(w.o.Log, "watch: measuring the start")
	w.watch, err = tab.NewWatch(ctx, w.start, ds, apart, c)
	return err
}

func (w *watching) close() error {
	if w.start == nil {
		return nil
	}
	return w.start.Close()
}

// Probe implements [tab.Probe].
func (w *watching) Probe(ctx context.Context, visual tab.VisualEncoder) (all []tab.Measure, err error) {
	if w.other != nil {
		if all, err = w.other.Probe(ctx, visual); err != nil {
			return nil, err
		}
	}
	if w.watch == nil {
		return all, nil
	}
	parts, err := w.watch.Look(ctx, visual)
	if errors.Is(err, tab.ErrConfig) { // a product that looks the same everywhere has no spread
		fmt.Fprintf(w.o.Log, "watch: nothing can be told: %v\n", err)
		return all, nil
	}
	if err != nil {
		return nil, err
	}
	for _, g := range parts {
		fmt.Fprintf(w.o.Log, "watch: %s\n", g)
		for _, m := range g.Measures() {
			if !math.IsNaN(m.Value) && !math.IsInf(m.Value, 0) { // logs hold numbers
				all = append(all, m)
			}
		}
	}
	return all, nil
}
