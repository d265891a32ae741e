package main

import (
	"context"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"io/fs"
	"os"
	"path/filepath"
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
	used := make(map[string]bool)
	written, masks := 0, 0
	for i := range s.ds.Len() {
		if err := ctx.Err(); err != nil {
			return err
		}
		at, mask, err := place(s.ds.Item(i), used)
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
		written++
		if sample.Mask == nil || !sample.IsDefective() {
			continue // in this layout, normal pictures have no masks
		}
		if err := writePNG(filepath.Join(staged, mask), sample.Mask); err != nil {
			return err
		}
		masks++
	}
	if written > 0 {
		// An empty folder that is in the place makes way; one that is not empty stays.
		if err := os.Remove(out); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("dataset: convert: %w; name a folder that does not exist yet", err)
		}
		if err := os.Rename(staged, out); err != nil {
			return fmt.Errorf("dataset: convert: %w; name a folder that does not exist yet", err)
		}
	}
	fmt.Fprintf(stdout, "%d pictures and %d masks written to %s\n", written, masks, o.out)
	if len(faults) > 0 {
		return fmt.Errorf("dataset: convert: %d pictures were left out:\n%w", len(faults), errors.Join(faults...))
	}
	return nil
}

// place chooses where a picture and its mask go.
func place(it dataset.Item, used map[string]bool) (picture, mask string, err error) {
	switch {
	case it.Split == "":
		return "", "", fmt.Errorf("%s is in no split; make one with split and pass it with -manifest", it.Name)
	case !it.IsLabelled():
		return "", "", fmt.Errorf("%s has no label", it.Name)
	case it.Split == dataset.Train && it.IsDefective():
		return "", "", fmt.Errorf("%s shows %s and is in train, where the layout has normal pictures only", it.Name, it.Defect)
	}
	kind := tidy(kindOf(it))
	dir := filepath.Join(tidy(it.Class), tidy(it.Split), kind)
	stem := tidy(strings.TrimSuffix(it.Name, filepath.Ext(it.Name)))
	name := stem
	// Masks of all splits share a folder, so names are unique over the splits.
	key := func(n string) string { return filepath.Join(tidy(it.Class), kind, n) }
	for n := 2; used[key(name)]; n++ {
		name = fmt.Sprintf("%s-%d", stem, n)
	}
	used[key(name)] = true
	return filepath.Join(dir, name+".png"), filepath.Join(tidy(it.Class), "ground_truth", kind, name+"_mask.png"), nil
}

// tidy makes one element of a path of a name.
func tidy(name string) string {
	out := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune("-+. ", r):
			return r
		}
		return '_'
	}, name)
	if out = strings.TrimLeft(out, "._ "); out == "" { // hidden names are not read
		return "x"
	}
	return out
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
