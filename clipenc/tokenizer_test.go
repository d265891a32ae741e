package clipenc_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/clipenc"
)

const fullVocabulary = "../../shared/weights/clip/bpe_simple_vocab_16e6.txt.gz"

func smallMerges(t testing.TB) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "merges.txt"))
	require.NoError(t, err)
	return string(raw)
}

func smallTokenizer(t testing.TB) *clipenc.Tokenizer {
	t.Helper()
	tok, err := clipenc.NewTokenizer(strings.NewReader(smallMerges(t)))
	require.NoError(t, err)
	return tok
}

func fullTokenizer(t testing.TB) *clipenc.Tokenizer {
	t.Helper()
	f, err := os.Open(fullVocabulary)
	if err != nil {
		t.Skipf("needs CLIP's vocabulary: %v", err)
	}
	defer f.Close()
	tok, err := clipenc.NewTokenizer(f)
	require.NoError(t, err)
	return tok
}

type tokenFixture struct {
	Seed   uint64
	Count  int
	Block  int
	Vocab  int
	Cut    int
	Blocks []string
	Shown  []struct {
		Index  int
		Text   string
		Pieces []int
	}
}

func readJSON(t testing.TB, name string, into any) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "parity", name))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(raw, into))
}

// checkTokens holds a tokeniser against the published one on every string of the formula.
func checkTokens(t *testing.T, tok *clipenc.Tokenizer, name string) {
	var want tokenFixture
	readJSON(t, name, &want)
	require.GreaterOrEqual(t, want.Count, 3000)
	require.Len(t, want.Shown, 50)
	require.Equal(t, want.Vocab, tok.VocabSize())
	require.Equal(t, want.Vocab-2, tok.StartID())
	require.Equal(t, want.Vocab-1, tok.EndID())
	for _, s := range want.Shown {
		require.Equal(t, s.Text, formulaText(want.Seed, s.Index), "string %d of the formula", s.Index)
		got, err := tok.Pieces(s.Text)
		require.NoError(t, err)
		require.Equal(t, s.Pieces, append([]int{}, got...), "string %d: %q", s.Index, s.Text)
	}
	digest, cut := sha256.New(), 0
	for i := range want.Count {
		text := formulaText(want.Seed, i)
		pieces, err := tok.Pieces(text)
		require.NoError(t, err)
		tokens, err := tok.Encode(text)
		require.NoError(t, err)
		require.Len(t, tokens.IDs, clipenc.ContextLength)
		require.Equal(t, len(pieces) > clipenc.ContextLength-2, tokens.Cut)
		if tokens.Cut {
			cut++
		}
		var raw []byte
		raw = binary.LittleEndian.AppendUint32(raw, uint32(len(pieces)))
		for _, id := range append(append([]int{}, pieces...), tokens.IDs...) {
			raw = binary.LittleEndian.AppendUint32(raw, uint32(id))
		}
		digest.Write(raw)
		if i%want.Block == want.Block-1 {
			require.Equal(t, want.Blocks[i/want.Block], hex.EncodeToString(digest.Sum(nil))[:32], "strings %d to %d", i-want.Block+1, i)
			digest.Reset()
		}
	}
	require.Equal(t, want.Cut, cut)
}

func TestTokenIDsSmallVocabulary(t *testing.T) {
	checkTokens(t, smallTokenizer(t), "tokens_small.json")
}

func TestTokenIDsFullVocabulary(t *testing.T) {
	tok := fullTokenizer(t)
	require.Equal(t, 49408, tok.VocabSize())
	checkTokens(t, tok, "tokens_full.json")
}

func zipped(t testing.TB, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write([]byte(text))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	return b.Bytes()
}

// jsonVocabulary writes a tokenizer.json of Hugging Face's form for some merges.
func jsonVocabulary(t testing.TB, text string, pairs bool, change func(model map[string]any)) []byte {
	t.Helper()
	tok, err := clipenc.NewTokenizer(strings.NewReader(text))
	require.NoError(t, err)
	vocab := map[string]int{}
	for id := range tok.VocabSize() {
		vocab[clipenc.TokenOf(tok, id)] = id
	}
	var merges []any
	for _, line := range strings.Split(strings.TrimSpace(text), "\n")[1:] {
		if pairs {
			merges = append(merges, strings.Split(line, " "))
		} else {
			merges = append(merges, line)
		}
	}
	model := map[string]any{
		"type": "BPE", "dropout": nil, "unk_token": "<|endoftext|>", "continuing_subword_prefix": "",
		"end_of_word_suffix": "</w>", "fuse_unk": false, "vocab": vocab, "merges": merges,
	}
	if change != nil {
		change(model)
	}
	raw, err := json.Marshal(map[string]any{"version": "1.0", "truncation": nil, "model": model})
	require.NoError(t, err)
	return raw
}

