package dataset

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
)

const (
	// maxLine bounds a line of a manifest, in bytes.
	maxLine = 1 << 16
	// maxFaults bounds the faults of a manifest that one error lists.
	maxFaults = 100
)

// entry is a line of a manifest.
type entry struct {
	Image     string `json:"image"`
	Class     string `json:"class,omitempty"`
	Split     string `json:"split,omitempty"`
	Defect    string `json:"defect,omitempty"`
	Anomalous bool   `json:"anomalous,omitempty"`
	Mask      string `json:"mask,omitempty"`
	Group     string `json:"group,omitempty"`
}

// Items returns what is known of every sample.
func Items(ds Dataset) []Item {
	ds = orEmpty(ds)
	out := make([]Item, ds.Len())
	for i := range out {
		out[i] = ds.Item(i)
	}
	return out
}

// WriteManifest writes one JSON object an item and line:
//
//	{"image":"bottle/test/cut/000.png","class":"bottle","split":"test","defect":"cut","anomalous":true,"mask":"bottle/ground_truth/cut/000_mask.png","group":"7"}
//
// Fields that are empty or false are left out; "defect" is left out for normal
// items too. Same items, same bytes.
func WriteManifest(w io.Writer, items []Item) error {
	if w == nil {
		return fmt.Errorf("dataset: write manifest: %w: the writer is nil", ErrConfig)
	}
	b := bufio.NewWriter(w)
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	for _, it := range items {
		e := entry{Image: it.Name, Class: it.Class, Split: it.Split, Defect: it.Defect, Anomalous: it.Anomalous, Mask: it.MaskName, Group: it.Group}
		if e.Defect == Good && !e.Anomalous {
			e.Defect = ""
		}
		if err := enc.Encode(e); err != nil {
			return fmt.Errorf("dataset: write manifest: %s: %w", it.Name, err)
		}
	}
	if err := b.Flush(); err != nil {
		return fmt.Errorf("dataset: write manifest: %w", err)
	}
	return nil
}

// ReadManifest reads what [WriteManifest] writes. Empty lines are passed over.
// "anomalous" may be left out where "defect" names a kind other than good and
// unknown. A line longer than 64 KiB, a field that is not known, a name that is
// missing, comes twice or leaves the root, and a normal item with a kind of
// defect are faults: the error wraps [ErrLayout] and lists all of them with
// their lines, up to a hundred.
func ReadManifest(r io.Reader) ([]Item, error) {
	if r == nil {
		return nil, fmt.Errorf("dataset: read manifest: %w: the reader is nil", ErrConfig)
	}
	var items []Item
	var faults []error
	lines := make(map[string]int)
	s := bufio.NewScanner(r)
	s.Buffer(nil, maxLine)
	line := 0
	for s.Scan() && len(faults) < maxFaults {
		line++
		if len(bytes.TrimSpace(s.Bytes())) == 0 {
			continue
		}
		it, err := parseEntry(s.Bytes())
		if err == nil {
			if first, twice := lines[it.Name]; twice {
				err = fmt.Errorf("image %q is in line %d already", it.Name, first)
			}
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("line %d: %w", line, err))
			continue
		}
		lines[it.Name] = line
		items = append(items, it)
	}
	if err := s.Err(); err != nil {
		faults = append(faults, fmt.Errorf("line %d: %w", line+1, err))
	}
	if len(faults) > 0 {
		return nil, fmt.Errorf("dataset: read manifest: %w: %w", ErrLayout, errors.Join(faults...))
	}
	return items, nil
}

func parseEntry(line []byte) (Item, error) {
	var e entry
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&e); err != nil {
		return Item{}, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Item{}, errors.New("more than one JSON object")
	}
	for _, name := range []string{e.Image, e.Mask} {
		if name != "" && (!fs.ValidPath(name) || name == ".") {
			return Item{}, fmt.Errorf("%q is not a path below the root with slashes", name)
		}
	}
	it := Item{Name: e.Image, Class: e.Class, Split: e.Split, Defect: e.Defect, Anomalous: e.Anomalous, MaskName: e.Mask, Group: e.Group}
	switch {
	case e.Image == "":
		return Item{}, errors.New(`"image" is missing`)
	case it.Defect == "" && it.Anomalous:
		return Item{}, errors.New(`"anomalous" without "defect"`)
	case it.Defect == "":
		it.Defect = Good
	case it.Defect == Good && it.Anomalous:
		return Item{}, errors.New(`"defect" is good and "anomalous" is true`)
	case it.Defect != Good && it.Defect != Unknown:
		it.Anomalous = true
	}
	return it, nil
}

