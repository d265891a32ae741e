package dataset

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"slices"
	"sync"
	"unicode/utf8"
)

const (
	// maxMarks bounds the places of lines that are kept, 2 MiB: where there are more
	// lines, every second one is let go.
	maxMarks = 1 << 18
	// keptBlocks are the stretches of lines that are held once they are read, so that
	// whoever goes through the items in their order parses each line once.
	keptBlocks = 8
	// maxHeldFile bounds a list that is held whole because its file system cannot read at a
	// place.
	maxHeldFile = 256 << 20
	// maxWords bounds the names of classes, splits, kinds and groups that are held.
	maxWords = 1 << 12
	// scanBuffer is read at once while a list is scanned.
	scanBuffer = 1 << 20
)

// castagnoli is the polynomial of CRC-32C, which processors compute.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// place is where an entry of a shard lies.
type place struct {
	At    int64  `json:"at"`     // of the first byte in the shard
	Bytes int64  `json:"bytes"`  // how many
	CRC   uint32 `json:"crc32c"` // Castagnoli's
}

// shardEntry is a line of the index of shards: a line of a manifest and places.
type shardEntry struct {
	entry
	Shard int `json:"shard"`
	place
	MaskAt    int64  `json:"mask_at,omitempty"`
	MaskBytes int64  `json:"mask_bytes,omitempty"`
	MaskCRC   uint32 `json:"mask_crc32c,omitempty"`
}

// lineFile is a list of items, a JSON object a line, that is read where it lies: what is
// held of it does not grow with it. It is safe for concurrent use.
type lineFile struct {
	src     io.ReaderAt
	shut    func() error // closes the file, once
	size    int64
	places  bool            // its lines have places in shards
	keep    func(Item) bool // nil keeps all
	n       int             // lines that are kept
	marks   []int64         // where the lines 0, stride, 2*stride, ... of them begin
	stride  int
	most    int // marks, an even number
	classes []string
	crc     uint32 // of the file

	mu     sync.Mutex
	blocks []*block // the last one is the one that was used last
	words  map[string]string
}

// block is a stretch of lines that are kept.
type block struct {
	number int
	data   []byte
	ends   []int
}

func (b *block) line(i int) []byte {
	from := 0
	if i > 0 {
		from = b.ends[i-1]
	}
	return b.data[from:b.ends[i]]
}

// openLines opens a list without looking into it.
func openLines(fsys fs.FS, name string, places bool) (_ *lineFile, err error) {
	file, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	l := &lineFile{shut: sync.OnceValue(file.Close), places: places, stride: 1, most: maxMarks, words: make(map[string]string)}
	defer func() {
		if err != nil {
			err = errors.Join(err, file.Close())
		}
	}()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: not a file", ErrLayout)
	}
	l.size = info.Size()
	if at, ok := file.(io.ReaderAt); ok {
		l.src = at
		return l, nil
	}
	if l.size > maxHeldFile {
		return nil, fmt.Errorf("%w: it has %d bytes, and the file system cannot read in the middle of a file, so that at most %d are taken; unpack it", ErrTooLarge, l.size, maxHeldFile)
	}
	data, err := readAll(file, l.size, maxHeldFile)
	if err != nil {
		return nil, err
	}
	l.src, l.size = bytes.NewReader(data), int64(len(data))
	return l, nil
}

// scan goes through all lines once and takes note of those that are kept. each, if it is not
// nil, sees all of them and may refuse one. Empty lines are passed over.
func (l *lineFile) scan(ctx context.Context, each func(e *shardEntry, kept bool) error) error {
	r := bufio.NewReaderSize(io.NewSectionReader(l.src, 0, l.size), scanBuffer)
	if head, err := r.Peek(2); err == nil && (head[0] == 0 || head[1] == 0 || head[0] >= 0xfe) {
		return fmt.Errorf("%w: it is UTF-16; save it as UTF-8", ErrLayout)
	}
	seen := make(map[string]bool)
	var faults []error
	fault := func(number int, err error) { faults = append(faults, fmt.Errorf("line %d: %w", number, err)) }
	var e shardEntry
	labelled, older := 0, 0 // lines with a label, and the first one without
	at := int64(0)
	for number := 1; len(faults) < maxFaults; number++ {
		if number%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		line, err := r.ReadSlice('\n')
		last := errors.Is(err, io.EOF)
		if last && len(line) == 0 {
			break
		}
		if len(line) > maxLine || errors.Is(err, bufio.ErrBufferFull) { // what follows may be the rest of it
			fault(number, bufio.ErrTooLong)
			break
		}
		if err != nil && !last {
			return err
		}
		l.crc = crc32.Update(l.crc, castagnoli, line)
		start := at
		at += int64(len(line))
		if number == 1 {
			cut := bytes.TrimPrefix(line, []byte("\xef\xbb\xbf"))
			start += int64(len(line) - len(cut))
			line = cut
		}
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		it, hasLabel, err := l.parse(line, &e)
		if err != nil {
			fault(number, err)
			continue
		}
		if hasLabel {
			labelled++
		} else if older == 0 {
			older = number
		}
		if labelled > 0 && older > 0 {
			fault(older, errors.New(`"label" is missing, other lines have it; give it unknown, good or defective`))
			break
		}
		kept := l.keep == nil || l.keep(it)
		if each != nil {
			if err := each(&e, kept); err != nil {
				fault(number, err)
			}
		}
		if !kept {
			continue
		}
		if it.Class != "" && !seen[it.Class] {
			seen[it.Class] = true
			l.classes = append(l.classes, it.Class)
		}
		l.mark(start)
	}
	if len(faults) > 0 {
		return fmt.Errorf("%w: %w", ErrLayout, errors.Join(faults...))
	}
	slices.Sort(l.classes)
	return nil
}

