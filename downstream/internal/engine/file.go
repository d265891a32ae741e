package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"

	"github.com/gotab/gotab/downstream/internal/sentinel"
	"github.com/gotab/gotab/internal/atomicfile"
	"github.com/gotab/gotab/internal/layers"
	"github.com/gotab/gotab/tensor"
)

// Metadata keys of a saved detector: a safetensors file whose kind marks the
// detector and the version of its layout, and whose settings are JSON.
const (
	keyKind     = "kind"
	keySettings = "settings"
)

// Contents is what a file holds.
type Contents struct {
	Settings any // JSON
	Arrays   []tensor.Array
	Metadata map[string]string // besides kind and settings
}

// Write writes what readSaved reads.
func (c *Contents) Write(w io.Writer, by Who, kind string) (int64, error) {
	settings, err := json.Marshal(c.Settings)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", by.Doing("save"), err)
	}
	metadata := map[string]string{keyKind: kind, keySettings: string(settings)}
	maps.Copy(metadata, c.Metadata)
	return tensor.WriteWeights(w, metadata, c.Arrays)
}

// Save is Save of a detector.
func Save(path string, d io.WriterTo) error {
	return atomicfile.Write(path, func(w io.Writer) error {
		_, err := d.WriteTo(w)
		return err
	})
}

// OpenSaved reads a file with read; on is the extractor, or the device, that the
// detector will work on.
func OpenSaved[D, On, Option any](ctx context.Context, path string, by Who, on On,
	read func(context.Context, io.Reader, On, ...Option) (*D, error), opts []Option) (*D, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", by.Doing("open"), err)
	}
	defer f.Close()
	d, err := read(ctx, f, on, opts...)
	if err != nil {
		return nil, fmt.Errorf("%w (file %s)", err, path)
	}
	return d, nil
}

// ReadSaved reads settings S, which stand for a valid configuration C, and the rest of a
// file of a kind. Errors wrap [sentinel.ErrFile].
func ReadSaved[C any, S interface{ Config() (C, error) }](r io.Reader, by Who, kind string) (st S, cfg C, w *tensor.Weights, err error) {
	st, cfg, w, _, err = ReadSavedBut[C, S](r, by, kind)
	return st, cfg, w, err
}

// ReadSavedBut is ReadSaved that leaves the float32 arrays of some names without their data, which file has.
func ReadSavedBut[C any, S interface{ Config() (C, error) }](r io.Reader, by Who, kind string, later ...string) (st S, cfg C, w *tensor.Weights, file *tensor.WeightFile, err error) {
	fail := func(err error) (S, C, *tensor.Weights, *tensor.WeightFile, error) {
		return st, cfg, nil, nil, fmt.Errorf("%s: %w: %w", by.Doing("read"), sentinel.ErrFile, err)
	}
	if file, err = tensor.ReadWeightFile(r); err != nil {
		return fail(err)
	}
	w = &tensor.Weights{Metadata: file.Metadata()}
	if got := w.Metadata[keyKind]; got != kind {
		return fail(fmt.Errorf("it is marked %q, want %q", got, kind))
	}
	if err := json.Unmarshal([]byte(w.Metadata[keySettings]), &st); err != nil {
		return fail(fmt.Errorf("settings: %w", err))
	}
	if cfg, err = st.Config(); err != nil {
		return fail(fmt.Errorf("settings: %w", err))
	}
	for _, i := range file.Infos() {
		a := tensor.Array{Name: i.Name, DType: tensor.Float32, Shape: i.Shape}
		if i.Type != "F32" || !slices.Contains(later, i.Name) {
			if a, err = file.Array(i.Name); err != nil {
				return fail(err)
			}
		}
		w.Arrays = append(w.Arrays, a)
	}
	return st, cfg, w, file, nil
}

// ArrayNamed returns one array of a file.
func ArrayNamed(arrays []tensor.Array, name string) (tensor.Array, error) {
	i := slices.IndexFunc(arrays, func(a tensor.Array) bool { return a.Name == name })
	if i < 0 {
		return tensor.Array{}, fmt.Errorf("%w: %s is missing", sentinel.ErrFile, name)
	}
	return arrays[i], nil
}

// ArrayOf returns the array of a file that sp asks for, where a side of -1 may have any
// length above 0. One that is missing, has another type or shape or is not finite is
// [sentinel.ErrFile].
func ArrayOf(arrays []tensor.Array, sp layers.Spec) (tensor.Array, error) {
	a, err := ArrayNamed(arrays, sp.Name)
	if err != nil {
		return a, err
	}
	fits := a.DType == sp.DType() && len(a.Shape) == len(sp.Shape)
	for i := range a.Shape {
		fits = fits && (a.Shape[i] == sp.Shape[i] || sp.Shape[i] < 0 && a.Shape[i] > 0)
	}
	if !fits {
		return a, fmt.Errorf("%w: %s is %s %v, want %s %v", sentinel.ErrFile, sp.Name, a.DType, a.Shape, sp.DType(), sp.Shape)
	}
	if err := a.CheckFinite(); err != nil {
		return a, fmt.Errorf("%w: %w", sentinel.ErrFile, err)
	}
	return a, nil
}

// ArraysOf returns by name the arrays of a file that specs ask for; see [ArrayOf].
func ArraysOf(specs []layers.Spec, arrays []tensor.Array) (map[string]tensor.Array, error) {
	byName := make(map[string]tensor.Array, len(specs))
	for _, sp := range specs {
		a, err := ArrayOf(arrays, sp)
		if err != nil {
			return nil, err
		}
		byName[sp.Name] = a
	}
	return byName, nil
}

// FloatsOf returns the values of the float32 array of a file of a name and a shape; see
// [ArrayOf].
func FloatsOf(arrays []tensor.Array, name string, shape ...int64) ([]float32, error) {
	a, err := ArrayOf(arrays, layers.Spec{Name: name, Shape: shape})
	if err != nil {
		return nil, err
	}
	return a.Floats()
}
