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
	"strings"
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
	Label     *Label `json:"label,omitempty"` // nil in the older form
	Defect    string `json:"defect,omitempty"`
	Anomalous bool   `json:"anomalous,omitempty"` // of the older form
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
//	{"image":"bottle/test/cut/000.png","class":"bottle","split":"test","label":"defective","defect":"cut","mask":"bottle/ground_truth/cut/000_mask.png","group":"7"}
//
// Fields that are empty are left out, but never "label", which is that of
// [Label.String]; "defect" is left out where it says the same as the label. Same
// items, same bytes. It returns an error that wraps [ErrLabel] if Label and
// Defect of an item contradict each other.
func WriteManifest(w io.Writer, items []Item) error {
	if w == nil {
		return fmt.Errorf("dataset: write manifest: %w: the writer is nil", ErrConfig)
	}
	b := bufio.NewWriter(w)
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	for _, it := range items {
		if err := it.checkLabel(); err != nil {
			return fmt.Errorf("dataset: write manifest: %s: %w", it.Name, err)
		}
		e := entry{Image: it.Name, Class: it.Class, Split: it.Split, Label: &it.Label, Defect: it.Defect, Mask: it.MaskName, Group: it.Group}
		if e.Defect == Good || e.Defect == Unknown {
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
// Where "defect" is missing, Defect is [Good] for good items and [Unknown] for
// others. The text may begin with a byte order mark, and may be UTF-16. A line longer than 64 KiB, a field that is not known, a name that is
// missing, comes twice or leaves the root, and a label that contradicts the kind
// of defect are faults: the error wraps [ErrLayout] and lists all of them with
// their lines, up to a hundred.
//
// Manifests of the older form are read too. They have no "label" in any line. A
// kind of defect, or "anomalous", which needs one, makes an item defective;
// "defect":"unknown" makes it unlabelled; it is good without either. A file with
// "label" in some lines only is a fault.
func ReadManifest(r io.Reader) ([]Item, error) {
	if r == nil {
		return nil, fmt.Errorf("dataset: read manifest: %w: the reader is nil", ErrConfig)
	}
	var items []Item
	var faults []error
	lines := make(map[string]int)
	var older []int // lines without a label
	s := bufio.NewScanner(utf8Reader(r))
	s.Buffer(nil, maxLine)
	line := 0
	for s.Scan() && len(faults) < maxFaults {
		line++
		if len(bytes.TrimSpace(s.Bytes())) == 0 {
			continue
		}
		it, labelled, err := parseEntry(s.Bytes())
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
		if !labelled {
			older = append(older, line)
		}
		items = append(items, it)
	}
	if err := s.Err(); err != nil {
		faults = append(faults, fmt.Errorf("line %d: %w", line+1, err))
	}
	if len(older) < len(items) {
		for _, l := range older {
			if len(faults) == maxFaults {
				break
			}
			faults = append(faults, fmt.Errorf(`line %d: "label" is missing, other lines have it; give it unknown, good or defective`, l))
		}
	}
	if len(faults) > 0 {
		return nil, fmt.Errorf("dataset: read manifest: %w: %w", ErrLayout, errors.Join(faults...))
	}
	return items, nil
}

// parseEntry reads a line. labelled is false for the older form.
func parseEntry(line []byte) (it Item, labelled bool, err error) {
	var e entry
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&e); err != nil {
		if bytes.Contains(line, []byte(`\`)) {
			err = fmt.Errorf("%w; in JSON a backslash is written twice, or a slash instead", err)
		}
		return Item{}, false, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Item{}, false, errors.New("more than one JSON object")
	}
	return e.item()
}

// item is what a line says. labelled is false for the older form.
func (e *entry) item() (it Item, labelled bool, err error) {
	for _, name := range []string{e.Image, e.Mask} {
		if name != "" && (!fs.ValidPath(name) || name == ".") {
			return Item{}, false, fmt.Errorf("%q is not a path below the root with slashes", name)
		}
	}
	it = Item{Name: e.Image, Class: e.Class, Split: e.Split, Defect: e.Defect, MaskName: e.Mask, Group: e.Group}
	switch {
	case e.Image == "":
		return Item{}, false, errors.New(`"image" is missing`)
	case e.Label != nil && e.Anomalous:
		return Item{}, false, errors.New(`"label" and "anomalous" in one line`)
	case e.Label == nil && it.Defect == "" && e.Anomalous:
		return Item{}, false, errors.New(`"anomalous" without "defect"`)
	case e.Label == nil && it.Defect == Good && e.Anomalous:
		return Item{}, false, errors.New(`"defect" is good and "anomalous" is true`)
	}
	if e.Label != nil {
		it.Label = *e.Label
		if it.Defect == "" {
			it.Defect = Unknown
			if it.IsGood() {
				it.Defect = Good
			}
		}
		return it, true, it.checkLabel()
	}
	if it.Defect == "" {
		it.Defect = Good
	}
	if it.Label = LabelOf(it.Defect); e.Anomalous {
		it.Label = LabelDefective
	}
	return it, false, nil
}

// NewManifest opens the images that a manifest below the root of fsys lists
// (see [ReadManifest]), in its order; their names are below the root too.
// cfg.Classes and cfg.Split choose among them. Backslashes count as slashes where no
// file has the name with them. Images and masks that are not
// there are passed over and listed by [Files.Issues], as are masks of other
// names; no image left is an error that wraps [ErrLayout].
func NewManifest(fsys fs.FS, name string, cfg Config) (*Files, error) {
	f, err := cfg.start(fsys, "manifest")
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
		for _, n := range []*string{&it.Name, &it.MaskName} {
			if with := strings.ReplaceAll(*n, `\`, "/"); with != *n && fs.ValidPath(with) && !f.has(have, *n) {
				*n = with
			}
		}
		switch {
		case !f.has(have, it.Name):
			f.issue(it.Name, "listed, but not there")
			continue
		case !imageFile(it.Name):
			f.issue(it.Name, "not an image by its name (%s)", imageEndings)
			continue
		case it.MaskName != "" && !f.has(have, it.MaskName):
			f.issue(it.Name, "its mask %s is not there", it.MaskName)
			it.MaskName = ""
		}
		f.items = append(f.items, it)
	}
	if len(f.items) == 0 {
		return nil, f.layoutError(name, "none of its %d images is there", len(items))
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
// [ReadManifest]. Backslashes in names count as slashes where ds has no such name. It decodes nothing. Names that ds does not have are an error
// that wraps [ErrLayout] and lists them; a Label that contradicts Defect is one
// that wraps [ErrLabel].
func Apply(ds Dataset, items []Item) (Dataset, error) {
	ds = orEmpty(ds)
	at := make(map[string]int, ds.Len())
	for i := range ds.Len() {
		at[ds.Item(i).Name] = i
	}
	index := make([]int, 0, len(items))
	var missing []string
	items = slices.Clone(items)
	for k, it := range items {
		if err := it.checkLabel(); err != nil {
			return nil, fmt.Errorf("dataset: apply manifest: %s: %w", it.Name, err)
		}
		i, ok := at[it.Name]
		if !ok {
			if i, ok = at[strings.ReplaceAll(it.Name, `\`, "/")]; ok {
				items[k].Name = ds.Item(i).Name
			}
		}
		if ok {
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
	r := &relabelled{Dataset: sub, items: items}
	r.classes = classesOf(r)
	return r, nil
}
