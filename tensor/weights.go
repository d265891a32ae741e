package tensor

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"

	"github.com/gotab/gotab/internal/atomicfile"
	"github.com/gotab/gotab/internal/safetensors"
	"github.com/gotab/gotab/internal/torchfile"
)

// Weights is the content of a weight file on the host: arrays in the order of
// the file, and the file's metadata.
type Weights struct {
	Arrays   []Array
	Metadata map[string]string
}

// ReadWeights reads a whole safetensors stream. Sizes are checked against what
// the stream holds before memory is taken. 16-bit floats become float32.
func ReadWeights(r io.Reader) (*Weights, error) {
	f, err := safetensors.Read(r)
	if err != nil {
		return nil, fmt.Errorf("tensor: read weights: %w", err)
	}
	return fromSafetensors(f)
}

// ReadTorchWeights reads the state dict of a .pth or .pt file that torch.save
// wrote. The reader knows tensors and containers and nothing else: a file that
// names any other Python object is refused and nothing of it is run.
func ReadTorchWeights(r io.ReaderAt, size int64) (*Weights, error) {
	ts, err := torchfile.Read(r, size)
	if err != nil {
		return nil, fmt.Errorf("tensor: read torch weights: %w", err)
	}
	w := &Weights{Metadata: map[string]string{}}
	for _, t := range ts {
		a, err := fromFileTensor(t)
		if err != nil {
			return nil, fmt.Errorf("tensor: read torch weights: %w", err)
		}
		w.Arrays = append(w.Arrays, a)
	}
	return w, nil
}

// OpenWeights reads a weight file of either kind; which one it is the first
// bytes tell, not the name.
func OpenWeights(path string) (*Weights, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("tensor: open weights: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("tensor: open weights: %w", err)
	}
	var magic [4]byte
	if _, err := f.ReadAt(magic[:], 0); err != nil {
		return nil, fmt.Errorf("tensor: open weights: %s: %w", path, err)
	}
	var w *Weights
	if bytes.Equal(magic[:], []byte("PK\x03\x04")) {
		w, err = ReadTorchWeights(f, st.Size())
	} else {
		var sf *safetensors.File
		if sf, err = safetensors.Open(f, st.Size()); err == nil {
			w, err = fromSafetensors(sf)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("tensor: open weights: %s: %w", path, err)
	}
	return w, nil
}

func fromSafetensors(f *safetensors.File) (*Weights, error) {
	w := &Weights{Metadata: f.Metadata()}
	for _, i := range f.Infos() {
		t, err := f.Tensor(i.Name)
		if err != nil {
			return nil, err
		}
		a, err := fromFileTensor(t)
		if err != nil {
			return nil, err
		}
		w.Arrays = append(w.Arrays, a)
	}
	return w, nil
}

// fileTypes are the element types that are kept as they are.
var fileTypes = map[safetensors.DType]DType{
	safetensors.F32: Float32, safetensors.F64: Float64, safetensors.I64: Int64,
	safetensors.U8: Uint8, safetensors.BOOL: Bool,
}

func fromFileTensor(t safetensors.Tensor) (Array, error) {
	if dt, ok := fileTypes[t.DType]; ok {
		return Array{Name: t.Name, DType: dt, Shape: t.Shape, Data: t.Data}, nil
	}
	v, err := t.Float32()
	if err != nil {
		return Array{}, err
	}
	return FloatArray(t.Name, v, t.Shape...), nil
}

// WriteWeights writes arrays as safetensors, in the given order.
func WriteWeights(w io.Writer, metadata map[string]string, arrays []Array) (int64, error) {
	ts := make([]safetensors.Tensor, len(arrays))
	for i, a := range arrays {
		var dt safetensors.DType
		for f, d := range fileTypes {
			if d == a.DType {
				dt = f
			}
		}
		ts[i] = safetensors.Tensor{Name: a.Name, DType: dt, Shape: a.Shape, Data: a.Data}
	}
	n, err := safetensors.Write(w, metadata, ts)
	if err != nil {
		return n, fmt.Errorf("tensor: write weights: %w", err)
	}
	return n, nil
}

// SaveWeights writes arrays as a safetensors file that appears whole or not at
// all: a temporary file beside it is synced and renamed. Whatever fails leaves a
// file of that name as it was.
func SaveWeights(path string, metadata map[string]string, arrays []Array) error {
	return atomicfile.Write(path, func(w io.Writer) error {
		_, err := WriteWeights(w, metadata, arrays)
		return err
	})
}

// Write copies all tensors to the host and writes them as safetensors.
func (p *Params) Write(ctx context.Context, w io.Writer, metadata map[string]string) (int64, error) {
	a, err := p.Arrays(ctx)
	if err != nil {
		return 0, err
	}
	return WriteWeights(w, metadata, a)
}
