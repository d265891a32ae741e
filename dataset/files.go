package dataset

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Issue is something in the folders that was passed over, or taken with a
// reservation.
type Issue struct {
	Name   string // path below the root with slashes
	Reason string
	// Stray says that it is no image by its name, or hidden: a licence, a
	// thumbnail cache. Nothing of the data set is missing or in doubt then.
	Stray bool
}

// String returns both parts.
func (i Issue) String() string {
	if i.Name == "." { // the whole data set
		return i.Reason
	}
	return i.Name + ": " + i.Reason
}

// Files is a [Dataset] of image files. Each call of Sample reads its files
// anew; see [NewCached] for keeping them.
type Files struct {
	fsys    fs.FS
	root    string // how the root is called in messages
	dec     Decoder
	items   []Item
	classes []string
	issues  []Issue
}

// Len implements [Dataset].
func (f *Files) Len() int { return len(f.items) }

// Classes implements [Dataset].
func (f *Files) Classes() []string { return slices.Clone(f.classes) }

// Item implements [Dataset].
func (f *Files) Item(i int) Item {
	if i < 0 || i >= len(f.items) {
		return Item{}
	}
	return f.items[i]
}

// Issues lists stray files and folders, masks without an image, and images
// without a mask among others that have one, sorted by name. None of them
// keeps the data set from being used. The caller may change the slice.
func (f *Files) Issues() []Issue { return slices.Clone(f.issues) }

// Sample implements [Dataset]. Errors name the file; they wrap [ErrDecode],
// [ErrTooLarge], [ErrMask], [ErrIndex], the file system's error or ctx's.
func (f *Files) Sample(ctx context.Context, i int) (Sample, error) {
	if i < 0 || i >= len(f.items) {
		return Sample{}, indexError(i, len(f.items))
	}
	if err := ended(ctx); err != nil {
		return Sample{}, err
	}
	return f.sample(ctx, f.items[i])
}

// grey is Sample for who can do with one channel: a grey image without a mask comes as it is, and s has no image then.
func (f *Files) grey(ctx context.Context, i int) (grey *image.Gray, s Sample, err error) {
	if i < 0 || i >= len(f.items) || f.items[i].MaskName != "" {
		s, err = f.Sample(ctx, i)
		return nil, s, err
	}
	if err := ended(ctx); err != nil {
		return nil, Sample{}, err
	}
	s = Sample{Item: f.items[i]}
	picture, err := f.picture(ctx, s.Name)
	if err != nil {
		return nil, Sample{}, err
	}
	if grey := greyOf(picture.Image); grey != nil && picture.turn == 1 {
		return grey, s, nil
	}
	s.Image = f.dec.colours(picture)
	return nil, s, s.check()
}

// greyOf is the one channel of a picture that has no more, else nil. A palette of rising greys is none, as 8 bits in BMP have it.
func greyOf(img image.Image) *image.Gray {
	switch p := img.(type) {
	case *image.Gray:
		return p
	case *image.Paletted:
		if len(p.Palette) != 256 || !p.Opaque() {
			return nil
		}
		for i, c := range p.Palette {
			if v := byte(i); bare(c) != [3]byte{v, v, v} {
				return nil
			}
		}
		return &image.Gray{Pix: p.Pix, Stride: p.Stride, Rect: p.Rect}
	}
	return nil
}

// picture reads a picture within the budget of ctx.
func (f *Files) picture(ctx context.Context, name string) (decoded, error) {
	return f.read(name, picturePixels, func(size image.Point) error {
		return reserve(ctx, decodeBytes*int64(size.X)*int64(size.Y))
	})
}

// sample reads the files of an item.
func (f *Files) sample(ctx context.Context, it Item) (Sample, error) {
	s := Sample{Item: it}
	picture, err := f.picture(ctx, s.Name)
	if err != nil {
		return Sample{}, err
	}
	s.Image = f.dec.colours(picture)
	if s.MaskName == "" {
		return s, nil
	}
	if err := ended(ctx); err != nil {
		return Sample{}, err
	}
	p, err := f.read(s.MaskName, maskPixels, func(size image.Point) error {
		if size.X*size.Y <= picture.full.X*picture.full.Y {
			return nil
		}
		// Larger than the image: its memory has not been reserved.
		big := s
		big.Mask = &image.Gray{Rect: image.Rectangle{Max: size}}
		return big.checkMaskSize()
	})
	if err != nil {
		return Sample{}, err
	}
	var facts maskFacts
	s.Mask, facts = f.dec.mask(p)
	s.Mask = f.dec.follow(s.Mask, facts, picture.full, picture.turn)
	if picture.shrunk > 1 {
		whole := s
		whole.Image = &image.RGBA{Rect: image.Rectangle{Max: picture.full}}
		if picture.turn >= 5 { // lies on its side
			whole.Image.Rect.Max = image.Pt(picture.full.Y, picture.full.X)
		}
		if err := whole.checkMaskSize(); err != nil {
			return Sample{}, err
		}
		to := s.Image.Rect.Size()
		s.Mask = nearestGray(s.Mask, geometry{in: s.Mask.Rect.Size(), full: to, crop: image.Rectangle{Max: to}})
	}
	if err := s.check(); err != nil {
		return Sample{}, err
	}
	return s, nil
}