func TestVocabularyForms(t *testing.T) {
	text := smallMerges(t)
	want := smallTokenizer(t)
	for name, raw := range map[string][]byte{
		"plain":           []byte(text),
		"no header":       []byte(strings.SplitN(text, "\n", 2)[1]),
		"windows lines":   []byte(strings.ReplaceAll(text, "\n", "\r\n")),
		"no last newline": []byte(strings.TrimSuffix(text, "\n")),
		"gzip":            zipped(t, text),
		"gzip of json":    zipped(t, string(jsonVocabulary(t, text, false, nil))),
		"json strings":    jsonVocabulary(t, text, false, nil),
		"json pairs":      jsonVocabulary(t, text, true, nil),
	} {
		got, err := clipenc.NewTokenizer(iotest.OneByteReader(bytes.NewReader(raw)))
		require.NoError(t, err, name)
		require.Equal(t, want.VocabSize(), got.VocabSize(), name)
		for i := range 40 {
			s := formulaText(7, i)
			a, err := want.Encode(s)
			require.NoError(t, err)
			b, err := got.Encode(s)
			require.NoError(t, err)
			require.Equal(t, a, b, name)
		}
	}
}

// TestVocabularyLongerThanCLIP: the published file goes on after the last merge that CLIP uses.
func TestVocabularyLongerThanCLIP(t *testing.T) {
	tok := fullTokenizer(t)
	require.Equal(t, "<|startoftext|>", clipenc.TokenOf(tok, tok.StartID()))
	raw, err := os.ReadFile(fullVocabulary)
	require.NoError(t, err)
	z, err := gzip.NewReader(bytes.NewReader(raw))
	require.NoError(t, err)
	text, err := io.ReadAll(z)
	require.NoError(t, err)
	lines := strings.Split(string(text), "\n")
	cut := strings.Join(lines[:48895], "\n")
	for _, form := range []string{string(text), cut, string(jsonVocabulary(t, cut, false, nil))} {
		got, err := clipenc.NewTokenizer(strings.NewReader(form))
		require.NoError(t, err)
		require.Equal(t, 49408, got.VocabSize())
		tokens, err := got.Encode("hello world")
		require.NoError(t, err)
		require.Equal(t, []int{49406, 3306, 1002, 49407, 0}, tokens.IDs[:5])
		require.Equal(t, 3, tokens.End)
	}
}

func TestVocabularyRefused(t *testing.T) {
	text := smallMerges(t)
	object := func(change func(m map[string]any)) []byte { return jsonVocabulary(t, text, false, change) }
	damaged := zipped(t, text)
	damaged[len(damaged)-5] ^= 0xff // inside the checksum
	for _, c := range []struct {
		name, want string
		raw        []byte
	}{
		{"empty", "no merge", nil},
		{"header only", "no merge", []byte("#version: 0.2\n")},
		{"one word", `line 2: "word" is no merge`, []byte("#version: 0.2\nword\n")},
		{"three words", "line 1", []byte("a b c\n")},
		{"blank line", "line 2", []byte("a b\n\nc d\n")},
		{"unknown part", `no earlier merge makes "xy"`, []byte("a b\nxy z\n")},
		{"twice", "token 512 already", []byte("a b\na b\n")},
		{"two ways", `makes "abc"`, []byte("a b\nb c\nab c\na bc\n")},
		{"special", "special token", []byte(mergesMaking("<|endoftext|>"))},
		{"binary", "UTF-8", []byte{0x80, 0x04, 0x95}},
		{"huge token", "bytes, at most", []byte(strings.Repeat("a", 2000) + " b\n")},
		{"truncated gzip", "gzip", zipped(t, text)[:200]},
		{"gzip checksum", "gzip", damaged},
		{"gzip header", "gzip", []byte{0x1f, 0x8b, 0x09}},
		{"json syntax", "tokenizer.json", []byte(`{"model": `)},
		{"json no model", "no model", []byte(`{"version": "1.0"}`)},
		{"wordpiece", "not BPE", object(func(m map[string]any) { m["type"] = "WordPiece" })},
		{"gpt2", "end_of_word_suffix", object(func(m map[string]any) { m["end_of_word_suffix"] = nil })},
		{"prefix", "continuing_subword_prefix", object(func(m map[string]any) { m["continuing_subword_prefix"] = "##" })},
		{"no merges", "no merge", object(func(m map[string]any) { m["merges"] = []string{} })},
		{"odd merge", "merge 1 is 7", object(func(m map[string]any) { m["merges"].([]any)[0] = 7 })},
		{"merge of three", "merge 1", object(func(m map[string]any) { m["merges"].([]any)[0] = []string{"a", "b", "c"} })},
		{"vocab short", "vocab has", object(func(m map[string]any) { delete(m["vocab"].(map[string]int), "th") })},
		{"vocab swapped", "CLIP's layout", object(func(m map[string]any) {
			v := m["vocab"].(map[string]int)
			v["a"], v["b"] = v["b"], v["a"]
		})},
		{"vocab type", "tokenizer.json", object(func(m map[string]any) { m["vocab"] = []int{1} })},
	} {
		_, err := clipenc.NewTokenizer(bytes.NewReader(c.raw))
		require.ErrorIs(t, err, clipenc.ErrVocabulary, c.name)
		require.ErrorContains(t, err, c.want, c.name)
	}
	broken := errors.New("disk on fire")
	_, err := clipenc.NewTokenizer(io.MultiReader(strings.NewReader("a b\n"), iotest.ErrReader(broken)))
	require.ErrorIs(t, err, broken)
	require.NotErrorIs(t, err, clipenc.ErrVocabulary, "a failing reader is not the file's fault")
}

