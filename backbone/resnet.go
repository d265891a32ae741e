package backbone

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/gotab/gotab/internal/layers"
	"github.com/gotab/gotab/tensor"
)

// Sentinel errors; test for them with errors.Is.
var (
	// ErrWeights reports weights that do not fit the architecture.
	ErrWeights = errors.New("weights do not fit")
	// ErrLayer reports a layer that the network does not have.
	ErrLayer = errors.New("no such layer")
	// ErrArch reports an architecture that this package does not have.
	ErrArch = errors.New("no such architecture")
	// ErrNames reports a naming that this package does not have, or a parameter that has
	// no name in one.
	ErrNames = errors.New("no such name of weights")
	// ErrScale reports factors that ScaleChannels does not take.
	ErrScale = errors.New("factors do not fit")
	// ErrClosed reports the use of a network after Close. It is [tensor.ErrClosed].
	ErrClosed = tensor.ErrClosed
)

// ResNet is a residual network of He et al. (arXiv 1512.03385), as torchvision
// builds it; [Arch] says which. It owns native memory: Close it. Forward may run
// in several Runs at once in evaluation; training, loading and FreezeStatistics
// need the network for themselves. In evaluation on the CPU a second, folded
// copy of the convolutions is kept beside the weights, once in each layout that
// oneDNN wants for the sizes and threads that were asked for (see
// [tensor.Scope.PackConv]): seldom more than one for most of them, four at most.
type ResNet struct {
	arch   Arch
	last   Layer // what it ends with: Pooled, or the stage that FromStages was told
	params *tensor.Params
	stem   layers.ConvNorm
	stages [4][]layers.Block
	frozen [Pooled]bool

	mu        sync.Mutex
	folded    *folded
	precision Precision // of evaluation
	training  Precision // of the convolutions of a training
}

// ResNet18 is a [ResNet]; what NewResNet18, ReadResNet18 and OpenResNet18 return
// has the architecture [ArchResNet18].
type ResNet18 = ResNet

// Arch returns the architecture.
func (m *ResNet) Arch() Arch { return m.arch }

// Params returns the weights and running statistics by torchvision's names.
func (m *ResNet) Params() *tensor.Params { return m.params }

// Device returns where the network lives.
func (m *ResNet) Device() tensor.Device { return m.params.Device() }

// Channels returns the number of channels at a layer, 0 where there is none: a
// network of [FromStages] has none beyond its last stage.
func (m *ResNet) Channels(l Layer) int {
	if l > m.last {
		return 0
	}
	return m.arch.Channels(l)
}

// FreezeStatistics says for each stage (Stem to Layer4) whether its batch norms
// keep their running statistics, and use them, in training too. nil thaws all.
func (m *ResNet) FreezeStatistics(frozen func(stage Layer) bool) {
	for l := Stem; l < Pooled; l++ {
		m.frozen[l] = frozen != nil && frozen(l)
	}
}

// StatisticsFrozen says whether the batch norms of a stage (Stem to Layer4) keep
// their statistics in training; see FreezeStatistics.
func (m *ResNet) StatisticsFrozen(stage Layer) bool {
	return stage >= Stem && stage < Pooled && m.frozen[stage]
}

