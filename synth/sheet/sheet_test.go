package sheet_test

import (
	"bytes"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/internal/hostile"
	"github.com/gotab/gotab/synth/sheet"
)

// folder has one class of four striped images.
func folder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for i := range 4 {
		m := image.NewGray(image.Rect(0, 0, 60, 50))
		for k := range m.Pix {
			m.Pix[k] = uint8(60 + 90*((k%60+k/60+i)/6%2))
		}
		var b bytes.Buffer
		require.NoError(t, png.Encode(&b, m))
		name := filepath.Join(dir, "stripes", "train", "good", string(rune('a'+i))+".png")
		require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
		require.NoError(t, os.WriteFile(name, b.Bytes(), 0o644))
	}
	return dir
}

func TestSheet(t *testing.T) {
	all, err := sheet.Open(folder(t))
	require.NoError(t, err)
	require.Equal(t, []string{"stripes"}, all.Classes())
	c := sheet.Default()
	c.Size, c.Draws, c.Columns = 48, 4, c.Columns[5:7]
	draw := func() ([]byte, string) {
		b, err := sheet.Survey(t.Context(), all, "stripes", c)
		require.NoError(t, err)
		require.Len(t, b.Rates, 2)
		var img, table bytes.Buffer
		require.NoError(t, sheet.Write(&img, []sheet.Block{b}, c))
		require.NoError(t, sheet.WriteTable(&table, []sheet.Block{b}, c))
		return img.Bytes(), table.String()
	}
	first, table := draw()
	_, err = png.Decode(bytes.NewReader(first))
	require.NoError(t, err)
	require.Contains(t, table, "mix-stain")
	again, _ := draw()
	require.Equal(t, first, again, "the same seed gives the same sheet")
	c.Seed = 2
	other, _ := draw()
	require.NotEqual(t, first, other)
	var log bytes.Buffer
	blocks, err := sheet.SurveyAll(t.Context(), all, c, &log)
	require.NoError(t, err)
	var whole bytes.Buffer
	require.NoError(t, sheet.Write(&whole, blocks, c))
	require.Equal(t, other, whole.Bytes())
	require.Regexp(t, `^stripes: \d+ images\n$`, log.String())
	_, err = sheet.SurveyAll(t.Context(), nil, c, nil)
	require.ErrorIs(t, err, sheet.ErrConfig)
	c.Rows = 9
	_, err = sheet.Survey(t.Context(), all, "stripes", c)
	require.ErrorIs(t, err, sheet.ErrConfig)
	_, err = sheet.Survey(t.Context(), nil, "stripes", sheet.Default())
	require.ErrorIs(t, err, sheet.ErrConfig)
	c.Rows = 1
	_, err = sheet.Survey(t.Context(), all, "spots", c)
	require.ErrorIs(t, err, sheet.ErrConfig)
	require.ErrorContains(t, err, `no image of class "spots", the classes are ["stripes"]`)
	_, err = sheet.Open(t.TempDir())
	require.ErrorIs(t, err, dataset.ErrLayout)
}

func TestNamed(t *testing.T) {
	got, err := sheet.Named("nsa", " mix-stain")
	require.NoError(t, err)
	require.Len(t, got, 2)
	require.Equal(t, []string{"nsa", "mix-stain"}, []string{got[0].Name, got[1].Name})
	require.Equal(t, "mixture", sheet.Names()[len(sheet.Default().Columns)], "what is by default is what a mixture has")
	_, err = sheet.Named("nsa", "magic")
	require.ErrorIs(t, err, sheet.ErrConfig)
	require.ErrorContains(t, err, `"magic" is not known, want some of mix-`)
}

func TestHostileArguments(t *testing.T) {
	// Few draws of one column: what is spoiled of it is refused, or ends soon.
	few := sheet.Default()
	few.Size, few.Draws, few.Columns = 32, 2, few.Columns[5:6]
	images, err := dataset.NewImages("a", image.NewGray(image.Rect(0, 0, 40, 30)), image.NewGray(image.Rect(0, 0, 50, 40)))
	require.NoError(t, err)
	r := hostile.Registry{
		Funcs:  []any{sheet.Columns, sheet.Default, sheet.Named, sheet.Names, sheet.Open, sheet.Survey, sheet.SurveyAll, sheet.Write, sheet.WriteTable},
		Types:  []any{new(sheet.Column), new(sheet.Config), new(sheet.Block)},
		Values: []any{few, few.Columns[0], few.Columns[0].Generator, images},
		Skip: map[string]string{
			"Open": "it would walk folders of any name; TestSheet opens two",
		},
	}
	missing, err := r.Missing(".")
	require.NoError(t, err)
	require.Empty(t, missing)
	r.Run(t, 200)
}
