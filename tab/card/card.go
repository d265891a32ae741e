package card

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"unicode/utf8"

	"github.com/gotab/gotab/internal/atomicfile"
)

var (
	// ErrCard says that a card is not one, or that something in it cannot be true.
	ErrCard = errors.New("not a valid card")
	// ErrOther says that a file is not the one that a card describes.
	ErrOther = errors.New("the card describes another file")
)

const (
	version = 1
	// Bounds of what is read; a card is some kilobytes.
	maxCard    = 16 << 20 // bytes
	maxClasses = 100_000
	maxText    = 1 << 20 // bytes of one text
	maxParts   = 100_000
	maxKinds   = 1000 // of damage, of one class
)

// Name is the name of the card of a weights file.
func Name(weights string) string { return weights + ".card.json" }

// Card describes a file of weights. It is plain data; its methods are safe for concurrent
// use while nobody changes it.
type Card struct {
	Version      int    `json:"version"` // of the format, 1
	Architecture string `json:"architecture"`
	// Finished is false while the run goes on: the weights are not there yet, or are an
	// older run's.
	Finished bool  `json:"finished"`
	Weights  *File `json:"weights,omitempty"` // the file itself, where finished
	// Projection is the file of the layer from the network's features to the text's,
	// where there is one.
	Projection *File `json:"projection,omitempty"`

	Data     []Class  `json:"data"`                    // by class, rising
	Skipped  int      `json:"skipped,omitempty"`       // images that could not be read
	Watch    float64  `json:"watch,omitempty"`         // share of the good images of each class that was kept apart, which Data do not count
	Licences []string `json:"data_licences,omitempty"` // as given, of the data

	// Start are the weights that the training began with; nil where that is not known.
	Start *Start `json:"start"`
	// Anchors are what text became, nil where the objective has none or that is not known.
	Anchors *Anchors `json:"anchors,omitempty"`
	// Twins is the table of twins that was measured before the training, and Detectability what it
	// said of each class, by class, rising; of classes that were then left out too.
	Twins         *File           `json:"twins,omitempty"`
	Detectability []Detectability `json:"detectability,omitempty"`

	Objective string          `json:"objective"`
	Recipe    json.RawMessage `json:"recipe"` // all settings of the training
	// Options are what the program was told besides, by name, without paths.
	Options map[string]string `json:"options,omitempty"`
	Seed    uint64            `json:"seed"`
	// Share of the trained weights in what was written, 0 to 1; the rest are those of the
	// start.
	Share float64 `json:"share"`
	Steps int64   `json:"steps"` // taken
	Parts []Part  `json:"parts"` // of the run, in their order

	// Measured is a table of figures that was made with the weights.
	Measured *Table `json:"measured,omitempty"`
}

// File is a file by its content.
type File struct {
	Name   string `json:"name"` // without a folder
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"` // 64 hexadecimal digits
}

// Start says where weights began: in a file, or as random ones of a seed.
type Start struct {
	File *File  `json:"file,omitempty"`
	Seed uint64 `json:"random_seed,omitempty"` // where there is no file
}

// Anchors says where the text anchors come from.
type Anchors struct {
	File    *File  `json:"file,omitempty"`    // text bank, or weights of a text encoder
	Model   string `json:"model,omitempty"`   // of a bank, which made it
	Prompts string `json:"prompts,omitempty"` // hash of the sentences
}

// Detectability says how far foreign matter stood out on a class in the start, in units of what 95 % of good
// parts vary by; tab.Detectability has the words.
type Detectability struct {
	Class     string             `json:"class"`
	Foreign   map[string]float64 `json:"foreign,omitempty"`  // by kind of damage
	StandsOut float64            `json:"stands_out"`         // the largest of them
	Blind     bool               `json:"blind"`              // the start hardly sees any
	LeftOut   bool               `json:"left_out,omitempty"` // nothing was trained on the class
	Tied      bool               `json:"tied,omitempty"`     // it was in the training to be held to the start
}

// Part is a stretch of a run that nothing interrupted. Where steps are missing between two
// parts, or before the first, the run was ended without a chance to say so; where they are there
// twice, it went on from an older checkpoint.
type Part struct {
	From     int64   `json:"from"` // steps taken before it
	To       int64   `json:"to"`   // and after it
	Seconds  float64 `json:"seconds"`
	Library  string  `json:"library"`  // this module's version
	Libtorch string  `json:"libtorch"` // libtorch's
	Device   string  `json:"device"`
	Threads  int     `json:"threads"`
}

// Table is a text with figures.
type Table struct {
	File
	Text string `json:"text"`
}

// Seconds is how long the run took, and whether all of its steps are in it.
func (c *Card) Seconds() (seconds float64, whole bool) {
	at := int64(0)
	for _, p := range c.Parts {
		if p.From > at {
			return c.sum(), false
		}
		at = max(at, p.To)
	}
	return c.sum(), at >= c.Steps
}

func (c *Card) sum() (seconds float64) {
	for _, p := range c.Parts {
		seconds += p.Seconds
	}
	return seconds
}

