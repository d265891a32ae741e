// Package inputs has what the programs ask of their data before long work: how files
// are read, that all of them can be, what a transform hides, and that results can be
// written.
package inputs

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"image"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/internal/cpus"
	"github.com/gotab/gotab/tensor"
)

// Flags are the flags that the programs share.
type Flags struct {
	MaskAbove, Bits, MaxPixels int
	SkipBroken                 bool
	Threads                    int    // 0: as many as the process may use
	Prefix                     string // of the network's names in a file of weights
	Transform                  string // empty: the method's own
}

// AddReading adds the flags that say how files are read, and -threads.
func (f *Flags) AddReading(fs *flag.FlagSet) {
	d := dataset.DefaultDecoder()
	fs.IntVar(&f.MaskAbove, "mask-above", d.MaskAbove, "`brightness` above which a pixel of a mask is a defect, 0 to 254; -1 takes what is not the background")
	fs.IntVar(&f.Bits, "bits", d.Bits16, "how many `bits` of 16-bit pictures count, 8 to 16")
	fs.IntVar(&f.MaxPixels, "max-pixels", d.MaxPixels, "largest `number` of pixels of a picture")
	fs.BoolVar(&f.SkipBroken, "skip-broken", false, "go on without pictures that cannot be read")
	f.AddThreads(fs)
}

// AddThreads adds -threads.
func (f *Flags) AddThreads(fs *flag.FlagSet) {
	fs.IntVar(&f.Threads, "threads", 0, "largest `number` of threads; 0 takes as many as the processors that the process may use")
}

// AddPrefix adds -prefix.
func (f *Flags) AddPrefix(fs *flag.FlagSet) {
	fs.StringVar(&f.Prefix, "prefix", "", "`text` before the network's names in a file of weights that holds several networks, for example module.encoder_q.")
}

// AddTransform adds -transform.
func (f *Flags) AddTransform(fs *flag.FlagSet) {
	fs.StringVar(&f.Transform, "transform", "", "what the network sees: `centre` (cut out of the resized picture), square (the whole picture, stretched), WxH (the whole picture, of so many pixels), tiles (squares of the shorter side that overlap) or tiles:SIDE (of so many pixels); default: the method's own")
}

// Validate says what makes no sense.
func (f Flags) Validate() error {
	if f.MaskAbove < dataset.MaskByBackground || f.MaskAbove > 254 {
		return fmt.Errorf("-mask-above is %d, want 0 to 254, or -1", f.MaskAbove)
	}
	if f.Bits < 8 || f.Bits > 16 {
		return fmt.Errorf("-bits is %d, want 8 to 16", f.Bits)
	}
	if f.MaxPixels < 1 {
		return fmt.Errorf("-max-pixels is %d, want 1 or more", f.MaxPixels)
	}
	if f.Threads < 0 || f.Threads > 4096 {
		return fmt.Errorf("-threads is %d, want 1 to 4096, or 0", f.Threads)
	}
	if _, _, err := f.size(); err != nil {
		return err
	}
	return f.Decoder().Validate()
}

// size is that of -transform WxH; false for its words.
func (f Flags) size() (image.Point, bool, error) {
	switch _, tiles, err := f.tiles(); {
	case f.Transform == "", f.Transform == "centre", f.Transform == "square":
		return image.Point{}, false, nil
	case tiles:
		return image.Point{}, false, err
	}
	var p image.Point
	if n, err := fmt.Sscanf(f.Transform, "%dx%d", &p.X, &p.Y); n != 2 || err != nil || fmt.Sprintf("%dx%d", p.X, p.Y) != f.Transform ||
		p.X < 32 || p.Y < 32 || p.X > 8192 || p.Y > 8192 {
		return p, false, fmt.Errorf("-transform is %q, want centre, square, tiles, tiles:SIDE or a size such as 448x128, with sides of 32 to 8192", f.Transform)
	}
	return p, true, nil
}

// Tiles are those of -transform tiles; false where it says something else.
func (f Flags) Tiles() (dataset.Tiles, bool) {
	t, ok, _ := f.tiles() // Validate has seen it
	return t, ok
}

