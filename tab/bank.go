package tab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/gotab/gotab/internal/atomicfile"
	"github.com/gotab/gotab/internal/safetensors"
)

// Bank holds anchors of named classes, so that training needs no text encoder at
// hand. It is read-only and safe for concurrent use.
type Bank struct {
	// Classes in the order of the rows.
	Classes []string
	// Normal and Abnormal hold one unit row a class, all of one length.
	Normal, Abnormal [][]float32
	// Model says which encoder made the rows; Prompts is the hash of the
	// sentences (prompt.IDPA.Hash). Either may be empty.
	Model, Prompts string
	// Provenance is further metadata of the file, for whoever asks where it comes
	// from: a hash of the encoder's weights, a licence. Nothing here reads it. May be
	// nil; the keys classes, model, prompts and format are taken.
	Provenance map[string]string
}

// ownKeys are the keys of a bank's metadata that have a meaning; format is what
// other programs write into every file.
func ownKeys() []string { return []string{"classes", "model", "prompts", "format"} }

// Limits of a bank file: a hundred thousand classes of CLIP's widest features
// are 600 MB; a header that asks for more is a lie.
const (
	maxBankClasses = 100_000
	maxBankWidth   = 8192
)

// MakeBank computes the anchors of classes once, for example with FromText.
func MakeBank(ctx context.Context, from Anchors, classes []string, model, prompts string) (*Bank, error) {
	n, a, err := from.Anchors(ctx, classes)
	if err != nil {
		return nil, err
	}
	b := &Bank{Classes: append([]string(nil), classes...), Normal: n, Abnormal: a, Model: model, Prompts: prompts}
	return b, b.check()
}

// OpenBank reads a bank file.
func OpenBank(path string) (*Bank, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("tab: open bank: %w", err)
	}
	defer f.Close()
	head := make([]byte, 512)
	n, err := f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("tab: open bank: %w", err)
	}
	if what := safetensors.Stranger(head[:n]); what != "" {
		return nil, fmt.Errorf("tab: open bank %s: %w: %s", path, ErrBank, what)
	}
	b, err := ReadBank(f)
	if err != nil {
		return nil, fmt.Errorf("%w (file %s)", err, path)
	}
	return b, nil
}

// ReadBank reads a text bank: safetensors with float32 "normal" and "abnormal"
// of shape [N, C], unit rows in the order of the metadata key "classes", a JSON
// list of N distinct names; "model" and "prompts" are optional metadata, and what
// else there is becomes Provenance.
func ReadBank(r io.Reader) (*Bank, error) {
	f, err := safetensors.Read(r)
	if err != nil {
		return nil, fmt.Errorf("tab: read bank: %w", err)
	}
	meta := f.Metadata()
	b := &Bank{Model: meta["model"], Prompts: meta["prompts"]}
	for key, text := range meta {
		if slices.Contains(ownKeys(), key) {
			continue
		}
		if b.Provenance == nil {
			b.Provenance = map[string]string{}
		}
		b.Provenance[key] = text
	}
	if err := json.Unmarshal([]byte(meta["classes"]), &b.Classes); err != nil {
		return nil, fmt.Errorf("tab: read bank: %w: metadata key classes is not a JSON list of names: %w", ErrBank, err)
	}
	for _, t := range []struct {
		name string
		to   *[][]float32
	}{{"normal", &b.Normal}, {"abnormal", &b.Abnormal}} {
		info, ok := f.Lookup(t.name)
		if !ok {
			return nil, fmt.Errorf("tab: read bank: %w: it has no tensor %q", ErrBank, t.name)
		}
		if len(info.Shape) != 2 || info.Shape[0] != int64(len(b.Classes)) || info.Shape[0] > maxBankClasses || info.Shape[1] < 1 || info.Shape[1] > maxBankWidth {
			return nil, fmt.Errorf("tab: read bank: %w: %q is %v, want [%d C] for %d classes", ErrBank, t.name, info.Shape, len(b.Classes), len(b.Classes))
		}
		v, err := f.Float32(t.name)
		if err != nil {
			return nil, fmt.Errorf("tab: read bank: %w", err)
		}
		w := int(info.Shape[1])
		for i := range b.Classes {
			*t.to = append(*t.to, v[i*w:(i+1)*w:(i+1)*w])
		}
	}
	if err := b.check(); err != nil {
		return nil, fmt.Errorf("tab: read bank: %w", err)
	}
	return b, nil
}

func (b *Bank) check() error {
	if len(b.Classes) == 0 {
		return fmt.Errorf("%w: it has no classes", ErrBank)
	}
	seen := map[string]bool{}
	for _, c := range b.Classes {
		if seen[c] {
			return fmt.Errorf("%w: class %q comes twice", ErrBank, c)
		}
		seen[c] = true
	}
	for _, key := range ownKeys() {
		if _, ok := b.Provenance[key]; ok {
			return fmt.Errorf("%w: Provenance has the key %q, which the bank's own fields have", ErrBank, key)
		}
	}
	if _, err := checkAnchors(b.Classes, b.Normal, b.Abnormal); err != nil {
		return fmt.Errorf("%w: %w", ErrBank, err)
	}
	return nil
}

// Anchors looks classes up by name. Every one that is missing is named in an
// error that wraps [ErrUnknownClass].
func (b *Bank) Anchors(_ context.Context, classes []string) (normal, abnormal [][]float32, err error) {
	row := make(map[string]int, len(b.Classes))
	for i, c := range b.Classes {
		row[c] = i
	}
	var missing []string
	for _, c := range classes {
		i, ok := row[c]
		if !ok {
			missing = append(missing, c)
			continue
		}
		normal, abnormal = append(normal, b.Normal[i]), append(abnormal, b.Abnormal[i])
	}
	if missing != nil {
		return nil, nil, fmt.Errorf("tab: text bank: %w: it has no anchors for %q; it has %q", ErrUnknownClass, missing, b.Classes)
	}
	return normal, abnormal, nil
}

// WriteTo writes the bank in the form that ReadBank reads.
func (b *Bank) WriteTo(w io.Writer) (int64, error) {
	if err := b.check(); err != nil {
		return 0, fmt.Errorf("tab: write bank: %w", err)
	}
	classes, err := json.Marshal(b.Classes)
	if err != nil {
		return 0, fmt.Errorf("tab: write bank: %w", err)
	}
	shape := []int64{int64(len(b.Classes)), int64(len(b.Normal[0]))}
	flat := func(rows [][]float32) []byte {
		var v []float32
		for _, r := range rows {
			v = append(v, r...)
		}
		return safetensors.Float32Bytes(v)
	}
	meta := map[string]string{"classes": string(classes), "model": b.Model, "prompts": b.Prompts}
	for key, text := range b.Provenance {
		meta[key] = text
	}
	return safetensors.Write(w, meta,
		[]safetensors.Tensor{
			{Name: "normal", DType: safetensors.F32, Shape: shape, Data: flat(b.Normal)},
			{Name: "abnormal", DType: safetensors.F32, Shape: shape, Data: flat(b.Abnormal)},
		})
}

// Save writes the bank to a file that appears whole or not at all.
func (b *Bank) Save(path string) error {
	return atomicfile.Write(path, func(w io.Writer) error {
		_, err := b.WriteTo(w)
		return err
	})
}
