package clipenc

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/sugarme/tokenizer"
	"github.com/sugarme/tokenizer/normalizer"
	"github.com/sugarme/tokenizer/pretokenizer"
)

const (
	// ContextLength is the number of token ids that CLIP's text towers read.
	ContextLength = 77
	// MaxText bounds a text, in bytes.
	MaxText = 1 << 16
)

// wordPattern cuts a cleaned text into words: special tokens, English contractions, runs of letters, single digits,
// runs of anything else that is no space. The combining iota U+0345 belongs to no word: the published pattern ignores
// case everywhere, which makes that mark, alone in all of Unicode, neither a letter nor anything else.
const wordPattern = `(?i:<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d)|\p{L}+|\p{N}|[^\s\p{L}\p{N}\x{345}]+`

// Tokenizer turns text into the token ids of CLIP (Radford et al., "Learning Transferable Visual Models From Natural
// Language Supervision", ICML 2021). The ids equal the published tokeniser's on text that its repair of wrongly decoded
// characters (the ftfy package) leaves as it is. What is a letter or a digit is decided by the Unicode tables of the Go
// release, for characters newer than those of the reference too.
//
// It is a github.com/sugarme/tokenizer pipeline around the byte-pair encoding of this package. A Tokenizer is read-only
// and safe for concurrent use.
type Tokenizer struct {
	model    *bpe
	pipeline *tokenizer.Tokenizer
}

// NewTokenizer reads the merges of CLIP's vocabulary, in any of three forms told apart by their content: OpenAI's
// bpe_simple_vocab_16e6.txt.gz (also unpacked), a merges.txt with one merge a line, or a Hugging Face tokenizer.json.
// Of a list longer than CLIP's 48,894 merges the first 48,894 are used. Shorter lists of one's own are fine: the start
// and end tokens follow the last merge.
//
// Reading stops at 64 MiB. The error wraps ErrVocabulary where the content is at fault.
func NewTokenizer(merges io.Reader) (*Tokenizer, error) {
	list, err := readMerges(merges)
	if err != nil {
		return nil, err
	}
	model, err := newBPE(list)
	if err != nil {
		return nil, err
	}
	p := tokenizer.NewTokenizer(model)
	p.WithPreTokenizer(pretokenizer.NewSplit(normalizer.NewRegexpPattern(wordPattern), normalizer.RemovedBehavior, true))
	return &Tokenizer{model: model, pipeline: p}, nil
}

// Tokens is a text as a text tower reads it.
type Tokens struct {
	// IDs holds the start token, the text's tokens, the end token, and zeros up to the context length.
	IDs []int
	// End is the position in IDs of the first end token; the tower's output there is the text's feature. OpenAI and
	// OpenCLIP look for the largest id, Hugging Face for the first end token, or the largest id where its settings carry
	// the old eos_token_id 2: the end token has the largest id, so all three mean this position, whatever follows it.
	End int
	// Cut says that the text had more tokens than the context takes and that its rest was left away.
	Cut bool
}

// Encode returns the ids of a text for a context of 77. A text that is too long keeps its first 75 tokens and the
// end token comes last, as the published tokeniser does when it is told to truncate. The error wraps ErrText.
func (t *Tokenizer) Encode(text string) (Tokens, error) { return t.EncodeTo(text, ContextLength) }

// EncodeTo is Encode for a context of another length, at least 2.
func (t *Tokenizer) EncodeTo(text string, context int) (Tokens, error) {
	if context < 2 || context > MaxText {
		return Tokens{}, fmt.Errorf("clipenc: tokenise: context length %d, must be from 2 to %d: %w", context, MaxText, ErrConfig)
	}
	ids, err := t.Pieces(text)
	if err != nil {
		return Tokens{}, err
	}
	out := Tokens{IDs: make([]int, context), Cut: len(ids) > context-2}
	if out.Cut {
		ids = ids[:context-2]
	}
	out.IDs[0] = t.StartID()
	copy(out.IDs[1:], ids)
	out.IDs[1+len(ids)] = t.EndID()
	out.End = slices.Index(out.IDs, t.EndID())
	return out, nil
}

// Pieces returns the ids of a text as they are: without start and end, neither cut nor filled up.
func (t *Tokenizer) Pieces(text string) (ids []int, err error) {
	if len(text) > MaxText {
		return nil, fmt.Errorf("clipenc: tokenise: text has %d bytes, at most %d are allowed: %w", len(text), MaxText, ErrText)
	}
	// The pipeline's code panics on some states that it takes to be impossible.
	defer func() {
		if r := recover(); r != nil {
			ids, err = nil, fmt.Errorf("clipenc: tokenise %.60q: the pipeline failed: %v: %w", text, r, ErrText)
		}
	}()
	cleaned := clean(text)
	if cleaned == "" {
		return nil, nil
	}
	e, err := t.pipeline.EncodeSingleSequence(tokenizer.NewInputSequence(cleaned), 0, tokenizer.Byte)
	if err != nil {
		return nil, fmt.Errorf("clipenc: tokenise %.60q: %w: %w", text, err, ErrText)
	}
	return e.Ids, nil
}

// Decode returns the text that ids stand for, lower-cased as it was encoded, with one space after each word. Start,
// end and ids outside the vocabulary are left out.
func (t *Tokenizer) Decode(ids []int) string {
	var raw strings.Builder
	for _, id := range ids {
		if id < 0 || id >= t.StartID() {
			continue
		}
		token, ends := strings.CutSuffix(t.model.tokens[id], endOfWord)
		for _, symbol := range token {
			raw.WriteByte(t.model.bytes[symbol])
		}
		if ends {
			raw.WriteByte(' ')
		}
	}
	return strings.ToValidUTF8(raw.String(), "\ufffd")
}

// VocabSize returns the number of ids: 49,408 for CLIP's own vocabulary.
func (t *Tokenizer) VocabSize() int { return t.model.GetVocabSize() }

// StartID returns the id that opens every text.
func (t *Tokenizer) StartID() int { return t.model.GetVocabSize() - 2 }

// EndID returns the id that closes every text, the largest of all.
func (t *Tokenizer) EndID() int { return t.model.GetVocabSize() - 1 }