func (f Flags) tiles() (dataset.Tiles, bool, error) {
	t := dataset.DefaultTiles()
	side, ok := strings.CutPrefix(f.Transform, "tiles:")
	if !ok {
		return t, f.Transform == "tiles", nil
	}
	n, err := strconv.Atoi(side)
	if err != nil || n < 32 || n > 8192 {
		return t, true, fmt.Errorf("-transform is %q, want tiles:SIDE with a side of 32 to 8192 pixels, for example tiles:256", f.Transform)
	}
	t.Side = n
	return t, true, nil
}

// Decoder reads files as the flags say.
func (f Flags) Decoder() dataset.Decoder {
	d := dataset.DefaultDecoder()
	d.MaskAbove, d.Bits16, d.MaxPixels = f.MaskAbove, f.Bits, f.MaxPixels
	return d
}

// Tune is a method's transform as the flags have it: of tiles, where these are asked for.
func (f Flags) Tune(t dataset.Transform) dataset.Transform {
	whole := t.Exact
	if t.Crop != (image.Point{}) {
		whole = t.Crop
	}
	size, set, _ := f.size() // Validate has seen it
	_, tiles := f.Tiles()
	switch {
	case set:
		t = dataset.Transform{Exact: size, Filter: t.Filter, RowsFirst: t.RowsFirst}
	case (f.Transform == "square" || tiles) && whole != (image.Point{}):
		t = dataset.Transform{Exact: whole, Filter: t.Filter, RowsFirst: t.RowsFirst}
	case f.Transform == "centre" && t.Crop == (image.Point{}) && whole != (image.Point{}):
		t = dataset.Transform{Shorter: min(whole.X, whole.Y) * 8 / 7, Crop: whole, Filter: t.Filter, RowsFirst: t.RowsFirst}
	}
	if f.Bits != dataset.DefaultDecoder().Bits16 {
		t.Bits16 = f.Bits
	}
	return t.Shared()
}

// UseThreads bounds the threads of the process, and tries whether the system lets it
// have them.
func (f Flags) UseThreads() error {
	if f.Threads < 0 || f.Threads > 4096 {
		return fmt.Errorf("-threads is %d, want 1 to 4096, or 0", f.Threads)
	}
	if f.Threads == 0 {
		runtime.GOMAXPROCS(cpus.Allowed()) // decoding obeys a container's quota too
	} else {
		runtime.GOMAXPROCS(f.Threads)
		if err := tensor.SetThreads(tensor.Threads{Cores: f.Threads, PerRun: f.Threads}); err != nil {
			return err
		}
	}
	err := tensor.GetThreads().Try()
	if errors.Is(err, tensor.ErrThreads) && tensor.GetThreads().Cores > 1 {
		return fmt.Errorf("%w; -threads 1 takes the fewest", err)
	}
	return err
}

// Seen is what Look found.
type Seen struct {
	Data    dataset.Dataset // without the broken samples
	Kept    []int           // what Data holds, as numbers of what was looked at
	Skipped []string        // names of the broken ones
	Sizes   map[image.Point]int
}

// Look checks all files of a data set before long work begins. It writes what may
// not be meant to notes. Samples that cannot be read are an error that lists them,
// or left out with -skip-broken.
func (f Flags) Look(ctx context.Context, ds dataset.Dataset, notes io.Writer) (Seen, error) {
	r, err := dataset.Check(ctx, ds, dataset.DefaultCheck())
	if err != nil {
		return Seen{}, err
	}
	s := Seen{Data: ds, Sizes: r.Sizes}
	for _, n := range r.Notes {
		if _, err := fmt.Fprintf(notes, "note: %s\n", n); err != nil {
			return s, err
		}
	}
	if r.Deep > 0 && r.Bits != f.Bits {
		if _, err := fmt.Fprintf(notes, "note: -bits sets Bits16, and it is %d now\n", f.Bits); err != nil {
			return s, err
		}
	}
	if t, ok := f.Tiles(); ok {
		for _, p := range slices.SortedFunc(maps.Keys(r.Sizes), func(a, b image.Point) int { return cmp.Or(a.X-b.X, a.Y-b.Y) }) {
			if _, err := t.Count(p.X, p.Y); err != nil {
				return s, fmt.Errorf("-transform %s: %w", f.Transform, err)
			}
		}
	}
	if len(r.Broken) > 0 && !f.SkipBroken {
		hint := "mend or remove them, or go on without them by -skip-broken"
		if errors.Is(r.Err(), dataset.ErrTooLarge) {
			hint += "; -max-pixels allows larger pictures"
		}
		return s, fmt.Errorf("%w; %s", r.Err(), hint)
	}
	for k, i := range r.Broken {
		s.Skipped = append(s.Skipped, ds.Item(i).Name)
		if _, err := fmt.Fprintf(notes, "note: left out: %v\n", r.Faults[k]); err != nil {
			return s, err
		}
	}
	s.Data, s.Kept, err = r.Whole(ds)
	return s, err
}

