package process

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
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
