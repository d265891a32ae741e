package inspect

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/internal/atomicfile"
	"github.com/gotab/gotab/internal/safetensors"
)

// Version is that of the format of bundles that this library writes. It reads all from
// 1 to this one.
const Version = 1

// A bundle is a safetensors file whose metadata has the head, as JSON, under keyHead,
// and whose tensors are these, bytes all of them, the last one the seal. Detector,
// backbone and classifier are files as downstream and backbone write them.
const (
	keyHead         = "gotab.bundle"
	partBackbone    = "backbone"
	partDetector    = "detector"
	partClassifier  = "classifier"
	partCalibration = "calibration" // JSON
	partReference   = "reference"   // float64: scores that the drift monitor compares with
	partMask        = "mask"        // PNG
	partSeal        = "seal"
	goldenPrefix    = "golden." // PNG, numbered
)

const (
	maxHead    = 4 << 20 // bytes of a bundle's header, without which nothing is read
	maxGolden  = 64
	maxParts   = maxGolden + 16
	sealDomain = "gotab bundle\n"
)

// head is the JSON of a bundle.
type head struct {
	Version    int               `json:"version"`
	Library    string            `json:"library"`
	Product    string            `json:"product"`
	Created    time.Time         `json:"created"`
	Detector   string            `json:"detector"` // name of the kind
	Tiles      *tilesHead        `json:"tiles,omitempty"`
	Backbone   *backboneHead     `json:"backbone,omitempty"`
	Regions    *Regions          `json:"regions,omitempty"`
	Golden     []float64         `json:"golden"` // scores
	Transform  string            `json:"transform"`
	Input      [2]int            `json:"input"`
	Provenance map[string]string `json:"provenance,omitempty"`
}

type backboneHead struct {
	Arch string `json:"arch"`
	Last string `json:"last"` // the deepest layer that is there
	// Precision is that of features, the detector's and a frozen classifier's.
	Precision backbone.Precision `json:"precision,omitempty"`
}

// tilesHead is a downstream.TiledConfig.
type tilesHead struct {
	Side      int     `json:"side"`
	Overlap   float64 `json:"overlap"`
	Most      int     `json:"most"`
	Batch     int     `json:"batch"`
	MapPixels int     `json:"mapPixels"`
}

func tilesOf(c *downstream.TiledConfig) *tilesHead {
	if c == nil {
		return nil
	}
	return &tilesHead{c.Tiles.Side, c.Tiles.Overlap, c.Tiles.Most, c.Batch, c.MapPixels}
}

func (t tilesHead) config() downstream.TiledConfig {
	c := downstream.TiledConfig{Batch: t.Batch, MapPixels: t.MapPixels}
	c.Tiles.Side, c.Tiles.Overlap, c.Tiles.Most = t.Side, t.Overlap, t.Most
	return c
}

// check holds what a file says against what may be.
func (h *head) check() error {
	switch {
	case len(h.Golden) == 0 || len(h.Golden) > maxGolden:
		return fmt.Errorf("%d golden images, want 1 to %d", len(h.Golden), maxGolden)
	case h.Input[0] < 1 || h.Input[1] < 1:
		return fmt.Errorf("the input is %v", h.Input)
	}
	for i, s := range h.Golden {
		if math.IsNaN(s) || math.IsInf(s, 0) {
			return fmt.Errorf("golden image %d scores %v", i, s)
		}
	}
	if h.Tiles != nil {
		if err := h.Tiles.config().Validate(); err != nil {
			return err
		}
	}
	if h.Regions != nil {
		return h.Regions.Validate()
	}
	return nil
}

// net returns the architecture and the deepest layer of the backbone.
func (b backboneHead) net() (backbone.Arch, backbone.Layer, error) {
	arch, err := backbone.ParseArch(b.Arch)
	if err != nil {
		return 0, 0, err
	}
	last, err := backbone.ParseLayer(b.Last)
	return arch, last, err
}

// goldenName is the part of golden image i.
func goldenName(i int) string { return fmt.Sprintf("%s%02d", goldenPrefix, i) }

// parts are what a bundle is made of.
type parts struct {
	head  head
	bytes map[string][]byte
}

// write makes the parts a file, which appears whole or not at all.
func (p *parts) write(path string) error {
	metadata, tensors, err := p.sealed()
	if err != nil {
		return err
	}
	return atomicfile.Write(path, func(w io.Writer) error {
		_, err := safetensors.Write(w, metadata, tensors)
		return err
	})
}

// encode returns the file that write makes.
func (p *parts) encode() ([]byte, error) {
	metadata, tensors, err := p.sealed()
	if err != nil {
		return nil, err
	}
	n := 1 << 16
	for _, t := range tensors {
		n += len(t.Data)
	}
	file := bytes.NewBuffer(make([]byte, 0, n))
	_, err = safetensors.Write(file, metadata, tensors)
	return file.Bytes(), err
}

