package main

import (
	"cmp"
	"context"
	"fmt"
	"image/png"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/internal/atomicfile"
)

// describe prints what is in a data set.
func describe(ctx context.Context, s *set, o options, stdout, stderr io.Writer) error {
	all, err := survey(ctx, s)
	if err != nil {
		return err
	}
	for _, i := range s.issues {
		fmt.Fprintf(stderr, "note: %s\n", i)
	}
	bad := 0
	for _, f := range all {
		if f.err != nil {
			fmt.Fprintf(stderr, "note: %v\n", f.err)
			bad++
		}
	}
	fmt.Fprintf(stdout, "%d pictures of %d classes, %d of them cannot be read\n", len(all), len(s.ds.Classes()), bad)
	w := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nclass\tsplit\tkind\tpictures\tmasks\tmask area, % of the picture (least, median, most)")
	type key struct{ class, split, defect string }
	groups := make(map[key][]facts)
	for _, f := range all {
		k := key{f.item.Class, where(f.item), kindOf(f.item)}
		groups[k] = append(groups[k], f)
	}
	for _, k := range slices.SortedFunc(maps.Keys(groups), func(a, b key) int {
		return cmp.Or(cmp.Compare(a.class, b.class), cmp.Compare(b.split, a.split), cmp.Compare(a.defect, b.defect))
	}) {
		masks := 0
		var areas []float64
		for _, f := range groups[k] {
			if f.mask {
				masks++
			}
			if f.area > 0 {
				areas = append(areas, 100*float64(f.area)/float64(f.size.X*f.size.Y))
			}
		}
		text := "-"
		if slices.Sort(areas); len(areas) > 0 {
			text = fmt.Sprintf("%.3g, %.3g, %.3g", areas[0], areas[len(areas)/2], areas[len(areas)-1])
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%s\n", k.class, k.split, k.defect, len(groups[k]), masks, text)
	}
	fmt.Fprintln(w, "\nclass\tsizes\tcolours")
	for _, class := range s.ds.Classes() {
		sizes, depths := make(map[string]int), make(map[string]int)
		for _, f := range all {
			if f.item.Class != class || f.err != nil {
				continue
			}
			sizes[fmt.Sprintf("%dx%d", f.size.X, f.size.Y)]++
			if f.depth != "" {
				depths[f.depth]++
			}
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", class, ranking(sizes), ranking(depths))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if o.sheet == "" {
		return nil
	}
	img, err := contactSheet(ctx, s.ds, all)
	if err != nil {
		return err
	}
	if err := atomicfile.Write(o.sheet, func(w io.Writer) error { return png.Encode(w, img) }); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "\ncontact sheet: %s\n", o.sheet)
	return nil
}

// kindOf names what a picture shows: good, a kind of defect, or unknown where it
// has no label.
func kindOf(it dataset.Item) string {
	switch {
	case it.IsGood():
		return dataset.Good
	case !it.IsLabelled():
		return dataset.Unknown
	case it.Defect == dataset.Unknown || it.Defect == "":
		return "defective"
	}
	return it.Defect
}

// ranking prints counts, the largest first, four of them.
func ranking(counts map[string]int) string {
	const most = 4
	names := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
	var out []string
	for _, n := range names[:min(most, len(names))] {
		out = append(out, fmt.Sprintf("%s (%d)", n, counts[n]))
	}
	if len(names) > most {
		out = append(out, fmt.Sprintf("%d more", len(names)-most))
	}
	if len(out) == 0 {
		return "-"
	}
	return strings.Join(out, ", ")
}

// chosen are the samples of one class for the sheet: some normal ones, and some
// of each kind of defect in turn.
func chosen(all []facts, class string) []int {
	var good []int
	kinds := make(map[string][]int)
	for i, f := range all {
		switch {
		case f.item.Class != class || f.err != nil:
		case f.item.IsGood():
			good = append(good, i)
		default:
			kind := kindOf(f.item)
			kinds[kind] = append(kinds[kind], i)
		}
	}
	var bad []int
	for round := 0; len(bad) < sheetColumns; round++ {
		before := len(bad)
		for _, k := range slices.Sorted(maps.Keys(kinds)) {
			if round < len(kinds[k]) {
				bad = append(bad, kinds[k][round])
			}
		}
		if len(bad) == before {
			break
		}
	}
	n := min(len(good), max(sheetColumns-len(bad), sheetColumns/3))
	out := slices.Clone(good[:n])
	return append(out, bad[:min(len(bad), sheetColumns-n)]...)
}
