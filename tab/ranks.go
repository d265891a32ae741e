package tab

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/gotab/gotab/tensor"
)

// ranks is a Pretrainer's side of its group. Every exchange carries what a rank does
// and whether it has failed, so that a rank that fails anywhere is heard at the
// others' next exchange and nobody waits for it: it takes part in one more exchange,
// whichever that is, and the work in hand ends on all ranks with it.
type ranks struct {
	group      Group // nil for a run of one
	statistics Statistics
	// afterwards sums gradients when the backward pass is over, and not while it goes on.
	afterwards bool
	bucket     []float32
	// told is the failure with which the work in hand has ended on all ranks; until the
	// next work begins nothing more is exchanged.
	told error
	// broken is what made the group useless.
	broken error
}

// many says whether there is anybody to talk to.
func (r *ranks) many() bool { return r.group != nil && r.group.Size() > 1 }

func (r *ranks) size() int {
	if r.group == nil {
		return 1
	}
	return r.group.Size()
}

func (r *ranks) rank() int {
	if r.group == nil {
		return 0
	}
	return r.group.Rank()
}

// first says whether this rank writes files.
func (r *ranks) first() bool { return r.rank() == 0 }

// check says whether the group's shares of a batch are whole.
func (r *ranks) check(c Config) error {
	switch n := r.size(); {
	case r.statistics != StatisticsMean && r.statistics != StatisticsFirst && r.statistics != StatisticsSync:
		return fmt.Errorf("tab: new: %w: WithStatistics is %q, want %q, %q or %q", ErrConfig, r.statistics, StatisticsMean, StatisticsFirst, StatisticsSync)
	case r.rank() < 0 || r.rank() >= n:
		return fmt.Errorf("tab: new: %w: the group says that this is rank %d of %d", ErrConfig, r.rank(), n)
	case c.Batch%n != 0 || c.Batch/n < 2:
		return bad("Batch", c.Batch, fmt.Sprintf("two or more pairs for each of %d ranks, as many for each", n))
	}
	return nil
}

// begin is called where the next work begins.
func (r *ranks) begin() { r.told = nil }

// end tells the others of a failure of this rank that they do not know of; what they
// know already, and nil, it returns as it is.
func (r *ranks) end(ctx context.Context, doing string, err error) error {
	if err == nil {
		return nil
	}
	_, err = r.exchange(ctx, doing, nil, err)
	return err
}

// codes are the errors that keep their meaning on the way to another rank. Of several that
// fit the first counts: an end from outside is not the fault of what it interrupted.
var codes = []struct {
	name string
	err  error
}{
	{"canceled", context.Canceled}, {"deadline", context.DeadlineExceeded}, {"diverged", ErrDiverged}, {"memory", tensor.ErrOutOfMemory},
	{"twin", ErrNoTwin}, {"checkpoint", ErrCheckpoint}, {"configuration", ErrConfig},
}

// coded returns the error of a code, nil for one that is not known.
func coded(name string) error {
	for _, c := range codes {
		if c.name == name {
			return c.err
		}
	}
	return nil
}

// failure is what a rank says of its own.
type failure struct {
	Message string `json:"message"`
	Code    string `json:"code"`
}

// longest bounds what is said in words.
const longest = 2000

// message is what one rank gives: a byte that says whether it failed, what it does,
// and what it has to give.
func message(doing string, own []byte, failed error) []byte {
	var b bytes.Buffer
	if failed != nil {
		f := failure{Message: failed.Error()}
		if len(f.Message) > longest {
			f.Message = f.Message[:longest] + " ..."
		}
		for _, c := range codes {
			if errors.Is(failed, c.err) {
				f.Code = c.name
				break
			}
		}
		own, _ = json.Marshal(f) // two strings
		b.WriteByte(1)
	} else {
		b.WriteByte(0)
	}
	doing = doing[:min(len(doing), 255)]
	b.WriteByte(byte(len(doing)))
	b.WriteString(doing)
	b.Write(own)
	return b.Bytes()
}

