package process

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCode(t *testing.T) {
	usage := errors.New("wrong arguments")
	for _, c := range []struct {
		err, usage error
		code       int
		says       string
	}{
		{nil, usage, 0, ""}, {fmt.Errorf("flags: %w", flag.ErrHelp), usage, 0, ""}, {fmt.Errorf("%w: -x", usage), usage, 2, "p: wrong arguments: -x\n"},
		{errors.New("no luck"), usage, 1, "p: no luck\n"}, {errors.New("no luck"), nil, 1, "p: no luck\n"},
	} {
		var out bytes.Buffer
		require.Equal(t, c.code, code("p: ", c.usage, c.err, &out))
		require.Equal(t, c.says, out.String())
	}
}

func TestExitKeepsTheError(t *testing.T) {
	cause := errors.New("cause")
	err := Exit(3, cause)
	require.EqualError(t, err, "cause")
	require.ErrorIs(t, err, cause)
	require.Equal(t, 3, err.(interface{ ExitCode() int }).ExitCode())
}

func TestParse(t *testing.T) {
	usage := errors.New("wrong")
	parse := func(args ...string) error {
		fs := flag.NewFlagSet("x", flag.ContinueOnError)
		fs.SetOutput(io.Discard)
		fs.Int("n", 0, "")
		return Parse(fs, args, usage)
	}
	require.NoError(t, parse("-n", "3"))
	require.ErrorIs(t, parse("-n", "x"), usage)
	require.ErrorContains(t, parse("-n", "3", "more"), `wrong: "more" is not a flag`)
	require.ErrorIs(t, parse("-h"), flag.ErrHelp)
	require.NotErrorIs(t, parse("-h"), usage)
}

func TestWrong(t *testing.T) {
	usage, cause := errors.New("wrong"), errors.New("cause")
	err := Wrong(usage)("-x is %d: %w", 3, cause)
	require.EqualError(t, err, "wrong: -x is 3: cause")
	require.ErrorIs(t, err, usage)
	require.ErrorIs(t, err, cause)
}
