package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/dataset/audit"
	"github.com/gotab/gotab/internal/atomicfile"
)

// split divides a data set, or draws a support set, and writes a manifest.
func split(ctx context.Context, s *set, o options, stdout, stderr io.Writer) error {
	items := dataset.Items(s.ds)
	rng := rand.New(rand.NewPCG(o.seed, 0))
	from := strings.Split(o.from, ",")
	if o.shots > 0 {
		chosen, err := dataset.Support(items, o.shots, from, rng)
		if err != nil {
			return err
		}
		return save(o.out, chosen, stdout)
	}
	cfg := dataset.DefaultSplit()
	cfg.From, cfg.Defects = from, o.defects
	var err error
	if cfg.Parts, err = dataset.ParseParts(o.parts); err != nil {
		return wrong("-parts: %w", err)
	}
	if o.group != "" { // written to the manifest, so that check sees it
		if err := dataset.GroupByName(items, o.group); err != nil {
			return wrong("-group: %w", err)
		}
	}
	if o.together {
		all, err := audit.Look(ctx, s.ds)
		if err != nil {
			return err
		}
		if err := all.WriteUnread(stderr); err != nil {
			return err
		}
		n, err := all.Together(items)
		if err != nil {
			return err
		}
		if n > 0 {
			fmt.Fprintf(stderr, "note: %d images have the pixels of another one; each such group stays on one side\n", n)
		}
	}
	divided, err := cfg.Assign(items, rng)
	if err != nil {
		return err
	}
	return save(o.out, divided, stdout)
}

// save writes a manifest and prints what is in it.
func save(name string, items []dataset.Item, stdout io.Writer) error {
	if err := atomicfile.Write(name, func(w io.Writer) error { return dataset.WriteManifest(w, items) }); err != nil {
		return err
	}
	if err := audit.WriteCounts(stdout, items); err != nil {
		return err
	}
	_, err := fmt.Fprintf(stdout, "manifest: %s\n", name)
	return err
}
