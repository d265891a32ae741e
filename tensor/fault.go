package tensor

import (
	"github.com/gotab/gotab/internal/fault"
	"github.com/gotab/gotab/tensor/internal/native"
)

// Tests of the packages above let memory run out in the middle of a step; they
// reach the allocator through an internal package, so that nobody else does.
func init() { fault.Install(fault.Hook{Watch: native.WatchAllocations, Stop: native.StopAllocations}) }
