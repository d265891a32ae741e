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

	"github.com/gotab/gotab/dataset/audit"
	"github.com/gotab/gotab/internal/atomicfile"
)

// describe prints what is in a data set.
func describe(ctx context.Context, s *set, o options, stdout, stderr io.Writer) error {
	all, err := audit.Look(ctx, s.ds)
	if err != nil {
		return err
	}
	for _, i := range s.issues {
		fmt.Fprintf(stderr, "note: %s\n", i)
	}
	bad := 0
	for _, f := range all {
		if f.Err != nil {
			fmt.Fprintf(stderr, "note: %v\n", f.Err)
			bad++
		}
	}
	fmt.Fprintf(stdout, "%d pictures of %d classes, %d of them cannot be read\n", len(all), len(s.ds.Classes()), bad)
	w := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nclass\tsplit\tkind\tpictures\tmasks\tmask area, % of the picture (least, median, most)")
	for _, g := range all.Groups() {
		text := "-"
		if n := len(g.Areas); n > 0 {
			text = fmt.Sprintf("%.3g, %.3g, %.3g", 100*g.Areas[0], 100*g.Areas[n/2], 100*g.Areas[n-1])
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%s\n", g.Class, g.Split, g.Kind, g.Samples, g.Masks, text)
	}
	fmt.Fprintln(w, "\nclass\tsizes\tcolours")
	for _, class := range s.ds.Classes() {
		sizes, depths := make(map[string]int), make(map[string]int)
		for _, f := range all {
			if f.Item.Class != class || f.Err != nil {
				continue
			}
			sizes[fmt.Sprintf("%dx%d", f.Size.X, f.Size.Y)]++
			if f.Depth != "" {
				depths[f.Depth]++
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
	img, err := audit.Sheet(ctx, s.ds, all)
	if err != nil {
		return err
	}
	if err := atomicfile.Write(o.sheet, func(w io.Writer) error { return png.Encode(w, img) }); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "\ncontact sheet: %s\n", o.sheet)
	return nil
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
