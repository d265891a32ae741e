package downstream

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/gotab/gotab/internal/atomicfile"
	"github.com/gotab/gotab/tensor"
)

// Metadata keys of a saved detector: a safetensors file whose kind marks the
// detector and the version of its layout, and whose settings are JSON.
const (
	keyKind     = "kind"
	keySettings = "settings"
)

// write is WriteTo of a detector; contents gives the settings and arrays of a
// model.
func (d *core[M]) write(w io.Writer, kind string, contents func(g M) (settings any, arrays []tensor.Array, err error)) (int64, error) {
	g, err := d.acquire("save")
	if err != nil {
		return 0, err
	}
	defer func() { _ = d.release(g) }() // frees memory, cannot fail
	return writeSaved(w, d.name, kind, g.common().beside(), func() (any, []tensor.Array, error) { return contents(g) })
}

// writeSaved writes what readSaved reads.
func writeSaved(w io.Writer, name, kind string, also beside, contents func() (settings any, arrays []tensor.Array, err error)) (int64, error) {
	st, arrays, err := contents()
	if err != nil {
		return 0, fmt.Errorf("downstream: save %s: %w", name, err)
	}
	settings, err := json.Marshal(st)
	if err != nil {
		return 0, fmt.Errorf("downstream: save %s: %w", name, err)
	}
	metadata := map[string]string{keyKind: kind, keySettings: string(settings)}
	if arrays, err = also.write(metadata, arrays); err != nil {
		return 0, fmt.Errorf("downstream: save %s: %w", name, err)
	}
	return tensor.WriteWeights(w, metadata, arrays)
}

// save is Save of a detector.
func save(path string, d io.WriterTo) error {
	return atomicfile.Write(path, func(w io.Writer) error {
		_, err := d.WriteTo(w)
		return err
	})
}

// openSaved reads a file with read; on is the extractor, or the device, that the
// detector will work on.
func openSaved[D, On any](ctx context.Context, path, name string, on On,
	read func(context.Context, io.Reader, On, ...Option) (*D, error), opts []Option) (*D, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("downstream: open %s: %w", name, err)
	}
	defer f.Close()
	d, err := read(ctx, f, on, opts...)
	if err != nil {
		return nil, fmt.Errorf("%w (file %s)", err, path)
	}
	return d, nil
}

// readSaved reads settings S, which stand for a valid configuration C, and
// arrays of a file of a kind. What the file keeps besides goes to the sizes of the
// settings, which the model is made by. Errors wrap [ErrFile].
func readSaved[C any, S interface{ config() (C, error) }](r io.Reader, name, kind string) (st S, cfg C, arrays []tensor.Array, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("downstream: read %s: %w: %w", name, ErrFile, err)
		}
	}()
	w, err := tensor.ReadWeights(r)
	if err != nil {
		return st, cfg, nil, err
	}
	if got := w.Metadata[keyKind]; got != kind {
		return st, cfg, nil, fmt.Errorf("it is marked %q, want %q", got, kind)
	}
	if err := json.Unmarshal([]byte(w.Metadata[keySettings]), &st); err != nil {
		return st, cfg, nil, fmt.Errorf("settings: %w", err)
	}
	if cfg, err = st.config(); err != nil {
		return st, cfg, nil, fmt.Errorf("settings: %w", err)
	}
	also, own, err := readKept(w)
	if err != nil {
		return st, cfg, nil, err
	}
	if s, ok := any(&st).(interface{ keep(beside) }); ok {
		s.keep(also)
	}
	return st, cfg, own, nil
}

// arrayNamed returns one array of a file.
func arrayNamed(arrays []tensor.Array, name string) (tensor.Array, error) {
	i := slices.IndexFunc(arrays, func(a tensor.Array) bool { return a.Name == name })
	if i < 0 {
		return tensor.Array{}, fmt.Errorf("%w: %s is missing", ErrFile, name)
	}
	return arrays[i], nil
}