func (f *Files) read(name string, use purpose, admit func(size image.Point) error) (p decoded, err error) {
	file, err := f.fsys.Open(name)
	if err != nil {
		return decoded{}, fmt.Errorf("dataset: read: %w", err)
	}
	// Nothing was written, so a failure to close loses nothing.
	defer func() { _ = file.Close() }()
	var size int64
	if info, err := file.Stat(); err == nil {
		size = info.Size()
	}
	if p, err = f.dec.decode(file, size, use, admit); err != nil {
		return decoded{}, fmt.Errorf("dataset: read %s: %w", f.where(name), err)
	}
	return p, nil
}

// where is a path for messages.
func (f *Files) where(name string) string {
	if f.root == "" {
		return name
	}
	if name == "." {
		return f.root
	}
	return strings.TrimSuffix(f.root, "/") + "/" + name
}

func (f *Files) issue(name, format string, args ...any) {
	f.issues = append(f.issues, Issue{Name: name, Reason: fmt.Sprintf(format, args...)})
}

// layoutError names a folder and what was expected of it.
func (f *Files) layoutError(dir, format string, args ...any) error {
	return fmt.Errorf("dataset: open %s: %w: %s", f.where(dir), ErrLayout, fmt.Sprintf(format, args...))
}

// finish sorts what the scan collected.
func (f *Files) finish() {
	slices.SortStableFunc(f.issues, func(a, b Issue) int { return strings.Compare(a.Name, b.Name) })
	f.issues = slices.Compact(f.issues) // a folder may have been listed twice
	slices.Sort(f.classes)
}

// folder is what one folder holds: names of folders and of files, sorted.
type folder struct {
	dirs, files []string
}

// list reads a folder. Links are followed; hidden and unreadable entries, and
// what is neither file nor folder, become issues.
func (f *Files) list(dir string) (folder, error) {
	entries, err := fs.ReadDir(f.fsys, dir)
	if err != nil {
		var at *fs.PathError
		if dir == "." && errors.As(err, &at) { // whose path is named already
			err = at.Err
			if !errors.Is(err, fs.ErrNotExist) {
				err = fmt.Errorf("%w; name the folder that holds the images or classes", err)
			}
		}
		return folder{}, fmt.Errorf("dataset: open %s: %w: %w", f.where(dir), ErrLayout, err)
	}
	return f.divide(dir, entries), nil
}

// divide tells the folders and the files among the entries of a folder apart.
func (f *Files) divide(dir string, entries []fs.DirEntry) (out folder) {
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		mode := e.Type()
		if mode&fs.ModeSymlink != 0 {
			info, err := fs.Stat(f.fsys, name)
			if err != nil {
				f.issue(name, "a link that leads nowhere: %v", err)
				continue
			}
			mode = info.Mode().Type()
		}
		switch {
		case strings.HasPrefix(e.Name(), "."), strings.HasPrefix(e.Name(), "__"):
			f.issues = append(f.issues, Issue{Name: name, Reason: "hidden, not looked at", Stray: true})
		case mode.IsDir():
			out.dirs = append(out.dirs, e.Name())
		case mode.IsRegular():
			out.files = append(out.files, e.Name())
		default:
			f.issue(name, "neither a file nor a folder")
		}
	}
	return out
}

// pictures lists the image files of a folder; everything else becomes an
// issue.
func (f *Files) pictures(dir string) ([]string, error) {
	list, err := f.list(dir)
	if err != nil {
		return nil, err
	}
	for _, d := range list.dirs {
		f.issue(path.Join(dir, d), "a folder where images were expected")
	}
	return slices.DeleteFunc(list.files, func(name string) bool {
		if imageFile(name) {
			return false
		}
		f.issues = append(f.issues, Issue{Name: path.Join(dir, name), Reason: "not an image by its name (" + imageEndings + ")", Stray: true})
		return true
	}), nil
}

// stray turns files into issues.
func (f *Files) stray(dir string, files []string, reason string) {
	for _, name := range files {
		f.issues = append(f.issues, Issue{Name: path.Join(dir, name), Reason: reason, Stray: !imageFile(name)})
	}
}

// wanted reduces the classes found to those asked for; asked may be nil.
func (f *Files) wanted(found, asked []string) ([]string, error) {
	if asked == nil {
		return found, nil
	}
	var out []string
	for _, c := range asked {
		if !slices.Contains(found, c) {
			return nil, f.layoutError(".", "there is no class folder %q; found %s", c, nameList(found))
		}
		if !slices.Contains(out, c) {
			out = append(out, c)
		}
	}
	slices.Sort(out)
	return out, nil
}

// nameList prints names for a message, the first dozen of them.
func nameList(names []string) string {
	const most = 12
	switch {
	case len(names) == 0:
		return "none"
	case len(names) > most:
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}

func stem(name string) string { return strings.TrimSuffix(name, path.Ext(name)) }
