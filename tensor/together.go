package tensor

import (
	"fmt"
	"slices"

	"github.com/gotab/gotab/tensor/internal/native"
)

// Exchange is what several processes do that take one step together. Without a Begin
// there is nobody else, and nothing of it is called.
//
// Where anything fails between the loss and the update, the next of these functions is
// called all the same, so that the others can be told and do not wait. Of learners that are refused,
// buffers that cannot be kept and a panic the caller tells them.
type Exchange struct {
	// Overlap sums gradients while the backward pass still goes on: a bucket as soon as
	// it is complete. Otherwise all of them are summed when it is over.
	Overlap bool
	// Begin is called once a step: with nil, or with what has failed until then. With
	// Overlap that is before the backward pass, otherwise after it. has says, for every
	// weight that learns, in the order of the learners and of their names, whether there
	// is a gradient, or with Overlap whether there will be one. Begin replaces the loss by
	// what all processes have in common, and returns for which weights any process has a
	// gradient. The step ends with the error that it returns, so it returns failed where
	// that is not nil.
	Begin func(s *Scope, u *Update, has []bool, failed error) (any []bool, err error)
	// Sum replaces v by the sum over all processes, or by their mean. It is called for one
	// bucket after the other, in an order that weights and any decide. With Overlap that is
	// on another goroutine; v must not be kept. After an error no more is summed in this
	// step.
	Sum func(v []float32) error
	// Values is how many values a bucket holds at least, the last one excepted.
	Values int
	// Memory returns a buffer of n values, which the step uses until it ends; nil makes one.
	Memory func(n int) []float32
	// Failed is called with Overlap where the backward pass, or what goes with it, has
	// failed on some process, on all of them: with what has failed here, or nil. It returns
	// an error in any case.
	Failed func(failed error) error
	// Statistics, where it is not nil, makes every BatchNorm of the step that uses the
	// batch's statistics go over the batches of all processes. It returns the sums of own
	// over all of them, once in the forward pass of a layer and once in its backward pass,
	// there on a thread that libtorch chooses. layer counts these layers from 1; all
	// processes must run the same ones in the same order. It does not go with Overlap.
	Statistics func(layer int, backward bool, own []float64) ([]float64, error)
	// Reduce is called once, when the gradients are those of all processes. It does the same for
	// statistics; the step ends with the error that it returns. It may be nil.
	Reduce func(s *Scope) error
	// Agree is called once after all that returned nil: with nil when all that can
	// fail has been done and no weight has moved, or with what has failed since. It
	// returns an error where the step must not be taken, failed where that is not nil.
	Agree func(failed error) error
}

func (e Exchange) agree(failed error) error {
	if e.Begin == nil {
		return failed
	}
	return e.Agree(failed)
}

// check says whether the functions are there that a step needs.
func (e Exchange) check() error {
	switch {
	case e.Begin == nil:
		return nil
	case e.Sum == nil || e.Agree == nil || e.Overlap && e.Failed == nil:
		return fmt.Errorf("the Exchange has a Begin and lacks Sum, Agree or, with Overlap, Failed")
	case e.Overlap && e.Statistics != nil:
		return fmt.Errorf("Exchange.Statistics does not go with Overlap: both would exchange during the backward pass")
	case e.Values < 1:
		return fmt.Errorf("Exchange.Values is %d, want 1 or more", e.Values)
	}
	return nil
}

// gradients computes the loss and the gradients, and makes them those of all processes.
func (e Exchange) gradients(s *Scope, u *Update, sets []*Params, loss func(s *Scope) (*Tensor, error)) error {
	if e.Begin == nil {
		l, err := lossOf(s, u, loss)
		if err == nil {
			s.Backward(l)
			err = s.Err()
		}
		return err
	}
	end := s.synchronise(e.Statistics)
	defer end()
	l, err := lossOf(s, u, loss)
	weights := learning(sets)
	has := make([]bool, len(weights))
	if err == nil {
		has, err = reached(s, l, weights)
	}
	if err == nil && !e.Overlap {
		has, err = e.backward(s, l, weights, has)
	}
	any, err := e.Begin(s, u, has, err)
	if err != nil {
		return err
	}
	if len(any) != len(weights) {
		return fmt.Errorf("tensor: descend: Exchange.Begin speaks of %d weights, there are %d", len(any), len(weights))
	}
	b := e.pack(weights, any)
	if e.Overlap {
		err = b.overlapped(s, l)
	} else {
		err = b.afterwards(s)
	}
	for i, w := range weights {
		if !any[i] {
			s.effect("Grad", func() error { return native.ClearGrad(w.h) }, w)
		}
	}
	if err != nil || e.Reduce == nil {
		return err
	}
	return e.Reduce(s)
}

// learning lists the weights that learn.
func learning(sets []*Params) (out []*Tensor) {
	for _, p := range sets {
		for _, n := range p.names {
			if p.IsTrainable(n) {
				out = append(out, p.Get(n))
			}
		}
	}
	return out
}

// reached says which weights will have a gradient.
func reached(s *Scope, loss *Tensor, weights []*Tensor) (out []bool, err error) {
	s.effect("Backward", func() error { out, err = native.Reached(loss.h, handles(weights)); return err }, loss)
	if s.st.err != nil {
		out = make([]bool, len(weights))
	}
	return out, s.st.err
}

