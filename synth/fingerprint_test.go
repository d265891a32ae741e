package synth_test

import (
	"image"
	"image/color"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/synth"
)

// each calls f with every value below v that can be set, and its path.
func each(path string, v reflect.Value, f func(path string, v reflect.Value)) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			each(path+"."+v.Type().Field(i).Name, v.Field(i), f)
		}
	case reflect.Array:
		for i := range v.Len() {
			each(path, v.Index(i), f)
		}
	default:
		f(path, v)
	}
}

// alter makes a leaf another value.
func alter(t *testing.T, path string, v reflect.Value) {
	t.Helper()
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Int, reflect.Int64:
		v.SetInt(v.Int() + 1)
	case reflect.Uint8:
		v.SetUint(v.Uint() + 1)
	case reflect.Float64:
		v.SetFloat(v.Float() + 1e-9)
	case reflect.Slice:
		v.Set(reflect.Append(v, reflect.Zero(v.Type().Elem())))
	case reflect.Interface:
		v.Set(reflect.ValueOf(synth.TextureImages{image.NewGray(image.Rect(0, 0, 9, 9))}))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
	default:
		t.Fatalf("%s is a %s: say here how another one is made, and see that Fingerprint tells it", path, v.Type())
	}
}

// Every setting of every generator is in its Fingerprint; what only saves time and
// memory is not.
func TestFingerprintsTellAllSettings(t *testing.T) {
	nsa := synth.DefaultNSA()
	nsa.Backgrounds = []synth.Background{{Brightness: 1, Threshold: 2}}
	work := map[string]bool{"NSA.Blender": true, "Perlin.Buffers": true, "Overlay.Buffers": true, "Noise.Buffers": true,
		"Stain.Buffers": true, "Warp.Buffers": true, "Reseam.Blender": true}
	for _, g := range []interface {
		synth.Generator
		synth.Fingerprinter
	}{nsa, synth.DefaultCutPaste(), synth.DefaultPerlin(), synth.DefaultMask(), synth.ShapeOverlay(), synth.TextureOverlay(),
		synth.DefaultNoise(), synth.DefaultStain(), synth.DefaultWarp(), synth.DefaultUnchanged(), synth.DefaultReseam()} {
		typ := reflect.TypeOf(g)
		want := g.Fingerprint()
		require.NotEmpty(t, want)
		require.Equal(t, want, g.Fingerprint())
		leaves := 0
		each(typ.Name(), reflect.New(typ).Elem(), func(string, reflect.Value) { leaves++ })
		for k := range leaves {
			other := reflect.New(typ).Elem()
			other.Set(reflect.ValueOf(g))
			i := 0
			each(typ.Name(), other, func(path string, v reflect.Value) {
				if i++; i-1 != k {
					return
				}
				alter(t, path, v)
				got := other.Interface().(synth.Fingerprinter).Fingerprint()
				require.Equal(t, work[path], want == got, "%s: %s", path, got)
			})
		}
	}
	nsa.Backgrounds = []synth.Background{{Brightness: 1, Threshold: 3}}
	require.NotEqual(t, nsa.Fingerprint(), func() string {
		g := nsa
		g.Backgrounds = []synth.Background{{Brightness: 1, Threshold: 2}}
		return g.Fingerprint()
	}())
	a, b := synth.DefaultNSA(), synth.DefaultNSA() // other pointers
	b.Backgrounds = []synth.Background{}
	require.Equal(t, a.Fingerprint(), b.Fingerprint())
}

// stranger is a generator without a Fingerprint, mute one without settings.
type stranger struct{ strength float64 }

func (stranger) Generate(image.Image, image.Image, *rand.Rand) (synth.Pair, error) {
	return synth.Pair{}, synth.ErrNotPlaced
}

type mute struct{}

func (mute) Generate(image.Image, image.Image, *rand.Rand) (synth.Pair, error) {
	return synth.Pair{}, synth.ErrNotPlaced
}

func TestFingerprintsOfWholes(t *testing.T) {
	a, b := synth.DefaultCutPaste(), synth.ScarCutPaste()
	two := func(x, y synth.Generator, w float64) string {
		return synth.Mix{Parts: []synth.Part{{Generator: x, Weight: 1}, {Generator: y, Weight: w}}}.Fingerprint()
	}
	seen := map[string]bool{}
	for _, f := range []string{
		two(a, b, 1), two(b, a, 1), two(a, b, 2), two(a, mute{}, 1), synth.MixOf(a).Fingerprint(),
		synth.Visible{Generator: a, Least: 1, Attempts: 2}.Fingerprint(), synth.Visible{Generator: b, Least: 1, Attempts: 2}.Fingerprint(),
		synth.Visible{Generator: a, Least: 2, Attempts: 2}.Fingerprint(), synth.Visible{Generator: a, Least: 1, Attempts: 3}.Fingerprint(),
		synth.Visible{Generator: synth.MixOf(a), Least: 1, Attempts: 2}.Fingerprint(),
	} {
		require.NotEmpty(t, f)
		require.False(t, seen[f], f)
		seen[f] = true
	}
	for _, change := range []func(m *synth.Mixture){
		func(*synth.Mixture) {}, func(m *synth.Mixture) { m.Share = 0.3 }, func(m *synth.Mixture) { m.Attempts++ },
		func(m *synth.Mixture) { m.Kinds[0].Weight = 2 }, func(m *synth.Mixture) { m.Kinds[1].Kind = "other" },
		func(m *synth.Mixture) { m.Normal[0].Weight = 2 }, func(m *synth.Mixture) { m.Kinds, m.Normal = append(m.Kinds, m.Normal...), nil },
		func(m *synth.Mixture) { m.Kinds[0].Generator = b },
	} {
		m := synth.DefaultMixture()
		change(&m)
		f := m.Fingerprint()
		require.NotEmpty(t, f)
		require.False(t, seen[f], f)
		seen[f] = true
	}
	require.Equal(t, synth.DefaultMixture().Fingerprint(), synth.DefaultMixture().Fingerprint(), "other pointers")
	require.Equal(t, two(a, b, 1), two(synth.DefaultCutPaste(), &b, 1), "a pointer is what it points to")
	require.Empty(t, two(a, stranger{1}, 1))
	require.Empty(t, synth.Visible{Generator: stranger{1}, Attempts: 1}.Fingerprint())
}

func TestFingerprintsOfTextures(t *testing.T) {
	picture := func(level uint8) *image.RGBA {
		m := image.NewRGBA(image.Rect(0, 0, 8, 8))
		for i := range m.Pix {
			m.Pix[i] = level
		}
		return m
	}
	print := func(ms ...image.Image) string { return synth.TextureImages(ms).Fingerprint() }
	one, two := picture(1), picture(2)
	require.Equal(t, print(one, two), print(picture(1), picture(2)))
	require.NotEqual(t, print(one, two), print(two, one))
	require.NotEqual(t, print(one), print(one, one))
	require.NotEqual(t, print(one), print(nil))
	require.NotEqual(t, print(nil, one), print(one, nil))
	changed := picture(1)
	changed.Set(7, 7, color.RGBA{1, 2, 1, 1})
	require.NotEqual(t, print(one), print(changed))
	// The same pixels inside a larger picture are the same texture.
	wide := image.NewRGBA(image.Rect(-4, -4, 20, 12))
	for y := range 8 {
		for x := range 8 {
			wide.Set(x, y, color.RGBA{1, 1, 1, 1})
		}
	}
	require.Equal(t, print(one), print(wide.SubImage(image.Rect(0, 0, 8, 8))))
}
