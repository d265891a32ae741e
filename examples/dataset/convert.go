package main

import (
	"context"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/internal/atomicfile"
)

// convert writes a data set in MVTec AD's layout, or its manifest. What cannot
// be converted is reported at the end, all of it. The folder -out appears when it
// is finished: half a data set looks like a whole one. It is filled under a hidden
// name beside its place, which is removed when something fails; of a process that
// was killed it stays, and no data set is read from it.
func convert(ctx context.Context, s *set, o options, stdout, stderr io.Writer) (err error) {
	for _, i := range s.issues {
		fmt.Fprintf(stderr, "note: %s\n", i)
	}
	if strings.HasSuffix(o.out, ".jsonl") {
		return save(o.out, dataset.Items(s.ds), stdout)
	}
	if entries, err := os.ReadDir(o.out); err == nil && len(entries) > 0 {
		return fmt.Errorf("dataset: convert: %s is not empty", o.out)
	}
	out, err := filepath.Abs(o.out)
	if err != nil {
		return err
	}
	if behind, err := filepath.EvalSymlinks(out); err == nil { // an empty folder behind a link
		out = behind
	}
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return err
	}
	hidden, err := os.MkdirTemp(filepath.Dir(out), "."+filepath.Base(out)+".converting-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(hidden)) }()
	staged := filepath.Join(hidden, "out") // with the permissions that the user allows
	var faults []error
	places := newPlacement(dataset.Items(s.ds))
	want := make(map[string]dataset.Item) // what is to be read of the result
	masks := 0
	for i := range s.ds.Len() {
		if err := ctx.Err(); err != nil {
			return err
		}
		at, mask, err := places.place(s.ds.Item(i))
		if err != nil {
			faults = append(faults, err)
			continue
		}
		sample, err := s.ds.Sample(ctx, i)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		if err := writePNG(filepath.Join(staged, at), plain(sample.Image)); err != nil {
			return err
		}
		now := sample.Item
		now.Name, now.MaskName = filepath.ToSlash(at), ""
		if sample.Mask == nil || !sample.IsDefective() {
			want[now.Name] = now
			continue // in this layout, normal pictures have no masks
		}
		if err := writePNG(filepath.Join(staged, mask), sample.Mask); err != nil {
			return err
		}
		now.MaskName = filepath.ToSlash(mask)
		want[now.Name] = now
		masks++
	}
	if len(want) > 0 {
		if err := readsAs(staged, want); err != nil {
			return err
		}
		// An empty folder that is in the place makes way; one that is not empty stays.
		if err := os.Remove(out); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("dataset: convert: %w; name a folder that does not exist yet", err)
		}
		if err := os.Rename(staged, out); err != nil {
			return fmt.Errorf("dataset: convert: %w; name a folder that does not exist yet", err)
		}
	}
	fmt.Fprintf(stdout, "%d pictures and %d masks written to %s\n", len(want), masks, o.out)
	if len(faults) > 0 {
		return fmt.Errorf("dataset: convert: %d pictures were left out:\n%w", len(faults), errors.Join(faults...))
	}
	return nil
}

// readsAs opens what was written and compares it with what it is to be: a folder
// that other readers take for something else, such as a kind of defect called "label",
// would change labels without a word.
func readsAs(dir string, want map[string]dataset.Item) error {
	// The reader takes train and test together, of which a class may lack one.
	classes := make(map[string][]string) // by split
	for _, it := range want {
		split := safeName(it.Split)
		if split == dataset.Train || split == dataset.Test {
			split = ""
		}
		if c := safeName(it.Class); !slices.Contains(classes[split], c) {
			classes[split] = append(classes[split], c)
		}
	}
	cfg := dataset.DefaultMVTecAD()
	root, _, err := dataset.OpenRoot(dir) // a folder has nothing to close
	if err != nil {
		return err
	}
	got := make(map[string]dataset.Item)
	for split := range classes {
		cfg.Split, cfg.Classes = split, classes[split]
		ds, err := dataset.NewMVTecAD(root, cfg)
		if err != nil {
			return fmt.Errorf("dataset: convert: what was written cannot be read: %w", err)
		}
		for _, it := range dataset.Items(ds) {
			got[it.Name] = it
		}
	}
	var wrong []error
	for _, name := range slices.Sorted(maps.Keys(want)) {
		w := want[name]
		g, ok := got[name]
		if !ok || g.Label != w.Label || g.MaskName != w.MaskName {
			wrong = append(wrong, fmt.Errorf("%s is %s, and would be read as %s of %s with mask %q; give the kind or the picture another name in a manifest (-manifest)",
				name, w.Label, g.Label, g.Defect, g.MaskName))
		}
	}
	if len(wrong) > 0 {
		return fmt.Errorf("dataset: convert: nothing was written, because %d pictures would be read as something else:\n%w", len(wrong), errors.Join(wrong[:min(len(wrong), 20)]...))
	}
	return nil
}

// plain is a grey picture where all pixels are grey, which takes a third of the
// space.
func plain(img *image.RGBA) image.Image {
	g := image.NewGray(img.Rect)
	for i := range g.Pix {
		p := img.Pix[4*i : 4*i+3]
		if p[0] != p[1] || p[0] != p[2] {
			return img
		}
		g.Pix[i] = p[0]
	}
	return g
}

func writePNG(name string, img image.Image) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return atomicfile.Write(name, func(w io.Writer) error { return png.Encode(w, img) })
}
