package tab_test

import (
	"context"
	"errors"
	"fmt"
	"image"
	"math"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/synth"
	"github.com/gotab/gotab/tab"
)

// What was borrowed comes back as it was, after failures too.
func TestTheEncoderComesBackAsItWas(t *testing.T) {
	testutil.NoLeak(t)
	m := network(t)
	boom := errors.New("boom")
	trainable := func(n string) bool { return !strings.HasPrefix(n, "layer1.") && n != "conv1.weight" }
	require.NoError(t, m.Params().SetTrainable(trainable))
	m.FreezeStatistics(func(l backbone.Layer) bool { return l == backbone.Layer2 })
	asLent := func(when string) {
		t.Helper()
		for _, n := range m.Params().Names() {
			require.Equal(t, trainable(n) && !m.Params().IsBuffer(n), m.Params().IsTrainable(n), "%s: %s", when, n)
		}
		for l := backbone.Stem; l <= backbone.Layer4; l++ {
			require.Equal(t, l == backbone.Layer2, m.StatisticsFrozen(l), "%s: %s", when, l)
		}
	}
	for name, use := range map[string]func(p *tab.Pretrainer){
		"unused":   func(*tab.Pretrainer) {},
		"prepared": func(p *tab.Pretrainer) { require.NoError(t, p.Prepare(t.Context(), names)) },
		"stepped":  func(p *tab.Pretrainer) { run(t, p, material(t, 4), 1) },
		"failed": func(p *tab.Pretrainer) {
			b := ownBatch()
			b.Normal[5] = float32(math.NaN())
			require.NoError(t, p.Prepare(t.Context(), names))
			_, err := p.Step(t.Context(), b)
			require.ErrorIs(t, err, tab.ErrDiverged)
		},
		"probe failed": func(p *tab.Pretrainer) {
			_, err := p.Fit(t.Context(), material(t, 4))
			require.ErrorIs(t, err, boom)
		},
	} {
		c := config()
		c.Epochs = 1
		c.HeadFirst(1)
		c.FreezeStatistics(backbone.Layer3)
		probe := tab.ProbeFunc(func(context.Context, tab.VisualEncoder) ([]tab.Measure, error) { return nil, boom })
		p, err := tab.New(tab.Parts{Visual: m, Anchors: bank(t, 16), Synth: generator(), Probe: probe}, c)
		require.NoError(t, err)
		use(p)
		require.NoError(t, p.Close())
		asLent(name)
	}
}

// textures are pictures, told apart by their grey level.
func textures(level uint8) synth.TextureImages {
	m := image.NewRGBA(image.Rect(0, 0, side, side))
	for i := range m.Pix {
		m.Pix[i] = level + uint8(i%13)
	}
	return synth.TextureImages{m}
}

func perlin(s synth.Textures) synth.Perlin {
	g := synth.DefaultPerlin()
	g.Threshold, g.Textures = 0, s
	return g
}

// unknowable is a source of textures without a Fingerprint.
type unknowable struct{ from synth.Textures }

func (u *unknowable) Texture(dst *image.RGBA, rng *rand.Rand) error { return u.from.Texture(dst, rng) }

