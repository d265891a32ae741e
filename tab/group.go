package tab

import (
	"context"
	"errors"
	"fmt"
)

// Group is the processes (or goroutines) that train one network together, each a
// rank of it. tensor/dist has one over libtorch's own engine. All ranks call the same methods in the
// same order, one at a time each; a call returns where all have made it. An
// implementation bounds how long it waits, and names the ranks that are missing in
// the error with which it gives up; after such an error the group is of no more use.
// Slices that a method was given are the caller's again when it returns.
type Group interface {
	// Rank is this one's number, from 0 to Size()-1.
	Rank() int
	// Size is the number of ranks.
	Size() int
	// Sum replaces v by the sum over all ranks, place by place. The result is the same
	// on all ranks to the bit. All give slices of one length.
	Sum(ctx context.Context, v []float32) error
	// Gather returns what each rank gave, by rank; lengths may differ.
	Gather(ctx context.Context, v []byte) ([][]byte, error)
	// Broadcast overwrites v with that of one rank. All give slices of one length.
	Broadcast(ctx context.Context, from int, v []byte) error
}

// Statistics says how batch norm with statistics that are not frozen works where several
// ranks train.
type Statistics string

const (
	// StatisticsMean lets each rank normalise by its own share of a batch, and keeps the
	// mean of the ranks' statistics after each step. That of the means is exact; the
	// variances' is without what the ranks' means differ by.
	StatisticsMean Statistics = "mean"
	// StatisticsFirst is StatisticsMean that keeps those of rank 0.
	StatisticsFirst Statistics = "first"
	// StatisticsSync normalises by the whole batch, so that the ranks take the steps of
	// one. They exchange sums twice a step in every such layer, and gradients are summed
	// after the backward pass and not during it. The encoder must run the same layers on
	// all ranks and normalise by tensor.Scope.BatchNorm.
	StatisticsSync Statistics = "sync"
)

// WithGroup trains as one rank of a group. All ranks are given the same settings,
// options, data and classes, which is checked, and call the same methods in the same
// order. Config.Batch stays the number of pairs of a whole step: each rank takes an
// equal share of its places, so the number of ranks divides the work and changes
// neither the data nor the twins. It must divide Batch into shares of two or more.
//
// The weights of rank 0 are the start of all. In each step gradients are added up and
// divided by the number of ranks, in buckets while the backward pass goes on, and before they are clipped; all ranks
// take the step or none does. A failure of one rank is an error on all of them
// ([PeerError]), with weights and place those before the step. What Step tells is of the whole batch.
//
// Rank 0 alone writes the file of [WithCheckpoint], which does not say how many ranks
// there were: another number can resume it, each rank from the same file. Probes run on
// those ranks that have one, the others wait; the measures of rank 0 are told. On
// all ranks the thread setting must be the same, as for resuming.
//
// The Pretrainer borrows the group.
func WithGroup(g Group) Option { return func(p *Pretrainer) { p.ranks.group = g } }

// WithStatistics chooses how batch norm works under [WithGroup]; the default is
// StatisticsMean.
func WithStatistics(s Statistics) Option { return func(p *Pretrainer) { p.ranks.statistics = s } }

// ErrPeer reports that another rank failed, or is another program; see [PeerError].
var ErrPeer = errors.New("another rank failed")

// PeerError is what a rank returns because another one failed. It wraps [ErrPeer]
// and, where that rank's error was one of them, ErrDiverged, ErrConfig, ErrCheckpoint,
// ErrNoTwin, tensor.ErrOutOfMemory, context.Canceled or context.DeadlineExceeded.
type PeerError struct {
	Rank    int
	Message string // that rank's error
	Cause   error  // one of those above, or nil
}

// Error implements error.
func (e *PeerError) Error() string {
	return fmt.Sprintf("rank %d failed: %s", e.Rank, e.Message)
}

// Unwrap returns ErrPeer and the cause.
func (e *PeerError) Unwrap() []error {
	if e.Cause == nil {
		return []error{ErrPeer}
	}
	return []error{ErrPeer, e.Cause}
}
