package prompt_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/prompt"
)

// Further aliases count before those that are there, and the prompts that were given stay.
func TestWith(t *testing.T) {
	p := prompt.OfficialIDPA()
	was := p.Hash()
	q := p.With(map[string]string{"macaroni1": "noodles", "pcb": "printed circuit board"})
	for class, words := range map[string]string{"macaroni1": "noodles", "macaroni2": "macaroni", "pcb": "printed circuit board"} {
		got, err := q.ClassName(class)
		require.NoError(t, err)
		require.Equal(t, words, got)
	}
	require.Equal(t, was, p.Hash())
	require.Equal(t, p, p.With(nil))
}

func TestCheckClasses(t *testing.T) {
	p := prompt.DefaultIDPA()
	require.NoError(t, p.CheckClasses([]string{"glass", "pcb_01"}))
	err := p.CheckClasses([]string{"glass", "", "glass"})
	require.ErrorIs(t, err, prompt.ErrClass)
	require.ErrorContains(t, err, `class "glass" is named twice`)
	require.ErrorContains(t, err, `class "": `)
	require.NoError(t, p.With(map[string]string{"": "glass"}).CheckClasses([]string{""}), "an alias stands for it")
}

func TestWriteSentences(t *testing.T) {
	p, err := prompt.Preset("two-class")
	require.NoError(t, err)
	var b strings.Builder
	require.NoError(t, p.WriteSentences(&b, []string{"wood", "steel"}))
	require.Equal(t, "wood\tnormal\tnormal wood.\nwood\tabnormal\tanomalous wood.\nsteel\tnormal\tnormal steel.\nsteel\tabnormal\tanomalous steel.\n", b.String())
	require.ErrorIs(t, p.WriteSentences(&b, []string{""}), prompt.ErrClass)
	require.ErrorIs(t, p.WriteSentences(nil, nil), prompt.ErrConfig)
}