// exchange gives own to all ranks and returns what each gave. doing is the same on
// all. With failed it tells of a failure instead, and returns it.
func (r *ranks) exchange(ctx context.Context, doing string, own []byte, failed error) ([][]byte, error) {
	switch {
	case !r.many():
		return [][]byte{own}, failed
	case r.broken != nil || r.told != nil:
		if failed != nil {
			return nil, failed
		}
		return nil, errors.Join(r.told, r.broken)
	}
	ctx, stop := linger(ctx)
	defer stop()
	all, err := r.group.Gather(ctx, message(doing, own, failed))
	if err == nil && len(all) != r.size() {
		err = fmt.Errorf("%w: %d answers of %d ranks", ErrPeer, len(all), r.size())
	}
	if err != nil {
		r.broken = fmt.Errorf("%s: %w", doing, err)
		if failed != nil {
			return nil, errors.Join(failed, r.broken)
		}
		return nil, r.broken
	}
	for i, m := range all {
		var err error
		if all[i], err = r.understand(i, doing, m, failed != nil); err != nil && i != r.rank() && r.told == nil {
			r.told = err
		}
	}
	if failed != nil {
		r.told = failed
	}
	return all, r.told
}

// patience is how long after the end of a context a rank still waits for the others:
// they are most often about to come, and it can be told to them then.
const patience = 5 * time.Second

// linger is ctx, ended a while later.
func linger(ctx context.Context) (context.Context, func()) {
	if ctx.Done() == nil {
		return ctx, func() {}
	}
	late, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	var mu sync.Mutex
	var timer *time.Timer
	stopped := false
	unwatch := context.AfterFunc(ctx, func() {
		mu.Lock()
		defer mu.Unlock()
		if !stopped {
			timer = time.AfterFunc(patience, func() { cancel(context.Cause(ctx)) })
		}
	})
	return late, func() {
		unwatch()
		mu.Lock()
		defer mu.Unlock()
		if stopped = true; timer != nil {
			timer.Stop()
		}
		cancel(nil)
	}
}

// understand takes a message apart. Who tells of a failure may do so wherever the others are.
func (r *ranks) understand(from int, doing string, m []byte, failed bool) ([]byte, error) {
	if len(m) < 2 || len(m) < 2+int(m[1]) || m[0] > 1 {
		r.broken = fmt.Errorf("%s: %w: rank %d says what nobody understands; all ranks must be the same program", doing, ErrPeer, from)
		return nil, r.broken
	}
	theirs, rest := string(m[2:2+int(m[1])]), m[2+int(m[1]):]
	if m[0] == 1 {
		var f failure
		if err := json.Unmarshal(rest, &f); err != nil {
			f.Message = "it does not say why"
		}
		return nil, &PeerError{Rank: from, Message: f.Message, Cause: coded(f.Code)}
	}
	if theirs != doing && !failed {
		r.broken = fmt.Errorf("%s: %w: rank %d is at %q; all ranks must call the same methods in the same order", doing, ErrPeer, from, theirs)
		return nil, r.broken
	}
	return rest, nil
}

// same fails where the ranks do not have one value; own must marshal.
func (r *ranks) same(ctx context.Context, doing string, own any, failed error) error {
	if !r.many() {
		return failed
	}
	b, err := json.Marshal(own)
	all, err := r.exchange(ctx, doing, b, errors.Join(failed, err))
	if err != nil {
		return err
	}
	for i, m := range all {
		if !bytes.Equal(m, all[0]) { // all ranks see it, and none goes on
			r.told = fmt.Errorf("%s: %w: rank %d has %s, rank 0 has %s; all ranks need the same settings, data, threads and weights",
				doing, ErrPeer, i, difference(m, all[0]), difference(all[0], m))
			return r.told
		}
	}
	return nil
}

// difference is the part of a that b does not have, with some of what stands before.
func difference(a, b []byte) string {
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	i = max(0, i-40)
	return fmt.Sprintf("%q", a[i:min(len(a), i+120)])
}

// sum adds numbers up over all ranks, in their order.
func (r *ranks) sum(ctx context.Context, doing string, own []float64, failed error) ([]float64, error) {
	if !r.many() {
		return own, failed
	}
	b := make([]byte, 8*len(own))
	for i, v := range own {
		binary.LittleEndian.PutUint64(b[8*i:], math.Float64bits(v))
	}
	all, err := r.exchange(ctx, doing, b, failed)
	if err != nil {
		return nil, err
	}
	out := make([]float64, len(own))
	for k, m := range all {
		if len(m) != len(b) {
			r.broken = fmt.Errorf("%s: %w: rank %d gives %d bytes, want %d", doing, ErrPeer, k, len(m), len(b))
			return nil, r.broken
		}
		for i := range out {
			out[i] += math.Float64frombits(binary.LittleEndian.Uint64(m[8*i:]))
		}
	}
	return out, nil
}

