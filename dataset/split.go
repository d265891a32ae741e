package dataset

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
)

// Part is one side of a split.
type Part struct {
	Name     string  // what Item.Split becomes
	Fraction float64 // of the images that are divided, above 0
}

// SplitConfig says how items are divided.
type SplitConfig struct {
	// Parts are the sides; their fractions sum to 1. Default train 0.8,
	// validation 0.2.
	Parts []Part
	// From are the values of Item.Split that are divided; items of others stay
	// as they are. Default train and empty: images of a test split never
	// become training or validation data unless it is named here.
	From []string
	// Stratify divides every class and kind of defect in the same proportion.
	// Default true.
	Stratify bool
	// Defects is the split that defective items of From go to; empty divides
	// them like the others. Default Test, so that fitting sees good ones only.
	Defects string
	// Group says which images show the same part; they stay on one side. An
	// empty answer means a part of its own. nil takes Item.Group. Names count
	// within a class.
	Group func(Item) string
}

// DefaultSplit returns the defaults that the fields name.
func DefaultSplit() SplitConfig {
	return SplitConfig{
		Parts:    []Part{{Train, 0.8}, {Validation, 0.2}},
		From:     []string{Train, ""},
		Stratify: true,
		Defects:  Test,
	}
}

// Validate reports settings that make no sense; the error wraps [ErrConfig].
func (c SplitConfig) Validate() error {
	sum := 0.0
	for i, p := range c.Parts {
		if p.Name == "" || !(p.Fraction > 0) {
			return fmt.Errorf("dataset: split: %w: Parts[%d] is %q with fraction %v, want a name and a fraction above 0", ErrConfig, i, p.Name, p.Fraction)
		}
		if slices.ContainsFunc(c.Parts[:i], func(o Part) bool { return o.Name == p.Name }) {
			return fmt.Errorf("dataset: split: %w: Parts has %q twice", ErrConfig, p.Name)
		}
		sum += p.Fraction
	}
	if !(math.Abs(sum-1) < 1e-9) {
		return fmt.Errorf("dataset: split: %w: the fractions of Parts sum to %v, want 1", ErrConfig, sum)
	}
	if len(c.From) == 0 {
		return fmt.Errorf("dataset: split: %w: From is empty, want the splits that are divided", ErrConfig)
	}
	return nil
}

// unit is what cannot be divided: one image, or all of one part.
type unit struct {
	key     string
	stratum string
	at      []int
	defect  bool
}

// Assign returns the items in their order with Split set. The result depends on
// the items as a set, the settings and the generator, not on the items' order.
// Within a stratum every side gets its fraction of the images to within one,
// or to within one group where images are grouped. A group with a defective
// image counts as defective as a whole. Assign returns an error that wraps
// [ErrConfig] if an item comes twice or a side gets nothing, and one that wraps
// [ErrLabel] and names the item if the label of one that is to be divided is
// unknown.
func (c SplitConfig) Assign(items []Item, rng *rand.Rand) ([]Item, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if rng == nil {
		return nil, fmt.Errorf("dataset: split: %w: rng is nil", ErrConfig)
	}
	out := slices.Clone(items)
	units, err := c.units(out)
	if err != nil {
		return nil, err
	}
	strata := make(map[string][]*unit)
	for _, u := range units {
		if u.defect && c.Defects != "" {
			for _, i := range u.at {
				out[i].Split = c.Defects
			}
			continue
		}
		strata[u.stratum] = append(strata[u.stratum], u)
	}
	got := make([]int, len(c.Parts))
	for _, name := range slices.Sorted(maps.Keys(strata)) {
		c.divide(out, strata[name], got, rng)
	}
	for i, p := range c.Parts {
		if got[i] == 0 {
			return nil, fmt.Errorf("dataset: split: %w: split %q gets no image; %d images in %d units of the splits %q were divided",
				ErrConfig, p.Name, len(items), len(units), c.From)
		}
	}
	return out, nil
}

