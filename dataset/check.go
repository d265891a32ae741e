package dataset

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"io"
	"io/fs"
	"math"
	"math/bits"
	"path"
	"runtime"
	"slices"
	"strings"

	"github.com/gotab/gotab/internal/pipeline"
	"github.com/gotab/gotab/internal/tiff"
)

// CheckConfig says how [Check] works.
type CheckConfig struct {
	// Workers is the number of goroutines, at least 1. Default GOMAXPROCS.
	Workers int
	// Transform is what the images will go through. Where it cuts off much of
	// them, or a defect as a whole, that is noted. Default: nothing is cut.
	Transform Transform
}

// DefaultCheck returns the defaults that the fields name.
func DefaultCheck() CheckConfig { return CheckConfig{Workers: runtime.GOMAXPROCS(0)} }

// Report is what [Check] found.
type Report struct {
	Samples int // looked at
	Masks   int // of them, with a mask
	// Faults are samples that cannot be read, or whose mask does not fit, in the
	// order of the samples; each names its file and wraps what Sample would
	// return.
	Faults []error
	// Broken are the numbers of these samples, in the same order.
	Broken []int
	// Sizes count the samples that can be read by the size of their images,
	// turned as Sample turns them.
	Sizes map[image.Point]int
	// Notes are what is read, but may not be meant, sorted by name: masks that
	// mark nothing of a defect, more than half of an image, or something of a good
	// one; masks of several encodings in one folder; files of several pages;
	// images whose orientation leaves open how their mask lies.
	Notes []Issue
	// Bits is how many bits the values of all images of 16 bits need, 8 to 16,
	// and Deep the number of these images. Where Bits is less than 16, they come
	// out too dark unless Decoder.Bits16 says so. 0 where there are none. It is
	// known of files that do not say it themselves.
	Bits, Deep int
	// Unseen is the largest share of an image that CheckConfig.Transform cuts
	// off, 0 to 1, and Hidden the number of masks whose defects lie wholly in such
	// parts.
	Unseen float64
	Hidden int
}

// Err joins the faults, the first hundred of them; nil where there are none.
func (r Report) Err() error {
	if len(r.Faults) == 0 {
		return nil
	}
	shown := r.Faults[:min(len(r.Faults), maxFaults)]
	err := errors.Join(shown...)
	if more := len(r.Faults) - len(shown); more > 0 {
		return fmt.Errorf("dataset: check: %d of %d samples cannot be used: %w\nand %d more", len(r.Faults), r.Samples, err, more)
	}
	return fmt.Errorf("dataset: check: %d of %d samples cannot be used: %w", len(r.Faults), r.Samples, err)
}

