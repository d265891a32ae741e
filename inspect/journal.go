package inspect

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/gotab/gotab/internal/atomicfile"
)

// ErrJournal says that an entry cannot be kept, or that a file is no journal.
var ErrJournal = errors.New("not an entry of a journal")

// Word is what a person says of a part.
type Word string

// The words.
const (
	GoodAfterAll Word = "good"   // it was rejected, or might have been, and is good
	MissedDefect Word = "defect" // it is defective, and passed or might have
)

// Entry is a line of a journal: what a person says of a part after its verdict.
type Entry struct {
	Time      time.Time `json:"time"` // zero takes now
	Said      Word      `json:"said"`
	Product   string    `json:"product"`
	Bundle    string    `json:"bundle"` // as in the verdict
	Scorer    string    `json:"scorer"` // as in the verdict
	Score     float64   `json:"score"`
	Threshold float64   `json:"threshold"`
	Reject    bool      `json:"reject"`            // as it was decided
	Picture   string    `json:"picture,omitempty"` // where the picture is kept, or what it is called; tells entries of one part apart from others
	Image     []byte    `json:"image,omitempty"`   // the image as a file; lets another bundle score it. At most 8 MiB
	By        string    `json:"by,omitempty"`      // who says it
	Note      string    `json:"note,omitempty"`
}

// About fills in what an entry says of a verdict.
func (v Verdict) About(said Word, picture string) Entry {
	return Entry{Said: said, Product: v.Product, Bundle: v.Bundle, Scorer: v.Scorer, Score: v.Score, Threshold: v.Threshold, Reject: v.Reject, Picture: picture}
}

const (
	maxEntryImage = 8 << 20
	maxEntryText  = 64 << 10 // bytes of all texts of an entry
	maxEntryLine  = 12 << 20 // base64 takes a third more, JSON up to six bytes for one of text
	maxEntries    = 1 << 20
	maxPictures   = 1 << 30 // bytes in all entries that are read together
	strangers     = 16      // lines more than there are entries that are no entries, from which on a file is no journal
)

func (e Entry) check() error {
	text := 0
	for _, s := range []string{e.Product, e.Bundle, e.Scorer, e.Picture, e.By, e.Note} {
		if !utf8.ValidString(s) {
			return fmt.Errorf("%w: %.40q is not UTF-8", ErrJournal, s)
		}
		text += len(s)
	}
	switch {
	case e.Said != GoodAfterAll && e.Said != MissedDefect:
		return fmt.Errorf("%w: Said is %.40q, want %q or %q", ErrJournal, e.Said, GoodAfterAll, MissedDefect)
	case e.Score-e.Score != 0 || e.Threshold-e.Threshold != 0:
		return fmt.Errorf("%w: score %v and threshold %v are not finite", ErrJournal, e.Score, e.Threshold)
	case len(e.Image) > maxEntryImage:
		return fmt.Errorf("%w: the image has %d bytes, at most %d are kept; name it in Picture instead", ErrJournal, len(e.Image), maxEntryImage)
	case text > maxEntryText:
		return fmt.Errorf("%w: its texts have %d bytes, at most %d are kept", ErrJournal, text, maxEntryText)
	}
	return nil
}

// JournalOf is the usual place of a bundle's journal: beside it.
func JournalOf(bundle string) string { return bundle + ".journal" }

// Journal is a file to which what people say is appended, a line of JSON each. Lines are never
// changed. It is safe for concurrent use; of several processes one at a time may write.
type Journal struct {
	mu   sync.Mutex
	file *os.File // nil after Close
	torn bool     // the file may end within a line
}

// OpenJournal opens a journal to be added to, and makes it if there is none. An
// incomplete last line, as a loss of power leaves it, is ended: readers leave it out.
func OpenJournal(path string) (*Journal, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o666)
	if err != nil {
		return nil, fmt.Errorf("inspect: open journal: %w", err)
	}
	j := &Journal{file: f}
	if j.torn, err = endsTorn(f); err == nil && !j.torn {
		err = atomicfile.SyncDir(filepath.Dir(path)) // the file may be new: its name must outlive a loss of power too
	}
	if err != nil {
		return nil, fmt.Errorf("inspect: open journal: %w", errors.Join(err, f.Close()))
	}
	return j, nil
}

