package dataset

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// WaferClass is the only class of MixedWM38.
const WaferClass = "wafer"

const (
	waferLabels  = 8
	maxWafers    = 1 << 20 // maps in a file
	maxWaferSide = 1 << 10 // dies
	maxDies      = 1 << 30 // in all maps together; unpacked once, they take a quarter of it in bytes
	// publishedWafers is the size of the published file.
	publishedWafers = 38015
)

// WaferLabels names the eight bits of a label, in the order of the file's
// columns.
func WaferLabels() [8]string {
	return [8]string{"Center", "Donut", "Edge-Loc", "Edge-Ring", "Loc", "Near-full", "Scratch", "Random"}
}

// MixedWM38 is the data set of that name, read from its npz file: maps of dies
// (arr_0, integers, n x 52 x 52: 0 blank, 1 passed, 2 failed) and labels (arr_1,
// n x 8 bits, all 0 for a normal map). It is safe for concurrent use.
//
// Opening reads the labels only. A file that is stored as it is (numpy.savez) is
// read map by map where it lies. A compressed one (numpy.savez_compressed) can
// only be inflated from its beginning: the first use of map i inflates up to
// there and keeps what it passes, two bits a die, which comes to 26 MB for the
// published file, whatever the order in which maps are asked for.
type MixedWM38 struct {
	file   *npz
	maps   *member
	labels [][waferLabels]uint8
	issues []Issue
	size   image.Point
}

// OpenMixedWM38 opens the npz file at that path, or the only npz file in a
// folder.
func OpenMixedWM38(name string) (*MixedWM38, error) {
	if info, err := os.Stat(name); err == nil && info.IsDir() {
		return openMixedWM38(os.DirFS(name))
	}
	dir, base := filepath.Split(name)
	if dir == "" {
		dir = "."
	}
	return NewMixedWM38(os.DirFS(dir), base)
}

// openMixedWM38 looks for the only npz file in the root.
func openMixedWM38(fsys fs.FS) (*MixedWM38, error) {
	found, err := fs.Glob(fsys, "*.npz")
	if err != nil || len(found) != 1 {
		return nil, fmt.Errorf("dataset: open MixedWM38: %w: want one npz file in the folder, found %s", ErrLayout, nameList(found))
	}
	return NewMixedWM38(fsys, found[0])
}

// NewMixedWM38 opens an npz file below fsys. A file that is not in MixedWM38's
// format is an error that wraps [ErrDecode], one of more than 2^30 dies one that
// wraps [ErrTooLarge]. Close the result.
func NewMixedWM38(fsys fs.FS, name string) (w *MixedWM38, err error) {
	if fsys == nil {
		return nil, fmt.Errorf("dataset: MixedWM38: %w: the file system is nil", ErrConfig)
	}
	file, err := openNpz(fsys, name)
	if err != nil {
		return nil, err
	}
	w = &MixedWM38{file: file}
	if err := w.open(name); err != nil {
		return nil, errors.Join(fmt.Errorf("dataset: open %s: %w", name, err), w.Close())
	}
	return w, nil
}

func (w *MixedWM38) open(name string) error {
	var err error
	if w.maps, err = w.file.array("arr_0"); err != nil {
		return err
	}
	s := w.maps.shape
	if len(s) != 3 || s[0] < 1 || s[0] > maxWafers || s[1] < 1 || s[2] < 1 || s[1] > maxWaferSide || s[2] > maxWaferSide {
		return fmt.Errorf("%w: arr_0 has shape %v, want maps x rows x columns, up to %d x %d x %d", ErrDecode, s, maxWafers, maxWaferSide, maxWaferSide)
	}
	if n := s[0] * s[1] * s[2]; n > maxDies {
		return fmt.Errorf("%w: arr_0 has %d dies, the limit is %d", ErrTooLarge, n, maxDies)
	}
	w.size = image.Pt(s[2], s[1])
	labels, err := w.file.array("arr_1")
	if err != nil {
		return err
	}
	if l := labels.shape; len(l) != 2 || l[0] != s[0] || l[1] != waferLabels {
		return errors.Join(fmt.Errorf("%w: arr_1 has shape %v, want %d x %d", ErrDecode, l, s[0], waferLabels), labels.shut())
	}
	raw, err := labels.all()
	if err != nil {
		return err
	}
	w.labels = make([][waferLabels]uint8, s[0])
	for i := range w.labels {
		for j := range waferLabels {
			v := labels.at(raw, i*waferLabels+j)
			if v != 0 && v != 1 {
				return fmt.Errorf("%w: arr_1: label %d of map %d is %d, want 0 or 1", ErrDecode, j, i, v)
			}
			w.labels[i][j] = uint8(v)
		}
	}
	w.checkOrder(name)
	return nil
}

