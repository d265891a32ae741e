package tensor_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/internal/ranktest"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tensor"
)

// errElsewhere is what a rank of these tests returns where the other one has failed.
var errElsewhere = errors.New("the other one has failed")

// meeting is what two ranks of a test exchange, and which functions of the Exchange were called.
type meeting struct {
	g     *ranktest.Rank
	calls []string
	sizes []int
}

// say gives own to the other rank; what has failed is said instead.
func (m *meeting) say(t *testing.T, own []byte, failed error) ([][]byte, error) {
	if failed != nil {
		own = []byte("failed")
	}
	all, err := m.g.Gather(t.Context(), own)
	if err != nil {
		return nil, errors.Join(failed, err)
	}
	for _, b := range all {
		if failed == nil && string(b) == "failed" {
			failed = errElsewhere
		}
	}
	return all, failed
}

func (m *meeting) exchange(t *testing.T, overlap bool, values int) tensor.Exchange {
	return tensor.Exchange{
		Overlap: overlap, Values: values,
		Begin: func(_ *scope, u *tensor.Update, has []bool, failed error) ([]bool, error) {
			m.calls = append(m.calls, "begin")
			own := make([]byte, len(has))
			for i, h := range has {
				if h {
					own[i] = 1
				}
			}
			all, err := m.say(t, own, failed)
			if err != nil {
				return nil, err
			}
			any := make([]bool, len(has))
			for i := range any {
				any[i] = all[0][i]+all[1][i] > 0
			}
			return any, nil
		},
		Sum: func(v []float32) error {
			m.sizes = append(m.sizes, len(v))
			if err := m.g.Sum(t.Context(), v); err != nil {
				return err
			}
			for i := range v {
				v[i] /= 2
			}
			return nil
		},
		Failed: func(failed error) error {
			m.calls = append(m.calls, "failed")
			_, err := m.say(t, nil, failed)
			return err
		},
		Reduce: func(*scope) error { m.calls = append(m.calls, "reduce"); return nil },
		Agree: func(failed error) error {
			m.calls = append(m.calls, "agree")
			_, err := m.say(t, nil, failed)
			return err
		},
	}
}

// inPair runs f on two ranks at the same time.
func inPair(t *testing.T, f func(rank int, m *meeting) error) (errs [2]error, meetings [2]*meeting) {
	t.Helper()
	before := tensor.GetThreads()
	require.NoError(t, tensor.SetThreads(tensor.Threads{Cores: 4, PerRun: 1}))
	t.Cleanup(func() { require.NoError(t, tensor.SetThreads(before)) })
	var wg sync.WaitGroup
	for i, g := range ranktest.New(2, time.Minute) {
		meetings[i] = &meeting{g: g}
		wg.Add(1)
		go func() {
			defer wg.Done()
			errs[i] = f(i, meetings[i])
		}()
	}
	wg.Wait()
	return errs, meetings
}

// share takes a step of one rank: its own part of the batch, and of two further weights one that
// only rank 1 uses ("turned") and one that nobody does ("late").
func (w pupils) share(t *testing.T, rank int, ex tensor.Exchange, spoil func(s *scope, loss *ten) (*ten, error)) (u tensor.Update, err error) {
	err = tensor.Run(t.Context(), tensor.CPU, tensor.Training, func(s *scope) error {
		rate := func(string) float64 { return 0.01 }
		u, err = tensor.DescendTogether(s, 0, []tensor.Learner{{w.a, w.oa, rate}, {w.b, w.ob, rate}}, func(s *scope) (*ten, error) {
			l := s.MulScalar(convLoss(s, w.a), float64(1+rank))
			if rank == 1 {
				l = s.Add(l, s.Sum(s.Square(w.b.Get("turned")), false))
			}
			return spoil(s, l)
		}, ex)
		return err
	})
	return u, err
}

func asItIs(_ *scope, l *ten) (*ten, error) { return l, nil }

// The steps of two ranks are those of one that computes both losses, whether gradients are summed
// during the backward pass or after it, in many buckets or in one: to the bit the same, in fact.
func TestDescendTogether(t *testing.T) {
	testutil.NoLeak(t)
	alone := newPupils(t, optimizers(t)["momentum"])
	for range 2 {
		require.NoError(t, tensor.Run(t.Context(), tensor.CPU, tensor.Training, func(s *scope) error {
			rate := func(string) float64 { return 0.01 }
			_, err := tensor.Descend(s, 0, []tensor.Learner{{alone.a, alone.oa, rate}, {alone.b, alone.ob, rate}}, func(s *scope) (*ten, error) {
				return s.Add(s.MulScalar(convLoss(s, alone.a), 1.5), s.MulScalar(s.Sum(s.Square(alone.b.Get("turned")), false), 0.5)), nil
			})
			return err
		}))
	}
	var want *everything
	for _, overlap := range []bool{false, true} {
		for _, values := range []int{1, 30, 1 << 20} {
			name := fmt.Sprintf("overlap %v, %d values", overlap, values)
			ws := [2]pupils{newPupils(t, optimizers(t)["momentum"]), newPupils(t, optimizers(t)["momentum"])}
			errs, ms := inPair(t, func(rank int, m *meeting) error {
				for range 2 {
					if _, err := ws[rank].share(t, rank, m.exchange(t, overlap, values), asItIs); err != nil {
						return err
					}
				}
				return nil
			})
			require.NoError(t, errors.Join(errs[:]...), name)
			require.Equal(t, []string{"begin", "reduce", "agree", "begin", "reduce", "agree"}, ms[0].calls)
			require.Equal(t, ms[0].sizes, ms[1].sizes, name)
			require.Equal(t, values > 1000, len(ms[0].sizes) == 2, "%s: %v", name, ms[0].sizes)
			got := ws[0].all(t)
			require.Equal(t, got.a, ws[1].all(t).a, name)
			require.Equal(t, got.b, ws[1].all(t).b, name)
			if want == nil {
				want = &got
			}
			require.Equal(t, *want, got, name)
			for i, a := range append(weights(t, alone.a), weights(t, alone.b)...) {
				b := append(got.a, got.b...)[i]
				if a.DType != tensor.Float32 {
					continue
				}
				x, err := a.Floats()
				require.NoError(t, err)
				y, err := b.Floats()
				require.NoError(t, err)
				for k := range x {
					require.InDelta(t, x[k], y[k], 1e-5*math.Max(1, math.Abs(float64(x[k]))), "%s: %s", name, a.Name)
				}
			}
		}
	}
}

