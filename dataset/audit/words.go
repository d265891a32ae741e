package audit

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/gotab/gotab/dataset"
)

// WriteUnread writes a line for each sample that could not be read, as a note. Errors are those of w; a nil w is
// [dataset.ErrConfig].
func (s Survey) WriteUnread(w io.Writer) error {
	if w == nil {
		return fmt.Errorf("audit: notes: %w: the writer is nil", dataset.ErrConfig)
	}
	for _, f := range s {
		if f.Err != nil {
			if _, err := fmt.Fprintf(w, "note: %v\n", f.Err); err != nil {
				return err
			}
		}
	}
	return nil
}

// WriteText describes a data set of which s is the survey: counts by class, split and kind of
// defect with the areas of masks, and the sizes and colours of each class. It returns an error that wraps
// [dataset.ErrConfig] if ds is nil, and those of writing.
func (s Survey) WriteText(out io.Writer, ds dataset.Dataset) error {
	if ds == nil || out == nil {
		return fmt.Errorf("audit: describe: %w: data set and writer must not be nil", dataset.ErrConfig)
	}
	bad := 0
	for _, f := range s {
		if f.Err != nil {
			bad++
		}
	}
	fmt.Fprintf(out, "%d images of %d classes, %d of them cannot be read\n", len(s), len(ds.Classes()), bad)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nclass\tsplit\tkind\timages\tmasks\tmask area, % of the image (least, median, most)")
	for _, g := range s.Groups() {
		text := "-"
		if n := len(g.Areas); n > 0 {
			text = fmt.Sprintf("%.3g, %.3g, %.3g", 100*g.Areas[0], 100*g.Areas[n/2], 100*g.Areas[n-1])
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%s\n", g.Class, g.Split, g.Kind, g.Samples, g.Masks, text)
	}
	fmt.Fprintln(w, "\nclass\tsizes\tcolours")
	for _, class := range ds.Classes() {
		sizes, depths := make(map[string]int), make(map[string]int)
		for _, f := range s {
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
	return w.Flush()
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

// WriteCounts writes a line for each split of items, in their order: how many are good,
// defective and without a label.
func WriteCounts(w io.Writer, items []dataset.Item) error {
	if w == nil {
		return fmt.Errorf("audit: count: %w: the writer must not be nil", dataset.ErrConfig)
	}
	type count struct{ normal, defects, unlabelled int }
	var order []string
	counts := make(map[string]count)
	for _, it := range items {
		split := SplitOf(it)
		c, ok := counts[split]
		if !ok {
			order = append(order, split)
		}
		switch {
		case it.IsGood():
			c.normal++
		case it.IsDefective():
			c.defects++
		default:
			c.unlabelled++
		}
		counts[split] = c
	}
	for _, split := range order {
		text := fmt.Sprintf("%s: %d normal, %d with defects", split, counts[split].normal, counts[split].defects)
		if n := counts[split].unlabelled; n > 0 {
			text += fmt.Sprintf(", %d without a label", n)
		}
		if _, err := fmt.Fprintln(w, text); err != nil {
			return err
		}
	}
	return nil
}

// Check lists every fault of a data set, a sentence each: what is damaged in shards, what does not
// belong into the layout, and those of [Survey.Faults]. ds may show a part of whole, which is the data
// set as it was opened, with what its reader passed over. Notes are what may not be meant and is no fault, of
// files that no fault names. It returns an error that wraps [dataset.ErrConfig] if a data set is nil, and ctx's.
func Check(ctx context.Context, ds dataset.Dataset, whole dataset.Listed) (faults []string, notes []dataset.Issue, err error) {
	if whole == nil {
		return nil, nil, fmt.Errorf("audit: check: %w: the data set must not be nil", dataset.ErrConfig)
	}
	all, err := Look(ctx, ds)
	if err != nil {
		return nil, nil, err
	}
	if shards, ok := whole.(*dataset.Shards); ok {
		err := shards.Verify(ctx)
		if ctx.Err() != nil {
			return nil, nil, ctx.Err()
		}
		if err != nil {
			faults = append(faults, err.Error())
		}
	}
	for _, i := range whole.Issues() {
		if i.Stray {
			notes = append(notes, i)
		} else {
			faults = append(faults, "layout: "+i.String())
		}
	}
	for _, f := range all.Faults() {
		faults = append(faults, f.String())
	}
	r, err := dataset.Check(ctx, ds, dataset.DefaultCheck())
	if err != nil {
		return nil, nil, err
	}
	for _, n := range r.Notes {
		if !slices.ContainsFunc(faults, func(f string) bool { return n.Name != "" && strings.Contains(f, n.Name+" ") }) {
			notes = append(notes, n)
		}
	}
	return faults, notes, nil
}