// mark takes note of a line that is kept.
func (l *lineFile) mark(at int64) {
	if l.n%l.stride == 0 {
		if len(l.marks) == l.most {
			for i := range l.most / 2 {
				l.marks[i] = l.marks[2*i]
			}
			l.marks = l.marks[:l.most/2]
			l.stride *= 2
		}
		l.marks = append(l.marks, at) // n, the stride before times an even number, is a multiple of the new one
	}
	l.n++
}

// parse reads a line. e is overwritten.
func (l *lineFile) parse(line []byte, e *shardEntry) (it Item, labelled bool, err error) {
	*e = shardEntry{}
	if !l.quick(line, e) {
		if !utf8.Valid(line) {
			return Item{}, false, errors.New("it is not UTF-8")
		}
		if !l.places {
			return parseEntry(line)
		}
		*e = shardEntry{}
		d := json.NewDecoder(bytes.NewReader(line))
		d.DisallowUnknownFields()
		if err := d.Decode(e); err != nil {
			return Item{}, false, err
		}
		if _, err := d.Token(); !errors.Is(err, io.EOF) {
			return Item{}, false, errors.New("more than one JSON object")
		}
	}
	return e.item()
}

// allLabels are what entries of quick point to, so that a line allocates none.
var allLabels = [...]Label{LabelUnknown, LabelGood, LabelDefective}

// labelText finds a label by its name.
func labelText(text []byte) *Label {
	for i := range allLabels {
		if string(text) == labelNames[allLabels[i]] {
			return &allLabels[i]
		}
	}
	return nil
}

// quick reads the lines that WriteManifest and WriteShards write: fields of their names,
// each once, texts without a backslash, whole numbers, no space. It takes a tenth of the
// time of package json. It returns false for any other line, of which e may have a part.
func (l *lineFile) quick(line []byte, e *shardEntry) bool {
	b := line
	if n := len(b); n > 0 && b[n-1] == '\n' {
		b = b[:n-1]
	}
	if len(b) < 2 || b[0] != '{' || b[len(b)-1] != '}' {
		return false
	}
	b = b[1:]
	have := uint32(0)
	for {
		var key []byte
		var ok bool
		if key, b, ok = quotedText(b); !ok || len(b) < 2 || b[0] != ':' {
			return false
		}
		b = b[1:]
		field, number, text := 0, (*int64)(nil), (*string)(nil)
		var crc *uint32
		switch string(key) {
		case "image":
			field, text = 1, &e.Image
		case "class":
			field, text = 2, &e.Class
		case "split":
			field, text = 3, &e.Split
		case "label":
			field = 4
		case "defect":
			field, text = 5, &e.Defect
		case "mask":
			field, text = 6, &e.Mask
		case "group":
			field, text = 7, &e.Group
		case "at":
			field, number = 8, &e.At
		case "bytes":
			field, number = 9, &e.Bytes
		case "mask_at":
			field, number = 10, &e.MaskAt
		case "mask_bytes":
			field, number = 11, &e.MaskBytes
		case "crc32c":
			field, crc = 12, &e.CRC
		case "mask_crc32c":
			field, crc = 13, &e.MaskCRC
		case "shard":
			field = 14
		}
		if field == 0 || have&(1<<field) != 0 || field >= 8 && !l.places {
			return false
		}
		have |= 1 << field
		if field < 8 {
			var value []byte
			if value, b, ok = quotedText(b); !ok {
				return false
			}
			switch {
			case field == 4:
				if e.Label = labelText(value); e.Label == nil {
					return false
				}
			case field == 1 || field == 6: // names, which differ
				*text = string(value)
			default:
				*text = l.word(value)
			}
		} else {
			limit := int64(1) << 60
			if crc != nil {
				limit = 1<<32 - 1
			} else if field == 14 {
				limit = 1<<31 - 1
			}
			var v int64
			if v, b, ok = wholeNumber(b, limit); !ok {
				return false
			}
			switch {
			case crc != nil:
				*crc = uint32(v)
			case field == 14:
				e.Shard = int(v)
			default:
				*number = v
			}
		}
		switch {
		case len(b) == 1 && b[0] == '}':
			return true
		case len(b) > 1 && b[0] == ',':
			b = b[1:]
		default:
			return false
		}
	}
}