// endsTorn says whether a file's last line has no end.
func endsTorn(f *os.File) (bool, error) {
	st, err := f.Stat()
	switch {
	case err != nil:
		return false, err
	case !st.Mode().IsRegular():
		return false, fmt.Errorf("%w: %s is no regular file", ErrJournal, f.Name())
	case st.Size() == 0:
		return false, nil
	}
	var last [1]byte
	_, err = f.ReadAt(last[:], st.Size()-1)
	return last[0] != '\n', err
}

// Append adds an entry. When it returns nil, the entry is on the disk. After an error a part of
// a line may be there, which readers leave out. It returns [ErrJournal] for an entry that
// cannot be kept and [ErrClosed] after Close.
func (j *Journal) Append(e Entry) error {
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	e.Time = e.Time.UTC().Round(0)
	if err := e.check(); err != nil {
		return fmt.Errorf("inspect: append to journal: %w", err)
	}
	line, err := json.Marshal(e)
	if err != nil { // a year that JSON does not have
		return fmt.Errorf("inspect: append to journal: %w: %w", ErrJournal, err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file == nil {
		return fmt.Errorf("inspect: append to journal: %w", ErrClosed)
	}
	if j.torn {
		line = append([]byte{'\n'}, line...)
	}
	// One write, so that another reader or writer never sees half of it without need.
	_, err = j.file.Write(append(line, '\n'))
	if j.torn = err != nil; err == nil {
		err = j.file.Sync()
	}
	if err != nil {
		return fmt.Errorf("inspect: append to journal: %w", err)
	}
	return nil
}

// Close closes the file. Closing twice is harmless.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file == nil {
		return nil
	}
	err := j.file.Close()
	j.file = nil
	return err
}

// ReadJournal reads entries. Lines that are no entries, such as what a loss of power
// leaves of one, are left out and counted. It returns [ErrJournal] if more lines
// are so than are entries, as in another file, and for more than 1,048,576 entries or images of
// 1 GiB.
func ReadJournal(ctx context.Context, r io.Reader) (entries []Entry, torn int, err error) {
	switch {
	case r == nil:
		return nil, 0, fmt.Errorf("inspect: read journal: %w: the reader is nil", ErrJournal)
	case ctx == nil:
		return nil, 0, fmt.Errorf("inspect: read journal: %w", errNoContext)
	}
	fail := func(err error) ([]Entry, int, error) { return nil, 0, fmt.Errorf("inspect: read journal: %w", err) }
	in, pictures := bufio.NewReaderSize(r, 64<<10), 0
	for {
		if err := ctx.Err(); err != nil {
			return fail(err)
		}
		line, long, err := readLine(in)
		if err != nil && !errors.Is(err, io.EOF) {
			return fail(err)
		}
		if text := bytes.TrimSpace(line); long {
			torn++
		} else if len(text) > 0 {
			var e Entry
			// A line without its end was not acknowledged, though it may be whole.
			if err != nil || json.Unmarshal(text, &e) != nil || e.check() != nil {
				torn++
			} else {
				entries, pictures = append(entries, e), pictures+len(e.Image)
			}
		}
		switch {
		case len(entries) > maxEntries || pictures > maxPictures:
			return fail(fmt.Errorf("%w: more than %d entries, or images of more than %d bytes; read it in parts", ErrJournal, maxEntries, maxPictures))
		case torn > len(entries)+strangers:
			return fail(fmt.Errorf("%w: %d lines are no entries, and %d are", ErrJournal, torn, len(entries)))
		}
		if err != nil {
			break
		}
	}
	return entries, torn, nil
}

// readLine reads a line with its end, of which it keeps no more than an entry may have.
func readLine(in *bufio.Reader) (line []byte, long bool, err error) {
	for {
		part, err := in.ReadSlice('\n')
		if long = long || len(line)+len(part) > maxEntryLine; !long {
			line = append(line, part...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, long, err
		}
	}
}

// OpenEntries reads the journal at a path ([ReadJournal]).
func OpenEntries(ctx context.Context, path string) (entries []Entry, torn int, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, fmt.Errorf("inspect: read journal: %w", err)
	}
	defer f.Close() // read-only: closing it can lose nothing
	return ReadJournal(ctx, f)
}
