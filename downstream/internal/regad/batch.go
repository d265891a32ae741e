package regad

import (
	"context"
	"image"
	"slices"

	"github.com/gotab/gotab/downstream/internal/feed"
	"github.com/gotab/gotab/tensor"
)

// Batch is a training step's images on the host. A class of few
// images shows some of them several times: each is read once.
type Batch struct {
	Pixels []float32 // of the images, each once, to be given back to the reader
	size   image.Point
	images int
	At     []int64 // which of them the queries are, and then the support images
}

// ReadBatch reads the images of a batch that Pairs made, several at a time.
func ReadBatch(ctx context.Context, in *feed.Reader, from feed.Pictures, at []int, size image.Point) (*Batch, error) {
	once := slices.Compact(slices.Sorted(slices.Values(at)))
	b := &Batch{size: size, images: len(once), At: make([]int64, len(at))}
	for i, v := range at {
		k, _ := slices.BinarySearch(once, v)
		b.At[i] = int64(k)
	}
	var err error
	b.Pixels, err = in.PackTogether(ctx, func(ctx context.Context, i int) (image.Image, string, error) { return from(ctx, once[i]) }, len(once), size)
	return b, err
}

// Tensors returns queries [Q, 3, H, W] and support images [Q shots, 3, H, W],
// channels-last.
func (b *Batch) Tensors(s *tensor.Scope, shots int) (queries, support *tensor.Tensor) {
	out := s.SubN(func(s *tensor.Scope) []*tensor.Tensor {
		h, w := int64(b.size.Y), int64(b.size.X)
		all := s.FromFloats(b.Pixels, int64(b.images), h*w*3)
		pick := func(at []int64) *tensor.Tensor {
			n := int64(len(at))
			rows := s.IndexSelect(all, 0, s.FromInts(at, n))
			return s.Permute(s.Reshape(rows, n, h, w, 3), 0, 3, 1, 2)
		}
		q := len(b.At) / (1 + shots)
		return []*tensor.Tensor{pick(b.At[:q]), pick(b.At[q:])}
	})
	return out[0], out[1]
}