// sealed are the parts with their seal.
func (p *parts) sealed() (metadata map[string]string, tensors []safetensors.Tensor, err error) {
	if metadata, tensors, err = p.tensors(); err != nil {
		return nil, nil, err
	}
	return metadata, tensors, putSeal(metadata, tensors)
}

// putSeal fills in the seal, which is the last of the tensors.
func putSeal(metadata map[string]string, tensors []safetensors.Tensor) error {
	// The seal is of the header too, which says how long the seal is and not what.
	var header headerOnly
	if _, err := safetensors.Write(&header, metadata, tensors); err != nil {
		return err
	}
	s := newSeal(header.bytes)
	last := len(tensors) - 1
	for _, t := range tensors[:last] {
		s.add(sha256.Sum256(t.Data))
	}
	tensors[last].Data = s.sum()
	return nil
}

// tensors are the parts in their order, with an empty seal.
func (p *parts) tensors() (metadata map[string]string, tensors []safetensors.Tensor, err error) {
	text, err := json.Marshal(p.head)
	if err != nil {
		return nil, nil, err
	}
	names := []string{partCalibration, partReference, partMask, partDetector, partClassifier, partBackbone}
	for i := range p.head.Golden {
		names = append(names, goldenName(i))
	}
	for _, name := range names {
		data, ok := p.bytes[name]
		if !ok {
			continue
		}
		t := safetensors.Tensor{Name: name, DType: safetensors.U8, Shape: []int64{int64(len(data))}, Data: data}
		if name == partReference {
			t.DType, t.Shape = safetensors.F64, []int64{int64(len(data) / 8)}
		}
		tensors = append(tensors, t)
	}
	// Numbers first: their places are multiples of eight, as other readers want it.
	slices.SortStableFunc(tensors, func(a, b safetensors.Tensor) int { return int(b.DType.Size() - a.DType.Size()) })
	seal := safetensors.Tensor{Name: partSeal, DType: safetensors.U8, Shape: []int64{sha256.Size}, Data: make([]byte, sha256.Size)}
	return map[string]string{"format": "pt", keyHead: string(text)}, append(tensors, seal), nil
}

// headerOnly keeps the header of a safetensors file that is written to it.
type headerOnly struct{ bytes []byte }

func (h *headerOnly) Write(b []byte) (int, error) {
	n := len(b)
	if len(h.bytes) < 8 {
		k := min(8-len(h.bytes), len(b))
		h.bytes, b = append(h.bytes, b[:k]...), b[k:]
	}
	if len(h.bytes) >= 8 {
		want := 8 + int(binary.LittleEndian.Uint64(h.bytes)) - len(h.bytes)
		h.bytes = append(h.bytes, b[:min(max(want, 0), len(b))]...)
	}
	return n, nil
}

// seal is the SHA-256 of a bundle: of its header and of the SHA-256 of each part before
// the seal, so that a part is hashed once for the whole and for itself.
type seal struct{ all bytes.Buffer }

func newSeal(header []byte) *seal {
	s := &seal{}
	s.all.WriteString(sealDomain)
	h := sha256.Sum256(header)
	s.all.Write(h[:])
	return s
}

func (s *seal) add(part [sha256.Size]byte) { s.all.Write(part[:]) }

func (s *seal) sum() []byte {
	h := sha256.Sum256(s.all.Bytes())
	return h[:]
}

// opened is a bundle's file, whose seal has been checked.
type opened struct {
	head head
	sums map[string][sha256.Size]byte // of the parts
	seal []byte
	file *safetensors.File
	data int64 // where the parts begin
	from io.ReaderAt
}