// quotedText takes a JSON text off b, if it says what its bytes say.
func quotedText(b []byte) (text, rest []byte, ok bool) {
	if len(b) < 2 || b[0] != '"' {
		return nil, nil, false
	}
	plain := true
	for i := 1; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			text = b[1:i]
			return text, b[i+1:], plain || utf8.Valid(text)
		case c == '\\' || c < 0x20:
			return nil, nil, false
		case c >= 0x80:
			plain = false
		}
	}
	return nil, nil, false
}

// wholeNumber takes a whole number from 0 to limit off b.
func wholeNumber(b []byte, limit int64) (v int64, rest []byte, ok bool) {
	i := 0
	for ; i < len(b) && b[i] >= '0' && b[i] <= '9'; i++ {
		if v > limit/10 {
			return 0, nil, false
		}
		if v = 10*v + int64(b[i]-'0'); v > limit {
			return 0, nil, false
		}
	}
	return v, b[i:], i > 0 && (b[0] != '0' || i == 1)
}

// word is a text that many lines have, held once. The caller holds the mutex, or nobody
// else has l.
func (l *lineFile) word(b []byte) string {
	if w, ok := l.words[string(b)]; ok {
		return w
	}
	if len(l.words) >= maxWords {
		clear(l.words)
	}
	w := string(b)
	l.words[w] = w
	return w
}

// at returns what is known of item i.
func (l *lineFile) at(i int) (e shardEntry, it Item, err error) {
	if i < 0 || i >= l.n {
		return e, Item{}, indexError(i, l.n)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	b, err := l.block(i / l.stride)
	if err != nil {
		return e, Item{}, err
	}
	if i%l.stride >= len(b.ends) {
		return e, Item{}, fmt.Errorf("%w: item %d is gone: the file has changed since it was opened", ErrLayout, i)
	}
	if it, _, err = l.parse(b.line(i%l.stride), &e); err != nil {
		return e, it, fmt.Errorf("%w: item %d has changed since the file was opened: %w", ErrLayout, i, err)
	}
	return e, it, nil
}

// block returns a stretch of lines. The caller holds the mutex.
func (l *lineFile) block(number int) (*block, error) {
	for i := len(l.blocks) - 1; i >= 0; i-- {
		if b := l.blocks[i]; b.number == number {
			copy(l.blocks[i:], l.blocks[i+1:])
			l.blocks[len(l.blocks)-1] = b
			return b, nil
		}
	}
	b := &block{number: number}
	if len(l.blocks) >= keptBlocks { // its memory is used again
		*b = block{number: number, data: l.blocks[0].data[:0], ends: l.blocks[0].ends[:0]}
		l.blocks = append(l.blocks[:0], l.blocks[1:]...)
	}
	end := l.size
	if number+1 < len(l.marks) {
		end = l.marks[number+1]
	}
	from := l.marks[number]
	r := bufio.NewReaderSize(io.NewSectionReader(l.src, from, end-from), int(min(end-from, maxLine)+1))
	var e shardEntry
	for len(b.ends) < l.stride {
		line, err := r.ReadSlice('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("%w: the file has changed since it was opened: %w", ErrLayout, err)
		}
		if len(line) == 0 {
			break
		}
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		if l.keep != nil {
			it, _, err := l.parse(line, &e)
			if err != nil {
				return nil, fmt.Errorf("%w: the file has changed since it was opened: %w", ErrLayout, err)
			}
			if !l.keep(it) {
				continue
			}
		}
		b.data = append(b.data, line...)
		b.ends = append(b.ends, len(b.data))
	}
	l.blocks = append(l.blocks, b)
	return b, nil
}

// keepFor is the choice of classes and a split, nil for all.
func (c Config) keepFor() func(Item) bool {
	if c.Classes == nil && c.Split == "" {
		return nil
	}
	classes, split := slices.Clone(c.Classes), c.Split
	return func(it Item) bool {
		return (split == "" || it.Split == split) && (classes == nil || slices.Contains(classes, it.Class))
	}
}
