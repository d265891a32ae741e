package training

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/tab"
)

// leastKnown is how many good images of a class a watch leaves to the training at least.
const leastKnown = 4

// keepApart takes [Config.Watch] of the images of each class out of found, and returns them. Which they are is said by a hash of
// seed, class and name, so that it depends neither on the order nor on other images, and is the same for all processes
// and where a run goes on.
func (o Config) keepApart(found *images) (dataset.Dataset, error) {
	type ranked struct{ rank, name string }
	classes := map[string][]ranked{}
	for i := range found.Data.Len() {
		it := found.Data.Item(i)
		sum := sha256.Sum256(fmt.Appendf(nil, "gotab watch %d %q %q", o.Train.Seed, it.Class, it.Name))
		classes[it.Class] = append(classes[it.Class], ranked{string(sum[:]), it.Name})
	}
	apart := map[[2]string]bool{}
	for class, all := range classes {
		slices.SortFunc(all, func(a, b ranked) int { return strings.Compare(a.rank, b.rank) })
		n := max(1, int(math.Round(o.Watch*float64(len(all)))))
		if len(all)-n < leastKnown {
			return nil, fmt.Errorf("training: %w: %s has %d good images; with %d of them kept apart by Watch, fewer than %d are left to train on", ErrConfig, class, len(all), n, leastKnown)
		}
		for _, r := range all[:n] {
			apart[[2]string{class, r.name}] = true
		}
	}
	is := func(it dataset.Item) bool { return apart[[2]string{it.Class, it.Name}] }
	kept := dataset.Filter(found.Data, is)
	found.keep(func(it dataset.Item) bool { return !is(it) })
	return kept, nil
}

// watching is a probe of good parts that were kept apart, beside another one.
type watching struct {
	o     Config
	other tab.Probe // nil for none
	watch *tab.Watch
	start *backbone.ResNet18
}

// begin measures the start on ds and on the images kept apart. close comes after it, whatever it returns.
func (w *watching) begin(ctx context.Context, ds, kept dataset.Dataset, cfg tab.Config) (err error) {
	apart, err := dataset.NewCached(kept, cfg.Transform, cacheBytes)
	if err != nil {
		return err
	}
	if w.start, err = network(w.o, cfg.Seed); err != nil {
		return err
	}
	c := tab.DefaultWatch()
	c.Transform, c.Normalize, c.Seed = cfg.Transform, cfg.Normalize, cfg.Seed
	fmt.Fprintf(w.o.Log, "watch: %s kept apart, measuring the start on them and on those in training\n", count(kept.Len(), "good image is", "good images are"))
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
	parts, err := w.watch.Look(ctx, visual)
	if err != nil {
		return nil, err
	}
	for _, g := range parts {
		fmt.Fprintf(w.o.Log, "watch: %s\n", g)
		all = append(all, g.Measures()...)
	}
	return all, nil
}
