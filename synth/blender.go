package synth

import (
	"math"
	"sync"
)

// tableBytes bounds the tables that a Blender keeps.
const tableBytes = 32 << 20

// Blender pastes patches into images by Poisson image editing; see Blend. It keeps the tables of the sizes it has met (at
// most 32 MiB, least recently used go first) and work buffers. The zero value is ready. It is safe for concurrent use and
// must not be copied after its first use.
type Blender struct {
	mu    sync.Mutex
	plans map[int]*planEntry
	clock uint64
	bytes int
	pool  sync.Pool
}

type planEntry struct {
	plan *sine
	used uint64
}

// String names the algorithm, so that printing a setting that holds a Blender gives the same text every time.
func (b *Blender) String() string { return "Poisson" }

// plan returns the sine transform of n values.
func (b *Blender) plan(n int) *sine {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clock++
	if e := b.plans[n]; e != nil {
		e.used = b.clock
		return e.plan
	}
	p := newSine(n, cheapestSine(n))
	if b.plans == nil {
		b.plans = make(map[int]*planEntry)
	}
	b.plans[n] = &planEntry{plan: p, used: b.clock}
	b.bytes += p.bytes
	for b.bytes > tableBytes && len(b.plans) > 1 {
		old, oldest := 0, uint64(math.MaxUint64)
		for k, e := range b.plans {
			if e.used < oldest {
				old, oldest = k, e.used
			}
		}
		b.bytes -= b.plans[old].plan.bytes
		delete(b.plans, old)
	}
	return p
}

func (b *Blender) work() *blendWork {
	if w, ok := b.pool.Get().(*blendWork); ok {
		return w
	}
	return &blendWork{}
}

func (b *Blender) done(w *blendWork) {
	w.field.plan = nil
	b.pool.Put(w)
}
