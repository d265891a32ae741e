package server

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gotab/gotab/inspect"
	"github.com/gotab/gotab/inspect/service"
)

// ErrConfig reports settings that make no sense.
var ErrConfig = errors.New("wrong settings")

// Settings say what is served, where, and to whom. Begin with [Default], which serves this machine
// alone.
type Settings struct {
	// Bundles are the files of the products, at least one.
	Bundles []string
	// Device is what bundles are opened on: auto, cpu, cuda or cuda:N.
	Device string
	// Listen is the address; :8080 is all of the machine's. It must not be empty.
	Listen string
	// TokenFile is a file of bearer tokens, one a line, which are asked for beside
	// Service.Tokens; empty for none.
	TokenFile string
	// Cert and Key are the files of the TLS certificate and of its key; both empty for plain HTTP.
	Cert, Key string
	// LogFormat is the form of [Main]'s log: text or json.
	LogFormat string
	// StopTimeout is the longest time, above 0, to answer what goes on when the server is stopped, and Delay the time
	// between /readyz saying no and the end of new connections.
	StopTimeout, Delay time.Duration
	// Journal keeps what operators say beside each bundle, but for products whose journal
	// Service.Journals has.
	Journal bool
	Service service.Config
	Inspect inspect.Config
	// Threads bounds the threads of the whole process, Go's too (tensor.UseThreads), and goes on doing so
	// when Run has returned; 0 keeps what is in force.
	Threads int

	typed bool // Parse made them: errors speak of flags
}

// Default listens on 127.0.0.1:8080 with plain HTTP, asks for no token, takes 30 s to stop, and has the
// defaults of service and inspect. Bundles are the caller's.
func Default() Settings {
	return Settings{Device: "auto", Listen: "127.0.0.1:8080", LogFormat: "text", StopTimeout: 30 * time.Second,
		Service: service.DefaultConfig(), Inspect: inspect.DefaultConfig()}
}

// prefix begins the environment's names of flags: -max-bytes is INSPECTD_MAX_BYTES.
const prefix = "INSPECTD_"

// list is a flag that may be given several times.
type list struct {
	of *[]string
}

func (l *list) String() string {
	if l.of == nil {
		return ""
	}
	return strings.Join(*l.of, string(filepath.ListSeparator))
}

func (l *list) Set(s string) error {
	if s == "" {
		return errors.New("the name is empty")
	}
	*l.of = append(*l.of, s)
	return nil
}

