package dataset_test

import (
	"context"
	"image"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
)

// Every setting counts, also one that is added later: each exported field is
// changed in turn.
func TestFingerprintCoversEverySetting(t *testing.T) {
	base := dataset.Transform{Shorter: 40, Crop: image.Pt(32, 32)}
	require.Equal(t, base.Fingerprint(), base.Shared().Fingerprint(), "the memory of tables is no setting")
	seen := map[string]string{base.Fingerprint(): "base"}
	add := func(name string, change func(reflect.Value)) {
		tr := base
		change(reflect.ValueOf(&tr).Elem())
		fp := tr.Fingerprint()
		require.Empty(t, seen[fp], "%s does not change the fingerprint", name)
		seen[fp] = name
	}
	var walk func(name string, at func(reflect.Value) reflect.Value, typ reflect.Type)
	walk = func(name string, at func(reflect.Value) reflect.Value, typ reflect.Type) {
		switch typ.Kind() {
		case reflect.Struct:
			for i := range typ.NumField() {
				if f := typ.Field(i); f.IsExported() {
					walk(name+"."+f.Name, func(v reflect.Value) reflect.Value { return at(v).Field(i) }, f.Type)
				}
			}
		case reflect.Bool:
			add(name, func(v reflect.Value) { at(v).SetBool(!at(v).Bool()) })
		case reflect.Int:
			add(name, func(v reflect.Value) { at(v).SetInt(at(v).Int() + 1) })
		default:
			t.Fatalf("%s is of kind %s: say here how to change it", name, typ.Kind())
		}
	}
	walk("Transform", func(v reflect.Value) reflect.Value { return v }, reflect.TypeFor[dataset.Transform]())
	require.Len(t, seen, 8)
}

// wrapped is a data set of a caller that does not forward Transform.
type wrapped struct{ dataset.Dataset }

func TestCombinatorsForwardTransform(t *testing.T) {
	plain := samples(t, 4)
	tr := dataset.Transform{Shorter: 40, Crop: image.Pt(32, 32)}
	cached, err := dataset.NewCached(plain, tr, 1<<20)
	require.NoError(t, err)
	other, err := dataset.NewCached(plain, dataset.Square(32), 1<<20)
	require.NoError(t, err)
	all := func(dataset.Item) bool { return true }
	sub := func(ds dataset.Dataset) dataset.Dataset {
		out, err := dataset.Subset(ds, []int{2, 0})
		require.NoError(t, err)
		return out
	}
	apply := func(ds dataset.Dataset) dataset.Dataset {
		out, err := dataset.Apply(ds, dataset.Items(ds))
		require.NoError(t, err)
		return out
	}
	region := func(ds dataset.Dataset, cfg dataset.RegionConfig) dataset.Dataset {
		out, err := dataset.NewRegion(ds, cfg)
		require.NoError(t, err)
		return out
	}
	ignore := dataset.RegionConfig{Ignore: image.NewGray(image.Rect(0, 0, 32, 32))}
	for name, c := range map[string]struct {
		ds   dataset.Dataset
		want bool
	}{
		"cached":          {cached, true},
		"filter":          {dataset.Filter(cached, all), true},
		"subset":          {sub(cached), true},
		"apply":           {apply(cached), true},
		"concat":          {dataset.Concat(cached, sub(cached)), true},
		"all of them":     {dataset.Concat(apply(sub(dataset.Filter(cached, all))), dataset.Concat(cached)), true},
		"ignored pixels":  {region(cached, ignore), true},
		"cut region":      {region(cached, dataset.RegionConfig{Rect: image.Rect(0, 0, 8, 8)}), false},
		"mixed concat":    {dataset.Concat(cached, plain), false},
		"mixed, reversed": {dataset.Concat(plain, cached), false},
		"two transforms":  {dataset.Concat(cached, other), false},
		"empty concat":    {dataset.Concat(), false},
		"another":         {other, false},
		"plain":           {plain, false},
		"filtered plain":  {dataset.Filter(plain, all), false},
		"wrapped":         {wrapped{cached}, false},
	} {
		require.Equal(t, c.want, tr.AppliedTo(c.ds), name)
		if got, ok := dataset.TransformOf(c.ds); c.want {
			require.True(t, ok, name)
			require.Equal(t, tr.Fingerprint(), got.Fingerprint(), name)
		}
	}

	// A cache of a cache, and a loader of one, change no pixel.
	want := pixels(t, cached)
	twice, err := dataset.NewCached(dataset.Filter(cached, all), tr, 1<<20)
	require.NoError(t, err)
	require.True(t, tr.AppliedTo(twice))
	require.Equal(t, want, pixels(t, twice))
	cfg := dataset.DefaultLoader()
	cfg.Transform, cfg.Batch = tr, 4
	require.Equal(t, batch(t, plain, cfg), batch(t, dataset.Filter(cached, all), cfg))
	// One of another transform changes them, as for any data set.
	squared, err := dataset.NewCached(cached, dataset.Square(16), 1<<20)
	require.NoError(t, err)
	require.Equal(t, 16, squaredSide(t, squared))
	require.True(t, dataset.Square(16).AppliedTo(squared))
}

func pixels(t *testing.T, ds dataset.Dataset) (out [][]byte) {
	t.Helper()
	for i := range ds.Len() {
		s, err := ds.Sample(context.Background(), i)
		require.NoError(t, err)
		out = append(out, s.Image.Pix)
	}
	return out
}

func squaredSide(t *testing.T, ds dataset.Dataset) int {
	t.Helper()
	s, err := ds.Sample(t.Context(), 0)
	require.NoError(t, err)
	return s.Image.Rect.Dx()
}

// batch returns the floats of the first batch.
func batch(t *testing.T, ds dataset.Dataset, cfg dataset.LoaderConfig) []float32 {
	t.Helper()
	l, err := dataset.NewLoader(ds, cfg)
	require.NoError(t, err)
	return collect(t, l, nil)[0].Pixels
}
