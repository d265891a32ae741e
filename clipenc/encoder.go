package clipenc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/gotab/gotab/tensor"
)

// TextEncoder is a text tower with its tokeniser. It is safe for concurrent use; Close waits for the Encode calls that
// are under way.
type TextEncoder struct {
	cfg    Config
	tok    *Tokenizer
	params *tensor.Params

	mu     sync.RWMutex // held for reading by Encode, for writing by Close
	closed bool
}

// Open reads the text tower that cfg describes and its tokeniser, and puts the weights on a device.
//
// The path is a safetensors file, the index.json of a sharded one, or a folder with model.safetensors,
// open_clip_model.safetensors or the index of one of them. Whether the tensors have OpenAI's, OpenCLIP's or Hugging
// Face's names is told by the names; 16-bit and 64-bit floats are converted to float32. Tensors of the image tower are
// not read. Every missing, unexpected and misshapen name is reported at once in an error that wraps ErrWeights; a
// vocabulary that does not fit wraps ErrVocabulary. After an error nothing is held.
//
// The caller closes the encoder.
func Open(path string, cfg Config, dev tensor.Device) (*TextEncoder, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	e, err := open(path, cfg, dev)
	if err != nil {
		return nil, fmt.Errorf("clipenc: open %s: %w", path, err)
	}
	return e, nil
}

func open(path string, cfg Config, dev tensor.Device) (e *TextEncoder, err error) {
	tok, err := openVocabulary(path, cfg)
	if err != nil {
		return nil, err
	}
	s, err := openStore(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	sources, err := s.plan(cfg)
	if err != nil {
		return nil, err
	}
	params := tensor.NewParams(dev)
	err = tensor.Run(context.Background(), dev, tensor.Evaluation, func(sc *tensor.Scope) error {
		for _, src := range sources {
			values, err := s.read(src)
			if err != nil {
				return err
			}
			if err := params.Put(sc, src.name, sc.FromFloats(values, src.shape...)); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		err = params.SetTrainable(func(string) bool { return false })
	}
	if err != nil {
		return nil, errors.Join(err, params.Close())
	}
	return &TextEncoder{cfg: cfg, tok: tok, params: params}, nil
}

// openVocabulary reads the tokeniser that cfg names, or the one that lies beside the weights.
func openVocabulary(path string, cfg Config) (*Tokenizer, error) {
	file := cfg.Vocabulary
	if file == "" {
		var err error
		if file, err = findVocabulary(path); err != nil {
			return nil, err
		}
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("vocabulary: %w", err)
	}
	defer f.Close()
	tok, err := NewTokenizer(f)
	if err != nil {
		return nil, fmt.Errorf("vocabulary %s: %w", file, err)
	}
	if tok.VocabSize() != cfg.Vocab {
		return nil, fmt.Errorf("vocabulary %s has %d ids, Vocab is %d: %w", file, tok.VocabSize(), cfg.Vocab, ErrVocabulary)
	}
	return tok, nil
}

func findVocabulary(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	dir := path
	if !info.IsDir() {
		dir = filepath.Dir(path)
	}
	names := []string{"tokenizer.json", "merges.txt", "bpe_simple_vocab_16e6.txt.gz"}
	for _, n := range names {
		p := filepath.Join(dir, n)
		if _, err := os.Stat(p); err == nil {
			return p, nil
		} else if !errors.Is(err, os.ErrNotExist) {
			return "", err
		}
	}
	return "", fmt.Errorf("no vocabulary beside the weights (%s); set Config.Vocabulary: %w", strings.Join(names, ", "), ErrVocabulary)
}

// Encode returns the feature of each text: Embed numbers, not normalised. A text of more than Context-2 tokens is cut
// as Tokenizer.Encode says.
//
// Texts go through the tower in batches of at most Config.Batch, texts of like length together, because what comes
// after a text's end token cannot change its feature and need not be computed. ctx is looked at between batches; on
// cancellation nothing is returned. The same list of texts gives the same bits on the CPU with the same number of
// threads; a text's feature may differ in the last bits with its company. Texts that are refused wrap ErrText, the use
// of a closed encoder ErrClosed.
func (e *TextEncoder) Encode(ctx context.Context, texts []string) ([][]float32, error) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if e.closed {
		return nil, fmt.Errorf("clipenc: encode: %w", ErrClosed)
	}
	tokens := make([]Tokens, len(texts))
	for i, text := range texts {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("clipenc: encode: %w", err)
		}
		var err error
		if tokens[i], err = e.tok.EncodeTo(text, e.cfg.Context); err != nil {
			return nil, fmt.Errorf("clipenc: encode text %d of %d: %w", i+1, len(texts), err)
		}
	}
	order := make([]int, len(texts))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(tokens[a].End, tokens[b].End) })
	features := make([][]float32, len(texts))
	for part := range slices.Chunk(order, e.cfg.Batch) {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("clipenc: encode: %w", err)
		}
		batch := make([]Tokens, len(part))
		for i, at := range part {
			batch[i] = tokens[at]
		}
		rows, err := e.encodeBatch(ctx, batch)
		if err != nil {
			return nil, fmt.Errorf("clipenc: encode: %w", err)
		}
		for i, at := range part {
			features[at] = rows[i]
			for _, v := range rows[i] {
				if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
					return nil, fmt.Errorf("clipenc: encode text %d of %d: the tower returns %g: %w", at+1, len(texts), v, ErrWeights)
				}
			}
		}
	}
	return features, nil
}

// Config returns what the encoder was opened with.
func (e *TextEncoder) Config() Config { return e.cfg }

// Tokenizer returns the encoder's tokeniser, which may be used after Close.
func (e *TextEncoder) Tokenizer() *Tokenizer { return e.tok }

// Params returns the weights under OpenAI's names. They belong to the encoder, are frozen, and must not be changed
// while it encodes.
func (e *TextEncoder) Params() *tensor.Params { return e.params }

// Close frees the weights. Closing twice is harmless.
func (e *TextEncoder) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil
	}
	e.closed = true
	if err := e.params.Close(); err != nil {
		return fmt.Errorf("clipenc: close: %w", err)
	}
	return nil
}
