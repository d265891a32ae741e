package server

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gotab/gotab/inspect"
	"github.com/gotab/gotab/inspect/service"
)

// Settings are the server's flags.
type Settings struct {
	Bundles            []string
	Device             string
	Listen             string
	TokenFile          string
	Cert, Key          string
	LogFormat          string
	StopTimeout, Delay time.Duration // to answer what goes on; before connections are refused
	Journal            bool
	Service            service.Config
	Inspect            inspect.Config
	Threads            int // 0: as many as the processors that the process may use
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

// Parse reads flags and, for those that are not given, the environment.
func Parse(args []string, getenv func(string) string, stderr io.Writer) (Settings, error) {
	s := Settings{Service: service.DefaultConfig(), Inspect: inspect.DefaultConfig()}
	fs := flag.NewFlagSet("inspectd", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.Usage = func() {
		fmt.Fprintf(stderr, "usage: inspectd -bundle FILE [-bundle FILE ...] [flags]\n       inspectd pack -help\n\nEvery flag can be set in the environment: -max-bytes is %sMAX_BYTES. %sBUNDLE takes several files, with %q between them.\n\n",
			prefix, prefix, string(filepath.ListSeparator))
		fs.PrintDefaults()
	}
	bundles := list{of: &s.Bundles}
	fs.Var(&bundles, "bundle", "bundle `FILE` of a product; may be given several times, also as arguments")
	fs.StringVar(&s.Listen, "listen", "127.0.0.1:8080", "`ADDRESS` to listen on; :8080 is all of the machine's")
	fs.StringVar(&s.Device, "device", "auto", "`DEVICE` to compute on: auto, cpu, cuda or cuda:N")
	fs.StringVar(&s.TokenFile, "token-file", "", "`FILE` of bearer tokens, one a line; a request must bear one of them")
	fs.StringVar(&s.Cert, "cert", "", "`FILE` of the TLS certificate; without one it is plain HTTP")
	fs.StringVar(&s.Key, "key", "", "`FILE` of the certificate's key")
	fs.StringVar(&s.LogFormat, "log", "text", "`FORM` of the log on standard error: text or json")
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
	fs.DurationVar(&s.StopTimeout, "stop-timeout", 30*time.Second, "longest `time` to answer what goes on when stopped")
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
	return s, s.validate()
}

func (s *Settings) validate() error {
	switch {
	case len(s.Bundles) == 0:
		return errors.New("there is no bundle: name one with -bundle FILE; inspectd pack makes one")
	case (s.Cert == "") != (s.Key == ""):
		return errors.New("-cert and -key belong together")
	case s.LogFormat != "text" && s.LogFormat != "json":
		return fmt.Errorf("-log is %q, want text or json", s.LogFormat)
	case s.StopTimeout <= 0 || s.Delay < 0:
		return fmt.Errorf("-stop-timeout is %v and -stop-delay %v, want more than 0, and 0 or more", s.StopTimeout, s.Delay)
	}
	if s.TokenFile != "" {
		tokens, err := readTokens(s.TokenFile)
		if err != nil {
			return err
		}
		s.Service.Tokens = tokens
	}
	if err := s.Service.Validate(); err != nil {
		return err
	}
	return s.Inspect.Validate()
}

// readTokens reads one token a line; empty lines and those that begin with # do not
// count.
func readTokens(name string) ([]string, error) {
	const most = 64 << 10
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("-token-file: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, fmt.Errorf("-token-file: %w", err)
	}
	if len(data) > most {
		return nil, fmt.Errorf("-token-file %s has more than %d bytes", name, most)
	}
	var out []string
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			out = append(out, line)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("-token-file %s has no token; leave the flag out to let everybody in", name)
	}
	return out, nil
}
