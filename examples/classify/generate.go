package main

import (
	"context"
	"flag"
	"fmt"
	"image/png"
	"io"

	"github.com/gotab/gotab/dataset/wafers"
	"github.com/gotab/gotab/examples/internal/process"
	"github.com/gotab/gotab/internal/atomicfile"
)

// generate is the command of that name.
func generate(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	fs := flag.NewFlagSet("classify generate", flag.ContinueOnError)
	fs.SetOutput(stderr)
	out := fs.String("out", "", "`file` to write, npz (required)")
	sheet := fs.String("sheet", "", "`file` for a contact sheet, PNG")
	per := fs.Int("per", 0, "`number` of maps of each combination")
	published := fs.Float64("published", 0, "`part` of the published numbers, such as 0.1; 1 gives 38,015 maps")
	seed := fs.Uint64("seed", 1, "seed of the maps")
	if err := process.Parse(fs, args, errUsage); err != nil {
		return err
	}
	switch {
	case *out == "":
		return wrong("-out is missing, the file to write")
	case (*per > 0) == (*published > 0):
		return wrong("want either -per, maps of each combination, or -published, a part of the published numbers, above 0")
	}
	counts := wafers.Even(*per)
	if *published > 0 {
		counts = wafers.Published(*published)
	}
	err := atomicfile.Write(*out, func(w io.Writer) error { return wafers.Write(ctx, w, *seed, counts) })
	if err == nil && *sheet != "" {
		err = atomicfile.Write(*sheet, func(w io.Writer) error {
			img, err := wafers.Sheet(*seed, counts)
			if err != nil {
				return err
			}
			return png.Encode(w, img)
		})
	}
	if err != nil {
		return fmt.Errorf("classify: generate: %w", err)
	}
	fmt.Fprintf(stdout, "%s: %d maps of %d combinations\n", *out, counts.Total(), len(counts))
	return nil
}
