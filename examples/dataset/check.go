package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/gotab/gotab/dataset"
)

// check lists every fault of a data set.
func check(ctx context.Context, s *set, _ options, stdout, stderr io.Writer) error {
	all, err := survey(ctx, s)
	if err != nil {
		return err
	}
	faults, err := damages(ctx, s)
	if err != nil {
		return err
	}
	for _, i := range s.issues {
		if i.Stray {
			fmt.Fprintf(stderr, "note: %s\n", i)
			continue
		}
		faults = append(faults, "layout: "+i.String())
	}
	for _, f := range all {
		faults = append(faults, sampleFaults(f)...)
	}
	faults = append(faults, depthFaults(all)...)
	faults = append(faults, leaks(all)...)
	faults = append(faults, torn(all)...)
	if err := notes(ctx, s, faults, stderr); err != nil {
		return err
	}
	for _, f := range faults {
		if _, err := fmt.Fprintln(stdout, f); err != nil {
			return err
		}
	}
	if len(faults) > 0 {
		return fmt.Errorf("%w: %d in %d pictures", errFaults, len(faults), len(all))
	}
	_, err = fmt.Fprintf(stdout, "no fault found in %d pictures\n", len(all))
	return err
}

// notes writes what the other programs say of the files before long work and is no
// fault: masks of several encodings, 16-bit pictures that fill fewer bits. What is
// named by a fault is left out.
func notes(ctx context.Context, s *set, faults []string, stderr io.Writer) error {
	r, err := dataset.Check(ctx, s.ds, dataset.DefaultCheck())
	if err != nil {
		return err
	}
	if r.Deep > 0 && r.Bits != s.bits {
		r.Notes = append(r.Notes, dataset.Issue{Name: ".", Reason: fmt.Sprintf("-bits sets Bits16, and it is %d now", s.bits)})
	}
	for _, n := range r.Notes {
		if slices.ContainsFunc(faults, func(f string) bool { return n.Name != "" && strings.Contains(f, n.Name+" ") }) {
			continue
		}
		if _, err := fmt.Fprintf(stderr, "note: %s\n", n); err != nil {
			return err
		}
	}
	return nil
}

func sampleFaults(f facts) []string {
	switch {
	case f.err != nil:
		return []string{"unreadable: " + f.err.Error()}
	case f.item.IsDefective() && f.mask && f.area == 0:
		return []string{fmt.Sprintf("empty mask: %s of %s, which is %s", f.item.MaskName, f.item.Name, f.item.Defect)}
	case f.item.IsGood() && f.area > 0:
		return []string{fmt.Sprintf("mask of a normal picture: %s marks %d pixels of %s", f.item.MaskName, f.area, f.item.Name)}
	case !f.item.IsLabelled() && f.area > 0:
		return []string{fmt.Sprintf("mask of a picture without a label: %s marks %d pixels of %s", f.item.MaskName, f.area, f.item.Name)}
	}
	return nil
}

// depthFaults are pictures that differ from most of their class.
func depthFaults(all []facts) []string {
	counts := make(map[string]map[string]int)
	for _, f := range all {
		if f.depth == "" {
			continue
		}
		if counts[f.item.Class] == nil {
			counts[f.item.Class] = make(map[string]int)
		}
		counts[f.item.Class][f.depth]++
	}
	usual := make(map[string]string)
	for class, c := range counts {
		usual[class] = slices.MinFunc(slices.Sorted(maps.Keys(c)), func(a, b string) int { return cmp.Compare(c[b], c[a]) })
	}
	var out []string
	for _, f := range all {
		if u := usual[f.item.Class]; f.depth != "" && f.depth != u {
			out = append(out, fmt.Sprintf("colour depth: %s is %s, %d pictures of class %s are %s", f.item.Name, f.depth, counts[f.item.Class][u], f.item.Class, u))
		}
	}
	return out
}

// leaks are pictures with the same pixels in two splits, or with two labels.
func leaks(all []facts) []string {
	first := make(map[[sha256.Size]byte][]int)
	var out []string
	for i, f := range all {
		if f.err != nil {
			continue
		}
		for _, j := range first[f.hash] {
			g := all[j]
			switch {
			case f.item.Split != g.item.Split:
				out = append(out, fmt.Sprintf("same pixels in two splits: %s in %s, %s in %s", g.item.Name, where(g.item), f.item.Name, where(f.item)))
			case !f.item.IsLabelled() || !g.item.IsLabelled(): // no label contradicts nothing
			case f.item.Defect != g.item.Defect:
				out = append(out, fmt.Sprintf("same pixels with two labels: %s is %s, %s is %s", g.item.Name, g.item.Defect, f.item.Name, f.item.Defect))
			}
		}
		first[f.hash] = append(first[f.hash], i)
	}
	return out
}

// torn are parts whose pictures are in two splits.
func torn(all []facts) []string {
	splits := make(map[string][]string)
	var order []string
	for _, f := range all {
		if f.item.Group == "" {
			continue
		}
		key := f.item.Class + ": " + f.item.Group
		if splits[key] == nil {
			order = append(order, key)
		}
		if !slices.Contains(splits[key], where(f.item)) {
			splits[key] = append(splits[key], where(f.item))
		}
	}
	var out []string
	for _, key := range order {
		if len(splits[key]) > 1 {
			out = append(out, fmt.Sprintf("one part in two splits: %s is in %s", key, strings.Join(splits[key], ", ")))
		}
	}
	return out
}
