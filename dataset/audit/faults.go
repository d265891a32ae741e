package audit

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gotab/gotab/dataset"
)

// Fault is something that a training or an evaluation would suffer from.
type Fault struct {
	What   string // for example "empty mask" or "same pixels in two splits"
	Detail string // names the samples
}

// String returns both parts.
func (f Fault) String() string { return f.What + ": " + f.Detail }

// Faults lists every fault: samples that cannot be read, masks that are empty or mark what is not defective, images
// of another colour depth than most of their class, the same pixels in two splits or with two labels, and parts
// (Item.Group) whose images are in two splits.
func (s Survey) Faults() []Fault {
	var out []Fault
	for _, f := range s {
		out = append(out, f.faults()...)
	}
	return slices.Concat(out, s.depths(), s.leaks(), s.torn())
}

func fault(what, format string, a ...any) Fault { return Fault{what, fmt.Sprintf(format, a...)} }

func (f Facts) faults() []Fault {
	switch {
	case f.Err != nil:
		return []Fault{fault("unreadable", "%v", f.Err)}
	case f.Item.IsDefective() && f.Mask && f.Area == 0:
		return []Fault{fault("empty mask", "%s of %s, which is %s", f.Item.MaskName, f.Item.Name, f.Item.Defect)}
	case f.Item.IsGood() && f.Area > 0:
		return []Fault{fault("mask of a good image", "%s marks %d pixels of %s", f.Item.MaskName, f.Area, f.Item.Name)}
	case !f.Item.IsLabelled() && f.Area > 0:
		return []Fault{fault("mask of an image without a label", "%s marks %d pixels of %s", f.Item.MaskName, f.Area, f.Item.Name)}
	}
	return nil
}

// depths are images that differ from most of their class.
func (s Survey) depths() []Fault {
	counts := make(map[string]map[string]int)
	for _, f := range s {
		if f.Depth == "" {
			continue
		}
		if counts[f.Item.Class] == nil {
			counts[f.Item.Class] = make(map[string]int)
		}
		counts[f.Item.Class][f.Depth]++
	}
	usual := make(map[string]string)
	for class, c := range counts {
		usual[class] = slices.MinFunc(slices.Sorted(maps.Keys(c)), func(a, b string) int { return cmp.Compare(c[b], c[a]) })
	}
	var out []Fault
	for _, f := range s {
		if u := usual[f.Item.Class]; f.Depth != "" && f.Depth != u {
			out = append(out, fault("colour depth", "%s is %s, %d images of class %s are %s", f.Item.Name, f.Depth, counts[f.Item.Class][u], f.Item.Class, u))
		}
	}
	return out
}

// leaks are images with the same pixels in two splits, or with two labels. Each is held against the first one of its pixels
// in another split, and the first with another label: there may be thousands of black ones.
func (s Survey) leaks() []Fault {
	type kind struct {
		sum    [sha256.Size]byte
		split  string
		defect string
		label  dataset.Label
	}
	first := make(map[kind]int)
	kinds := make(map[[sha256.Size]byte][]kind)
	var out []Fault
	for i, f := range s {
		if f.Err != nil {
			continue
		}
		split, label := false, false
		for _, k := range kinds[f.Sum] {
			g := s[first[k]]
			switch {
			case f.Item.Split != g.Item.Split:
				if !split {
					out = append(out, fault("same pixels in two splits", "%s in %s, %s in %s", g.Item.Name, SplitOf(g.Item), f.Item.Name, SplitOf(f.Item)))
				}
				split = true
			case !f.Item.IsLabelled() || !g.Item.IsLabelled(): // no label contradicts nothing
			case f.Item.Defect != g.Item.Defect:
				if !label {
					out = append(out, fault("same pixels with two labels", "%s is %s, %s is %s", g.Item.Name, g.Item.Defect, f.Item.Name, f.Item.Defect))
				}
				label = true
			}
		}
		k := kind{f.Sum, f.Item.Split, f.Item.Defect, f.Item.Label}
		if _, there := first[k]; !there {
			first[k] = i
			kinds[f.Sum] = append(kinds[f.Sum], k)
		}
	}
	return out
}

// torn are parts whose images are in two splits.
func (s Survey) torn() []Fault {
	splits := make(map[string][]string)
	var order []string
	for _, f := range s {
		if f.Item.Group == "" {
			continue
		}
		key := f.Item.Class + ": " + f.Item.Group
		if splits[key] == nil {
			order = append(order, key)
		}
		if !slices.Contains(splits[key], SplitOf(f.Item)) {
			splits[key] = append(splits[key], SplitOf(f.Item))
		}
	}
	var out []Fault
	for _, key := range order {
		if len(splits[key]) > 1 {
			out = append(out, fault("one part in two splits", "%s is in %s", key, strings.Join(splits[key], ", ")))
		}
	}
	return out
}

// Together puts images of one class with the same pixels into one group, together with the
// groups that they are in already, so that a division by groups keeps them on one side. items are those of the
// survey, in its order, and get their Group changed. It returns how many images repeat another one, or an error that
// wraps [dataset.ErrConfig] if there are not as many items as samples.
func (s Survey) Together(items []dataset.Item) (repeats int, err error) {
	if len(items) != len(s) {
		return 0, fmt.Errorf("audit: keep together: %w: %d items of %d samples", dataset.ErrConfig, len(items), len(s))
	}
	root := make([]int, len(items)) // of each item's set; a root is the first of its set
	for i := range root {
		root[i] = i
	}
	find := func(i int) int {
		for root[i] != i {
			root[i] = root[root[i]]
			i = root[i]
		}
		return i
	}
	first := make(map[string]int)
	join := func(key string, i int) bool {
		j, seen := first[key]
		if !seen {
			first[key] = i
			return false
		}
		a, b := find(i), find(j)
		root[max(a, b)] = min(a, b)
		return true
	}
	for i, it := range items {
		if it.Group != "" {
			join("group\x00"+it.Class+"\x00"+it.Group, i)
		}
		if s[i].Err == nil && join("pixels\x00"+it.Class+"\x00"+string(s[i].Sum[:]), i) {
			repeats++
		}
	}
	size := make(map[int]int)
	for i := range items {
		size[find(i)]++
	}
	for i := range items {
		r := find(i)
		switch {
		case size[r] == 1:
		case items[r].Group == "" && i == r:
			items[i].Group = "same as " + items[r].Name
		default:
			items[i].Group = items[r].Group // the first one's, which has been set by now
		}
	}
	return repeats, nil
}