// Check looks at every sample before long work begins, in seconds for thousands:
// at the head of each image's file, at all of each mask, and at the values of
// images of 16 bits. Of data sets that do not come from files, and of kinds that
// this package does not know, it reads the samples. A damage in the midst of a
// image is not found.
//
// The error is ctx's or one that wraps [ErrConfig]; what is wrong with samples is
// in the report.
func Check(ctx context.Context, ds Dataset, cfg CheckConfig) (Report, error) {
	if ds == nil {
		return Report{}, fmt.Errorf("dataset: check: %w: the data set is nil", ErrConfig)
	}
	if cfg.Workers < 1 {
		return Report{}, fmt.Errorf("dataset: check: %w: Workers is %d, want at least 1", ErrConfig, cfg.Workers)
	}
	if err := cfg.Transform.Validate(); err != nil {
		return Report{}, err
	}
	r := Report{Samples: ds.Len(), Sizes: make(map[image.Point]int)}
	longest := image.Point{} // of which most is cut off
	at := -1
	kinds := make(map[string]map[string][]string) // folder, encoding: masks
	set := 0                                      // bits that the decoder was told
	for s, err := range pipeline.Ordered(ctx, ds.Len(), cfg.Workers, 4*cfg.Workers, func(ctx context.Context, i int) (seen, error) {
		return inspect(ctx, ds, i, cfg.Transform), ctx.Err()
	}) {
		if err != nil {
			return Report{}, fmt.Errorf("dataset: check: %w", err)
		}
		at++
		if s.err != nil {
			r.Faults, r.Broken = append(r.Faults, s.err), append(r.Broken, at)
			continue
		}
		r.Sizes[s.size]++
		r.Notes = append(r.Notes, s.notes...)
		if s.unseen > r.Unseen {
			r.Unseen, longest = s.unseen, s.size
		}
		if s.hidden {
			r.Hidden++
		}
		if s.bits > 0 {
			r.Deep++
			r.Bits = max(r.Bits, s.bits)
			set = s.set
		}
		if s.item.MaskName == "" && !s.masked {
			continue
		}
		r.Masks++
		r.Notes = append(r.Notes, s.maskNotes()...)
		if k := s.facts.kind(); k != "" && s.item.MaskName != "" {
			dir := path.Dir(s.item.MaskName)
			if kinds[dir] == nil {
				kinds[dir] = make(map[string][]string)
			}
			kinds[dir][k] = append(kinds[dir][k], s.item.MaskName)
		}
	}
	for dir, found := range kinds {
		if len(found) > 1 {
			r.Notes = append(r.Notes, Issue{Name: dir, Reason: "its masks are of several kinds, each read by its own background: " + kindList(found)})
		}
	}
	if r.Deep > 0 {
		r.Bits = max(r.Bits, 8)
		r.depthNote(set)
	}
	r.cropNote(cfg.Transform, longest)
	slices.SortStableFunc(r.Notes, func(a, b Issue) int { return strings.Compare(a.Name, b.Name) })
	return r, nil
}

// depthNote says where the bits that are used are not those that are set.
func (r *Report) depthNote(set int) {
	if set == 0 {
		set = 16
	}
	switch {
	case r.Bits < set:
		r.Notes = append(r.Notes, Issue{Name: ".", Reason: fmt.Sprintf(
			"the values of its %d images of 16 bits need %d bits, %d are set: they come out dark; set Bits16 to %d if the camera has %d bits, for fit and score alike",
			r.Deep, r.Bits, set, r.Bits, r.Bits)})
	case r.Bits > set:
		r.Notes = append(r.Notes, Issue{Name: ".", Reason: fmt.Sprintf(
			"the values of its images of 16 bits need %d bits, %d are set: what is brighter comes out white", r.Bits, set)})
	}
}

// cropNote says what a transform cuts off, where that is more than the rim that is
// usual (a centre of 224 out of 256 leaves 23 % out), or holds defects.
func (r *Report) cropNote(t Transform, longest image.Point) {
	const usual = 0.25
	if r.Unseen <= usual && r.Hidden == 0 {
		return
	}
	reason := fmt.Sprintf("the transform (%s) cuts off %s of images of %s", t, percent(r.Unseen), sizeText(longest))
	if r.Hidden > 0 {
		reason += fmt.Sprintf(", and with that all defects of %d of %d masks", r.Hidden, r.Masks)
	}
	r.Notes = append(r.Notes, Issue{Name: ".", Reason: reason + ": what lies there is not seen; take the whole image (Exact without Crop), or cut it into parts"})
}