// read looks at the size bytes behind r. Errors wrap [ErrBundle] or [ErrVersion], or are
// r's.
func read(r io.ReaderAt, size int64) (*opened, error) {
	bad := func(err error) error {
		if errors.Is(err, safetensors.ErrFormat) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
			return fmt.Errorf("%w: %w", ErrBundle, err)
		}
		return err
	}
	var length [8]byte
	if size < int64(len(length)) {
		return nil, fmt.Errorf("%w: it has %d bytes", ErrBundle, size)
	}
	if _, err := r.ReadAt(length[:], 0); err != nil {
		return nil, bad(err)
	}
	n := binary.LittleEndian.Uint64(length[:])
	if n > maxHead {
		return nil, fmt.Errorf("%w: its header has %d bytes, that of a bundle at most %d", ErrBundle, n, maxHead)
	}
	f, err := safetensors.Open(r, size)
	if err != nil {
		return nil, bad(err)
	}
	o := &opened{file: f, data: 8 + int64(n), from: r, sums: make(map[string][sha256.Size]byte)}
	text, ok := f.Metadata()[keyHead]
	if !ok {
		return nil, fmt.Errorf("%w: its header has no %s", ErrBundle, keyHead)
	}
	// The version comes first: what else there is, and how it is sealed, follows from it.
	var v struct {
		Version int    `json:"version"`
		Library string `json:"library"`
	}
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return nil, fmt.Errorf("%w: head: %w", ErrBundle, err)
	}
	if v.Version < 1 || v.Version > Version {
		return nil, fmt.Errorf("%w: it has version %d, this library reads 1 to %d; it was written by gotab %q: use that one or a later one", ErrVersion, v.Version, Version, v.Library)
	}
	if err := o.checkSeal(); err != nil {
		return nil, bad(err)
	}
	if err := json.Unmarshal([]byte(text), &o.head); err != nil {
		return nil, fmt.Errorf("%w: head: %w", ErrBundle, err)
	}
	if err := o.head.check(); err != nil {
		return nil, fmt.Errorf("%w: head: %w", ErrBundle, err)
	}
	return o, nil
}

// checkSeal reads the whole file.
func (o *opened) checkSeal() error {
	infos := o.file.Infos()
	slices.SortFunc(infos, func(a, b safetensors.Info) int { return int(min(max(a.Offset-b.Offset, -1), 1)) })
	if len(infos) < 2 || len(infos) > maxParts {
		return fmt.Errorf("%w: it has %d parts", ErrBundle, len(infos))
	}
	last := infos[len(infos)-1]
	if last.Name != partSeal || last.Size != sha256.Size {
		return fmt.Errorf("%w: its last part is %.40q of %d bytes, not its seal", ErrBundle, last.Name, last.Size)
	}
	header := make([]byte, o.data)
	if _, err := o.from.ReadAt(header, 0); err != nil {
		return err
	}
	s := newSeal(header)
	var some []byte
	for _, info := range infos[:len(infos)-1] {
		if want := min(1<<20, info.Size); int64(len(some)) < want {
			some = make([]byte, want)
		}
		h := sha256.New()
		var err error
		for at := int64(0); at < info.Size && err == nil; {
			part := some[:min(int64(len(some)), info.Size-at)]
			var n int
			if n, err = o.from.ReadAt(part, o.data+info.Offset+at); n == len(part) {
				err = nil // it may come with the end of the file
			}
			h.Write(part[:n]) // never fails
			at += int64(n)
		}
		if err != nil {
			return fmt.Errorf("%.40q: %w", info.Name, err)
		}
		sum := [sha256.Size]byte(h.Sum(nil))
		o.sums[info.Name] = sum
		s.add(sum)
	}
	want, err := o.file.Bytes(partSeal)
	if err != nil {
		return err
	}
	if !bytes.Equal(want, s.sum()) {
		return fmt.Errorf("%w: its SHA-256 is not the one that it carries: it was altered or cut short; take a sound copy", ErrBundle)
	}
	o.seal = want
	return nil
}

// id is what a bundle is called by.
func (o *opened) id() string { return hex.EncodeToString(o.seal)[:12] }

// scorer identifies what decides about scores: all but calibration and words.
func (o *opened) scorer() (string, error) {
	text, err := json.Marshal(struct {
		Detector string
		Tiles    *tilesHead
		Regions  *Regions
	}{o.head.Detector, o.head.Tiles, o.head.Regions})
	if err != nil {
		return "", err
	}
	s := newSeal(text)
	for _, name := range []string{partDetector, partBackbone, partMask} {
		s.add(o.sums[name])
	}
	return hex.EncodeToString(s.sum())[:12], nil
}

func (o *opened) has(name string) bool {
	_, ok := o.file.Lookup(name)
	return ok
}

// open returns a reader of a part.
func (o *opened) open(name string) (*io.SectionReader, error) {
	info, ok := o.file.Lookup(name)
	if !ok {
		return nil, fmt.Errorf("%w: it has no part %s", ErrBundle, name)
	}
	return io.NewSectionReader(o.from, o.data+info.Offset, info.Size), nil
}

// part returns the bytes of a part that has at most most of them.
func (o *opened) part(name string, most int64) ([]byte, error) {
	info, ok := o.file.Lookup(name)
	if !ok {
		return nil, fmt.Errorf("%w: it has no part %s", ErrBundle, name)
	}
	if info.Size > most {
		return nil, fmt.Errorf("%w: its part %s has %d bytes, at most %d are taken", ErrBundle, name, info.Size, most)
	}
	return o.file.Bytes(name)
}
