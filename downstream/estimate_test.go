package downstream_test

import (
	"fmt"
	"image"
	"math"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/downstream/classify"
	"github.com/gotab/gotab/tensor"
)

// broad is an extractor with as many channels as make a model's memory stand out.
type broad struct{}

var broadChannels = map[backbone.Layer]int{backbone.Layer1: 32, backbone.Layer2: 64, backbone.Layer3: 128}

func (*broad) Device() tensor.Device { return tensor.CPU }

func (*broad) Channels(l backbone.Layer) int { return broadChannels[l] }

func (*broad) Forward(s *tensor.Scope, x *tensor.Tensor, at ...backbone.Layer) []*tensor.Tensor {
	out := make([]*tensor.Tensor, len(at))
	for i, l := range at {
		c, k := broadChannels[l], int64(4)<<(l-backbone.Layer1)
		w := make([]float32, 3*c)
		for j := range w {
			w[j] = float32(math.Sin(float64(1+j) * float64(2+l)))
		}
		out[i] = s.Sub(func(s *tensor.Scope) *tensor.Tensor {
			y := s.Conv2d(s.AvgPool2d(x, k, k, 0), s.FromFloats(w, int64(c), 3, 1, 1), nil, tensor.Conv{})
			return s.Add(y, s.MulScalar(s.Square(y), 0.3))
		})
	}
	return out
}

// broadHalf says that it computes in bfloat16.
type broadHalf struct{ broad }

func (*broadHalf) Precision() backbone.Precision { return backbone.BFloat16 }

// status reads a line of /proc/self/status in bytes.
func status(t *testing.T, name string) int64 {
	t.Helper()
	b, err := os.ReadFile("/proc/self/status")
	require.NoError(t, err)
	for _, line := range strings.Split(string(b), "\n") {
		if f := strings.Fields(line); len(f) == 3 && f[0] == name+":" {
			kb, err := strconv.ParseInt(f[1], 10, 64)
			require.NoError(t, err)
			return kb << 10
		}
	}
	require.FailNow(t, "no such line", name)
	return 0
}

// settle gives back what nobody uses.
func settle() {
	tensor.ReleasePool()
	debug.FreeOSMemory()
}

// measured returns by how much fit raises the memory of the process at most, and how
// much of that stays when ask has been called too: some of a model is made when it is
// asked, and scoring's own memory is none of a fit's.
func measured(t *testing.T, fit, ask func()) (peak, stays int64) {
	t.Helper()
	settle()
	before := status(t, "VmRSS")
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		t.Skipf("the peak of the process's memory cannot be set back: %v", err)
	}
	fit()
	peak = status(t, "VmHWM") - before
	ask()
	settle()
	return peak, status(t, "VmRSS") - before
}

