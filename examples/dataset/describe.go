package main

import (
	"context"
	"fmt"
	"image/png"
	"io"

	"github.com/gotab/gotab/dataset/audit"
	"github.com/gotab/gotab/internal/atomicfile"
)

// describe prints what is in a data set.
func describe(ctx context.Context, s *set, o options, stdout, stderr io.Writer) error {
	all, err := audit.Look(ctx, s.ds)
	if err != nil {
		return err
	}
	for _, i := range s.raw.Issues() {
		fmt.Fprintf(stderr, "note: %s\n", i)
	}
	if err := all.WriteUnread(stderr); err != nil {
		return err
	}
	if err := all.WriteText(stdout, s.ds); err != nil {
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
