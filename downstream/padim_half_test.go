package downstream_test

import (
	"bytes"
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/tensor"
)

// speaks is a fake that says that it computes in some precision: its features are those of float32, so that all that
// differs is what the detector makes of its precision.
type speaks struct {
	fake
	precision backbone.Precision
}

func (s *speaks) Precision() backbone.Precision { return s.precision }

// A detector of a network in bfloat16 reads matrices that are rounded, and keeps those of the fit: its file, an update and a
// network that comes to float32 afterwards find them to the last bit.
func TestPaDiMInBFloat16KeepsTheMatricesOfTheFit(t *testing.T) {
	noLeak(t)
	// Each value of a matrix is off by at most 2^-8 of it. Of a distance that is the same share where its terms do not
	// cancel; here, as on real images, up to some times that.
	const bound = 4.0 / 256
	good, more, imgs := textures(9, 70, 40), textures(3, 71, 40), textures(5, 72, 40)
	cfg := fakeConfig()
	cfg.Transform = dataset.Square(40)
	single, half := &speaks{fake{scale: 1}, backbone.Float32}, &speaks{fake{scale: 1}, backbone.BFloat16}
	p, q := fitted(t, single, cfg, good), fitted(t, half, cfg, good)
	maps := func(d *downstream.PaDiM) [][]float32 {
		rs, err := d.Score(t.Context(), imgs...)
		require.NoError(t, err)
		one, err := d.Score(t.Context(), imgs[0]) // alone it takes another path
		require.NoError(t, err)
		out := [][]float32{one[0].Map.Data}
		for _, r := range rs {
			out = append(out, r.Map.Data)
		}
		return out
	}
	in := func(f *speaks, precision backbone.Precision, d *downstream.PaDiM) [][]float32 {
		before := f.precision
		f.precision = precision
		defer func() { f.precision = before }()
		return maps(d)
	}
	differs := func(want, got [][]float32) {
		require.NotEqual(t, want, got)
		for i := range want {
			require.LessOrEqual(t, relative(t, want[i], got[i]), bound)
		}
	}
	// arrays are those of a file, which says in which precision it was made.
	arrays := func(d *downstream.PaDiM, precision backbone.Precision) []tensor.Array {
		w, err := tensor.ReadWeights(bytes.NewReader(written(t, d)))
		require.NoError(t, err)
		require.Equal(t, precision == backbone.BFloat16, strings.Contains(w.Metadata["settings"], "bfloat16"))
		return w.Arrays
	}
	same := func(p, q *downstream.PaDiM) {
		want := maps(p)
		got := maps(q)
		differs(want, got)
		require.Equal(t, want, in(half, backbone.Float32, q), "in float32 afterwards")
		require.Equal(t, want, in(single, backbone.BFloat16, p), "fitted in float32")
		require.Equal(t, arrays(p, backbone.Float32), arrays(q, backbone.BFloat16))
		require.Equal(t, downstream.HeldBytes(p), downstream.HeldBytes(q))
		fitted, _ := downstream.EstimatePaDiM(tensor.CPU, 10*10, 15, cfg.Batch, 2)
		require.InEpsilon(t, fitted, downstream.HeldBytes(q), 0.03)

		// A file that is opened in bfloat16 scores the same bits and is written as it was, from any kind of stream.
		file := written(t, q)
		for _, r := range []io.Reader{bytes.NewReader(file), bytes.NewBuffer(file), io.NewSectionReader(bytes.NewReader(append([]byte("before"), file...)), 6, int64(len(file)))} {
			o, err := downstream.ReadPaDiM(t.Context(), r, half)
			require.NoError(t, err)
			require.Equal(t, got, maps(o))
			require.Equal(t, want, in(half, backbone.Float32, o))
			require.Equal(t, file, written(t, o))
			left, err := io.ReadAll(r)
			require.NoError(t, err)
			require.Empty(t, left, "the stream is at its end")
			require.NoError(t, o.Close())
		}
	}
	same(p, q)
	for _, d := range []*downstream.PaDiM{p, q} {
		require.NoError(t, d.Update(t.Context(), memory(t, more)))
	}
	same(p, q)

	// Of moments.
	for _, d := range []*downstream.PaDiM{p, q} {
		m, err := d.Moments(t.Context(), memory(t, good))
		require.NoError(t, err)
		require.NoError(t, d.FitMoments(t.Context(), m))
	}
	same(p, q)
}

// brittle is a file that breaks where the data of the matrices lie.
type brittle struct {
	*bytes.Reader
	from int64
}

var errBrittle = errors.New("the disk is gone")

func (b *brittle) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > b.from {
		return 0, errBrittle
	}
	return b.Reader.ReadAt(p, off)
}

// What breaks while the matrices are read leaves nothing behind.
func TestReadPaDiMFromABrokenDisk(t *testing.T) {
	noLeak(t)
	file := saved(t, fakeConfig())
	for _, from := range []int{0, 4, 100, len(file) / 2, len(file) - 1} {
		_, err := downstream.ReadPaDiM(t.Context(), &brittle{bytes.NewReader(file), int64(from)}, &fake{scale: 1})
		require.ErrorIs(t, err, downstream.ErrFile, "%d", from)
		require.ErrorIs(t, err, errBrittle, "%d", from)
	}
}

// claimed is a network that is said to compute in some precision, whatever it does.
type claimed struct {
	*backbone.ResNet18
	precision backbone.Precision
}

func (c *claimed) Precision() backbone.Precision { return c.precision }

// On real images in bfloat16 the rounded matrices change distances by far less than the rounding of the features does.
func TestPaDiMInBFloat16OnRealImages(t *testing.T) {
	if !tensor.HasBFloat16() {
		t.Skip("this processor has no AVX512-BF16")
	}
	const rms, most, less = 1e-3, 2e-2, 4
	net, train := realData(t, "paper_brg01", dataset.Train)
	_, test := realData(t, "paper_brg01", dataset.Test)
	fe := &claimed{net, backbone.Float32}
	cfg := downstream.DefaultPaDiM()
	cfg.Sigma = 0
	p, err := downstream.NewPaDiM(fe, cfg, nil)
	require.NoError(t, err)
	defer p.Close()
	fit := func(precision backbone.Precision) {
		fe.precision = precision
		require.NoError(t, net.SetPrecision(precision))
		require.NoError(t, p.Fit(t.Context(), train))
	}
	maps := func(precision backbone.Precision) (out []float32) {
		fe.precision = precision
		for r, err := range p.ScoreSet(t.Context(), test) {
			require.NoError(t, err)
			out = append(out, r.Map.Data...)
		}
		return out
	}
	apart := func(want, got []float32) (mean, worst float64) {
		for i, w := range want {
			e := math.Abs(float64(got[i]-w)) / float64(w)
			mean, worst = mean+e*e/float64(len(want)), max(worst, e)
		}
		return math.Sqrt(mean), worst
	}
	fit(backbone.Float32)
	single := maps(backbone.Float32)
	fit(backbone.BFloat16)
	rounded, exact := maps(backbone.BFloat16), maps(backbone.Float32)
	features, _ := apart(single, exact)
	mean, worst := apart(exact, rounded)
	t.Logf("distances differ by %.1e of themselves, at most %.1e; by the network's precision by %.1e", mean, worst, features)
	require.LessOrEqual(t, mean, rms)
	require.LessOrEqual(t, worst, most)
	require.LessOrEqual(t, less*mean, features)
}