// TestEstimatesHoldWhatIsMeasured holds what each estimate says against what a
// fitted model has, and against the memory that the process takes for a fit, native
// and Go's together.
func TestEstimatesHoldWhatIsMeasured(t *testing.T) {
	// Of a model all bytes are counted; what is left are counters and means. A fit's
	// estimate may be twice what is measured, since not all batches are there at the
	// same time, or two thirds of it: the collector leaves garbage, the C library holes.
	// slack is for what does not grow with the model: libtorch's threads, the passing
	// maps of the network, single images. Measured are 15 to 50 MB.
	const exact, tooLarge, tooSmall, slack = 0.02, 2.0, 1.5, 64 << 20
	if raceDetector {
		t.Skip("the race detector's own memory would be measured too")
	}
	defer debug.SetGCPercent(debug.SetGCPercent(25))
	threads := tensor.GetThreads()
	require.NoError(t, tensor.SetThreads(tensor.Threads{Cores: 2, PerRun: 1}))
	defer func() { require.NoError(t, tensor.SetThreads(threads)) }()
	const cores = 2
	view := func(side int) dataset.Transform { return dataset.Square(side) }
	layers := []backbone.Layer{backbone.Layer1, backbone.Layer2, backbone.Layer3}
	for name, c := range map[string]struct {
		side, images int
		make         func(t *testing.T, side, images int) (s subject, fitted, fitting int64)
	}{
		"PaDiM": {160, 16, func(t *testing.T, side, _ int) (subject, int64, int64) {
			cfg := fakeConfig()
			cfg.Channels, cfg.Reduced, cfg.Transform, cfg.Batch = nil, 96, view(side), 8
			p, err := downstream.NewPaDiM(&broad{}, cfg, seeded(1))
			fitted, fitting := downstream.EstimatePaDiM(tensor.CPU, side*side/16, 96, cfg.Batch, cores)
			return detectorSubject(t, p, err), fitted, fitting
		}},
		"PaDiM in bfloat16": {160, 16, func(t *testing.T, side, _ int) (subject, int64, int64) {
			cfg := fakeConfig()
			cfg.Channels, cfg.Reduced, cfg.Transform, cfg.Batch = nil, 96, view(side), 8
			p, err := downstream.NewPaDiM(&broadHalf{}, cfg, seeded(1))
			fitted, fitting := downstream.EstimatePaDiM(tensor.CPU, side*side/16, 96, cfg.Batch, cores)
			return detectorSubject(t, p, err), fitted, fitting
		}},
		"PatchCore": {160, 24, func(t *testing.T, side, images int) (subject, int64, int64) {
			cfg := patchConfig()
			cfg.Layers, cfg.Share, cfg.Projection, cfg.Transform, cfg.Batch = layers, 1, 0, view(side), 2
			p, err := downstream.NewPatchCore(&broad{}, cfg, patchRand())
			fitted, fitting := downstream.EstimatePatchCore(tensor.CPU, images, side*side/16, 224, cfg, cores)
			return detectorSubject(t, p, err), fitted, fitting
		}},
		"RD4AD": {128, 32, func(t *testing.T, side, images int) (subject, int64, int64) {
			cfg := rd4adConfig()
			cfg.Epochs, cfg.TrainBatch, cfg.Transform = 1, 8, view(side)
			p, err := downstream.NewRD4AD(&broad{}, cfg, seeded(1))
			fitted, fitting := downstream.EstimateRD4AD(images, []int{32, 64, 128}, image.Pt(side/4, side/4), cfg)
			return detectorSubject(t, p, err), fitted, fitting
		}},
		"SimpleNet": {128, 24, func(t *testing.T, side, images int) (subject, int64, int64) {
			cfg := simpleConfig()
			cfg.Layers, cfg.LayerDim, cfg.Dim, cfg.Hidden, cfg.Epochs, cfg.TrainBatch, cfg.Transform = layers, 0, 0, 512, 1, 4, view(side)
			p, err := downstream.NewSimpleNet(&broad{}, cfg, simpleRand())
			features := side * side / 16 * (32 + 64/4 + 128/16)
			fitted, fitting := downstream.EstimateSimpleNet(images, side*side/16, features, 224, cfg)
			return detectorSubject(t, p, err), fitted, fitting
		}},
		"RegAD": {128, 4, func(t *testing.T, side, images int) (subject, int64, int64) {
			cfg := regadConfig()
			cfg.Transform, cfg.Batch, cfg.Epochs = view(side), 8, 0
			r := newTiny(t, &fake{}, cfg)
			require.NoError(t, r.Train(t.Context(), products()))
			p := side * side / 16
			fitted, fitting := downstream.EstimateRegAD(images, []int{p, p / 4, p / 16}, []int{12, 16, 20}, cfg.Batch, cores)
			return detectorSubject(t, r, nil), fitted, fitting
		}},
		"classifier": {64, 16, func(t *testing.T, side, images int) (subject, int64, int64) {
			net := smallNet(t)
			cfg := frozenConfig(classify.MultiClass)
			cfg.Frozen, cfg.Epochs, cfg.Batch, cfg.Transform = false, 1, 8, view(side)
			c, err := classify.New(net, cfg, seeded(1))
			m, wrong := cfg.Estimate(net, image.Pt(side, side), images, 2)
			require.NoError(t, wrong)
			return classifierSubject(t, c, err), m.Fitted, m.Fitting
		}},
	} {
		t.Run(name, func(t *testing.T) {
			noLeak(t)
			all := textures(c.images, 400, c.side)
			s, fitted, fitting := c.make(t, c.side, c.images)
			fit := func() { require.NoError(t, s.fit(t.Context(), memory(t, all))) }
			ask := func() {
				_, err := s.answer(t.Context(), all[0])
				require.NoError(t, err)
			}
			again := func() {
				require.NoError(t, s.Reset(t.Context()))
				if r, ok := s.learner.(*downstream.RegAD); ok {
					require.NoError(t, r.Train(t.Context(), products()))
				}
			}
			// Once before: threads, kernels and the C library's arenas are there then.
			fit()
			ask()
			// What the collector has not got to yet on a busy machine only adds, and pages
			// that come from what was there only take away: three fits are measured.
			least, most, stays := int64(math.MaxInt64), int64(0), int64(0)
			for range 3 {
				again()
				var peak int64
				peak, stays = measured(t, fit, ask)
				least, most = min(least, peak), max(most, peak)
			}
			held := downstream.HeldBytes(s.learner)
			t.Logf("fitted: %s estimated, %s counted, %s measured; fitting: %s estimated, %s to %s measured", mb(fitted), mb(held), mb(stays), mb(fitting), mb(least), mb(most))
			require.LessOrEqual(t, float64(least), tooSmall*float64(fitting)+slack, "the estimate of a fit is too small")
			require.LessOrEqual(t, float64(fitting), tooLarge*float64(most), "the estimate of a fit is too large")
			if held > 0 {
				require.InEpsilon(t, fitted, held, exact)
				return
			}
			// Of a trained classifier the network does not say what it has folded.
			require.LessOrEqual(t, float64(stays), tooSmall*float64(fitted)+slack, "the estimate of a fitted classifier is too small")
			require.LessOrEqual(t, float64(fitted), tooLarge*float64(stays), "the estimate of a fitted classifier is too large")
		})
	}
}