// A run goes on with an equal generator, wherever it lies in memory, and with no
// other.
func TestResumeTellsGeneratorsApart(t *testing.T) {
	testutil.NoLeak(t)
	ds := material(t, 4)
	written := func(g synth.Generator) string {
		path := filepath.Join(t.TempDir(), "run.ckpt")
		p, err := tab.New(tab.Parts{Visual: newTiny(t), Anchors: bank(t, 6), Synth: g}, config())
		require.NoError(t, err)
		defer func() { require.NoError(t, p.Close()) }()
		run(t, p, ds, 1)
		require.NoError(t, p.SaveCheckpoint(path))
		return path
	}
	resume := func(path string, g synth.Generator, opts ...tab.Option) error {
		p, err := tab.Resume(path, tab.Parts{Visual: newTiny(t), Synth: g}, opts...)
		if err == nil {
			require.NoError(t, p.Close())
		}
		return err
	}
	nsa, visible := generator(), func(g synth.Generator) synth.Generator { return synth.Visible{Generator: g, Attempts: 3} }
	weighed := func(w float64) synth.Generator {
		return synth.Mix{Parts: []synth.Part{{Generator: generator(), Weight: 1}, {Generator: perlin(textures(40)), Weight: w}}}
	}
	for i, c := range []struct{ was, equal, other synth.Generator }{
		{perlin(textures(40)), perlin(textures(40)), perlin(textures(41))},
		{perlin(nil), perlin(synth.DrawnTextures{}), perlin(textures(40))},
		{&nsa, generator(), func() synth.Generator { g := generator(); g.Patches = 3; return &g }()},
		{weighed(1), weighed(1), weighed(2)},
		{visible(perlin(textures(40))), visible(perlin(textures(40))), visible(perlin(textures(41)))},
	} {
		path := written(c.was)
		require.NoError(t, resume(path, c.equal), "pair %d", i)
		for _, opts := range [][]tab.Option{nil, {tab.WithSameParts()}} {
			require.ErrorIs(t, resume(path, c.other, opts...), tab.ErrCheckpoint, "pair %d", i)
			require.ErrorIs(t, resume(path, synth.DefaultCutPaste(), opts...), tab.ErrCheckpoint, "pair %d", i)
		}
	}
	// What cannot be told is refused, unless the caller vouches for it.
	for _, g := range []synth.Generator{perlin(&unknowable{textures(40)}), synth.MixOf(perlin(&unknowable{textures(40)})),
		visible(perlin(&unknowable{textures(40)})), spoiled{generator(), func(*synth.Pair) {}}} {
		path := written(g)
		err := resume(path, g)
		require.ErrorIs(t, err, tab.ErrCheckpoint)
		require.ErrorContains(t, err, "Fingerprint() string")
		require.ErrorContains(t, err, "WithSameParts")
		require.NoError(t, resume(path, g, tab.WithSameParts()))
	}
}

// weighted is an objective of a caller with a setting.
type weighted struct {
	spot
	Weight float64
}

// told is one that says what it is.
type told struct{ weighted }

func (o told) Fingerprint() string { return fmt.Sprint(o.Weight) }

// disguised has the name of an objective of package tab.
type disguised struct{ spot }

func (disguised) Name() string { return "paper" }

func TestResumeTellsObjectivesApart(t *testing.T) {
	testutil.NoLeak(t)
	ds := material(t, 4)
	resume := func(o tab.Objective, opts ...tab.Option) error {
		path := filepath.Join(t.TempDir(), "run.ckpt")
		c := config()
		c.Objective = o
		p := pretrainer(t, newTiny(t), c)
		run(t, p, ds, 1)
		require.NoError(t, p.SaveCheckpoint(path))
		q, err := tab.Resume(path, tab.Parts{Visual: newTiny(t), Synth: generator()}, opts...)
		if err == nil {
			require.Equal(t, o, q.Config().Objective)
			require.NoError(t, q.Close())
		}
		return err
	}
	require.NoError(t, resume(tab.Paper()))
	require.NoError(t, resume(tab.Joint(), tab.WithObjective(tab.Joint())))
	require.ErrorIs(t, resume(tab.Joint(), tab.WithObjective(tab.Paper())), tab.ErrCheckpoint)
	warm := tab.Joint()
	warm.Scale = 3
	require.ErrorIs(t, resume(tab.Joint(), tab.WithObjective(warm)), tab.ErrCheckpoint)

	w := weighted{Weight: 1}
	require.ErrorContains(t, resume(w, tab.WithObjective(w)), "WithSameParts")
	require.NoError(t, resume(w, tab.WithObjective(w), tab.WithSameParts()))
	require.NoError(t, resume(told{w}, tab.WithObjective(told{w})))
	require.ErrorIs(t, resume(told{w}, tab.WithObjective(told{weighted{Weight: 2}})), tab.ErrCheckpoint)
	require.ErrorIs(t, resume(w, tab.WithObjective(told{w}), tab.WithSameParts()), tab.ErrCheckpoint)

	require.ErrorContains(t, resume(disguised{}), "WithObjective", "its name is not what it is")
	require.ErrorIs(t, resume(disguised{}, tab.WithObjective(tab.Paper())), tab.ErrCheckpoint)
}
