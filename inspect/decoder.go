package inspect

import (
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
)

// Decoder reads files as the pictures of the fit were read, with the Bits16 of the
// detector's transform. Pictures that it decodes get the scores that they had there.
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

// Decoder is that of the bundle in force.
func (i *Inspector) Decoder() dataset.Decoder {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.now == nil {
		return dataset.DefaultDecoder()
	}
	return i.now.bundle.Decoder()
}
