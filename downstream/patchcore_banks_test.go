package downstream_test

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/metrics"
	"github.com/gotab/gotab/tensor"
)

func barePatchCore(t testing.TB, fe downstream.Extractor, cfg downstream.PatchCoreConfig) *downstream.PatchCore {
	t.Helper()
	p, err := downstream.NewPatchCore(fe, cfg, patchRand())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return p
}

// radius is how far the patches of images are from the bank at most, and on average over the
// farthest of each image: the score of an image is that of its farthest patch.
func radius(t testing.TB, p *downstream.PatchCore, ds dataset.Dataset) (largest, mean float64) {
	t.Helper()
	for sc, err := range p.ScoreSet(t.Context(), ds) {
		require.NoError(t, err)
		largest = max(largest, sc.Score)
		mean += sc.Score / float64(ds.Len())
	}
	return largest, mean
}

// TestPatchCoreOfBanksCovers divides images among three machines. All patches are within the
// radius that the parts have plus that of the second choice, of four times the least one; and parts that keep
// everything give the choice of a Fit, whose order of patches they have.
func TestPatchCoreOfBanksCovers(t *testing.T) {
	noLeak(t)
	fe, cfg := &fake{scale: 1}, patchConfig()
	cfg.Squared, cfg.Sigma, cfg.Projection = false, 0, 0
	good := textures(12, 61, fakeSide)
	test := append(textures(2, 62, fakeSide), scratched(good[0]))
	whole := fittedPatchCore(t, fe, cfg, good)
	parts := func(share float64) (out []*downstream.PatchCore) {
		c := cfg
		c.Share = share
		for _, of := range [][2]int{{0, 3}, {3, 8}, {8, 12}} {
			p := fittedPatchCore(t, fe, c, good[of[0]:of[1]])
			path := filepath.Join(t.TempDir(), "bank")
			require.NoError(t, p.Save(path))
			q, err := downstream.OpenPatchCore(t.Context(), path, fe)
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, q.Close()) })
			out = append(out, q)
		}
		return out
	}
	all := barePatchCore(t, fe, cfg)
	require.NoError(t, all.FitBanks(t.Context(), parts(1)...))
	want, err := whole.Score(t.Context(), test...)
	require.NoError(t, err)
	got, err := all.Score(t.Context(), test...)
	require.NoError(t, err)
	for i := range want {
		require.InDelta(t, want[i].Score, got[i].Score, 1e-5*want[i].Score)
	}

	best, _ := radius(t, whole, memory(t, good)) // at most twice the least
	for _, share := range []float64{0.2, 0.4} {
		p := barePatchCore(t, fe, cfg)
		require.NoError(t, p.FitBanks(t.Context(), parts(share)...))
		r, _ := radius(t, p, memory(t, good))
		require.LessOrEqual(t, r, 4*best)
		again := barePatchCore(t, fe, cfg)
		require.NoError(t, again.FitBanks(t.Context(), parts(share)...))
		a, err := p.Score(t.Context(), test...)
		require.NoError(t, err)
		b, err := again.Score(t.Context(), test...)
		require.NoError(t, err)
		require.Equal(t, a, b, "the same banks give the same choice")
		// It is calibrated and saved as any other; what was fitted on is known.
		_, err = p.Calibrate(t.Context(), memory(t, good[:8]), metrics.Overkill(0.2))
		require.ErrorIs(t, err, downstream.ErrSeen)
	}
}

func TestPatchCoreOfBanksRefuses(t *testing.T) {
	noLeak(t)
	fe, cfg := &fake{scale: 1}, patchConfig()
	good := textures(6, 61, fakeSide)
	a, b := fittedPatchCore(t, fe, cfg, good[:3]), fittedPatchCore(t, fe, cfg, good[3:])
	p := barePatchCore(t, fe, cfg)
	wide := cfg
	wide.Neighbourhood = 1
	large := cfg
	large.Transform = dataset.Square(fakeSide + 8)
	for _, c := range []struct {
		is    error
		parts []*downstream.PatchCore
	}{
		{downstream.ErrTooFewImages, nil},
		{downstream.ErrConfig, []*downstream.PatchCore{a, nil}},
		{downstream.ErrConfig, []*downstream.PatchCore{a, b, a}},
		{downstream.ErrConfig, []*downstream.PatchCore{a, fittedPatchCore(t, fe, cfg, good[:3])}},
		{downstream.ErrConfig, []*downstream.PatchCore{a, fittedPatchCore(t, fe, wide, good[3:])}},
		{downstream.ErrConfig, []*downstream.PatchCore{a, fittedPatchCore(t, fe, large, good[3:])}},
		{downstream.ErrExtractor, []*downstream.PatchCore{a, fittedPatchCore(t, &fake{scale: 1.2}, cfg, good[3:])}},
		{downstream.ErrNotFitted, []*downstream.PatchCore{a, barePatchCore(t, fe, cfg)}},
	} {
		require.ErrorIs(t, p.FitBanks(t.Context(), c.parts...), c.is)
		_, err := p.Score(t.Context(), good[0])
		require.ErrorIs(t, err, downstream.ErrNotFitted)
	}
	require.ErrorIs(t, barePatchCore(t, &fake{scale: 1.2}, cfg).FitBanks(t.Context(), a, b), downstream.ErrExtractor)
	none := cfg
	none.Share = 1e-9
	require.ErrorIs(t, barePatchCore(t, fe, none).FitBanks(t.Context(), a, b), downstream.ErrTooFewImages)
	require.NoError(t, p.FitBanks(t.Context(), a, b))
	require.NoError(t, p.FitBanks(t.Context(), p), "its own bank, which it does not wait for")
}

