package tab_test

import (
	"context"
	"errors"
	"image"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/synth"
	"github.com/gotab/gotab/tab"
)

// Of several classes each finds foreign texture in the others; a class alone has none.
func TestMixturesByClass(t *testing.T) {
	var all []dataset.Sample
	for i, class := range []string{"cloth", "cloth", "steel", "steel"} {
		s := dataset.Sample{Item: dataset.Item{Class: class, Split: dataset.Train, Defect: dataset.Good, Label: dataset.LabelGood}, Image: image.NewRGBA(image.Rect(0, 0, 40, 40))}
		for k := range s.Image.Pix {
			s.Image.Pix[k] = byte(40*i + k%7)
		}
		all = append(all, s)
	}
	ds, err := dataset.NewMemory(all)
	require.NoError(t, err)
	seen := map[string]synth.Textures{}
	of := func(class string, foreign synth.Textures) (synth.Mixture, error) {
		seen[class] = foreign
		return synth.NewMixture(synth.SmallDefects(), foreign), nil
	}
	tr := dataset.Transform{Exact: image.Pt(32, 32)}
	got, err := tab.MixturesByClass(t.Context(), ds, tr, 2, 1, of)
	require.NoError(t, err)
	require.Len(t, got, 2)
	require.NotNil(t, seen["cloth"])
	require.NotEqual(t, seen["cloth"], seen["steel"])
	one := dataset.Only(ds, "steel", "")
	_, err = tab.MixturesByClass(t.Context(), one, tr, 2, 1, of)
	require.NoError(t, err)
	require.Nil(t, seen["steel"])

	broken := errors.New("no paint")
	_, err = tab.MixturesByClass(t.Context(), ds, tr, 2, 1, func(string, synth.Textures) (synth.Mixture, error) { return synth.Mixture{}, broken })
	require.ErrorIs(t, err, broken)
	_, err = tab.MixturesByClass(t.Context(), ds, tr, 2, 1, nil)
	require.ErrorIs(t, err, tab.ErrConfig)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = tab.MixturesByClass(ctx, ds, tr, 2, 1, of)
	require.ErrorIs(t, err, context.Canceled)
}