// UnseenNote says in words what a transform cuts off; empty where all of every picture is seen.
func UnseenNote(t dataset.Transform, sizes map[image.Point]int) (string, error) {
	share, size, err := dataset.Report{Sizes: sizes}.UnseenBy(t)
	if err != nil || share == 0 {
		return "", err
	}
	return fmt.Sprintf("%.0f %% of a picture of %dx%d pixels is not seen (%s): a defect there cannot be found or learnt; -transform square, WxH or tiles shows all of it",
		100*share, size.X, size.Y, t), nil
}

// CheckFolder says whether files can be made in a folder, which it makes if it is not
// there.
func CheckFolder(dir string) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return fmt.Errorf("the folder for results cannot be made: %w", err)
	}
	f, err := os.CreateTemp(dir, ".writable-*.tmp")
	if err != nil {
		return fmt.Errorf("results cannot be written: %w", err)
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// CheckFile says whether a file can be written: its folder is there, and it is none
// itself.
func CheckFile(name string) error {
	if info, err := os.Stat(name); err == nil && info.IsDir() {
		return fmt.Errorf("%s is a folder; name a file", name)
	}
	dir := filepath.Dir(name)
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("%s cannot be written, make its folder first: %w", name, err)
	}
	if !info.IsDir() {
		return fmt.Errorf("%s cannot be written: %s is no folder", name, dir)
	}
	return CheckFolder(dir)
}

// CheckWeightsName refuses the name of another format for weights that are written
// as safetensors.
func CheckWeightsName(name string) error {
	switch ext := strings.ToLower(filepath.Ext(name)); ext {
	case ".pth", ".pt", ".ckpt", ".bin", ".onnx", ".npz", ".h5":
		return fmt.Errorf("%s would hold safetensors, and its ending says %s; call it %s.safetensors", name, ext, strings.TrimSuffix(name, filepath.Ext(name)))
	}
	return nil
}

// SameFile says whether two names are of one file.
func SameFile(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

// Number is "1 class", "2 classes", for what a program says.
func Number(n int, what string) string {
	switch {
	case n == 1:
	case strings.HasSuffix(what, "s"):
		what += "es"
	default:
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// Apart names files: without folder and ending where that tells them apart, else with the
// ending, else with as many folders as it takes. as is what becomes of a name where it must
// differ from the others, nil for nothing. False says that two of them are the same file.
func Apart(files []string, as func(string) string) ([]string, bool) {
	if as == nil {
		as = func(name string) string { return name }
	}
	paths, parts := make([][]string, len(files)), make([]int, len(files)) // parts: of each path that its name has; 0: one, without the ending
	for i, f := range files {
		if abs, err := filepath.Abs(f); err == nil {
			f = abs
		}
		paths[i] = strings.Split(filepath.ToSlash(f), "/")
	}
	for {
		names, times := make([]string, len(files)), map[string]int{}
		for i, p := range paths {
			last := p[len(p)-1]
			if names[i] = strings.TrimSuffix(last, filepath.Ext(last)); parts[i] > 0 {
				names[i] = strings.Join(p[len(p)-parts[i]:], "/")
			}
			times[as(names[i])]++
		}
		if len(times) == len(names) {
			return names, true
		}
		for i, p := range paths {
			if times[as(names[i])] < 2 {
				continue
			}
			if parts[i]++; parts[i] >= len(p) {
				return names, false
			}
		}
	}
}