// mergesMaking writes merges that build one token from its letters.
func mergesMaking(token string) string {
	var b strings.Builder
	for i := 1; i < len(token); i++ {
		fmt.Fprintf(&b, "%s %s\n", token[:i], token[i:i+1])
	}
	return b.String()
}

// TestVocabularyBounded: a small file that unpacks to more than anyone needs is refused, and little of it is kept.
func TestVocabularyBounded(t *testing.T) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	chunk := bytes.Repeat([]byte("a"), 1<<20)
	for range 65 {
		_, err := z.Write(chunk)
		require.NoError(t, err)
	}
	require.NoError(t, z.Close())
	require.Less(t, b.Len(), 1<<18)
	_, err := clipenc.NewTokenizer(&b)
	require.ErrorIs(t, err, clipenc.ErrVocabulary)
	require.ErrorContains(t, err, "64 MiB")
}

func TestEncodeFrame(t *testing.T) {
	tok := smallTokenizer(t)
	start, end := tok.StartID(), tok.EndID()
	tokens, err := tok.Encode("")
	require.NoError(t, err)
	require.Equal(t, []int{start, end, 0}, tokens.IDs[:3])
	require.Equal(t, 1, tokens.End)
	require.False(t, tokens.Cut)

	digits := strings.Repeat("7 ", 75)
	tokens, err = tok.Encode(digits)
	require.NoError(t, err)
	require.False(t, tokens.Cut)
	require.Equal(t, 76, tokens.End)
	longer, err := tok.Encode(digits + "7")
	require.NoError(t, err)
	require.True(t, longer.Cut)
	require.Equal(t, tokens.IDs, longer.IDs)

	// An end token in the text is where the tower reads.
	tokens, err = tok.Encode("7 <|endoftext|> 7")
	require.NoError(t, err)
	require.Equal(t, 2, tokens.End)
	require.Equal(t, end, tokens.IDs[2])
	require.Equal(t, end, tokens.IDs[4])

	short, err := tok.EncodeTo("7 7 7", 4)
	require.NoError(t, err)
	require.Equal(t, clipenc.Tokens{IDs: []int{start, tokens.IDs[1], tokens.IDs[1], end}, End: 3, Cut: true}, short)
	_, err = tok.EncodeTo("7", 1)
	require.ErrorIs(t, err, clipenc.ErrConfig)
}

func TestEncodeOddText(t *testing.T) {
	tok := smallTokenizer(t)
	_, err := tok.Encode(strings.Repeat("x", clipenc.MaxText+1))
	require.ErrorIs(t, err, clipenc.ErrText)
	for _, s := range []string{" ", "\x1c", "\xff\xfe", "a\xffb", "\u2028", strings.Repeat("\u00a0", 100)} {
		_, err := tok.Encode(s)
		require.NoError(t, err, "%q", s)
	}
	a, err := tok.Pieces("a\xffb")
	require.NoError(t, err)
	b, err := tok.Pieces("a\ufffdb")
	require.NoError(t, err)
	require.Equal(t, b, a)
}

func TestDecode(t *testing.T) {
	tok := smallTokenizer(t)
	tokens, err := tok.Encode("A photo  of the Café, 42 漢字 😀!")
	require.NoError(t, err)
	require.Equal(t, "a photo of the café , 4 2 漢字 😀! ", tok.Decode(tokens.IDs[:tokens.End]))
	require.Equal(t, "", tok.Decode([]int{-1, tok.EndID(), 1 << 30}))
}