// Parse reads flags and, for those that are not given, the environment. Errors, later ones of [Run] too, speak of
// flags.
func Parse(args []string, getenv func(string) string, stderr io.Writer) (Settings, error) {
	s := Default()
	s.typed = true
	fs := flag.NewFlagSet("inspectd", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.Usage = func() {
		fmt.Fprintf(stderr, "usage: inspectd -bundle FILE [-bundle FILE ...] [flags]\n       inspectd pack -help\n\nEvery flag can be set in the environment: -max-bytes is %sMAX_BYTES. %sBUNDLE takes several files, with %q between them.\n\n",
			prefix, prefix, string(filepath.ListSeparator))
		fs.PrintDefaults()
	}
	bundles := list{of: &s.Bundles}
	fs.Var(&bundles, "bundle", "bundle `FILE` of a product; may be given several times, also as arguments")
	fs.StringVar(&s.Listen, "listen", s.Listen, "`ADDRESS` to listen on; :8080 is all of the machine's")
	fs.StringVar(&s.Device, "device", s.Device, "`DEVICE` to compute on: auto, cpu, cuda or cuda:N")
	fs.StringVar(&s.TokenFile, "token-file", "", "`FILE` of bearer tokens, one a line; a request must bear one of them")
	fs.StringVar(&s.Cert, "cert", "", "`FILE` of the TLS certificate; without one it is plain HTTP")
	fs.StringVar(&s.Key, "key", "", "`FILE` of the certificate's key")
	fs.StringVar(&s.LogFormat, "log", s.LogFormat, "`FORM` of the log on standard error: text or json")
	fs.BoolVar(&s.Journal, "journal", false, "keep what operators say (POST /feedback/{product}) beside each bundle, in FILE.journal")
	fs.BoolVar(&s.Service.NoPage, "no-page", false, "leave the page at / out")
	fs.Int64Var(&s.Service.MaxBytes, "max-bytes", s.Service.MaxBytes, "most `bytes` of an image as it is sent")
	fs.IntVar(&s.Service.MaxPixels, "max-pixels", s.Service.MaxPixels, "most `pixels` of an image")
	fs.Int64Var(&s.Service.Memory, "memory", s.Service.Memory, "most `bytes` of all images in work")
	fs.DurationVar(&s.Service.Timeout, "timeout", s.Service.Timeout, "longest `time` of a request")
	fs.DurationVar(&s.Service.ReadTimeout, "read-timeout", s.Service.ReadTimeout, "longest `time` for a body to arrive")
	fs.DurationVar(&s.Service.WriteTimeout, "write-timeout", s.Service.WriteTimeout, "longest `time` for an answer to leave")
	fs.IntVar(&s.Inspect.Queue, "queue", s.Inspect.Queue, "largest `number` of images of a product that wait")
	fs.IntVar(&s.Inspect.Batch, "batch", s.Inspect.Batch, "largest `number` of images that are scored together")
	fs.IntVar(&s.Inspect.Workers, "workers", s.Inspect.Workers, "`number` of batches of a product that are scored at a time")
	fs.DurationVar(&s.Inspect.Delay, "batch-delay", s.Inspect.Delay, "longest `time` that a batch waits to fill")
	fs.DurationVar(&s.StopTimeout, "stop-timeout", s.StopTimeout, "longest `time` to answer what goes on when stopped")
	fs.DurationVar(&s.Delay, "stop-delay", 0, "`time` between /readyz saying no and the end of new connections")
	fs.IntVar(&s.Threads, "threads", 0, "largest `number` of threads; 0 takes as many as the processors that the process may use")
	if err := fs.Parse(args); err != nil {
		return s, err
	}
	given := map[string]bool{}
	fs.Visit(func(f *flag.Flag) { given[f.Name] = true })
	for _, a := range fs.Args() {
		if err := bundles.Set(a); err != nil {
			return s, err
		}
		given["bundle"] = true
	}
	var err error
	fs.VisitAll(func(f *flag.Flag) {
		name := prefix + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		v := getenv(name)
		if v == "" || given[f.Name] || err != nil {
			return
		}
		values := []string{v}
		if f.Name == "bundle" {
			values = filepath.SplitList(v)
		}
		for _, one := range values {
			if e := f.Value.Set(one); e != nil {
				err = fmt.Errorf("%s is %q: %w", name, v, e)
				return
			}
		}
	})
	if err != nil {
		return s, err
	}
	if len(s.Bundles) == 0 {
		return s, errors.New("there is no bundle: name one with -bundle FILE; inspectd pack makes one")
	}
	s.Service.Tokens, err = s.check()
	return s, err
}

// flags are the fields that [Parse] has under other names.
var flags = map[string]string{"Bundles": "-bundle", "Listen": "-listen", "TokenFile": "-token-file", "Cert": "-cert", "Key": "-key", "LogFormat": "-log",
	"StopTimeout": "-stop-timeout", "Delay": "-stop-delay", "Journal": "-journal", "Threads": "-threads"}

// word is what the user calls a field.
func (s Settings) word(field string) string {
	if s.typed {
		return flags[field]
	}
	return field
}

// about begins an error about a field.
func (s Settings) about(field string) string {
	if s.typed {
		return flags[field]
	}
	return "server: " + field
}

// Validate names the first field that makes no sense, and reads TokenFile. The error wraps [ErrConfig] and, where it is
// theirs, that of package service or inspect.
func (s Settings) Validate() error {
	_, err := s.withTokens()
	return err
}

// withTokens has the tokens of the file in Service.
func (s Settings) withTokens() (Settings, error) {
	tokens, err := s.check()
	if err != nil {
		return s, fmt.Errorf("server: %w: %w", ErrConfig, err)
	}
	s.Service.Tokens = tokens
	return s, nil
}

// check says what makes no sense, and returns all tokens.
func (s Settings) check() (tokens []string, err error) {
	switch {
	case len(s.Bundles) == 0:
		return nil, fmt.Errorf("%s is empty, the files of the products", s.word("Bundles"))
	case s.Listen == "":
		return nil, fmt.Errorf("%s is empty, want an address such as 127.0.0.1:8080, or :8080 for all of the machine's", s.word("Listen"))
	case (s.Cert == "") != (s.Key == ""):
		return nil, fmt.Errorf("%s and %s belong together", s.word("Cert"), s.word("Key"))
	case s.LogFormat != "text" && s.LogFormat != "json":
		return nil, fmt.Errorf("%s is %q, want text or json", s.word("LogFormat"), s.LogFormat)
	case s.StopTimeout <= 0 || s.Delay < 0:
		return nil, fmt.Errorf("%s is %v and %s %v, want more than 0, and 0 or more", s.word("StopTimeout"), s.StopTimeout, s.word("Delay"), s.Delay)
	case s.Threads < 0 || s.Threads > 4096:
		return nil, fmt.Errorf("%s is %d, want 1 to 4096, or 0", s.word("Threads"), s.Threads)
	}
	tokens = slices.Clone(s.Service.Tokens)
	if s.TokenFile != "" {
		more, err := readTokens(s.word("TokenFile"), s.TokenFile)
		if err != nil {
			return nil, err
		}
		for _, t := range more {
			if !slices.Contains(tokens, t) {
				tokens = append(tokens, t)
			}
		}
	}
	s.Service.Tokens = tokens // of a copy
	if err := s.Service.Validate(); err != nil {
		return nil, err
	}
	return tokens, s.Inspect.Validate()
}

// readTokens reads one token a line; empty lines and those that begin with # do not
// count. word is what the user calls the file.
func readTokens(word, name string) ([]string, error) {
	const most = 64 << 10
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", word, err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", word, err)
	}
	if len(data) > most {
		return nil, fmt.Errorf("%s %s has more than %d bytes", word, name, most)
	}
	var out []string
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			out = append(out, line)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s %s has no token; leave it out to let everybody in", word, name)
	}
	return out, nil
}
