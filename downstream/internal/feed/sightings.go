package feed

import (
	"context"
	"encoding/binary"
	"hash/crc32"
	"image"
	"slices"
	"sync"

	"github.com/gotab/gotab/dataset"
)

// maxSightings is how many digests of images a model keeps, the smallest ones: of more
// images only those are known again. 512 KB.
const MaxSightings = 1 << 16

// Sightings tells images by the pixels that a detector sees of them, whatever their
// names and files: a digest of each, taken when it is first read.
type Sightings struct {
	mu    sync.Mutex
	taken []bool
	of    []uint64 // by image
}

// NewSightings returns sightings of n images, none of which has been seen.
func NewSightings(n int) *Sightings { return &Sightings{taken: make([]bool, n), of: make([]uint64, n)} }

// Watch returns from with images that are seen when they are read.
func (s *Sightings) Watch(from Pictures) Pictures {
	return func(ctx context.Context, i int) (image.Image, string, error) {
		img, name, err := from(ctx, i)
		if err != nil || Absent(img) {
			return img, name, err
		}
		return WatchedImage{img, func(px *image.RGBA) { s.see(i, px) }}, name, nil
	}
}

// WatchedImage is an image whose pixels are wanted as the network gets them.
type WatchedImage struct {
	image.Image
	See func(px *image.RGBA)
}

// see takes the digest of image i, after the transform.
func (s *Sightings) see(i int, px *image.RGBA) {
	s.mu.Lock()
	known := s.taken[i]
	s.mu.Unlock()
	if known { // a training reads it in every epoch
		return
	}
	d := Digest(px)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken[i], s.of[i] = true, d
}

// Digest returns two checksums of size and pixels, together 64 bits. Processors compute
// them at the speed of memory, which a fit does not feel; nobody has a reason to forge
// one.
func Digest(px *image.RGBA) uint64 {
	size := px.Rect.Size()
	castagnoli := crc32.MakeTable(crc32.Castagnoli) // made once for the process
	head := binary.LittleEndian.AppendUint64(nil, uint64(size.X))
	head = binary.LittleEndian.AppendUint64(head, uint64(size.Y))
	a, b := crc32.ChecksumIEEE(head), crc32.Checksum(head, castagnoli)
	for y := range size.Y {
		row := px.Pix[y*px.Stride:][:4*size.X]
		a, b = crc32.Update(a, crc32.IEEETable, row), crc32.Update(b, castagnoli, row)
	}
	return uint64(a)<<32 | uint64(b)
}

// At returns the digest of an image, false where it was not read.
func (s *Sightings) At(i int) (uint64, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.of[i], s.taken[i]
}

// With returns the digests of these images and of others, rising, as a model keeps them.
func (s *Sightings) With(others []uint64) []uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := slices.Clone(others)
	for i, d := range s.of {
		if s.taken[i] {
			all = append(all, d)
		}
	}
	slices.Sort(all)
	all = slices.Compact(all)
	return slices.Clip(all[:min(len(all), MaxSightings)])
}

// FitImages are the images of a data set to be fitted on, as [GoodImages] gives them,
// and what is seen of them.
func FitImages(normal dataset.Dataset, t dataset.Transform) (Pictures, *Sightings, error) {
	from, err := GoodImages(normal, t)
	if err != nil {
		return nil, nil, err
	}
	seen := NewSightings(normal.Len())
	return seen.Watch(from), seen, nil
}
