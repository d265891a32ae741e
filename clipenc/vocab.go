package clipenc

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

const (
	// maxMerges is how many merges CLIP uses: 49,152 ids of its vocabulary less 256 bytes and two. The published file
	// goes on for another 213,000 lines that no model knows.
	maxMerges = 49152 - 256 - 2
	// maxVocabulary bounds what is read of a vocabulary, in bytes after decompression. The published merges have 3.2
	// MB, tokenizer.json has 2 to 4.
	maxVocabulary = 64 << 20
	// maxToken bounds one token in bytes; the longest of the published vocabulary has 88.
	maxToken = 1 << 10
	// mergesHeader opens the merges files that Save writes, as it does those of other makers.
	mergesHeader = "#version: 0.2"
)

// readMerges reads the merges of a vocabulary file, best first. The kind is told by the first bytes: gzip, a JSON
// object, or text.
func readMerges(r io.Reader) ([][2]string, error) {
	br := bufio.NewReader(r)
	head, err := br.Peek(2)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("clipenc: read vocabulary: %w", err)
	}
	var text io.Reader = br
	if bytes.Equal(head, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(br)
		if err != nil {
			return nil, fmt.Errorf("clipenc: read vocabulary: gzip: %w: %w", err, ErrVocabulary)
		}
		text = z
	}
	raw, err := io.ReadAll(io.LimitReader(text, maxVocabulary+1))
	if err != nil {
		if isCorrupt(err) {
			return nil, fmt.Errorf("clipenc: read vocabulary: gzip: %w: %w", err, ErrVocabulary)
		}
		return nil, fmt.Errorf("clipenc: read vocabulary: %w", err)
	}
	if len(raw) > maxVocabulary {
		return nil, fmt.Errorf("clipenc: read vocabulary: holds more than %d MiB: %w", maxVocabulary>>20, ErrVocabulary)
	}
	if !utf8.Valid(raw) {
		return nil, fmt.Errorf("clipenc: read vocabulary: is not UTF-8 text: %w", ErrVocabulary)
	}
	if bytes.HasPrefix(bytes.TrimLeft(raw, " \t\r\n\ufeff"), []byte("{")) {
		return jsonMerges(raw)
	}
	return textMerges(string(raw))
}

// isCorrupt tells damaged data from a reader that failed.
func isCorrupt(err error) bool {
	return errors.Is(err, gzip.ErrChecksum) || errors.Is(err, gzip.ErrHeader) || errors.Is(err, io.ErrUnexpectedEOF) ||
		strings.HasPrefix(err.Error(), "flate: corrupt")
}

// textMerges reads one merge a line. A first line that names a version is skipped, and so is an empty last one; what
// comes after CLIP's number of merges is not looked at.
func textMerges(text string) ([][2]string, error) {
	var merges [][2]string
	line := 0
	for text != "" && len(merges) < maxMerges {
		var s string
		s, text, _ = strings.Cut(text, "\n")
		s = strings.TrimSuffix(s, "\r")
		line++
		if line == 1 && strings.Contains(s, "#version") {
			continue
		}
		if s == "" && text == "" {
			break
		}
		parts, err := mergeParts(s)
		if err != nil {
			return nil, fmt.Errorf("clipenc: read vocabulary: line %d: %w", line, err)
		}
		merges = append(merges, parts)
	}
	if len(merges) == 0 {
		return nil, fmt.Errorf("clipenc: read vocabulary: holds no merge: %w", ErrVocabulary)
	}
	return merges, nil
}

func mergeParts(s string) ([2]string, error) {
	left, right, ok := strings.Cut(s, " ")
	if !ok || left == "" || right == "" || strings.Contains(right, " ") {
		return [2]string{}, fmt.Errorf("%.60q is no merge of two tokens: %w", s, ErrVocabulary)
	}
	if len(s) > maxToken {
		return [2]string{}, fmt.Errorf("merge has %d bytes, at most %d are allowed: %w", len(s), maxToken, ErrVocabulary)
	}
	return [2]string{left, right}, nil
}

// tokenizerJSON is the part of a Hugging Face tokenizer.json that decides ids.
type tokenizerJSON struct {
	Model *struct {
		Type       string            `json:"type"`
		EndOfWord  string            `json:"end_of_word_suffix"`
		Continuing string            `json:"continuing_subword_prefix"`
		Vocab      map[string]int    `json:"vocab"`
		Merges     []json.RawMessage `json:"merges"`
	} `json:"model"`
}

// jsonMerges reads the merges of a tokenizer.json, each written as "a b" or as ["a", "b"], and holds its ids against
// those that the merges imply: a model of another layout is refused instead of read wrongly.
func jsonMerges(raw []byte) ([][2]string, error) {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("clipenc: read vocabulary: tokenizer.json: "+format+": %w", append(args, ErrVocabulary)...)
	}
	var file tokenizerJSON
	if err := json.Unmarshal(bytes.TrimPrefix(raw, []byte("\ufeff")), &file); err != nil {
		return nil, fail("%w", err)
	}
	m := file.Model
	switch {
	case m == nil:
		return nil, fail("has no model")
	case m.Type != "" && m.Type != "BPE":
		return nil, fail("model is %.40q, not BPE", m.Type)
	case m.EndOfWord != endOfWord:
		return nil, fail("end_of_word_suffix is %.40q, CLIP's is %q", m.EndOfWord, endOfWord)
	case m.Continuing != "":
		return nil, fail("continuing_subword_prefix is %.40q, CLIP has none", m.Continuing)
	case len(m.Merges) == 0:
		return nil, fail("holds no merge")
	case len(m.Merges) > maxMerges:
		return nil, fail("holds %d merges, at most %d are allowed", len(m.Merges), maxMerges)
	}
	merges := make([][2]string, 0, len(m.Merges))
	for i, entry := range m.Merges {
		var s string
		if err := json.Unmarshal(entry, &s); err != nil {
			var two []string
			if err := json.Unmarshal(entry, &two); err != nil || len(two) != 2 {
				return nil, fail("merge %d is %.60s, neither \"a b\" nor [\"a\", \"b\"]", i+1, entry)
			}
			s = two[0] + " " + two[1]
		}
		parts, err := mergeParts(s)
		if err != nil {
			return nil, fmt.Errorf("clipenc: read vocabulary: tokenizer.json: merge %d: %w", i+1, err)
		}
		merges = append(merges, parts)
	}
	model, err := newBPE(merges)
	if err != nil {
		return nil, err
	}
	if len(m.Vocab) != model.GetVocabSize() {
		return nil, fail("vocab has %d tokens, its merges make %d", len(m.Vocab), model.GetVocabSize())
	}
	for id, token := range model.tokens {
		if got, ok := m.Vocab[token]; !ok || got != id {
			return nil, fail("vocab has token %q at %d (found %t), CLIP's layout has it at %d", token, got, ok, id)
		}
	}
	return merges, nil
}
