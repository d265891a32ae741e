package tab_test

import (
	"os"
	"testing"

	"github.com/gotab/gotab/internal/testutil"
)

func TestMain(m *testing.M) { os.Exit(testutil.OneThread(m)) }