// Validate returns ErrCard with the name of what cannot be true.
func (c *Card) Validate() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("card: %w: "+format, append([]any{ErrCard}, args...)...)
	}
	switch {
	case c == nil:
		return bad("it is nil")
	case c.Version != version:
		return bad("version is %d, want %d", c.Version, version)
	case c.Architecture == "" || c.Objective == "":
		return bad("architecture is %q and objective %q, want names", c.Architecture, c.Objective)
	case c.Finished && c.Weights == nil:
		return bad("it is finished and has no weights")
	case len(c.Data) == 0 || len(c.Data) > maxClasses:
		return bad("data are %d classes, want 1 to %d", len(c.Data), maxClasses)
	case c.Skipped < 0:
		return bad("skipped is %d", c.Skipped)
	case !json.Valid(c.Recipe) || !bytes.HasPrefix(c.Recipe, []byte("{")) || len(c.Recipe) > maxText:
		return bad("recipe is no JSON object of at most %d bytes", maxText)
	case !(c.Watch >= 0 && c.Watch <= 1):
		return bad("watch is %g, want 0 to 1", c.Watch)
	case !(c.Share >= 0 && c.Share <= 1):
		return bad("share is %g, want 0 to 1", c.Share)
	case c.Steps < 0 || len(c.Parts) > maxParts:
		return bad("steps are %d in %d parts", c.Steps, len(c.Parts))
	}
	for i, d := range c.Data {
		if d.Class == "" || d.Images < 1 || !isSum(d.SHA256) || i > 0 && d.Class <= c.Data[i-1].Class {
			return bad("data, class %d: %q with %d images and the sum %.80q; classes must rise", i, d.Class, d.Images, d.SHA256)
		}
	}
	if len(c.Detectability) > maxClasses {
		return bad("detectability is of %d classes, want %d at most", len(c.Detectability), maxClasses)
	}
	for i, d := range c.Detectability {
		sane := d.Class != "" && len(d.Foreign) <= maxKinds && d.StandsOut >= 0 && !math.IsInf(d.StandsOut, 0)
		for kind, v := range d.Foreign {
			sane = sane && kind != "" && v >= 0 && v <= d.StandsOut
		}
		if !sane || i > 0 && d.Class <= c.Detectability[i-1].Class {
			return bad("detectability, class %d: %q stands out by %g, the largest of %d kinds; classes must rise", i, d.Class, d.StandsOut, len(d.Foreign))
		}
	}
	for i, p := range c.Parts {
		if p.From < 0 || p.To < p.From || !(p.Seconds >= 0 && p.Seconds < math.MaxInt32) || p.Threads < 0 {
			return bad("part %d of the run: steps %d to %d in %g seconds", i, p.From, p.To, p.Seconds)
		}
	}
	files := map[string]*File{"weights": c.Weights, "projection": c.Projection, "twins": c.Twins}
	if c.Start != nil {
		files["start"] = c.Start.File
	}
	if c.Anchors != nil {
		files["anchors"] = c.Anchors.File
	}
	if c.Measured != nil {
		files["measured"] = &c.Measured.File
		if len(c.Measured.Text) > maxText || !utf8.ValidString(c.Measured.Text) {
			return bad("measured: no text of at most %d bytes", maxText)
		}
	}
	for what, f := range files {
		if f != nil && (f.Name == "" || len(f.Name) > 1024 || f.Bytes < 0 || !isSum(f.SHA256)) {
			return bad("%s: %q with %d bytes and the sum %.80q", what, f.Name, f.Bytes, f.SHA256)
		}
	}
	if slices.Contains(c.Licences, "") {
		return bad("a licence is empty")
	}
	return nil
}

func isSum(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == 32
}

// Read reads a card and checks the whole of it. It reads 16 MiB at most; the error is
// ErrCard or that of r.
func Read(r io.Reader) (*Card, error) {
	if r == nil {
		return nil, fmt.Errorf("card: read: %w: the reader is nil", ErrCard)
	}
	raw, err := io.ReadAll(io.LimitReader(r, maxCard+1))
	if err != nil {
		return nil, fmt.Errorf("card: read: %w", err)
	}
	if len(raw) > maxCard {
		return nil, fmt.Errorf("card: read: %w: it is longer than %d bytes", ErrCard, maxCard)
	}
	var c Card
	if err := json.Unmarshal(raw, &c); err != nil {
		return nil, fmt.Errorf("card: read: %w: %w", ErrCard, err)
	}
	if err := c.Validate(); err != nil {
		return nil, err
	}
	return &c, nil
}

// Open reads the card in a file.
func Open(path string) (*Card, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("card: open: %w", err)
	}
	defer f.Close()
	c, err := Read(f)
	if err != nil {
		return nil, fmt.Errorf("%w (file %s)", err, path)
	}
	return c, nil
}

// WriteTo writes the card as JSON, if it is valid.
func (c *Card) WriteTo(w io.Writer) (int64, error) {
	if err := c.Validate(); err != nil {
		return 0, err
	}
	if w == nil {
		return 0, fmt.Errorf("card: write: %w: the writer is nil", ErrCard)
	}
	raw, err := json.MarshalIndent(c, "", " ")
	if err != nil {
		return 0, fmt.Errorf("card: write: %w", err)
	}
	n, err := w.Write(append(raw, '\n'))
	return int64(n), err
}

// Save writes the card to a file, whole or not at all.
func (c *Card) Save(path string) error {
	return atomicfile.Write(path, func(w io.Writer) error {
		_, err := c.WriteTo(w)
		return err
	})
}
