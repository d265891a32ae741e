package train

import (
	"context"
	"errors"
	"image"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream/internal/engine"
	"github.com/gotab/gotab/downstream/internal/feed"
	"github.com/gotab/gotab/downstream/internal/network"
	"github.com/gotab/gotab/downstream/internal/sentinel"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tensor"
)

func TestBatchesCoverEveryImageOnce(t *testing.T) {
	from := [2]uint64{7, 9}
	first := BatchesOf(23, 5, from, 0)
	require.Len(t, first, 5)
	require.Len(t, first[4], 3)
	all := slices.Concat(first...)
	require.NotEqual(t, slices.Sorted(slices.Values(all)), all, "shuffled")
	slices.Sort(all)
	for i, v := range all {
		require.Equal(t, i, v)
	}
	require.Equal(t, first, BatchesOf(23, 5, from, 0))
	require.NotEqual(t, first, BatchesOf(23, 5, from, 1))
	require.NotEqual(t, first, BatchesOf(23, 5, [2]uint64{7, 8}, 0))
	require.NotEqual(t, first, BatchesOf(23, 5, [2]uint64{8, 9}, 0))
}

// pyramid gives two layers: the pixels themselves and their halves on half the
// grid.
type pyramid struct{}

func (pyramid) Device() tensor.Device { return tensor.CPU }

func (pyramid) Channels(backbone.Layer) int { return 3 }

func (pyramid) Forward(s *tensor.Scope, x *tensor.Tensor, at ...backbone.Layer) (out []*tensor.Tensor) {
	for i := range at {
		y := s.MulScalar(x, 1/float64(i+1))
		if i > 0 {
			y = s.AvgPool2d(y, 2, 2, 0)
		}
		out = append(out, y)
	}
	return out
}

// ramps draws pictures whose pixels name their image; image bad is larger.
func ramps(bad int) feed.Pictures {
	return func(_ context.Context, i int) (image.Image, string, error) {
		side := 8
		if i == bad {
			side = 9
		}
		img := image.NewGray(image.Rect(0, 0, side, side))
		for p := range img.Pix {
			img.Pix[p] = uint8(17*i + p)
		}
		return img, strconv.Itoa(i), nil
	}
}

func plainReader() *feed.Reader {
	return &feed.Reader{Transform: dataset.Transform{}, Normalize: dataset.Normalize{Std: [3]float32{1, 1, 1}}}
}

// What is kept and what is made anew are the same bits, in the order asked for.
func TestFrozenMapsDoNotDependOnTheBudget(t *testing.T) {
	live := tensor.Live()
	layers := []backbone.Layer{backbone.Layer1, backbone.Layer2}
	const n, per = 6, 8*8*3 + 4*4*3
	load := func(budget int64, at []int) (f *Frozen, maps [][]float32, reported []int) {
		f, err := NewFrozen(t.Context(), pyramid{}, layers, plainReader(), tensor.CPU, ramps(-1), n, budget,
			func(done, _ int) { reported = append(reported, done) })
		require.NoError(t, err)
		b, err := f.Load(t.Context(), at)
		require.NoError(t, err)
		require.NoError(t, tensor.Run(t.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
			for i, m := range b.Tensors(s) {
				require.Equal(t, [][]int64{{int64(len(at)), 3, 8, 8}, {int64(len(at)), 3, 4, 4}}[i], m.Shape())
				v, err := s.Floats(m)
				require.NoError(t, err)
				maps = append(maps, v)
			}
			return s.Err()
		}))
		require.NoError(t, f.Close())
		return f, maps, reported
	}
	at := []int{4, 0, 5}
	f, all, reported := load(1<<20, at)
	require.Equal(t, n, f.count)
	require.Equal(t, per, f.per)
	require.Equal(t, []int{1, 2, 3, 4, 5, 6}, reported)
	require.InDelta(t, 17*4/255.0, all[0][0], 1e-6, "image 4 comes first")
	require.InDelta(t, 0, all[0][3*64], 1e-6, "then image 0")
	for budget, kept := range map[int64]int{0: 0, 4*per - 1: 0, 4 * per * 2: 2, 4*per*5 + 3: 5} {
		f, some, _ := load(budget, at)
		require.Equal(t, kept, f.count)
		require.Equal(t, all, some, "budget %d", budget)
	}
	require.Equal(t, live, tensor.Live())

	_, err := NewFrozen(t.Context(), pyramid{}, layers, plainReader(), tensor.CPU, ramps(3), n, 1<<20, func(int, int) {})
	require.ErrorIs(t, err, sentinel.ErrImage)
	require.ErrorContains(t, err, "image 3")
	f, err = NewFrozen(t.Context(), pyramid{}, layers, plainReader(), tensor.CPU, ramps(3), n, 0, func(int, int) {})
	require.NoError(t, err)
	_, err = f.Load(t.Context(), []int{1, 3})
	require.ErrorContains(t, err, "image 3")
	require.Equal(t, live, tensor.Live())
}