// over is the view of an objective on the other ranks; nil without any.
type over struct {
	r   *ranks
	ctx context.Context
}

// Ranks returns how many ranks share the batch, 1 without a group. The loss of the
// batch is the mean of what they return: an objective that is a mean over pairs needs
// nothing more. One that divides by what it counts in the batch, or is no sum over
// pairs, takes its sums by Total.
func (v View) Ranks() int {
	if v.over == nil {
		return 1
	}
	return v.over.r.size()
}

// Total returns the sums over all ranks of scalars that each has of its own share of
// the batch. A loss that is computed of totals alone is the whole batch's on every rank, and the
// gradients that the ranks then have in common are its gradients. All ranks must call
// it equally often with as many scalars. Without a group it returns ts.
func (v View) Total(s *tensor.Scope, ts ...*tensor.Tensor) []*tensor.Tensor {
	if v.over == nil {
		return ts
	}
	own := make([]float64, len(ts))
	err := s.Err()
	for i, t := range ts {
		if err == nil {
			own[i], err = s.Float(t)
		}
	}
	all, err := v.over.r.sum(v.over.ctx, "sums of an objective", own, err)
	if err != nil {
		s.Fail(err)
		return ts
	}
	// The ranks' gradients are averaged in the end, so each counts as often as there
	// are ranks; the rest is a number without a gradient.
	n := float64(v.Ranks())
	out := make([]*tensor.Tensor, len(ts))
	for i, t := range ts {
		out[i] = s.AddScalar(s.MulScalar(t, n), all[i]-n*own[i])
	}
	return out
}

// totals is Total for numbers on the host.
func (v View) totals(s *tensor.Scope, own ...int) []int {
	if v.over == nil {
		return own
	}
	f := make([]float64, len(own))
	for i, n := range own {
		f[i] = float64(n)
	}
	all, err := v.over.r.sum(v.over.ctx, "counts of an objective", f, s.Err())
	if err != nil {
		s.Fail(err)
		return own
	}
	out := make([]int, len(own))
	for i := range out {
		out[i] = int(all[i])
	}
	return out
}

// largest returns the mean of the k largest values of x, a vector, over all ranks.
func (v View) largest(s *tensor.Scope, x *tensor.Tensor, k int) *tensor.Tensor {
	if v.over == nil {
		top, _ := s.TopK(x, int64(k), 0, true)
		return s.Mean(top, false)
	}
	var top *tensor.Tensor
	var own []float32
	err := s.Err()
	if err == nil {
		top, _ = s.TopK(x, min(int64(k), x.Len()), 0, true) // falling
		own, err = s.Floats(top)
	}
	b := make([]byte, 4*len(own))
	for i, f := range own {
		binary.LittleEndian.PutUint32(b[4*i:], math.Float32bits(f))
	}
	all, err := v.over.r.exchange(v.over.ctx, "largest values of an objective", b, err)
	if err != nil {
		s.Fail(err)
		return x
	}
	share := shareOfLargest(all, v.over.r.rank(), k)
	sum := s.Full(0, tensor.Float32)
	if share > 0 {
		sum = s.Sum(s.Narrow(top, 0, 0, int64(share)), false)
	}
	return s.MulScalar(v.Total(s, sum)[0], 1/float64(k))
}

// shareOfLargest returns how many of the k largest of all ranks' values, each falling
// and four bytes long, are a rank's. Of equal ones those of lower ranks come first.
func shareOfLargest(all [][]byte, rank, k int) int {
	next := make([]int, len(all))
	at := func(r int) (float32, bool) {
		if 4*next[r]+4 > len(all[r]) {
			return 0, false
		}
		return math.Float32frombits(binary.LittleEndian.Uint32(all[r][4*next[r]:])), true
	}
	for range k {
		best := -1
		var most float32
		for r := range all {
			if x, ok := at(r); ok && (best < 0 || x > most) {
				best, most = r, x
			}
		}
		if best < 0 {
			break
		}
		next[best]++
	}
	return next[rank]
}