// units collects what is to be divided, sorted by key.
func (c SplitConfig) units(items []Item) ([]*unit, error) {
	group := c.Group
	if group == nil {
		group = func(it Item) string { return it.Group }
	}
	byKey := make(map[string]*unit)
	seen := make(map[string]bool)
	for i, it := range items {
		if seen[it.Name] {
			return nil, fmt.Errorf("dataset: split: %w: item %q comes twice", ErrConfig, it.Name)
		}
		seen[it.Name] = true
		if !slices.Contains(c.From, it.Split) {
			continue
		}
		if !it.IsLabelled() {
			return nil, fmt.Errorf("dataset: split: item %q: %w: it is not known whether it is good or defective; keep those with Item.IsLabelled, or give it a split that From does not name", it.Name, ErrLabel)
		}
		key := "picture\x00" + it.Name
		if g := group(it); g != "" {
			key = "group\x00" + it.Class + "\x00" + g
		}
		u := byKey[key]
		if u == nil {
			u = &unit{key: key}
			byKey[key] = u
		}
		u.at = append(u.at, i)
		u.defect = u.defect || it.IsDefective()
	}
	units := make([]*unit, 0, len(byKey))
	for _, key := range slices.Sorted(maps.Keys(byKey)) {
		u := byKey[key]
		slices.SortFunc(u.at, func(a, b int) int { return strings.Compare(items[a].Name, items[b].Name) })
		if c.Stratify {
			kinds := make(map[string]bool)
			for _, i := range u.at {
				kinds[items[i].Class+"\x00"+items[i].Defect] = true
			}
			u.stratum = strings.Join(slices.Sorted(maps.Keys(kinds)), "\x00")
		}
		units = append(units, u)
	}
	return units, nil
}

// divide shuffles the units of one stratum and gives each to the side that
// lacks most of its quota. Large groups go first, so that small ones even them
// out. got counts the images of each side over all strata.
func (c SplitConfig) divide(items []Item, units []*unit, got []int, rng *rand.Rand) {
	rng.Shuffle(len(units), func(i, j int) { units[i], units[j] = units[j], units[i] })
	slices.SortStableFunc(units, func(a, b *unit) int { return cmp.Compare(len(b.at), len(a.at)) })
	n := 0
	for _, u := range units {
		n += len(u.at)
	}
	lack := c.quotas(n, got)
	for _, u := range units {
		best := 0
		for i := range lack {
			if lack[i] > lack[best] {
				best = i
			}
		}
		lack[best] -= len(u.at)
		got[best] += len(u.at)
		for _, i := range u.at {
			items[i].Split = c.Parts[best].Name
		}
	}
}

// quotas divides n: each side gets its fraction rounded down, and what remains
// goes, one each, to the sides with the largest remainder plus what they are
// behind over all strata so far.
func (c SplitConfig) quotas(n int, got []int) []int {
	before := 0
	for _, g := range got {
		before += g
	}
	quota := make([]int, len(c.Parts))
	order := make([]int, len(c.Parts))
	claim := make([]float64, len(c.Parts))
	rest := n
	for i, p := range c.Parts {
		due := p.Fraction * float64(n)
		quota[i] = int(due + 1e-9)
		rest -= quota[i]
		order[i] = i
		claim[i] = due - float64(quota[i]) + p.Fraction*float64(before) - float64(got[i])
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(claim[b], claim[a]) })
	for _, i := range order[:max(0, min(rest, len(order)))] {
		quota[i]++
	}
	return quota
}

// Support draws a k-shot support set: k good items ([Item.IsGood]) of every
// class, out of those whose split is among from (nil for [Train] alone), in the
// order of items and with their Split kept. Write it with [WriteManifest] and
// read it back for the same set. Fewer than k good items in a class is an error
// that wraps [ErrConfig] and names it.
func Support(items []Item, k int, from []string, rng *rand.Rand) ([]Item, error) {
	if k < 1 || rng == nil {
		return nil, fmt.Errorf("dataset: support set: %w: k is %d and rng is nil: %v, want at least 1 and a generator", ErrConfig, k, rng == nil)
	}
	if from == nil {
		from = []string{Train}
	}
	byClass := make(map[string][]int)
	for i, it := range items {
		if _, ok := byClass[it.Class]; !ok {
			byClass[it.Class] = nil
		}
		if it.IsGood() && slices.Contains(from, it.Split) {
			byClass[it.Class] = append(byClass[it.Class], i)
		}
	}
	var chosen []int
	for _, class := range slices.Sorted(maps.Keys(byClass)) {
		at := byClass[class]
		if len(at) < k {
			return nil, fmt.Errorf("dataset: support set: %w: class %q has %d good images in %q, want at least %d", ErrConfig, class, len(at), from, k)
		}
		// By name, so that the draw does not depend on the items' order.
		slices.SortFunc(at, func(a, b int) int { return strings.Compare(items[a].Name, items[b].Name) })
		for _, j := range rng.Perm(len(at))[:k] {
			chosen = append(chosen, at[j])
		}
	}
	slices.Sort(chosen)
	out := make([]Item, len(chosen))
	for i, j := range chosen {
		out[i] = items[j]
	}
	return out, nil
}
