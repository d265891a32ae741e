package report

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/gotab/gotab/downstream/heatmap"
	"github.com/gotab/gotab/internal/atomicfile"
)

// Writer writes a report class by class, each while its detectors are there: the page begins with
// the table, which needs all of them, so what is made of a class waits in a temporary file. It is
// not safe for concurrent use.
type Writer struct {
	dir      string
	head     Head
	classes  []Class // without Load
	taken    map[string]bool
	shows    bool     // any part
	sections *os.File // the page between the table and its end
}

// Create begins a report in dir, which is made where it is not there. Files of an earlier report are
// replaced as the new ones are finished, each whole or not at all. A head that makes no sense is
// ErrData. Close frees what a report that is not finished has taken.
func Create(dir string, h Head) (*Writer, error) {
	fail := func(err error) (*Writer, error) { return nil, fmt.Errorf("report: create %s: %w", dir, err) }
	if err := h.validate(); err != nil {
		return fail(err)
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return fail(err)
	}
	f, err := os.CreateTemp(dir, ".sections-*.tmp")
	if err != nil {
		return fail(err)
	}
	taken := map[string]bool{"report.html": true, "table.csv": true, "table.json": true, "table.md": true}
	return &Writer{dir: dir, head: h, taken: taken, sections: f}, nil
}

// Add adds a class: it writes its plots and its gallery, removes pictures of an earlier report's
// gallery that have no successor, and keeps its numbers for the table. When it fails, the report is
// as it would be without the class, but for files in the folder of the class.
//
// Data that do not fit are ErrData; a class of good or of defective parts only is
// metrics.ErrOneClass; what Load returns and cannot be drawn is what the package heatmap says of
// it. ctx is looked at before each part.
func (w *Writer) Add(ctx context.Context, c Class) error {
	if err := w.add(ctx, c); err != nil {
		return fmt.Errorf("report: add class %s: %w", c.Name, err)
	}
	return nil
}

func (w *Writer) add(ctx context.Context, c Class) error {
	if w.sections == nil {
		return fmt.Errorf("%w: the report is finished", ErrData)
	}
	if err := c.validate(); err != nil {
		return err
	}
	if slices.ContainsFunc(w.classes, func(o Class) bool { return o.Name == c.Name }) {
		return fmt.Errorf("%w: the class is there already", ErrData)
	}
	start, err := w.sections.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	folder := w.folder(c.Name)
	b := bufio.NewWriter(w.sections)
	p, err := newPage(b)
	if err != nil {
		return err
	}
	groups := w.head.Gallery.choose(c.Samples, c.Detectors[0].Scores)
	err = writeClass(ctx, p, filepath.Join(w.dir, folder), len(w.classes), c, groups)
	if err == nil {
		err = b.Flush()
	}
	if err != nil { // what is there of its section would break the page
		return errors.Join(err, w.sections.Truncate(start))
	}
	w.taken[strings.ToLower(folder)] = true
	w.shows = w.shows || c.Load != nil && len(groups) > 0
	c.Load = nil // and with it the detectors that it holds
	w.classes = append(w.classes, c)
	return nil
}

// Say adds a paragraph below the title, such as what went wrong since Create.
func (w *Writer) Say(paragraph string) { w.head.Intro = append(w.head.Intro, paragraph) }

// Save writes the tables and, last, report.html with the classes that there are by now, so that
// they are not lost with a process that is stopped before Finish. A report without classes is
// ErrData.
func (w *Writer) Save() error {
	if err := w.save(); err != nil {
		return fmt.Errorf("report: write %s: %w", w.dir, err)
	}
	return nil
}

// Finish is Save and Close.
func (w *Writer) Finish() error { return errors.Join(w.Save(), w.Close()) }

func (w *Writer) save() error {
	if len(w.classes) == 0 || w.sections == nil {
		return fmt.Errorf("%w: there are no classes, or the report is finished", ErrData)
	}
	t, err := tabulate(w.classes)
	if err != nil {
		return err
	}
	differences, err := allDifferences(w.classes)
	if err != nil {
		return err
	}
	if _, err := w.sections.Seek(0, io.SeekStart); err != nil {
		return err
	}
	for _, f := range []struct {
		name  string
		write func(io.Writer) error
	}{
		{"table.csv", func(to io.Writer) error { return writeCSV(w.classes, to) }},
		{"table.json", func(to io.Writer) error { return writeJSON(w.classes, to) }},
		{"table.md", func(to io.Writer) error { return t.markdown(to, w.head.Notes, differences) }},
		{"report.html", func(to io.Writer) error {
			p, err := newPage(to)
			if err != nil {
				return err
			}
			if err := p.begin(w.head, w.classes, t, w.shows); err != nil {
				return err
			}
			if _, err := io.Copy(to, w.sections); err != nil {
				return err
			}
			return p.end()
		}},
	} {
		if err := atomicfile.Write(filepath.Join(w.dir, f.name), f.write); err != nil {
			return err
		}
	}
	return nil
}