// backward computes the gradients, and says which of the weights that it should reach have
// one. With common statistics it also comes to weights of which this process's loss does
// not depend: that of another one may, by way of the statistics.
func (e Exchange) backward(s *Scope, loss *Tensor, weights []*Tensor, reached []bool) ([]bool, error) {
	y := s.st.sync
	if y != nil {
		loss = y.connect(s, loss)
	}
	s.Backward(loss)
	if err := s.Err(); err != nil {
		if y != nil && y.failed != nil {
			err = y.failed // C++ has kept the words of it only
		}
		return reached, err
	}
	has := make([]bool, len(weights))
	for i, w := range weights {
		if g := s.Grad(w); g != nil {
			has[i] = reached[i]
			s.Free(g)
		}
	}
	return has, s.Err()
}

func handles(ts []*Tensor) []native.Handle {
	out := make([]native.Handle, len(ts))
	for i, t := range ts {
		out[i] = t.h
	}
	return out
}

// buckets are the gradients of a step on their way. The last weights come first,
// because the backward pass comes to them first.
type buckets struct {
	e       Exchange
	weights []*Tensor
	offset  []int64 // in values
	bucket  []int32
	ends    []int // of the buckets in values
	// values holds the buckets and, with Overlap, at the end of the last one what the
	// processes have to say to each other: how many have failed, and for each weight how
	// many had a gradient.
	values, tail []float32
}

// pack divides the weights into buckets.
func (e Exchange) pack(weights []*Tensor, any []bool) *buckets {
	b := &buckets{e: e}
	size, begun := 0, 0
	for i, w := range slices.Backward(weights) {
		if !any[i] {
			continue
		}
		b.weights = append(b.weights, w)
		b.offset, b.bucket = append(b.offset, int64(size)), append(b.bucket, int32(len(b.ends)))
		if size += int(w.Len()); size-begun >= e.Values {
			b.ends, begun = append(b.ends, size), size
		}
	}
	if size > begun || e.Overlap && len(b.ends) == 0 {
		b.ends = append(b.ends, size)
	}
	n := size
	if e.Overlap {
		n += 1 + len(b.weights)
		b.ends[len(b.ends)-1] = n
	}
	if e.Memory != nil {
		b.values = e.Memory(n)
	}
	if len(b.values) != n {
		b.values = make([]float32, n)
	}
	b.tail = b.values[size:]
	return b
}

// of returns the values of bucket k.
func (b *buckets) of(k int) []float32 {
	from := 0
	if k > 0 {
		from = b.ends[k-1]
	}
	return b.values[from:b.ends[k]]
}

// part returns the values of weight i.
func (b *buckets) part(i int) []float32 {
	return b.values[b.offset[i]:][:b.weights[i].Len()]
}

// afterwards sums gradients that are there. A failure of this process is the scope's and
// is told of when all agree on the step; until then it goes on with zeros, so that the
// others do not wait.
func (b *buckets) afterwards(s *Scope) error {
	for i, w := range b.weights {
		v := b.part(i)
		g := s.Grad(w)
		if g == nil || s.FloatsInto(v, g) != nil {
			clear(v)
		}
		s.Free(g)
	}
	for k := range b.ends {
		if err := b.e.Sum(b.of(k)); err != nil {
			return err
		}
	}
	for i, w := range b.weights {
		b.put(s, w, b.part(i))
	}
	return nil
}

// put makes v the gradient of a weight.
func (b *buckets) put(s *Scope, w *Tensor, v []float32) {
	s.effect("Grad", func() error { return native.PutGradient(w.h, v) }, w)
}

// overlapped computes the gradients and sums them meanwhile. A process whose backward pass fails gives zeros
// for what it lacks and says so at the end of the last bucket, by which all know.
func (b *buckets) overlapped(s *Scope, loss *Tensor) (err error) {
	watch, err := native.WatchGradients(b.values, handles(b.weights), b.offset, b.bucket, len(b.ends))
	if err != nil {
		clear(b.values)
	}
	over, sent := make(chan struct{}), make(chan error, 1)
	go func() { sent <- b.send(watch, over) }()
	failed := 1
	finish := func() error {
		got := make([]bool, len(b.weights))
		if watch != nil {
			got = watch.Finish()
		}
		b.tail[0] = float32(failed)
		for i, g := range got {
			b.tail[1+i] = 0
			if g {
				b.tail[1+i] = 1
			}
		}
		close(over)
		err := <-sent
		if watch != nil {
			watch.Free()
		}
		return err
	}
	ended := false
	defer func() {
		if !ended { // a panic: the goroutine must not outlive the step
			_ = finish()
		}
	}()
	if err == nil {
		s.Backward(loss)
		if err = s.Err(); err == nil {
			failed = 0
		}
	}
	ended = true
	if lost := finish(); lost != nil {
		return b.e.Failed(joined(err, lost))
	}
	if err != nil || b.tail[0] != 0 {
		return b.e.Failed(err)
	}
	for i, w := range b.weights {
		if b.tail[1+i] != 0 {
			b.put(s, w, b.part(i))
		}
	}
	return nil
}

// joined is both errors, the first of which may be nil.
func joined(err, more error) error {
	if err == nil {
		return more
	}
	return fmt.Errorf("%w; %w", err, more)
}

// send sums the buckets, each when it is complete.
func (b *buckets) send(watch *native.Gradients, over <-chan struct{}) error {
	last := len(b.ends) - 1
	for k := range b.ends {
		if k == last || watch == nil {
			<-over // Go's race detector knows of channels, and the tail is written in Go
		} else {
			watch.Wait(k)
		}
		if err := b.e.Sum(b.of(k)); err != nil {
			return err
		}
	}
	return nil
}
