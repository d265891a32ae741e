package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/dataset/audit"
)

// check lists every fault of a data set.
func check(ctx context.Context, s *set, o options, stdout, stderr io.Writer) error {
	faults, notes, err := audit.Check(ctx, s.ds, s.raw)
	if err != nil {
		return err
	}
	for _, n := range notes {
		if strings.Contains(n.Reason, "images of 16 bits") {
			notes = append(notes, dataset.Issue{Name: ".", Reason: fmt.Sprintf("-bits sets Bits16, and it is %d now", o.Decoder.Bits16)})
			break
		}
	}
	for _, n := range notes {
		fmt.Fprintf(stderr, "note: %s\n", n)
	}
	for _, f := range faults {
		if _, err := fmt.Fprintln(stdout, f); err != nil {
			return err
		}
	}
	if len(faults) > 0 {
		return fmt.Errorf("%w: %d in %d images", errFaults, len(faults), s.ds.Len())
	}
	_, err = fmt.Fprintf(stdout, "no fault found in %d images\n", s.ds.Len())
	return err
}

// convert writes a data set in MVTec AD's layout, or its manifest. What cannot
// be converted is reported at the end, all of it.
func convert(ctx context.Context, s *set, o options, stdout, stderr io.Writer) error {
	for _, i := range s.raw.Issues() {
		fmt.Fprintf(stderr, "note: %s\n", i)
	}
	if strings.HasSuffix(o.out, ".jsonl") {
		return save(o.out, dataset.Items(s.ds), stdout)
	}
	w, err := dataset.WriteMVTecAD(ctx, s.ds, o.out)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%d images and %d masks written to %s\n", w.Images, w.Masks, o.out)
	if len(w.LeftOut) > 0 {
		return fmt.Errorf("dataset: convert: %d images were left out; -manifest takes one that says more of them:\n%w", len(w.LeftOut), errors.Join(w.LeftOut...))
	}
	return nil
}
