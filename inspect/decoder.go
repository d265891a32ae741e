package inspect

import (
	"context"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
)

// Decoder reads files as the images of the fit were read, with the Bits16 of the
// detector's transform. Images that it decodes get the scores that they had there.
func (b *Bundle) Decoder() dataset.Decoder {
	inner := b.det
	if r, ok := inner.(*Regional); ok {
		inner = r.d
	}
	if t, ok := inner.(*downstream.Tiled); ok {
		inner = t.Detector()
	}
	for _, k := range kinds {
		if s, ok := k.of(inner); ok {
			return s.transform.Decoder()
		}
	}
	return dataset.DefaultDecoder()
}

type decodedKey struct{}

// DecodedBy returns a context that says to [Inspector.Inspect] how the files of its images
// were read: where the bundle that is in force by then wants them read with other Bits16 than d's, it
// is [ErrReplaced] and no verdict, and they are to be read again.
func DecodedBy(ctx context.Context, d dataset.Decoder) context.Context {
	if ctx == nil {
		return nil // which Inspect refuses
	}
	bits := d.Bits16
	if bits == 0 {
		bits = 16 // which 0 stands for
	}
	return context.WithValue(ctx, decodedKey{}, bits)
}

// Decoder is that of the bundle in force. Another may be in force when an image that it has
// read is judged; see [DecodedBy].
func (i *Inspector) Decoder() dataset.Decoder {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.now == nil {
		return dataset.DefaultDecoder()
	}
	return i.now.bundle.Decoder()
}
