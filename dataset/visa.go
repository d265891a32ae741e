package dataset

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// maxList bounds a list of images in CSV, in bytes. VisA's has 1 MB.
const maxList = 64 << 20

// NewVisA opens VisA as it is published, or reorganised. As published, it has
//
//	<class>/Data/Images/{Normal,Anomaly}/*.JPG, <class>/Data/Masks/Anomaly/*.png, <class>/image_anno.csv
//	split_csv/{1cls,2cls_highshot,2cls_fewshot}.csv
//
// and the list cfg.Setup, with the columns object, split, label, image and mask,
// decides what is trained on; what the list takes as training data with defects
// (the 2cls lists do) is kept. Defect is the label of image_anno.csv where that
// file has one, such as "bent" or "scratch,melt", and "anomaly" else. Without a
// folder split_csv the reorganised form is read: MVTec AD's layout with the
// kinds good and bad and masks named like their images.
//
// Lists may be written as spreadsheets write them: with a byte order mark, in UTF-16,
// with a line "sep=;", with semicolons or tabs, with backslashes in paths. Masks hold
// numbers of defect kinds. Images and masks that
// a list names and the disk does not have become issues; so do lines that make
// no sense.
func NewVisA(fsys fs.FS, cfg Config) (*Files, error) {
	f, err := cfg.start(fsys, "VisA")
	if err != nil {
		return nil, err
	}
	if info, err := fs.Stat(fsys, "split_csv"); err != nil || !info.IsDir() {
		m := cfg.mvtec(Good)
		m.Decoder = f.dec
		return newMVTecAD(fsys, "", m)
	}
	name := "split_csv/" + cfg.Setup + ".csv"
	rows, err := f.table(name, "object", "split", "label", "image", "mask")
	if err != nil {
		return nil, err
	}
	var found []string
	for _, r := range rows {
		if !slices.Contains(found, r[0]) {
			found = append(found, r[0])
		}
	}
	if f.classes, err = f.wanted(found, cfg.Classes); err != nil {
		return nil, err
	}
	kinds := make(map[string]string)
	for _, class := range f.classes {
		f.visaKinds(class, kinds)
	}
	seen := make(map[string]bool)
	for i, r := range rows {
		at := func(format string, args ...any) { f.issue(name, "line %d: %s", i+2, fmt.Sprintf(format, args...)) }
		it := Item{Class: r[0], Split: r[1], Defect: Good, Label: LabelGood, Name: f.slashed(r[3]), MaskName: f.slashed(r[4])}
		normal := among(goodNames(), r[2])
		switch {
		case !slices.Contains(f.classes, it.Class):
			continue
		case !normal && !isBad(r[2]):
			at("label is %q, want normal or anomaly", r[2])
			continue
		case !f.exists(it.Name):
			at("there is no image %q", it.Name)
			continue
		case seen[it.Name]:
			at("image %q is listed twice", it.Name)
			continue
		}
		seen[it.Name] = true
		if it.MaskName != "" && !f.exists(it.MaskName) {
			at("there is no mask %q", it.MaskName)
			it.MaskName = ""
		}
		if !normal {
			it.Defect, it.Label = "anomaly", LabelDefective
			if k := kinds[it.Name]; k != "" && k != "normal" && LabelOf(k) == LabelDefective {
				it.Defect = k
			}
		}
		f.items = append(f.items, it)
	}
	if len(f.items) == 0 {
		return nil, f.layoutError(name, "none of its %d images is there; the first is %s", len(rows), rows[0][3])
	}
	if err := f.keep(cfg.Split); err != nil {
		return nil, err
	}
	slices.SortStableFunc(f.items, func(a, b Item) int {
		if c := strings.Compare(a.Class, b.Class); c != 0 {
			return c
		}
		if c := strings.Compare(b.Split, a.Split); c != 0 {
			return c // train before test
		}
		return strings.Compare(a.Name, b.Name)
	})
	f.finish()
	return f, nil
}

// visaKinds collects kinds of defects by image; the file need not be there.
func (f *Files) visaKinds(class string, kinds map[string]string) {
	name := path.Join(class, "image_anno.csv")
	if !f.exists(name) {
		return
	}
	rows, err := f.table(name, "image", "label")
	if err != nil {
		f.issue(name, "not read: %v", err)
		return
	}
	for _, r := range rows {
		kinds[f.slashed(r[0])] = r[1]
	}
}

// slashed is a path of a list with slashes for Windows' backslashes, where the name
// as it stands is no file.
func (f *Files) slashed(name string) string {
	if strings.Contains(name, `\`) && !f.exists(name) {
		return strings.ReplaceAll(name, `\`, "/")
	}
	return name
}

func (f *Files) exists(name string) bool {
	if !fs.ValidPath(name) {
		return false
	}
	info, err := fs.Stat(f.fsys, name)
	return err == nil && info.Mode().IsRegular()
}

// table reads named columns of a CSV file whose first line has their names (see
// [parseTable]).
func (f *Files) table(name string, columns ...string) ([][]string, error) {
	file, err := f.fsys.Open(name)
	if err != nil {
		return nil, f.layoutError(name, "cannot open the list: %v", err)
	}
	defer func() { _ = file.Close() }() // nothing was written
	data, err := readAll(utf8Reader(file), 0, maxList)
	if err != nil {
		return nil, f.layoutError(name, "cannot read the list: %v", err)
	}
	rows, err := parseTable(data, columns)
	if err != nil {
		return nil, f.layoutError(name, "%v", err)
	}
	return rows, nil
}