// checkOrder compares the columns with the ranges of the published file. An
// older one has Near-full and Random in each other's place.
func (w *MixedWM38) checkOrder(name string) {
	if len(w.labels) != publishedWafers {
		return
	}
	names := WaferLabels()
	for _, r := range []struct{ first, last, label int }{
		{12000, 12999, 0}, {24000, 24999, 1}, {25000, 25999, 2}, {26000, 26999, 3},
		{32000, 32999, 4}, {33000, 33865, 7}, {34866, 35014, 5}, {37015, 38014, 6},
	} {
		var want [waferLabels]uint8
		want[r.label] = 1
		for i := r.first; i <= r.last; i++ {
			if w.labels[i] != want {
				w.issues = append(w.issues, Issue{Name: name, Reason: fmt.Sprintf(
					"map %d is %s, in the published file it is %s: the columns may be in another order", i, w.defect(i), names[r.label])})
				break
			}
		}
	}
}

// Close closes the file. Maps that have been unpacked can still be read.
func (w *MixedWM38) Close() error {
	var err error
	if w.maps != nil {
		w.maps.mu.Lock()
		err = w.maps.shut()
		w.maps.mu.Unlock()
	}
	if w.file == nil || w.file.close == nil {
		return err
	}
	shut := w.file.close
	w.file.close = nil
	return errors.Join(err, shut())
}

// Len implements [Dataset].
func (w *MixedWM38) Len() int { return len(w.labels) }

// Classes implements [Dataset].
func (w *MixedWM38) Classes() []string { return []string{WaferClass} }

// Issues lists labels that differ from the published file's order.
func (w *MixedWM38) Issues() []Issue { return slices.Clone(w.issues) }

// Size is the width and height of every map, in dies.
func (w *MixedWM38) Size() image.Point { return w.size }

// Labels returns the eight bits of map i, in the order of [WaferLabels]; zeros
// for an i out of range.
func (w *MixedWM38) Labels(i int) [8]uint8 {
	if i < 0 || i >= len(w.labels) {
		return [8]uint8{}
	}
	return w.labels[i]
}

// defect joins the names of a map's labels with a plus.
func (w *MixedWM38) defect(i int) string {
	var on []string
	for j, name := range WaferLabels() {
		if w.labels[i][j] == 1 {
			on = append(on, name)
		}
	}
	if len(on) == 0 {
		return Good
	}
	return strings.Join(on, "+")
}

// Item implements [Dataset]. Name is the number of the map in five digits,
// Defect the names of its labels, such as "Center+Edge-Loc"; there is no split.
func (w *MixedWM38) Item(i int) Item {
	if i < 0 || i >= len(w.labels) {
		return Item{}
	}
	d := w.defect(i)
	return Item{Name: fmt.Sprintf("%05d", i), Class: WaferClass, Defect: d, Label: LabelOf(d)}
}

// Map returns the dies of map i, rows from the top: 0 blank, 1 passed, 2 failed.
// The undocumented value 3, which 105 maps of the published file hold, is taken
// as 2. Others are an error that wraps [ErrDecode].
func (w *MixedWM38) Map(ctx context.Context, i int) ([]uint8, error) {
	if i < 0 || i >= len(w.labels) {
		return nil, indexError(i, len(w.labels))
	}
	if err := ended(ctx); err != nil {
		return nil, err
	}
	packed, err := w.maps.packedRow(ctx, i, w.pack)
	if err != nil {
		return nil, fmt.Errorf("dataset: map %d: %w", i, err)
	}
	out := make([]uint8, w.size.X*w.size.Y)
	for k := range out {
		out[k] = packed[k/4] >> (2 * (k % 4)) & 3
	}
	return out, nil
}

// pack puts four dies into a byte.
func (w *MixedWM38) pack(raw []byte) ([]byte, error) {
	n := w.size.X * w.size.Y
	out := make([]byte, (n+3)/4)
	if w.maps.size == 4 && w.maps.order == binary.LittleEndian { // the published file
		for k := range n {
			v := binary.LittleEndian.Uint32(raw[4*k:])
			if v > 3 {
				return nil, fmt.Errorf("%w: die %d has the value %d, want 0 to 3", ErrDecode, k, int32(v))
			}
			out[k/4] |= uint8(min(v, 2)) << (2 * (k % 4))
		}
		return out, nil
	}
	for k := range n {
		v := w.maps.at(raw, k)
		if v < 0 || v > 3 {
			return nil, fmt.Errorf("%w: die %d has the value %d, want 0 to 3", ErrDecode, k, v)
		}
		out[k/4] |= uint8(min(v, 2)) << (2 * (k % 4))
	}
	return out, nil
}

// Sample implements [Dataset]. The image has one pixel a die, grey: 0 blank,
// 127 passed, 255 failed. There is no mask. Enlarge it with [Nearest].
func (w *MixedWM38) Sample(ctx context.Context, i int) (Sample, error) {
	dies, err := w.Map(ctx, i)
	if err != nil {
		return Sample{}, err
	}
	img := image.NewRGBA(image.Rectangle{Max: w.size})
	levels := [3]byte{0, 127, 255}
	for k, v := range dies {
		g := levels[v]
		q := img.Pix[4*k : 4*k+4 : 4*k+4]
		q[0], q[1], q[2], q[3] = g, g, g, 255
	}
	return Sample{Item: w.Item(i), Image: img}, nil
}
