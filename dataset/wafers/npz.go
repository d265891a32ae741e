package wafers

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"

	"github.com/gotab/gotab/internal/pipeline"
)

// Write writes a set as numpy.savez does: arr_0, the maps, int32 [N, 52, 52],
// and arr_1, the labels, int32 [N, 8], stored and not compressed. Maps of a
// combination follow one another, in the order of [Combinations]. Equal
// arguments give equal bytes. It holds a few maps in memory; writing ends with
// ctx's error when ctx ends. Errors wrap [ErrCounts] or are w's.
func Write(ctx context.Context, w io.Writer, seed uint64, counts Counts) error {
	if ctx == nil || w == nil {
		return errors.New("wafers: write: context and writer must not be nil")
	}
	if err := counts.Validate(); err != nil {
		return err
	}
	all := counts.combinations()
	z := zip.NewWriter(w)
	maps, err := array(z, "arr_0", len(all), Side, Side)
	if err != nil {
		return err
	}
	workers := runtime.GOMAXPROCS(0)
	for row, err := range pipeline.Ordered(ctx, len(all), workers, 8*workers, func(_ context.Context, i int) ([]byte, error) {
		m := Draw(seed, i, all[i])
		return integers(m[:]), nil
	}) {
		if err != nil {
			return err
		}
		if _, err := maps.Write(row); err != nil {
			return fmt.Errorf("wafers: write maps: %w", err)
		}
	}
	labels, err := array(z, "arr_1", len(all), Labels)
	if err != nil {
		return err
	}
	for _, c := range all {
		var bits [Labels]uint8
		for j := range bits {
			bits[j] = uint8(c >> j & 1)
		}
		if _, err := labels.Write(integers(bits[:])); err != nil {
			return fmt.Errorf("wafers: write labels: %w", err)
		}
	}
	if err := z.Close(); err != nil {
		return fmt.Errorf("wafers: write: %w", err)
	}
	return nil
}

// integers are the values as little-endian int32.
func integers(v []uint8) []byte {
	out := make([]byte, 4*len(v))
	for i, x := range v {
		out[4*i] = x
	}
	return out
}

// array begins an npy file of int32 in the archive. Its header is filled up so
// that the values begin at a multiple of 64, as NumPy has it.
func array(z *zip.Writer, name string, shape ...int) (io.Writer, error) {
	w, err := z.CreateHeader(&zip.FileHeader{Name: name + ".npy", Method: zip.Store})
	if err != nil {
		return nil, fmt.Errorf("wafers: write %s: %w", name, err)
	}
	var dims bytes.Buffer
	for i, d := range shape {
		if i > 0 {
			dims.WriteString(", ")
		}
		fmt.Fprint(&dims, d)
	}
	const fixed = 10 // magic, version, length
	text := fmt.Sprintf("{'descr': '<i4', 'fortran_order': False, 'shape': (%s), }", &dims)
	fill := 64 - (fixed+len(text)+1)%64
	text += fmt.Sprintf("%*s\n", fill%64, "")
	head := append([]byte("\x93NUMPY\x01\x00"), 0, 0)
	binary.LittleEndian.PutUint16(head[8:], uint16(len(text)))
	if _, err := w.Write(append(head, text...)); err != nil {
		return nil, fmt.Errorf("wafers: write %s: %w", name, err)
	}
	return w, nil
}
