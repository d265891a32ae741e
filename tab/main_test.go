package tab_test

import (
	"flag"
	"os"
	"testing"

	"github.com/gotab/gotab/internal/testutil"
)

func TestMain(m *testing.M) { os.Exit(testutil.OneThread(m)) }

// long lets tests that compare many steps take all of them.
var long = flag.Bool("long", false, "compare 20 steps where a few are enough for every day")