func TestTokenizerConcurrent(t *testing.T) {
	tok := smallTokenizer(t)
	want := make([]clipenc.Tokens, 20)
	for i := range want {
		var err error
		want[i], err = tok.Encode(formulaText(3, i))
		require.NoError(t, err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range want {
				got, err := tok.Encode(formulaText(3, i))
				if err != nil || fmt.Sprint(got) != fmt.Sprint(want[i]) {
					t.Errorf("string %d: %v, %v", i, got, err)
				}
			}
		}()
	}
	wg.Wait()
}

// TestWordAgainstSlowTwin holds the merge loop against the textbook form of the algorithm on strings.
func TestWordAgainstSlowTwin(t *testing.T) {
	tok := smallTokenizer(t)
	rank := map[[2]string]int{}
	for i, line := range strings.Split(strings.TrimSpace(smallMerges(t)), "\n")[1:] {
		l, r, _ := strings.Cut(line, " ")
		rank[[2]string{l, r}] = i
	}
	slow := func(word string) []string {
		var w []string
		for _, c := range word {
			w = append(w, string(c))
		}
		w[len(w)-1] += "</w>"
		for {
			best, at := len(rank), -1
			for i := range len(w) - 1 {
				if r, ok := rank[[2]string{w[i], w[i+1]}]; ok && r < best {
					best, at = r, i
				}
			}
			if at < 0 {
				return w
			}
			l, r := w[at], w[at+1]
			var out []string
			for i := 0; i < len(w); i++ {
				if i+1 < len(w) && w[i] == l && w[i+1] == r {
					out = append(out, l+r)
					i++
				} else {
					out = append(out, w[i])
				}
			}
			w = out
		}
	}
	s := stream(99)
	for range 2000 {
		n := 1 + s.next(12)
		word := make([]byte, n)
		for i := range word {
			word[i] = "aehotnidcrm"[s.next(11)]
		}
		ids, err := tok.Pieces(string(word))
		require.NoError(t, err)
		var got []string
		for _, id := range ids {
			got = append(got, clipenc.TokenOf(tok, id))
		}
		require.Equal(t, slow(string(word)), got, "%s", word)
	}
}

func TestModelInPipeline(t *testing.T) {
	clipenc.CheckModel(t, smallTokenizer(t))
}

func FuzzNewTokenizer(f *testing.F) {
	text := smallMerges(f)
	f.Add([]byte(text))
	f.Add(zipped(f, text))
	f.Add(jsonVocabulary(f, text, false, nil))
	f.Add(jsonVocabulary(f, "#version\na b\nab c</w>\n", true, nil))
	f.Add([]byte(`{"model":{"type":"BPE","end_of_word_suffix":"</w>","vocab":{},"merges":["a b"]}}`))
	f.Add([]byte("a b\nab a\nab ab\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		tok, err := clipenc.NewTokenizer(bytes.NewReader(raw))
		if err != nil {
			if !errors.Is(err, clipenc.ErrVocabulary) {
				t.Fatalf("error of another kind: %v", err)
			}
			return
		}
		tokens, err := tok.Encode("a photo of an abab <|endoftext|>")
		if err != nil || tokens.IDs[0] != tok.StartID() || tokens.IDs[tokens.End] != tok.EndID() {
			t.Fatalf("%v, %v", tokens, err)
		}
	})
}

func FuzzEncode(f *testing.F) {
	tok := smallTokenizer(f)
	for i := range 20 {
		f.Add(formulaText(11, i))
	}
	f.Add("\xff\xfe&#xfffe;&")
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 1<<12 {
			return
		}
		pieces, err := tok.Pieces(text)
		if err != nil {
			t.Fatal(err)
		}
		again, err := tok.Pieces(text + " ")
		if err != nil || fmt.Sprint(again) != fmt.Sprint(pieces) {
			t.Fatalf("white space at the end changes %v to %v, %v", pieces, again, err)
		}
		tokens, err := tok.Encode(text)
		if err != nil || len(tokens.IDs) != clipenc.ContextLength || tokens.IDs[tokens.End] != tok.EndID() {
			t.Fatalf("%v, %v", tokens, err)
		}
		for _, id := range tokens.IDs {
			if id < 0 || id >= tok.VocabSize() {
				t.Fatalf("id %d of %d", id, tok.VocabSize())
			}
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	tok := smallTokenizer(b)
	for b.Loop() {
		if _, err := tok.Encode("a close-up industrial image of the unblemished metal nut for anomaly detection"); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "texts/s")
}