func mb(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

// What the settings say on an extractor is the arithmetic for the maps that it makes, and
// what no fit takes is refused.
func TestEstimatesOfSettings(t *testing.T) {
	noLeak(t)
	fe, cores := &broad{}, tensor.GetThreads().Cores
	layers := []backbone.Layer{backbone.Layer1, backbone.Layer2, backbone.Layer3}
	const side, images = 64, 20
	input := image.Pt(side, side)
	type settings interface {
		Estimate(fe downstream.Extractor, input image.Point, images int) (downstream.Memory, error)
	}
	want := func(fitted, fitting int64) downstream.Memory {
		return downstream.Memory{Fitted: fitted, Fitting: fitting}
	}
	padim := fakeConfig()
	padim.Reduced = 96
	whole := fakeConfig()
	patches := patchConfig()
	patches.Layers, patches.Dim = layers, 0
	distilled := rd4adConfig()
	simple := simpleConfig()
	simple.Layers, simple.LayerDim, simple.Dim = layers, 0, 0
	support := downstream.DefaultRegAD()
	for name, c := range map[string]struct {
		settings settings
		want     downstream.Memory
	}{
		"PaDiM":             {padim, want(downstream.EstimatePaDiM(tensor.CPU, 16*16, 96, padim.Batch, cores))},
		"PaDiM, all layers": {whole, want(downstream.EstimatePaDiM(tensor.CPU, 16*16, 224, whole.Batch, cores))},
		"PatchCore":         {patches, want(downstream.EstimatePatchCore(tensor.CPU, images, 16*16, 224, patches, cores))},
		"RD4AD":             {distilled, want(downstream.EstimateRD4AD(images, []int{32, 64, 128}, image.Pt(16, 16), distilled))},
		"SimpleNet":         {simple, want(downstream.EstimateSimpleNet(images, 16*16, 16*16*(32+64/4+128/16), 224, simple))},
		"RegAD":             {support, want(downstream.EstimateRegAD(images, []int{256, 64, 16}, []int{32, 64, 128}, support.Batch, cores))},
	} {
		got, err := c.settings.Estimate(fe, input, images)
		require.NoError(t, err, name)
		require.Equal(t, c.want, got, name)
		_, err = c.settings.Estimate(nil, input, images)
		require.ErrorIs(t, err, downstream.ErrConfig, name)
		for _, bad := range []image.Point{{}, {side, -1}, {1 << 20, side}} {
			_, err = c.settings.Estimate(fe, bad, images)
			require.ErrorIs(t, err, downstream.ErrImage, name)
		}
		if !strings.HasPrefix(name, "PaDiM") {
			_, err = c.settings.Estimate(fe, input, 0)
			require.ErrorIs(t, err, downstream.ErrTooFewImages, name)
		}
	}
}