// Forward runs the network once, as far as the deepest layer asked for, on x
// [N, 3, H, W] (normalised as in training; H and W of 32 or more) and returns
// the features in the order of at. In a Run of mode Training batch norm uses
// batch statistics and moves the running ones; N is then 2 or more.
func (m *ResNet) Forward(s *tensor.Scope, x *tensor.Tensor, at ...Layer) []*tensor.Tensor {
	out := make([]*tensor.Tensor, len(at))
	for i := range out {
		out[i] = &tensor.Tensor{}
	}
	deepest := Layer(-1)
	for _, l := range at {
		if l < Stem || l > m.last {
			s.Fail(fmt.Errorf("backbone: forward: %w: %s", ErrLayer, l))
		}
		deepest = max(deepest, l)
	}
	m.checkOpen(s, "forward")
	checkInput(s, "forward", x)
	if len(at) == 0 || s.Err() != nil {
		return out
	}
	if n := atOnce(x); s.Mode() == tensor.Evaluation && n < x.Size(0) && x.Size(0)/n < mostParts && !m.Device().IsCUDA() {
		return m.inParts(s, x, n, at)
	}
	run, leave := m.runner(s, x, Stem, deepest)
	if s.Err() != nil {
		return out
	}
	return s.SubN(func(s *tensor.Scope) []*tensor.Tensor {
		var y *tensor.Tensor
		wanted := false
		keep := func(l Layer, t *tensor.Tensor) {
			if !slices.Contains(at, l) {
				return
			}
			result := leave(s, t)
			wanted = result == t // else the next stage may write over t
			for i := range at {
				if at[i] == l {
					out[i] = result
				}
			}
		}
		for l := Stem; l <= min(deepest, Layer4); l++ {
			in, inWanted := x, true
			if l > Stem {
				in, inWanted = y, wanted
			}
			y = s.Sub(func(s *tensor.Scope) *tensor.Tensor { return run(s, in, l, inWanted) })
			if !inWanted && in != y {
				s.Free(in)
			}
			wanted = false
			keep(l, y)
		}
		if deepest == Pooled {
			keep(Pooled, s.GlobalAvgPool(leave(s, y)))
		}
		for i, l := range at { // a layer asked for twice needs a handle of its own
			for j := range i {
				if at[j] == l {
					out[i] = s.Reshape(out[i], out[i].Shape()...)
				}
			}
		}
		return out
	})
}

// atOnce is how many images of a batch pass through the network together on the CPU: their largest map, the stem's, has
// 26 MB, as that of eight images of 224x224. More cores than two find enough to do in it, and larger maps would be
// asked of the system anew for each batch, cleared by it and pushed out of the caches before the next stage reads them.
func atOnce(x *tensor.Tensor) int64 {
	return max(1, 8*224*224/(x.Size(2)*x.Size(3)))
}

// mostParts is how many parts a batch has at most: one that is a view of little memory and has no end to speak of must fail for want of room.
const mostParts = 4096

// inParts is Forward in evaluation, n images at a time.
func (m *ResNet) inParts(s *tensor.Scope, x *tensor.Tensor, n int64, at []Layer) []*tensor.Tensor {
	return s.SubN(func(s *tensor.Scope) []*tensor.Tensor {
		parts := make([][]*tensor.Tensor, len(at))
		for from := int64(0); from < x.Size(0) && s.Err() == nil; from += n {
			part := s.SubN(func(s *tensor.Scope) []*tensor.Tensor {
				return m.Forward(s, s.Narrow(x, 0, from, min(n, x.Size(0)-from)), at...)
			})
			for i := range part {
				parts[i] = append(parts[i], part[i])
			}
		}
		out := make([]*tensor.Tensor, len(at))
		for i := range out {
			out[i] = s.Cat(0, parts[i]...)
			s.Free(parts[i]...)
		}
		return out
	})
}

// Stage runs one stage, Stem to Layer4, on what the stage before it gave, or what
// the caller made of that: x [N, C, h, w] with as many channels as the layer
// before has, for Stem the images as Forward takes them. It is how something is
// put between the stages; stage after stage it gives what Forward gives, and the
// Run's mode means the same. x is left as it is.
func (m *ResNet) Stage(s *tensor.Scope, x *tensor.Tensor, l Layer) *tensor.Tensor {
	m.checkOpen(s, "stage")
	switch {
	case l < Stem || l > min(m.last, Layer4):
		s.Fail(fmt.Errorf("backbone: stage: %w: %s", ErrLayer, l))
	case l == Stem:
		checkInput(s, "stage", x)
	default:
		if sh := x.Shape(); x.Valid() && (len(sh) != 4 || sh[1] != int64(m.Channels(l-1))) {
			s.Fail(fmt.Errorf("backbone: stage %s: %w: input is %v, want [N %d h w]", l, tensor.ErrShape, sh, m.Channels(l-1)))
		}
	}
	return s.Sub(func(s *tensor.Scope) *tensor.Tensor {
		x := s.ChannelsLast(x)
		if s.Err() != nil {
			return nil
		}
		run, leave := m.runner(s, x, l, l)
		if s.Err() != nil {
			return nil
		}
		return leave(s, run(s, x, l, true))
	})
}