// summed is a pyramid times the sum of all pixels, which threads add up in another
// order; ResNets happen to give the same bits for any number of them.
type summed struct{ pyramid }

func (p summed) Forward(s *tensor.Scope, x *tensor.Tensor, at ...backbone.Layer) []*tensor.Tensor {
	return p.pyramid.Forward(s, s.Mul(x, s.Sum(x, false)), at...)
}

// Maps that are made anew are the bits of those that are kept, whatever threads
// the caller has, and are made several at once.
func TestFrozenMapsDoNotDependOnThreads(t *testing.T) {
	testutil.WithCores(t, 2)
	live := tensor.Live()
	net, err := backbone.NewResNet18(tensor.CPU, rand.New(rand.NewPCG(1, 1)))
	require.NoError(t, err)
	layers := []backbone.Layer{backbone.Layer1, backbone.Layer2}
	const side, n = 128, 4
	rng := rand.New(rand.NewPCG(2, 2))
	pics := make([]*image.RGBA, n)
	for i := range pics {
		pics[i] = image.NewRGBA(image.Rect(0, 0, side, side))
		for p := range pics[i].Pix {
			pics[i].Pix[p] = uint8(rng.UintN(256))
		}
	}
	from := func(_ context.Context, i int) (image.Image, string, error) { return pics[i], strconv.Itoa(i), nil }
	read := func(ctx context.Context, maps func(s *tensor.Scope) []*tensor.Tensor) (out [][]float32) {
		require.NoError(t, tensor.Run(ctx, tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
			for _, m := range maps(s) {
				v, err := s.Floats(m)
				require.NoError(t, err)
				out = append(out, v)
			}
			return s.Err()
		}))
		return out
	}
	load := func(fe network.Extractor, budget int64, from feed.Pictures) (maps [][]float32) {
		f, err := NewFrozen(t.Context(), fe, layers, plainReader(), tensor.CPU, from, n, budget, func(int, int) {})
		require.NoError(t, err)
		for range 2 { // the second time in the memory of the first
			b, err := f.Load(t.Context(), []int{2, 0, 1, 3})
			require.NoError(t, err)
			maps = read(t.Context(), b.Tensors)
			b.Done()
			for _, v := range b.made {
				require.Nil(t, v)
			}
		}
		require.NoError(t, f.Close())
		return maps
	}
	for _, fe := range []network.Extractor{net, summed{}} {
		all := load(fe, 1<<30, from)
		require.True(t, slices.EqualFunc(all, load(fe, 0, testutil.InPairs(1, from)), slices.Equal), "nothing is kept")
		per := int64(len(all[0])+len(all[1])) / n
		require.True(t, slices.EqualFunc(all, load(fe, 4*per, from), slices.Equal), "image 0 alone is kept")
	}
	first, err := plainReader().Pack(t.Context(), from, 0, 1, image.Point{})
	require.NoError(t, err)
	forward := func(threads int) [][]float32 {
		return read(tensor.WithThreads(t.Context(), threads), func(s *tensor.Scope) []*tensor.Tensor {
			return summed{}.Forward(s, s.FromNHWC(first.Pixels, 1, side, side, 3), layers...)
		})
	}
	require.False(t, slices.EqualFunc(forward(1), forward(2), slices.Equal), "threads must matter, or the comparison proves less")
	require.NoError(t, net.Close())
	require.Equal(t, live, tensor.Live())
}