// Whatever fails on one rank, and whenever, ends the step on both, moves nothing and leaves no gradient
// and nothing that waits: the next step is the first.
func TestDescendTogetherFails(t *testing.T) {
	testutil.NoLeak(t)
	boom := errors.New("boom")
	for name, spoil := range map[string]func(s *scope, l *ten) (*ten, error){
		"loss":    func(_ *scope, l *ten) (*ten, error) { return l, boom },
		"no loss": func(s *scope, l *ten) (*ten, error) { return s.MulScalar(l, math.Inf(1)), nil },
		"backward": func(s *scope, l *ten) (*ten, error) {
			y := s.Exp(s.MulScalar(l, 1e-3)) // its result is needed for its gradient
			s.ScaleInto(y, 2)
			return s.Add(y, l), nil
		},
	} {
		for _, overlap := range []bool{false, true} {
			name := fmt.Sprintf("%s, overlap %v", name, overlap)
			ws := [2]pupils{newPupils(t, optimizers(t)["momentum"]), newPupils(t, optimizers(t)["momentum"])}
			before := ws[0].all(t)
			errs, ms := inPair(t, func(rank int, m *meeting) error {
				f := asItIs
				if rank == 1 {
					f = spoil
				}
				_, err := ws[rank].share(t, rank, m.exchange(t, overlap, 30), f)
				return err
			})
			require.ErrorIs(t, errs[0], errElsewhere, name)
			require.Error(t, errs[1], name)
			require.NotErrorIs(t, errs[1], errElsewhere, name)
			if overlap && bytes.HasPrefix([]byte(name), []byte("backward")) {
				require.Equal(t, []string{"begin", "failed"}, ms[0].calls, name)
				require.Equal(t, ms[0].sizes, ms[1].sizes, name)
			} else {
				require.Equal(t, []string{"begin"}, ms[0].calls, name)
				require.Empty(t, ms[0].sizes, name)
			}
			require.Equal(t, ms[0].calls, ms[1].calls, name)
			for _, w := range ws {
				require.Equal(t, before, w.all(t), name)
			}
			errs, _ = inPair(t, func(rank int, m *meeting) error {
				_, err := ws[rank].share(t, rank, m.exchange(t, overlap, 30), asItIs)
				return err
			})
			require.NoError(t, errors.Join(errs[:]...), name)
			require.Equal(t, ws[0].all(t).a, ws[1].all(t).a, name)
		}
	}
}

// A rank that is lost in the middle of a sum ends the step; its error is passed on.
func TestDescendTogetherLosesOne(t *testing.T) {
	testutil.NoLeak(t)
	for _, overlap := range []bool{false, true} {
		ws := [2]pupils{newPupils(t, optimizers(t)["sgd"]), newPupils(t, optimizers(t)["sgd"])}
		before := ws[0].all(t)
		errs, ms := inPair(t, func(rank int, m *meeting) error {
			ex := m.exchange(t, overlap, 1)
			if sum := ex.Sum; rank == 1 {
				ex.Sum = func(v []float32) error {
					if len(m.sizes) == 2 {
						m.g.Leave()
						return ranktest.ErrMissing
					}
					return sum(v)
				}
			}
			_, err := ws[rank].share(t, rank, ex, asItIs)
			return err
		})
		for i, err := range errs {
			require.ErrorIs(t, err, ranktest.ErrMissing, "rank %d", i)
			require.Equal(t, before, ws[i].all(t))
		}
		require.ErrorContains(t, errs[0], "rank 1")
		require.Len(t, ms[1].sizes, 2, "after a sum that failed there is none")
	}
}

func TestDescendTogetherRefuses(t *testing.T) {
	testutil.NoLeak(t)
	w := newPupils(t, optimizers(t)["sgd"])
	before := w.all(t)
	m := &meeting{}
	for _, c := range []struct {
		want   string
		change func(ex *tensor.Exchange)
	}{
		{"lacks Sum", func(ex *tensor.Exchange) { ex.Sum = nil }},
		{"lacks Sum, Agree", func(ex *tensor.Exchange) { ex.Agree = nil }},
		{"lacks Sum, Agree or, with Overlap, Failed", func(ex *tensor.Exchange) { ex.Failed = nil }},
		{"Values is 0", func(ex *tensor.Exchange) { ex.Values = 0 }},
		{"does not go with Overlap", func(ex *tensor.Exchange) {
			ex.Statistics = func(int, bool, []float64) ([]float64, error) { return nil, nil }
		}},
		{"speaks of 1 weights", func(ex *tensor.Exchange) {
			ex.Begin = func(*scope, *tensor.Update, []bool, error) ([]bool, error) { return []bool{true}, nil }
		}},
	} {
		ex := m.exchange(t, true, 30)
		c.change(&ex)
		_, err := w.share(t, 0, ex, asItIs)
		require.ErrorContains(t, err, c.want)
		require.Equal(t, before, w.all(t))
	}
}
