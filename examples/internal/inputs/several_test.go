package inputs

import (
	"flag"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSeveral(t *testing.T) {
	var l List
	var s Several
	parse := func(args ...string) error {
		l, s = nil, nil
		fs := flag.NewFlagSet("test", flag.ContinueOnError)
		fs.SetOutput(io.Discard)
		fs.Var(&l, "l", "")
		fs.Var(&s, "s", "")
		return fs.Parse(args)
	}
	require.NoError(t, parse("-l", "a, b", "-l", "c", "-s", "x,y", "-s", "z"))
	require.Equal(t, List{"a", "b", "c"}, l)
	require.Equal(t, Several{"x,y", "z"}, s)
	require.Equal(t, "a,b,c x,y, z", l.String()+" "+s.String())
	require.ErrorContains(t, parse("-l", "a,"), "a name is empty")
	require.ErrorContains(t, parse("-s", ""), "it is empty")
	require.ErrorIs(t, parse("-h"), flag.ErrHelp)
}
