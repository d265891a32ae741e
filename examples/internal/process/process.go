// Package process is the process around an example: signals, the last word, the exit code.
package process

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// Main calls run with the arguments of the process and a context that an interrupt ends,
// and ends the process. An error is printed after the prefix; the code is 0 without one,
// and where help was asked for, that of [Exit], 2 for one that wraps usage, and 1 for another.
func Main(prefix string, usage error, run func(ctx context.Context, args []string, stdout, stderr io.Writer) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code(prefix, usage, err, os.Stderr))
}

func code(prefix string, usage, err error, stderr io.Writer) int {
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return 0
	}
	fmt.Fprintf(stderr, "%s%v\n", prefix, err)
	var own exit
	if errors.As(err, &own) {
		return own.code
	}
	if usage != nil && errors.Is(err, usage) {
		return 2
	}
	return 1
}

// exit is an error with a code of its own.
type exit struct {
	error
	code int
}

func (e exit) Unwrap() error { return e.error }

// ExitCode is the code.
func (e exit) ExitCode() int { return e.code }

// Exit gives an error a code of its own for [Main], 3 or more, by which scripts know it.
func Exit(code int, err error) error { return exit{err, code} }

// Parse reads the flags of a program that takes nothing else. Its error wraps usage, but for
// flag.ErrHelp, which stays as it is.
func Parse(fs *flag.FlagSet, args []string, usage error) error {
	switch err := fs.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return err
	case err != nil:
		return fmt.Errorf("%w: %w", usage, err)
	case fs.NArg() > 0:
		return fmt.Errorf("%w: %q is not a flag", usage, fs.Arg(0))
	}
	return nil
}

// Wrong returns what makes errors of wrong arguments: they wrap usage, and the text follows it.
func Wrong(usage error) func(format string, a ...any) error {
	return func(format string, a ...any) error { return fmt.Errorf("%w: "+format, append([]any{usage}, a...)...) }
}
