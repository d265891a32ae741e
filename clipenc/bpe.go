package clipenc

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/sugarme/tokenizer"

	"github.com/gotab/gotab/internal/atomicfile"
)

const (
	startToken = "<|startoftext|>"
	endToken   = "<|endoftext|>"
	endOfWord  = "</w>" // marks a token that ends a word
	byteTokens = 512    // 256 bytes inside a word, then 256 at its end
)

// bpe is CLIP's byte-pair encoding. It is the model of a sugarme/tokenizer pipeline and gets words one at a time.
//
// Ids are laid out as in the published vocabulary: 256 byte symbols, the same 256 with the end-of-word mark, one token
// a merge in the order of the merges, start, end. A bpe is read-only once built.
type bpe struct {
	tokens []string        // by id
	ids    map[string]int  // the inverse of tokens
	merges map[pair]merged // which neighbours join
	first  [256]int        // id of a byte inside a word
	bytes  map[rune]byte   // the byte that a symbol stands for
	lines  [][2]string     // the merges as they were read, for Save
}

type pair struct{ left, right int }

type merged struct{ rank, id int }

var _ tokenizer.Model = (*bpe)(nil)

// newBPE builds the model from its merges, best first. The error wraps ErrVocabulary.
func newBPE(merges [][2]string) (*bpe, error) {
	n := byteTokens + len(merges) + 2
	m := &bpe{
		tokens: make([]string, 0, n),
		ids:    make(map[string]int, n),
		merges: make(map[pair]merged, len(merges)),
		bytes:  make(map[rune]byte, 256),
		lines:  merges,
	}
	order, symbols := byteAlphabet()
	for i, b := range order {
		m.first[b] = i
		m.add(symbols[b])
		symbol, _ := utf8.DecodeRuneInString(symbols[b])
		m.bytes[symbol] = b
	}
	for _, b := range order {
		m.add(symbols[b] + endOfWord)
	}
	for rank, parts := range merges {
		left, okLeft := m.ids[parts[0]]
		right, okRight := m.ids[parts[1]]
		if !okLeft || !okRight {
			unknown := parts[0]
			if okLeft {
				unknown = parts[1]
			}
			return nil, fmt.Errorf("clipenc: merge %d %q: no earlier merge makes %q: %w", rank+1, parts[0]+" "+parts[1], unknown, ErrVocabulary)
		}
		whole := parts[0] + parts[1]
		if id, ok := m.ids[whole]; ok {
			return nil, fmt.Errorf("clipenc: merge %d %q: makes %q, which is token %d already: %w", rank+1, parts[0]+" "+parts[1], whole, id, ErrVocabulary)
		}
		m.merges[pair{left, right}] = merged{rank, m.add(whole)}
	}
	for _, special := range []string{startToken, endToken} {
		if _, ok := m.ids[special]; ok {
			return nil, fmt.Errorf("clipenc: the merges make the special token %q: %w", special, ErrVocabulary)
		}
		m.add(special)
	}
	return m, nil
}

func (m *bpe) add(token string) int {
	id := len(m.tokens)
	m.tokens = append(m.tokens, token)
	m.ids[token] = id
	return id
}

// byteAlphabet returns the bytes in the order of their ids and the printable symbol of each: printable Latin-1 stands
// for itself and comes first, the other bytes take U+0100 and up.
func byteAlphabet() (order [256]byte, symbols [256]string) {
	printable := func(b int) bool { return 0x21 <= b && b <= 0x7e || 0xa1 <= b && b <= 0xac || 0xae <= b }
	n := 0
	for b := range 256 {
		if printable(b) {
			order[n], symbols[b] = byte(b), string(rune(b))
			n++
		}
	}
	next := rune(0x100)
	for b := range 256 {
		if !printable(b) {
			order[n], symbols[b] = byte(b), string(next)
			n++
			next++
		}
	}
	return order, symbols
}

// Tokenize encodes one word. Offsets are byte ranges of the word.
func (m *bpe) Tokenize(word string) ([]tokenizer.Token, error) {
	if word == startToken || word == endToken {
		return []tokenizer.Token{tokenizer.NewToken(m.ids[word], word, []int{0, len(word)})}, nil
	}
	ids := m.word(word)
	tokens := make([]tokenizer.Token, len(ids))
	at := 0
	for i, id := range ids {
		end := at + m.width(id)
		tokens[i] = tokenizer.NewToken(id, m.tokens[id], []int{at, end})
		at = end
	}
	return tokens, nil
}

// width returns how many bytes of text a token stands for: one a symbol, none for the end-of-word mark.
func (m *bpe) width(id int) int {
	n := 0
	for range strings.TrimSuffix(m.tokens[id], endOfWord) {
		n++
	}
	return n
}

// word returns the ids of a word. Round by round the neighbours that the earliest merge joins are joined wherever they
// stand, from left to right, until no merge applies (Sennrich et al., "Neural Machine Translation of Rare Words with
// Subword Units", ACL 2016, algorithm 1).
func (m *bpe) word(word string) []int {
	if word == "" {
		return nil
	}
	ids := make([]int, len(word))
	for i := range len(word) {
		ids[i] = m.first[word[i]]
	}
	ids[len(ids)-1] += byteTokens / 2
	for {
		best, found := merged{}, false
		var join pair
		for i := range len(ids) - 1 {
			p := pair{ids[i], ids[i+1]}
			if c, ok := m.merges[p]; ok && (!found || c.rank < best.rank) {
				best, join, found = c, p, true
			}
		}
		if !found {
			return ids
		}
		out := ids[:0]
		for i := 0; i < len(ids); i++ {
			if i+1 < len(ids) && ids[i] == join.left && ids[i+1] == join.right {
				out = append(out, best.id)
				i++
				continue
			}
			out = append(out, ids[i])
		}
		ids = out
	}
}

// TokenToId returns the id of a token in the byte alphabet.
func (m *bpe) TokenToId(token string) (int, bool) {
	id, ok := m.ids[token]
	return id, ok
}

// IdToToken returns the token of an id.
func (m *bpe) IdToToken(id int) (string, bool) {
	if id < 0 || id >= len(m.tokens) {
		return "", false
	}
	return m.tokens[id], true
}

// GetVocab returns a copy of the vocabulary.
func (m *bpe) GetVocab() map[string]int { return maps.Clone(m.ids) }

// GetVocabSize returns the number of ids.
func (m *bpe) GetVocabSize() int { return len(m.tokens) }

// Save writes the merges as merges.txt, after prefix and a hyphen if one is given, into the folder path.
func (m *bpe) Save(path string, prefix ...string) error {
	name := "merges.txt"
	if len(prefix) > 0 && prefix[0] != "" {
		name = prefix[0] + "-" + name
	}
	file := filepath.Join(path, name)
	if err := atomicfile.Write(file, m.write); err != nil {
		return fmt.Errorf("clipenc: save vocabulary: %w", err)
	}
	return nil
}

func (m *bpe) write(w io.Writer) error {
	var b bytes.Buffer
	b.WriteString(mergesHeader + "\n")
	for _, parts := range m.lines {
		b.WriteString(parts[0] + " " + parts[1] + "\n")
	}
	_, err := w.Write(b.Bytes())
	return err
}
