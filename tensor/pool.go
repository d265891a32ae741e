package tensor

import "github.com/gotab/gotab/tensor/internal/native"

// Runs of mode Training take their large blocks of host memory from a pool and
// give them back to it, because the system takes longer to hand out fresh pages
// than many operations need to fill them. What the pool keeps and what is in use
// together never exceed the most that was in use at one time.

// PooledBytes returns how many bytes of host memory training has left for its
// next step.
func PooledBytes() int64 { return native.PoolKept() }

// ReleasePool gives them back to the system. A Pretrainer does so when it is
// closed, a detector that trains when its Fit has ended.
func ReleasePool() { native.PoolClear() }