// NewManifest opens the pictures that a manifest below the root of fsys lists
// (see [ReadManifest]), in its order; their names are below the root too.
// cfg.Classes and cfg.Split choose among them. Pictures and masks that are not
// there are passed over and listed by [Files.Issues], as are masks of other
// names; no picture left is an error that wraps [ErrLayout].
func NewManifest(fsys fs.FS, name string, cfg Config) (*Files, error) {
	f, err := cfg.start(fsys, "manifest", false)
	if err != nil {
		return nil, err
	}
	file, err := fsys.Open(name)
	if err != nil {
		return nil, fmt.Errorf("dataset: open manifest: %w: %w", ErrLayout, err)
	}
	defer func() { _ = file.Close() }() // nothing was written
	items, err := ReadManifest(file)
	if err != nil {
		return nil, fmt.Errorf("%w (in %s)", err, name)
	}
	have := make(map[string]map[string]bool)
	for _, it := range items {
		switch {
		case !f.has(have, it.Name):
			f.issue(it.Name, "listed, but not there")
			continue
		case !pictureFile(it.Name):
			f.issue(it.Name, "not a picture by its name (png, jpg, bmp, tif)")
			continue
		case it.MaskName != "" && !f.has(have, it.MaskName):
			f.issue(it.Name, "its mask %s is not there", it.MaskName)
			it.MaskName = ""
		}
		f.items = append(f.items, it)
	}
	if len(f.items) == 0 {
		return nil, f.layoutError(name, "none of its %d pictures is there", len(items))
	}
	if f.classes, err = f.wanted(classesOf(f), cfg.Classes); err != nil {
		return nil, err
	}
	if cfg.Classes != nil {
		f.items = slices.DeleteFunc(f.items, func(it Item) bool { return !slices.Contains(f.classes, it.Class) })
	}
	if err := f.keep(cfg.Split); err != nil {
		return nil, err
	}
	f.finish()
	return f, nil
}

// has says whether a file is there; each folder is read once.
func (f *Files) has(have map[string]map[string]bool, name string) bool {
	dir := path.Dir(name)
	files, known := have[dir]
	if !known {
		files = make(map[string]bool)
		// A folder that cannot be read has none of the files asked for, which is
		// what the caller reports.
		entries, _ := fs.ReadDir(f.fsys, dir)
		for _, e := range entries {
			files[e.Name()] = !e.IsDir()
		}
		have[dir] = files
	}
	return files[path.Base(name)]
}

// relabelled shows some samples of another data set under other items.
type relabelled struct {
	Dataset
	items   []Item
	classes []string
}

// Apply returns the samples of ds that items name, in the order of items and
// with what items say of them: a split or a support set that was read with
// [ReadManifest]. It decodes nothing. Names that ds does not have are an error
// that wraps [ErrLayout] and lists them.
func Apply(ds Dataset, items []Item) (Dataset, error) {
	ds = orEmpty(ds)
	at := make(map[string]int, ds.Len())
	for i := range ds.Len() {
		at[ds.Item(i).Name] = i
	}
	index := make([]int, 0, len(items))
	var missing []string
	for _, it := range items {
		if i, ok := at[it.Name]; ok {
			index = append(index, i)
		} else {
			missing = append(missing, it.Name)
		}
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("dataset: apply manifest: %w: the data set does not have %s", ErrLayout, nameList(missing))
	}
	sub, err := Subset(ds, index)
	if err != nil {
		return nil, err
	}
	r := &relabelled{Dataset: sub, items: slices.Clone(items)}
	r.classes = classesOf(r)
	return r, nil
}