// Close removes the temporary file. A second call does nothing.
func (w *Writer) Close() error {
	if w.sections == nil {
		return nil
	}
	f := w.sections
	w.sections = nil
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// Write is Create, Add for each class, and Finish. After a failure there is no new page.
func Write(ctx context.Context, dir string, d Data) (err error) {
	w, err := Create(dir, d.Head)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	for _, c := range d.Classes {
		if err := w.Add(ctx, c); err != nil {
			return err
		}
	}
	return w.Finish()
}

// writeClass writes the plots and the gallery of a class, to its folder and to the page.
func writeClass(ctx context.Context, p *page, dir string, k int, c Class, groups []group) error {
	gallery := filepath.Join(dir, "gallery")
	if err := os.MkdirAll(gallery, 0o777); err != nil {
		return err
	}
	pictures, err := plots(c)
	if err != nil {
		return err
	}
	for _, pic := range pictures {
		if err := atomicfile.Write(filepath.Join(dir, pic.file), func(w io.Writer) error {
			_, err := w.Write(pic.png)
			return err
		}); err != nil {
			return err
		}
	}
	if err := p.class(k, c, pictures); err != nil {
		return err
	}
	written := map[string]bool{}
	if c.Load != nil {
		if err := writeGallery(ctx, p, gallery, c, groups, written); err != nil {
			return err
		}
	}
	if err := p.endClass(); err != nil {
		return err
	}
	return removeOthers(gallery, written)
}

// writeGallery draws the chosen parts, one after the other. written gets the names of the
// files.
func writeGallery(ctx context.Context, p *page, dir string, c Class, groups []group, written map[string]bool) error {
	if len(groups) == 0 {
		return nil
	}
	key, err := legend(c)
	if err != nil {
		return err
	}
	if err := p.legend(c); err != nil {
		return err
	}
	for _, g := range groups {
		if err := p.group(g); err != nil {
			return err
		}
		for _, i := range g.samples {
			name := fmt.Sprintf("%02d-%s-%s.png", len(written)+1, g.file, slug(strings.TrimSuffix(path.Base(c.Samples[i].Name), path.Ext(c.Samples[i].Name))))
			if err := writePart(ctx, p, filepath.Join(dir, name), c, i, key); err != nil {
				return fmt.Errorf("%s: %w", c.Samples[i].Name, err)
			}
			written[name] = true
		}
	}
	return nil
}

// writePart draws one part at its own size for the file, and no larger than needed for the
// page.
func writePart(ctx context.Context, p *page, file string, c Class, i int, key *image.RGBA) error {
	it, err := loadItem(ctx, c, i)
	if err != nil {
		return err
	}
	full, err := it.part(c, 0)
	if err != nil {
		return err
	}
	panels, err := full.Panels()
	if err != nil {
		return err
	}
	row, err := heatmap.Row(panels, captions(c, i)...)
	if err != nil {
		return err
	}
	sheet, err := heatmap.Stack(row, key)
	if err != nil {
		return err
	}
	// Noise hardly compresses: trying harder takes three times as long for a few percent.
	enc := png.Encoder{CompressionLevel: png.BestSpeed}
	if err := atomicfile.Write(file, func(w io.Writer) error { return enc.Encode(w, sheet) }); err != nil {
		return err
	}
	if size := it.Image.Bounds().Size(); max(size.X, size.Y) > embedded {
		small, err := it.part(c, embedded)
		if err != nil {
			return err
		}
		if panels, err = small.Panels(); err != nil {
			return err
		}
	}
	return p.part(c, i, it.Mask != nil, panels)
}

// galleryFile is what writeGallery calls its files.
var galleryFile = regexp.MustCompile(`^[0-9]{2,}-(missed|alarm|typical)-.*\.png$`)

// removeOthers removes the pictures of an earlier report's gallery.
func removeOthers(dir string, keep map[string]bool) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Type().IsRegular() && !keep[e.Name()] && galleryFile.MatchString(e.Name()) {
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// folder names the folder of a class, other than those before also where case does not count.
func (w *Writer) folder(class string) string {
	base := slug(class)
	name := base
	for n := 2; w.taken[strings.ToLower(name)]; n++ {
		name = fmt.Sprintf("%s-%d", base, n)
	}
	return name
}

// slug makes a text fit for a file name on any system: letters and digits of ASCII, dot, dash
// and underscore, no dot in front, 64 letters at most.
func slug(text string) string {
	s := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '-', r == '_':
			return r
		}
		return '-'
	}, text)
	s = strings.Trim(s, ".")
	if s == "" {
		s = "unnamed"
	}
	return s[:min(len(s), 64)]
}
