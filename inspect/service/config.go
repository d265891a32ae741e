package service

import (
	"context"
	"errors"
	"fmt"
	"image"
	"log/slog"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/inspect"
)

// ErrConfig reports settings or products that make no sense.
var ErrConfig = errors.New("invalid setting")

// Inspector decides about images. *inspect.Inspector is one.
//
// All methods are called from many goroutines at once. Inspect returns inspect.ErrBusy if
// it cannot take the image now, and the error of ctx once that ends. Where no map is
// asked for, ctx is one of inspect.WithoutMap.
//
// An Inspector that has images after Inspect has returned, because ctx has ended and a
// batch goes on, has a method InspectHeld like *inspect.Inspector's. It is called in place of Inspect,
// and Config.Memory counts an image until its channel is closed.
//
// An Inspector with a method Decoder() dataset.Decoder says how its images are read, for
// instance how many of 16 bits count. Config.MaxPixels holds all the same. The contexts of its
// Inspect are of inspect.DecodedBy, and after inspect.ErrReplaced the image is decoded anew
// and asked about again.
type Inspector interface {
	Inspect(ctx context.Context, img image.Image) (inspect.Verdict, error)
	Info() inspect.Info
	Stats() inspect.Stats
}

// Journal keeps what operators say of parts. *inspect.Journal is one. It is called from many
// goroutines at once. inspect.ErrJournal says that an entry cannot be kept because of
// what it says.
type Journal interface {
	Append(e inspect.Entry) error
}

// Config says what a Handler allows. Begin with DefaultConfig.
type Config struct {
	// MaxBytes is the most bytes of an image as it is sent.
	MaxBytes int64
	// MaxPixels is the most pixels of an image, width times height.
	MaxPixels int
	// Memory is the most bytes that the images of all requests in work may take
	// together: each takes its bytes four times and 32 for every pixel, from its header to
	// the answer, and one whose time is over until no batch that is being scored has it.
	// At least 4*MaxBytes + 32*MaxPixels. A request that does not fit is
	// answered with 503.
	Memory int64
	// Timeout is the longest that a request may take, from its header to the verdict.
	Timeout time.Duration
	// ReadTimeout is the longest that the body may take to arrive, at most Timeout, and
	// WriteTimeout the longest that the answer may take to leave. They go through
	// http.ResponseController; behind middleware that hides it, only Timeout holds.
	ReadTimeout, WriteTimeout time.Duration
	// Tokens are bearer tokens, one of which a request must bear, except for the page, its
	// description and the probes. None: no token is asked for.
	Tokens []string
	// NoPage leaves the page at / out.
	NoPage bool
	// Journals keep feedback, by product. None: there is no such route.
	Journals map[string]Journal
	// Logger gets one line for each request. Nil: nothing is logged.
	Logger *slog.Logger
	// Observer is told of each request. Nil: nobody is.
	Observer Observer
}

// DefaultConfig allows 16 MiB, 2^24 pixels (4096 x 4096), 1 GiB in all, 30 seconds for a
// request and 10 seconds for its body and for its answer.
func DefaultConfig() Config {
	return Config{MaxBytes: 16 << 20, MaxPixels: 1 << 24, Memory: 1 << 30,
		Timeout: 30 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second}
}

const (
	// copies is how often the bytes of an image may be in memory: the decoder reads a
	// copy, and both grow by doubling.
	copies = 4
	// bytesAPixel is what an image takes for each pixel: up to 24 for a moment while it is
	// decoded ([dataset.Decoder]); then 4 for its colours, 4 to 12 for the map, 4 for the
	// image of it, and up to 12 for that as PNG and in base64.
	bytesAPixel = 32
)

// Validate reports settings that make no sense; the error wraps ErrConfig.
func (c Config) Validate() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("service: %w: %s", ErrConfig, fmt.Sprintf(format, args...))
	}
	d := dataset.DefaultDecoder()
	switch {
	case c.MaxBytes < 1 || c.MaxBytes > 1<<32:
		return bad("MaxBytes is %d, want 1 to 2^32", c.MaxBytes)
	case c.MaxPixels < 1 || c.MaxPixels > d.MaxPixels:
		return bad("MaxPixels is %d, want 1 to %d", c.MaxPixels, d.MaxPixels)
	case c.Memory < c.most():
		return bad("Memory is %d, want at least %d*MaxBytes + %d*MaxPixels, which is %d", c.Memory, copies, bytesAPixel, c.most())
	case c.Timeout <= 0 || c.ReadTimeout <= 0 || c.WriteTimeout <= 0:
		return bad("Timeout is %v, ReadTimeout %v, WriteTimeout %v, want more than 0", c.Timeout, c.ReadTimeout, c.WriteTimeout)
	case c.ReadTimeout > c.Timeout:
		return bad("ReadTimeout is %v, want at most Timeout, which is %v", c.ReadTimeout, c.Timeout)
	}
	for name, j := range c.Journals {
		if j == nil {
			return bad("the journal of product %q is nil", name)
		}
	}
	for i, t := range c.Tokens {
		// RFC 6750 allows fewer characters; what a header cannot carry is refused here.
		if len(t) < minToken || strings.ContainsFunc(t, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return bad("token %d of %d is shorter than %d characters, or has others than visible ASCII", i+1, len(c.Tokens), minToken)
		}
	}
	return nil
}

// minToken is the least length of a token: a shorter one can be guessed.
const minToken = 16

// most is what one request takes at most.
func (c Config) most() int64 { return copies*c.MaxBytes + bytesAPixel*int64(c.MaxPixels) }

// maxProduct is the longest name of a product, in bytes.
const maxProduct = 200

// checkProduct refuses a name that cannot be a segment of a path or reads as something
// else in a log.
func checkProduct(name string) error {
	switch {
	case name == "" || name == "." || name == "..":
		return fmt.Errorf("service: %w: %q is no name of a product", ErrConfig, name)
	case len(name) > maxProduct:
		return fmt.Errorf("service: %w: the name of a product has %d bytes, want at most %d", ErrConfig, len(name), maxProduct)
	case !utf8.ValidString(name) || strings.ContainsRune(name, '/') || strings.ContainsFunc(name, unicode.IsControl):
		return fmt.Errorf("service: %w: product %q: the name has a slash or a control character, which a path cannot carry", ErrConfig, name)
	}
	return nil
}
