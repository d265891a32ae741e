package clipenc

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/sugarme/tokenizer"
)

// TokenOf returns the token of an id in the byte alphabet.
func TokenOf(t *Tokenizer, id int) string {
	token, _ := t.model.IdToToken(id)
	return token
}

// CheckModel holds the byte-pair encoding against what a pipeline expects of its model.
func CheckModel(t *testing.T, tok *Tokenizer) {
	m := tok.model
	words, err := m.Tokenize("photos漢")
	require.NoError(t, err)
	at := 0
	for _, w := range words {
		require.Equal(t, at, w.Offsets[0])
		at = w.Offsets[1]
		id, ok := m.TokenToId(w.Value)
		require.True(t, ok)
		require.Equal(t, w.Id, id)
	}
	require.Equal(t, len("photos漢"), at, "the tokens cover the word")
	none, err := m.Tokenize("")
	require.NoError(t, err)
	require.Empty(t, none)

	_, ok := m.IdToToken(-1)
	require.False(t, ok)
	_, ok = m.IdToToken(m.GetVocabSize())
	require.False(t, ok)
	_, ok = m.TokenToId("no such token")
	require.False(t, ok)

	vocab := m.GetVocab()
	require.Len(t, vocab, m.GetVocabSize())
	vocab["a"] = -1
	require.NotEqual(t, -1, m.GetVocab()["a"], "the caller gets a copy")

	dir := t.TempDir()
	require.NoError(t, m.Save(dir))
	require.NoError(t, m.Save(dir, "clip"))
	require.Error(t, m.Save(filepath.Join(dir, "missing")))
	for _, name := range []string{"merges.txt", "clip-merges.txt"} {
		f, err := os.Open(filepath.Join(dir, name))
		require.NoError(t, err)
		back, err := NewTokenizer(f)
		require.NoError(t, f.Close())
		require.NoError(t, err)
		require.Equal(t, m.tokens, back.model.tokens)
		require.Equal(t, m.merges, back.model.merges)
	}
	var _ tokenizer.Model = m
}

// ParseIndex reads an index.json.
func ParseIndex(raw string) (map[string]string, error) {
	return parseIndex(strings.NewReader(raw), "index.json")
}