func TestCourse(t *testing.T) {
	plan := func(epoch int) [][]int { return BatchesOf(5, 2, [2]uint64{1, 2}, epoch) }
	load := func(_ context.Context, at []int) ([]int, error) { return at, nil }
	var seen [][]int
	var reports []engine.Progress
	ended := 0
	c := Course[[]int, []int]{Epochs: 2, Workers: 1, Plan: plan, Load: load,
		Step: func(_ context.Context, epoch, batch int, b []int) (Outcome, error) {
			require.Equal(t, plan(epoch)[batch], b)
			seen = append(seen, b)
			return Outcome{Loss: float64(len(seen)), Accuracy: 0.5, Lr: 0.1}, nil
		},
		After:  func(_ context.Context, epoch int) error { ended += epoch + 1; return nil },
		Report: func(p engine.Progress) { reports = append(reports, p) }}
	require.NoError(t, c.Run(t.Context()))
	require.Len(t, seen, 6)
	require.Equal(t, 3, ended)
	require.Equal(t, engine.Progress{Stage: "train", Done: 3, Total: 3, Epoch: 2, Epochs: 2, Loss: 6, Accuracy: 0.5, LR: 0.1}, reports[5])

	boom := errors.New("boom")
	c = Course[[]int, []int]{Epochs: 2, Workers: 1, Plan: plan, Load: load, Report: func(engine.Progress) {},
		Step: func(_ context.Context, epoch, _ int, _ []int) (Outcome, error) {
			if epoch == 1 {
				return Outcome{}, boom
			}
			return Outcome{}, nil
		}}
	err := c.Run(t.Context())
	require.ErrorIs(t, err, boom)
	require.ErrorContains(t, err, "epoch 2, batch 1")

	// One that goes on counts the epochs that were before.
	seen, reports = nil, nil
	c.Done, c.Epochs = 1, 3
	c.Report = func(p engine.Progress) { reports = append(reports, p) }
	c.Step = func(_ context.Context, epoch, batch int, b []int) (Outcome, error) {
		if epoch == 2 {
			return Outcome{}, boom
		}
		require.Equal(t, plan(1)[batch], b)
		seen = append(seen, b)
		return Outcome{}, nil
	}
	err = c.Run(t.Context())
	require.ErrorIs(t, err, boom)
	require.ErrorContains(t, err, "epoch 3, batch 1")
	require.Len(t, seen, 3)
	require.Equal(t, [2]int{2, 3}, [2]int{reports[0].Epoch, reports[0].Epochs})

	ctx, cancel := context.WithCancel(t.Context())
	c.Done = 0
	c.Step = func(context.Context, int, int, []int) (Outcome, error) { cancel(); return Outcome{}, nil }
	require.ErrorIs(t, c.Run(ctx), context.Canceled)
}

// A loss that is not finite changes no weight.
func TestDescend(t *testing.T) {
	live := tensor.Live()
	p := tensor.NewParams(tensor.CPU)
	opt, err := tensor.NewSGD(tensor.SGDConfig{}, tensor.CPU)
	require.NoError(t, err)
	step := func(factor float64) (loss float64, w []float32, err error) {
		run := tensor.Run(t.Context(), tensor.CPU, tensor.Training, func(s *tensor.Scope) error {
			if p.Get("w") == nil {
				require.NoError(t, p.Put(s, "w", s.FromFloats([]float32{3, 4}, 2)))
			}
			loss, err = Descend(s, 0, []tensor.Learner{{Params: p, Optimizer: opt, Rate: Always(0.1)}}, func(s *tensor.Scope) (*tensor.Tensor, error) {
				return s.MulScalar(s.Sum(s.Square(p.Get("w")), false), factor), nil
			})
			if s.Err() == nil {
				w, _ = s.Floats(p.Get("w"))
			}
			return nil
		})
		require.NoError(t, run)
		return loss, w, err
	}
	loss, w, err := step(1)
	require.NoError(t, err)
	require.InDelta(t, 25, loss, 1e-6)
	require.InDeltaSlice(t, []float32{2.4, 3.2}, w, 1e-6, "w - 0.1 2w")
	for _, bad := range []float64{math.NaN(), math.Inf(1)} {
		_, w, err = step(bad)
		require.ErrorIs(t, err, sentinel.ErrDiverged)
		require.InDeltaSlice(t, []float32{2.4, 3.2}, w, 1e-6)
	}
	_, w, err = step(1)
	require.NoError(t, err)
	require.InDeltaSlice(t, []float32{1.92, 2.56}, w, 1e-6, "no gradient was left behind")
	require.NoError(t, errors.Join(opt.Close(), p.Close()))
	require.Equal(t, live, tensor.Live())
}
