package downstream

import (
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/downstream/internal/engine"
	"github.com/gotab/gotab/tensor"
)

// Every setting of a RegAD is in what a checkpoint is told by.
func TestRegADFingerprintTellsAllSettings(t *testing.T) {
	print := func(c RegADConfig, arch string, seed [2]uint64) string {
		f, err := newRegAD(nil, nil, arch, tensor.CPU, c, seed).settings([]string{"cloth"}, engine.Sizes{}).fingerprint()
		require.NoError(t, err)
		return f
	}
	base := DefaultRegAD()
	want := print(base, "a", [2]uint64{1, 2})
	require.Equal(t, want, print(DefaultRegAD(), "a", [2]uint64{1, 2}), "other pointers")
	require.NotEqual(t, want, print(base, "b", [2]uint64{1, 2}))
	require.NotEqual(t, want, print(base, "a", [2]uint64{1, 3}))
	var each func(path string, v reflect.Value, f func(path string, v reflect.Value))
	each = func(path string, v reflect.Value, f func(string, reflect.Value)) {
		switch {
		case v.Kind() == reflect.Struct:
			for i := range v.NumField() {
				if v.Type().Field(i).IsExported() { // others are memory between calls
					each(path+"."+v.Type().Field(i).Name, v.Field(i), f)
				}
			}
		case v.Kind() == reflect.Array:
			for i := range v.Len() {
				each(path, v.Index(i), f)
			}
		default:
			f(path, v)
		}
	}
	leaves := 0
	each("", reflect.ValueOf(&base).Elem(), func(string, reflect.Value) { leaves++ })
	require.Greater(t, leaves, 20)
	for k := range leaves {
		c, i := DefaultRegAD(), 0
		each("RegADConfig", reflect.ValueOf(&c).Elem(), func(path string, v reflect.Value) {
			if i++; i-1 != k {
				return
			}
			switch v.Kind() {
			case reflect.Bool:
				v.SetBool(!v.Bool())
			case reflect.Int:
				v.SetInt(v.Int() + 1)
			case reflect.Float32, reflect.Float64:
				v.SetFloat(v.Float() + 1e-6)
			case reflect.Slice:
				v.Set(reflect.ValueOf([]backbone.Layer{backbone.Layer1}))
			default:
				t.Fatalf("%s is a %s: say here how another one is made", path, v.Type())
			}
			require.NotEqual(t, want, print(c, "a", [2]uint64{1, 2}), path)
		})
	}
}