// kindList counts encodings and names one mask of each.
func kindList(found map[string][]string) string {
	names := make([]string, 0, len(found))
	for k := range found {
		names = append(names, k)
	}
	slices.SortFunc(names, func(a, b string) int {
		if d := len(found[b]) - len(found[a]); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	for i, k := range names {
		names[i] = fmt.Sprintf("%d with %s (%s)", len(found[k]), k, path.Base(found[k][0]))
	}
	return nameList(names)
}

// kind is the encoding in words.
func (m maskFacts) kind() string {
	if m.encoding != "" && m.inverted {
		return m.encoding + " on a bright ground"
	}
	return m.encoding
}

// seen is what Check learns of one sample.
type seen struct {
	item   Item
	err    error
	notes  []Issue
	bits   int  // that the values need, 0 where they are not of 16 bits
	set    int  // Bits16 of the decoder
	masked bool // has a mask that is no file
	facts  maskFacts
	size   image.Point // of the image as it is seen
	unseen float64     // share of it that the transform cuts off
	hidden bool        // so that no defect of its mask remains
}

// view works out what a transform leaves of the image and its mask. A transform
// that does not fit the image is what reading it for real reports.
func (s *seen) view(t Transform, size image.Point, m *image.Gray) {
	rect, err := t.Rect(size.X, size.Y)
	if err != nil {
		return
	}
	s.size = size
	s.unseen = max(0, 1-(rect.MaxX-rect.MinX)*(rect.MaxY-rect.MinY)/(float64(size.X)*float64(size.Y)))
	if m == nil || s.unseen == 0 {
		return
	}
	inside := image.Rect(int(rect.MinX), int(rect.MinY), int(math.Ceil(rect.MaxX)), int(math.Ceil(rect.MaxY)))
	marked := false
	for y := range m.Rect.Dy() {
		for x, v := range m.Pix[y*m.Stride:][:m.Rect.Dx()] {
			if v == 0 {
				continue
			}
			if marked = true; image.Pt(x, y).In(inside) {
				return
			}
		}
	}
	s.hidden = marked
}

// maskNotes says where a mask does not look as its sample's label has it.
func (s seen) maskNotes() []Issue {
	name := s.item.MaskName
	if name == "" {
		name = s.item.Name
	}
	var reason string
	switch share := s.facts.share; {
	case s.item.IsDefective() && share == 0:
		reason = "its mask marks nothing, and the sample is to show a defect"
	case s.item.IsGood() && share > 0:
		reason = fmt.Sprintf("its mask marks %s of a sample that is called good", percent(share))
	case share > 0.5:
		reason = fmt.Sprintf("its mask marks %s of the sample: if that is the background, set MaskBackground or MaskAbove", percent(share))
	default:
		return nil
	}
	return []Issue{{Name: name, Reason: reason}}
}

func percent(share float64) string {
	if share < 0.01 {
		return "less than 1 %"
	}
	return fmt.Sprintf("%.0f %%", 100*share)
}

// source follows data sets that show others to the files, if there are any.
func source(ds Dataset, i int) (*Files, int) {
	for {
		if next, at, ok := shown(ds, i); ok {
			ds, i = next, at
			continue
		}
		switch d := ds.(type) {
		case *Files:
			return d, i
		case *region:
			ds = d.Dataset
		case *Cached:
			ds = d.ds
		case *Tiled:
			i, _ = d.find(i)
			ds = d.ds
		case filed:
			f, at, err := d.file(i)
			if err != nil {
				return nil, 0 // which reading the sample reports
			}
			return f, at
		default:
			return nil, 0
		}
	}
}

// shown is the data set that one which chooses, joins or renames samples shows as they are, and the number
// there.
func shown(ds Dataset, i int) (Dataset, int, bool) {
	switch d := ds.(type) {
	case *subset:
		return d.ds, d.index[i], true
	case *concat:
		next, at := d.find(i)
		return next, at, true
	case *relabelled:
		return d.Dataset, i, true
	}
	return nil, 0, false
}

// checked reads a sample, and refuses one that no reader of this package makes.
func checked(ctx context.Context, ds Dataset, i int) (Sample, error) {
	s, err := ds.Sample(ctx, i)
	if err == nil {
		err = s.check()
	}
	return s, err
}

func inspect(ctx context.Context, ds Dataset, i int, t Transform) seen {
	s := seen{item: ds.Item(i)}
	f, at := source(ds, i)
	if f != nil {
		own := f.Item(at)
		s.item.MaskName = own.MaskName
		s.set = f.dec.Bits16
		f.inspect(own, &s, t)
		return s
	}
	sample, err := checked(ctx, ds, i)
	if err != nil {
		s.err = err
		return s
	}
	s.size = sample.Image.Rect.Size()
	s.view(t, s.size, sample.Mask)
	if sample.Mask != nil {
		s.masked = true
		n := 0
		for y := range sample.Mask.Rect.Dy() {
			for _, v := range sample.Mask.Pix[y*sample.Mask.Stride:][:sample.Mask.Rect.Dx()] {
				if v != 0 {
					n++
				}
			}
		}
		s.facts.share = float64(n) / float64(sample.Mask.Rect.Dx()*sample.Mask.Rect.Dy())
	}
	return s
}

// inspect looks at one item's files.
func (f *Files) inspect(it Item, s *seen, t Transform) {
	fail := func(name string, err error) { s.err = fmt.Errorf("dataset: read %s: %w", f.where(name), err) }
	h, err := f.head(it.Name, false)
	if err != nil {
		fail(it.Name, err)
		return
	}
	s.size = turned(h.size, h.turn)
	if h.pages > 1 {
		s.notes = append(s.notes, Issue{Name: it.Name, Reason: fmt.Sprintf("has %d pages or frames; the first is read", h.pages)})
	}
	if h.deep {
		p, err := f.read(it.Name, picturePixels, nil)
		if err != nil {
			s.err = err
			return
		}
		s.bits = max(usedBits(p.Image), 1)
	}
	if it.MaskName == "" {
		s.view(t, turned(h.size, h.turn), nil)
		return
	}
	p, err := f.read(it.MaskName, maskPixels, nil)
	if err != nil {
		s.err = err
		return
	}
	m, facts := f.dec.mask(p)
	s.facts = facts
	if got := f.dec.follow(m, facts, h.size, h.turn); got.Rect.Size() != turned(h.size, h.turn) {
		// The orientation may stand behind the pixels.
		if h, err = f.head(it.Name, true); err != nil {
			fail(it.Name, err)
			return
		}
	}
	m = f.dec.follow(m, facts, h.size, h.turn)
	if want := turned(h.size, h.turn); m.Rect.Size() != want {
		s.err = Sample{Item: it, Image: &image.RGBA{Rect: image.Rectangle{Max: want}}, Mask: m}.checkMaskSize()
		return
	}
	s.view(t, turned(h.size, h.turn), m)
	if open := h.turn > 1 && (h.turn < 5 || h.size.X == h.size.Y); open && !facts.turned && !f.dec.MasksStored && facts.share > 0 {
		s.notes = append(s.notes, Issue{Name: it.MaskName, Reason: fmt.Sprintf(
			"its image is turned by EXIF orientation %d, and sizes do not tell how the mask lies: it is taken as drawn on the turned image (MasksStored says otherwise)", h.turn)})
	}
}

// head is what the beginning of a file says.
type head struct {
	size  image.Point // of the stored pixels
	turn  int         // EXIF orientation to be followed
	deep  bool        // 16 bits, of which a camera may fill fewer
	pages int
}

// look reads a head.
func look(c codec, data []byte) (head, error) {
	if c.name == "TIFF" {
		return tiffHead(tiff.DecodeHeader(data))
	}
	size, err := c.size(data)
	if err != nil {
		return head{}, err
	}
	h := head{size: size, turn: orientation(c.name, data), pages: 1}
	switch c.name {
	case "PNG":
		h.deep = data[24] == 16
		h.pages = pngFrames(data)
	case "GIF":
		h.pages = readGIF(data).frames
	}
	return h, nil
}

func tiffHead(t *tiff.Header, err error) (head, error) {
	if err != nil {
		return head{}, err
	}
	return head{size: image.Pt(t.Width, t.Height), turn: t.Orientation, deep: t.Bits == 16 && !t.Float, pages: t.Pages}, nil
}

// pngFrames is the number of frames that an animation announces before its
// pixels, 1 where it is none.
func pngFrames(b []byte) int {
	for at := int64(8); at+12 <= int64(len(b)); {
		n := int64(binary.BigEndian.Uint32(b[at:]))
		switch string(b[at+4 : at+8]) {
		case "acTL":
			if n >= 4 {
				return max(1, int(binary.BigEndian.Uint32(b[at+8:])))
			}
			return 1
		case "IDAT":
			return 1
		}
		at += 12 + n
	}
	return 1
}

// headBytes are how much of a file is read for its head: mostly the first is
// enough; photographs have a small image of themselves before it.
func headBytes() []int { return []int{1 << 12, 1 << 17} }

// head reads as much of a file as its head takes, or all of it.
func (f *Files) head(name string, all bool) (h head, err error) {
	file, err := f.fsys.Open(name)
	if err != nil {
		return head{}, err
	}
	defer func() { _ = file.Close() }() // nothing was written
	info, err := file.Stat()
	if err != nil {
		return head{}, err
	}
	if size := info.Size(); size > f.dec.maxFile() {
		return head{}, fmt.Errorf("%w: the file has %d bytes, the limit is %d", ErrTooLarge, size, f.dec.maxFile())
	}
	h, c, err := f.readHead(file, info.Size(), all)
	if err != nil {
		return head{}, err
	}
	if f.dec.KeepOrientation {
		h.turn = 1
	}
	return h, f.dec.admit(c, h.size)
}

// readHead reads a head from an open file of size bytes.
func (f *Files) readHead(file fs.File, size int64, all bool) (h head, c codec, err error) {
	var data []byte
	for i, n := range append(headBytes(), 0) {
		whole := n == 0 || i > 0 && all
		if data, whole, err = f.more(file, data, n, whole); err != nil {
			return head{}, codec{}, err
		}
		if c, err = codecOf(data); err != nil {
			return head{}, codec{}, err
		}
		if !whole && c.name == "TIFF" {
			// What a TIFF says mostly stands at its end.
			if src, ok := file.(io.ReaderAt); ok {
				if h, err = tiffHead(tiff.ReadHeader(data, src, size)); err != nil {
					err = decodeError(c, data, err)
				}
				return h, c, err
			}
			all = true
		}
		if !whole && all {
			continue
		}
		if h, err = look(c, data); err == nil {
			return h, c, nil
		}
		if whole {
			return head{}, codec{}, decodeError(c, data, err)
		}
	}
	return head{}, codec{}, fmt.Errorf("%w: its head is not to be found", ErrDecode)
}

// more reads on until there are n bytes of a file, or all where whole is set; the
// answer says whether there are no more.
func (f *Files) more(file io.Reader, data []byte, n int, whole bool) ([]byte, bool, error) {
	if whole {
		rest, err := readAll(file, 0, f.dec.maxFile()-int64(len(data)))
		return append(data, rest...), true, err
	}
	from := len(data)
	data = slices.Grow(data, n-from)[:n]
	got, err := io.ReadFull(file, data[from:])
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return data[:from+got], true, nil
	}
	return data[:from+got], false, err
}

// usedBits is how many bits the largest value of an image of 16 bits needs,
// alpha not counted; 0 for other kinds.
func usedBits(img image.Image) int {
	var all uint16
	switch src := img.(type) {
	case *image.Gray16:
		for i := 0; i+2 <= len(src.Pix); i += 2 {
			all |= binary.BigEndian.Uint16(src.Pix[i:])
		}
	case *image.RGBA64:
		all = usedOfFour(src.Pix)
	case *image.NRGBA64:
		all = usedOfFour(src.Pix)
	}
	return bits.Len16(all)
}

func usedOfFour(pix []byte) (all uint16) {
	for i := 0; i+8 <= len(pix); i += 8 {
		for c := 0; c < 6; c += 2 {
			all |= binary.BigEndian.Uint16(pix[i+c:])
		}
	}
	return all
}

// WithDecoder returns the same samples read with other settings: those that a
// [Report] proposes, for instance. Nothing is listed anew, and labels that were
// read out of masks (KolektorSDD2) stay. The error wraps [ErrConfig].
func (f *Files) WithDecoder(d Decoder) (*Files, error) {
	if err := d.Validate(); err != nil {
		return nil, err
	}
	g := *f
	g.dec = d
	return &g, nil
}
