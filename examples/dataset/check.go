package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/dataset/audit"
)

// check lists every fault of a data set.
func check(ctx context.Context, s *set, _ options, stdout, stderr io.Writer) error {
	all, err := audit.Look(ctx, s.ds)
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
	for _, f := range all.Faults() {
		faults = append(faults, f.String())
	}
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

// convert writes a data set in MVTec AD's layout, or its manifest. What cannot
// be converted is reported at the end, all of it.
func convert(ctx context.Context, s *set, o options, stdout, stderr io.Writer) error {
	for _, i := range s.issues {
		fmt.Fprintf(stderr, "note: %s\n", i)
	}
	if strings.HasSuffix(o.out, ".jsonl") {
		return save(o.out, dataset.Items(s.ds), stdout)
	}
	w, err := dataset.WriteMVTecAD(ctx, s.ds, o.out)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%d pictures and %d masks written to %s\n", w.Images, w.Masks, o.out)
	if len(w.LeftOut) > 0 {
		return fmt.Errorf("dataset: convert: %d pictures were left out; -manifest takes one that says more of them:\n%w", len(w.LeftOut), errors.Join(w.LeftOut...))
	}
	return nil
}
