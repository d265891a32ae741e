package testutil

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"testing"
	"time"
)

// turned matches oneDNN's line about a weight that is turned from one packed layout
// to another, which a convolution does on each call when its weight was packed for
// another problem. Layouts with numbers are packed.
var turned = regexp.MustCompile(`exec,cpu,reorder,[^,]*,[^,]*,src_f32:[^:]*:blocked:[A-Za-z]*[0-9]\S* dst_f32:[^:]*:blocked:[A-Za-z]*[0-9].*`)

const (
	childVariable = "GOTAB_TEST_ONEDNN"
	markFirst     = "gotab: first round"
	markAgain     = "gotab: again"
)

// NoReorders runs the calling test again in processes of their own, in which
// oneDNN writes down what it does: with the instructions of this processor and
// with those of AVX2 alone, which choose other layouts. There prepare is called,
// and what it returns twice; the second time no packed weight may be turned.
func NoReorders(t *testing.T, prepare func() (round func())) {
	t.Helper()
	if os.Getenv(childVariable) != "" {
		round := prepare()
		fmt.Println(markFirst)
		round()
		fmt.Println(markAgain)
		round()
		return
	}
	for _, isa := range []string{"ALL", "AVX2"} {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^"+t.Name()+"$", "-test.count=1")
		cmd.Env = append(os.Environ(), childVariable+"=1", "ONEDNN_VERBOSE=1", "ONEDNN_MAX_CPU_ISA="+isa)
		out, err := cmd.CombinedOutput()
		cancel()
		if err != nil {
			t.Fatalf("%s: %v\n%s", isa, err, tail(out))
		}
		first, again, ok := bytes.Cut(out, []byte(markAgain))
		conv := []byte("exec,cpu,convolution")
		if !ok || !bytes.Contains(first, conv) || !bytes.Contains(again, conv) {
			t.Fatalf("%s: oneDNN wrote down no convolution:\n%s", isa, tail(out))
		}
		if bad := turned.FindAll(again, -1); len(bad) > 0 {
			t.Errorf("%s: %d weights were turned on the way, the first by %s", isa, len(bad), bad[0])
		}
	}
}

func tail(b []byte) []byte { return b[max(0, len(b)-4000):] }