// namedImages opens the network and the images that the environment names. The test is skipped if it names none; what says what it measures.
func namedImages(t *testing.T, what string) (net *backbone.ResNet, train, test dataset.Dataset) {
	t.Helper()
	root, weights := os.Getenv("GOTAB_BANKS"), os.Getenv("GOTAB_WEIGHTS")
	if root == "" || weights == "" {
		t.Skip("GOTAB_BANKS=CLASS_FOLDER GOTAB_WEIGHTS=resnet18.safetensors measures " + what)
	}
	net, err := backbone.OpenResNet18(weights, tensor.CPU)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, net.Close()) })
	train, err = dataset.OpenMVTecAD(root, "", dataset.Train)
	require.NoError(t, err)
	test, err = dataset.OpenMVTecAD(root, "", dataset.Test)
	require.NoError(t, err)
	return net, train, test
}

// TestPatchCoreOfBanksLoses measures what dividing a product among machines costs; GOTAB_BANKS is a
// class folder in MVTec AD's layout, GOTAB_WEIGHTS a ResNet-18, GOTAB_BANKS_IMAGES how many training images are taken.
func TestPatchCoreOfBanksLoses(t *testing.T) {
	net, train, test := namedImages(t, "PatchCore over parts")
	n, err := strconv.Atoi(os.Getenv("GOTAB_BANKS_IMAGES"))
	if err != nil {
		n = train.Len()
	}
	order := rand.New(rand.NewPCG(1, 1)).Perm(train.Len())[:n]
	part := func(k, of int) dataset.Dataset {
		ds, err := dataset.Subset(train, order[k*n/of:(k+1)*n/of])
		require.NoError(t, err)
		return ds
	}
	cfg := downstream.DefaultPatchCore()
	cfg.Squared = false
	report := func(name string, p *downstream.PatchCore) {
		largest, mean := radius(t, p, part(0, 1))
		var scores []float64
		var defective []bool
		for sc, err := range p.ScoreSet(t.Context(), test) {
			require.NoError(t, err)
			scores, defective = append(scores, sc.Score), append(defective, sc.IsDefective())
		}
		auroc, err := metrics.AUROC(scores, defective)
		require.NoError(t, err)
		t.Logf("%s: covering radius %.3f, farthest patch of an image on average %.3f, image AUROC %.2f", name, largest, mean, 100*auroc)
	}
	fit := func(share float64, ds dataset.Dataset) *downstream.PatchCore {
		c := cfg
		c.Share = share
		p := barePatchCore(t, net, c)
		require.NoError(t, p.Fit(t.Context(), ds))
		return p
	}
	report("one machine, a tenth", fit(cfg.Share, part(0, 1)))
	const machines = 4
	for _, share := range []float64{0.1, 0.2, 0.4} {
		var parts []*downstream.PatchCore
		for k := range machines {
			parts = append(parts, fit(share, part(k, machines)))
		}
		p := barePatchCore(t, net, cfg)
		require.NoError(t, p.FitBanks(t.Context(), parts...))
		report(strconv.Itoa(machines)+" machines, shares of "+strconv.FormatFloat(share, 'g', -1, 64)+", a tenth of all", p)
	}
	p := barePatchCore(t, net, cfg)
	require.NoError(t, p.Fit(t.Context(), part(0, machines)))
	report("one machine, a quarter of the images", p)
}

// TestPatchCoreApproximateLoses measures what Approximate costs, on the images that GOTAB_BANKS and GOTAB_WEIGHTS name.
func TestPatchCoreApproximateLoses(t *testing.T) {
	net, train, test := namedImages(t, "PatchCore's approximate search")
	maps := func(approximate bool) (values [][]float32, auroc float64, cpu float64) {
		cfg := downstream.DefaultPatchCore()
		cfg.Squared, cfg.Sigma, cfg.Approximate = false, 0, approximate
		p := barePatchCore(t, net, cfg)
		require.NoError(t, p.Fit(t.Context(), train))
		var scores []float64
		var defective []bool
		before := cpuSeconds()
		for sc, err := range p.ScoreSet(t.Context(), test) {
			require.NoError(t, err)
			values, scores, defective = append(values, slices.Clone(sc.Map.Data)), append(scores, sc.Score), append(defective, sc.IsDefective())
		}
		cpu = (cpuSeconds() - before) / float64(len(scores))
		auroc, err := metrics.AUROC(scores, defective)
		require.NoError(t, err)
		return values, auroc, cpu
	}
	exact, auroc, cpu := maps(false)
	near, other, less := maps(true)
	sum, count, worst, changed := 0.0, 0, 0.0, 0
	for i := range exact {
		for k, v := range exact[i] {
			more := float64(near[i][k])/float64(v) - 1
			require.GreaterOrEqual(t, more, -1e-4, "a distance that is approximate is too large or right")
			sum, count, worst = sum+more, count+1, max(worst, more)
			if more > 1e-4 {
				changed++
			}
		}
	}
	t.Logf("distances %.3f %% too large in the mean, %.1f %% at most, %.1f %% of the positions; image AUROC %.2f and exactly %.2f; %.1f and %.1f ms of processor time an image",
		100*sum/float64(count), 100*worst, 100*float64(changed)/float64(count), 100*other, 100*auroc, 1e3*less, 1e3*cpu)
}
