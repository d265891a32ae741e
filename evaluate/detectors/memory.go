package detectors

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"math"
	"slices"
	"sync"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/tensor"
)

// Memory is a network that remembers what it has answered, image by image: twenty fits
// of PaDiM or PatchCore on the same images cost one pass through it. It is a
// downstream.Extractor for detectors that leave the network alone. Images are told apart
// by 128 bits of a hash of their pixels. When the weights change, all is forgotten. It is
// safe for concurrent use.
type Memory struct {
	net    *backbone.ResNet
	budget int64 // of bytes; what does not fit is computed anew
	seed   maphash.Seed

	mu      sync.Mutex
	version uint64 // of the weights
	kept    map[memoryKey]answer
	bytes   int64
}

// memoryKey has two hashes of the pixels with unlike beginnings.
type memoryKey struct {
	image [2]uint64
	layer backbone.Layer
	size  [2]int64 // rows and columns of the image
}

// answer is a map of one image, C, h, w. It is not written once it is kept.
type answer struct {
	shape  [3]int64
	values []float32
}

// NewMemory remembers answers of a network in at most budget bytes of the computer's
// memory: 4 for each value of a map, which are 1.4 MB for an image of 224x224 and the
// first three layers of ResNet-18. The network stays the caller's, who keeps it open.
func NewMemory(net *backbone.ResNet, budget int64) *Memory {
	return &Memory{net: net, budget: budget, seed: maphash.MakeSeed(), kept: map[memoryKey]answer{}, version: net.Params().Version()}
}

// Channels implements downstream.Extractor.
func (m *Memory) Channels(l backbone.Layer) int { return m.net.Channels(l) }

// Device tells detectors where the network lives.
func (m *Memory) Device() tensor.Device { return m.net.Device() }

// Precision tells detectors in which precision the network computes.
func (m *Memory) Precision() backbone.Precision { return m.net.Precision() }

// Forward implements downstream.Extractor. Where an image of the batch is not known for
// all layers, the whole batch goes through the network.
func (m *Memory) Forward(s *tensor.Scope, x *tensor.Tensor, at ...backbone.Layer) []*tensor.Tensor {
	if s.Err() != nil || len(x.Shape()) != 4 || x.Size(0) == 0 || slices.Contains(at, backbone.Pooled) {
		return m.net.Forward(s, x, at...)
	}
	pixels, err := s.Floats(x)
	if err != nil {
		s.Fail(err)
		return nil
	}
	keys := make([][2]uint64, x.Size(0))
	row := len(pixels) / len(keys)
	for i := range keys {
		keys[i] = m.hash(pixels[i*row : (i+1)*row])
	}
	size := [2]int64{x.Size(2), x.Size(3)}
	version := m.net.Params().Version()
	if found := m.find(keys, size, at, version); found != nil {
		return m.tensors(s, found)
	}
	out := m.net.Forward(s, x, at...)
	if s.Err() != nil {
		return out
	}
	for k, l := range at {
		values, err := s.Floats(out[k])
		if err != nil {
			s.Fail(err)
			return nil
		}
		m.keep(keys, size, l, out[k].Shape(), values, version)
	}
	return out
}

func (m *Memory) hash(pixels []float32) (h [2]uint64) {
	var h0, h1 maphash.Hash
	h0.SetSeed(m.seed)
	h1.SetSeed(m.seed)
	_ = h1.WriteByte(1) // never fails
	var buf [4096]byte
	for len(pixels) > 0 {
		n := min(len(pixels), len(buf)/4)
		for i, v := range pixels[:n] {
			binary.LittleEndian.PutUint32(buf[4*i:], math.Float32bits(v))
		}
		_, _ = h0.Write(buf[:4*n])
		_, _ = h1.Write(buf[:4*n])
		pixels = pixels[n:]
	}
	return [2]uint64{h0.Sum64(), h1.Sum64()}
}

// at forgets the answers of other weights. The caller holds the mutex.
func (m *Memory) at(version uint64) {
	if version != m.version {
		m.version, m.bytes = version, 0
		clear(m.kept)
	}
}

// find returns the maps of all images for each layer, or nil unless all are known.
func (m *Memory) find(keys [][2]uint64, size [2]int64, at []backbone.Layer, version uint64) [][]answer {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.at(version)
	found := make([][]answer, len(at))
	for i, l := range at {
		for _, k := range keys {
			a, ok := m.kept[memoryKey{k, l, size}]
			if !ok {
				return nil
			}
			found[i] = append(found[i], a)
		}
	}
	return found
}

// tensors are the batches of maps of each layer.
func (m *Memory) tensors(s *tensor.Scope, found [][]answer) []*tensor.Tensor {
	out := make([]*tensor.Tensor, len(found))
	for i, of := range found {
		all := make([]float32, 0, len(of)*len(of[0].values))
		for _, a := range of {
			all = append(all, a.values...)
		}
		sh := of[0].shape
		out[i] = s.To(s.FromFloats(all, int64(len(of)), sh[0], sh[1], sh[2]), m.net.Device())
	}
	return out
}

func (m *Memory) keep(keys [][2]uint64, size [2]int64, l backbone.Layer, shape []int64, values []float32, version uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.at(version)
	each := len(values) / len(keys)
	for i, k := range keys {
		key := memoryKey{k, l, size}
		if _, ok := m.kept[key]; ok || m.bytes+int64(4*each) > m.budget {
			continue
		}
		m.kept[key] = answer{[3]int64{shape[1], shape[2], shape[3]}, slices.Clone(values[i*each : (i+1)*each])}
		m.bytes += int64(4 * each)
	}
}

// Bytes is how much memory the answers take.
func (m *Memory) Bytes() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.bytes
}

// String says how full the memory is.
func (m *Memory) String() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return fmt.Sprintf("%d maps, %d MB", len(m.kept), m.bytes>>20)
}