// checkOpen fails s where the network is closed.
func (m *ResNet) checkOpen(s *tensor.Scope, doing string) {
	if m.params.Closed() {
		s.Fail(fmt.Errorf("backbone: %s: %w: %w", doing, ErrClosed, tensor.ErrReleased))
	}
}

// checkInput fails s where x is no batch of images that the stem takes.
func checkInput(s *tensor.Scope, doing string, x *tensor.Tensor) {
	if !x.Valid() {
		s.Fail(fmt.Errorf("backbone: %s: input: %w", doing, tensor.ErrReleased))
		return
	}
	if sh := x.Shape(); len(sh) != 4 || sh[0] < 1 || sh[1] != 3 || sh[2] < 32 || sh[3] < 32 {
		s.Fail(fmt.Errorf("backbone: %s: %w: input is %v, want [N 3 H W] with N of 1 and H and W of 32 or more", doing, tensor.ErrShape, sh))
	}
}

// stageRun runs one stage on x; keep says that x must not change.
type stageRun func(s *tensor.Scope, x *tensor.Tensor, l Layer, keep bool) *tensor.Tensor

// runner returns the function that runs one of the stages first to last in the
// mode of s, where x is the input of first, and the one that makes features in float32 of what a
// stage gave. A failure is left in s.
func (m *ResNet) runner(s *tensor.Scope, x *tensor.Tensor, first, last Layer) (run stageRun, leave func(s *tensor.Scope, y *tensor.Tensor) *tensor.Tensor) {
	same := func(_ *tensor.Scope, y *tensor.Tensor) *tensor.Tensor { return y }
	single := func(s *tensor.Scope, y *tensor.Tensor) *tensor.Tensor { return s.Cast(y, tensor.Float32) }
	if s.Mode() != tensor.Evaluation {
		m.params.Touch() // running statistics move
		if m.TrainingPrecision() == Float32 {
			return m.plain, same
		}
		return m.plain, single
	}
	f, err := m.fold(s, x.Shape(), first, last)
	switch {
	case err != nil:
		s.Fail(err)
		return m.plain, same
	case f.precision == Float32:
		return f.run, same
	}
	return f.run, single
}

// plain runs one stage with batch norm as it stands.
func (m *ResNet) plain(s *tensor.Scope, x *tensor.Tensor, l Layer, _ bool) *tensor.Tensor {
	train := s.Mode() == tensor.Training && !m.frozen[l]
	dt := tensor.Float32
	if p := m.TrainingPrecision(); p != Float32 && s.Mode() == tensor.Training && x.DType() != tensor.NoDType {
		dt = p.dtype()
	}
	if l == Stem {
		// The maximum of what is cut off below zero is the maximum, cut off: so batch norm's map, the largest of a step, need not wait for Backward.
		return s.ReLUInto(s.MaxPool2d(m.stem.ForwardAs(s, s.ChannelsLast(x), train, dt), 3, 2, 1))
	}
	if dt != tensor.Float32 {
		x = s.Cast(x, dt)
	}
	for i := range m.stages[l-Layer1] {
		x = m.stages[l-Layer1][i].ForwardAs(s, x, train, dt)
	}
	return x
}

// WriteTo writes the weights as safetensors that torchvision's network of the
// same name loads strictly.
func (m *ResNet) WriteTo(w io.Writer) (int64, error) {
	return m.params.Write(context.Background(), w, m.metadata())
}

// Save writes the weights, with torchvision's names, to a file that appears whole or
// not at all. [ResNet.SaveAs] writes other libraries' names.
func (m *ResNet) Save(path string) error {
	return m.SaveAs(context.Background(), path, Torchvision)
}

// Close frees the weights; what returns an error wraps [ErrClosed] from then on.
// No Run may use the network any more. Closing twice is harmless.
func (m *ResNet) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return errors.Join(m.folded.close(), m.params.Close())
}
