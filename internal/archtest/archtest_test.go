package archtest_test

import (
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/internal/archtest"
)

func TestTheArrows(t *testing.T) {
	root := filepath.Join("..", "..")
	_, err := os.Stat(filepath.Join(root, "go.mod"))
	require.NoError(t, err, "the test must run inside the module")
	r, err := archtest.Check(os.DirFS(root))
	require.NoError(t, err)
	// A walk that saw nothing would find nothing.
	for _, p := range []string{"backbone", "clipenc", "dataset", "downstream", "downstream/heatmap", "evaluate/report", "inspect", "inspect/internal/batch", "internal/archtest", "metrics", "prompt", "synth", "tab", "tensor"} {
		require.Contains(t, r.Packages, p)
	}
	for _, v := range r.Violations {
		t.Error(v)
	}
}

// Each arrow that must not be is drawn once, and each that may be.
func TestCheckFindsViolations(t *testing.T) {
	const own = "github.com/gotab/gotab/"
	const gotch = "github.com/sugarme/gotch"
	cases := []struct {
		file, imports string
		why           string // part of the violation, "" where the import is allowed
	}{
		{"tensor/internal/native/a.go", gotch + "/libtch", ""},
		{"tensor/internal/native/a.go", "C", ""},
		{"tensor/internal/native/a.go", own + "tensor", "no arrow"},
		{"tensor/internal/native/a.go", gotch + "/ts", "native code is met in tensor/internal/native alone"},
		{"tensor/a.go", own + "tensor/internal/native", ""},
		{"tensor/a.go", gotch + "/libtch", "native code is met in"},
		{"tensor/a.go", "C", "native code is met in"},
		{"tensor/a.go", gotch, "native code"},
		{"tensor/a_test.go", gotch + "/ts", "native code"},
		{"tensor/a.go", own + "backbone", "no arrow goes from tensor to backbone"},
		{"tensor/dist/internal/c10d/a.go", "C", ""},
		{"tensor/dist/internal/c10d/a.go", own + "tensor", "without native code"},
		{"tensor/dist/a.go", "C", "native code is met in"},
		{"tensor/dist/a.go", "net", ""},
		{"tensor/dist/a.go", own + "tensor/dist/internal/c10d", ""},
		{"tensor/dist/a_test.go", own + "tab", ""},
		{"tab/a.go", own + "tensor/dist", "connects processes"},
		{"examples/pretrain/main.go", own + "tensor/dist", ""},
		{"tab/a.go", own + "internal/ranktest", "tests alone"},
		{"tensor/libtorch/a.go", own + "tensor", "without native code"},
		{"tensor/libtorch/a.go", own + "tensor/libtorch/internal/wheels", ""},
		{"tensor/libtorch/a.go", "net/http", ""},
		{"backbone/a.go", own + "tensor", ""},
		{"backbone/a.go", own + "tensor/libtorch", "no arrow"},
		{"backbone/a.go", own + "internal/safetensors", ""},
		{"backbone/a.go", gotch + "/libtch", "native code"},
		{"backbone/a_test.go", gotch + "/libtch", "native code"},
		{"backbone/a.go", own + "dataset", "no arrow"},
		{"backbone/a_test.go", own + "dataset", ""},
		{"backbone/a_test.go", own + "examples/quickstart", "no arrow"},
		{"backbone/a.go", own + "internal/testutil", "tests alone"},
		{"backbone/a_test.go", own + "internal/testutil", ""},
		{"metrics/a.go", own + "internal/hostile", "tests alone"},
		{"backbone/a.go", own + "internal/onnx/onnxtest", "tests alone"},
		{"metrics/a_test.go", own + "internal/hostile", ""},
		{"backbone/a.go", own + "internal/faulttest", "tests alone"},
		{"dataset/a_test.go", own + "internal/faulttest", ""},
		{"dataset/a.go", own + "dataset/drawn", "no arrow"},
		{"dataset/drawn/a.go", own + "dataset", ""},
		{"dataset/drawn/a_test.go", own + "tensor", "without native code"},
		{"examples/pretrain/a_test.go", own + "internal/faulttest", ""},
		{"clipenc/a.go", "github.com/sugarme/tokenizer/normalizer", ""},
		{"tab/a.go", "github.com/sugarme/tokenizer", "not among"},
		{"tab/a.go", own + "synth", ""},
		{"tab/a.go", own + "clipenc", "no arrow goes from tab to clipenc"},
		{"tab/a.go", own + "downstream", "no arrow"},
		{"tab/a_test.go", own + "downstream", ""},
		{"downstream/a.go", own + "metrics", ""},
		{"downstream/a.go", own + "tab", "no arrow"},
		{"downstream/a.go", "gonum.org/v1/gonum/mat", ""},
		{"downstream/a.go", own + "downstream/heatmap", "no arrow goes from downstream to downstream/heatmap"},
		{"downstream/a.go", own + "downstream/internal/feed", ""},
		{"downstream/a.go", own + "downstream/classify", "no arrow goes from downstream to downstream/classify"},
		{"downstream/a_test.go", own + "downstream/classify", ""},
		{"downstream/classify/a.go", own + "downstream", ""},
		{"downstream/classify/a.go", own + "downstream/internal/engine", ""},
		{"downstream/classify/a.go", own + "metrics", "no arrow"},
		{"downstream/internal/engine/a.go", own + "downstream/internal/feed", ""},
		{"downstream/internal/engine/a.go", own + "downstream", "no arrow goes from downstream/internal/engine to downstream"},
		{"downstream/internal/feed/a.go", own + "dataset", ""},
		{"downstream/internal/feed/a.go", own + "metrics", "no arrow"},
		{"downstream/heatmap/a.go", own + "downstream", ""},
		{"downstream/heatmap/a.go", own + "dataset", ""},
		{"downstream/heatmap/a.go", own + "metrics", "no arrow"},
		{"downstream/heatmap/a.go", "golang.org/x/image/font/basicfont", ""},
		{"downstream/heatmap/a.go", "gonum.org/v1/plot", "not among"},
		{"downstream/surprise/a.go", "fmt", "no place"},
		{"downstream/a.go", "gonum.org/v1/plot", "not among"},
		{"downstream/a_test.go", "gonum.org/v1/plot", "not among"},
		{"metrics/a.go", "gonum.org/v1/plot/vg", "not among"},
		{"internal/seed/a.go", "gonum.org/v1/plot", "not among"},
		{"tensor/libtorch/a.go", "gonum.org/v1/plot", "not among"},
		{"evaluate/report/a.go", "gonum.org/v1/plot/vg/vgimg", ""},
		{"evaluate/report/a.go", own + "downstream/heatmap", ""},
		{"evaluate/report/a.go", own + "evaluate", ""},
		{"evaluate/report/a.go", own + "tab", "no arrow"},
		{"evaluate/a.go", "gonum.org/v1/plot", "not among"},
		{"evaluate/a.go", own + "dataset", ""},
		{"evaluate/a.go", own + "metrics", ""},
		{"evaluate/a.go", own + "downstream", "without native code"},
		{"evaluate/a_test.go", own + "downstream", "without native code"},
		{"evaluate/a.go", own + "evaluate/report", "without native code"},
		{"evaluate/a.go", own + "synth", "no arrow"},
		{"evaluate/detectors/a.go", own + "evaluate", ""},
		{"evaluate/detectors/a.go", own + "downstream", ""},
		{"evaluate/detectors/a.go", own + "evaluate/report", "fonts of plots"},
		{"evaluate/detectors/a_test.go", own + "evaluate/report", "fonts of plots"},
		{"evaluate/detectors/a.go", "gonum.org/v1/plot", "not among"},
		{"evaluate/surprise/a.go", "fmt", "no place"},
		{"evaluate/session/a.go", own + "evaluate/report", ""},
		{"evaluate/session/a.go", "gonum.org/v1/plot", "not among"},
		{"evaluate/session/a.go", own + "tab", "no arrow"},
		{"evaluate/session/a.go", own + "scalars", ""},
		{"evaluate/figures/a.go", own + "scalars", "no arrow"},
		{"evaluate/article/a.go", own + "downstream/classify/compare", ""},
		{"evaluate/sweep/a.go", own + "evaluate/controls", ""},
		{"evaluate/detectors/a.go", own + "evaluate/session", "does what a program does"},
		{"evaluate/detectors/a.go", own + "tab/training", "does what a program does"},
		{"evaluate/controls/a.go", own + "evaluate/detectors", "no arrow"},
		{"tab/a.go", own + "tab/training", "does what a program does"},
		{"tab/training/a.go", own + "tab/card", ""},
		{"tab/training/a.go", own + "tensor/dist", "connects processes"},
		{"tab/training/a.go", own + "clipenc", "no arrow"},
		{"downstream/classify/compare/a.go", own + "downstream/classify", ""},
		{"downstream/a.go", own + "downstream/classify/compare", "does what a program does"},
		{"synth/sheet/a.go", own + "dataset", ""},
		{"synth/sheet/a.go", own + "tab", "without native code"},
		{"synth/a.go", own + "synth/sheet", "no arrow"},
		{"inspect/pack/a.go", own + "inspect", ""},
		{"inspect/pack/a.go", own + "inspect/service", "answers requests"},
		{"inspect/server/a.go", own + "inspect/service", ""},
		{"inspect/server/a.go", "net/http", ""},
		{"inspect/server/a.go", own + "examples/internal/inputs", "no arrow"},
		{"inspect/service/a.go", own + "inspect/server", "does what a program does"},
		{"examples/inspectd/main.go", own + "inspect/server", ""},
		{"inspect/a.go", own + "downstream/heatmap", ""},
		{"inspect/a.go", own + "inspect/internal/batch", ""},
		{"inspect/a.go", own + "evaluate", "no arrow"},
		{"inspect/a.go", own + "tab", "no arrow"},
		{"inspect/a.go", "net/http", "no connection"},
		{"inspect/internal/drift/a.go", own + "inspect", "without native code"},
		{"downstream/a.go", own + "inspect", "no arrow"},
		{"downstream/a.go", own + "evaluate", "no arrow"},
		{"tab/a.go", own + "evaluate/report", "fonts of plots"},
		{"examples/evaluate/main.go", own + "evaluate/report", ""},
		{"examples/pretrain/main.go", own + "evaluate/detectors", ""},
		{"examples/pretrain/main.go", "gonum.org/v1/plot", ""},
		{"examples/evaluate/main.go", own + "downstream/heatmap", ""},
		{"downstream/a.go", "net/http", "no connection"},
		{"inspect/a.go", own + "downstream", ""},
		{"inspect/a.go", own + "inspect/service", "answers requests"},
		{"inspect/a.go", "net/http", "no connection"},
		{"inspect/service/a.go", "net/http", ""},
		{"inspect/service/a.go", own + "inspect", ""},
		{"inspect/service/a.go", own + "backbone", "no arrow"},
		{"inspect/service/a_test.go", own + "backbone", ""},
		{"inspect/service/a.go", "github.com/prometheus/client_golang/prometheus", "not among"},
		{"downstream/a.go", own + "inspect", "no arrow"},
		{"examples/inspectd/main.go", own + "inspect/service", ""},
		{"metrics/a.go", own + "dataset", "no arrow goes from metrics to dataset"},
		{"metrics/a_test.go", own + "dataset", "no arrow"},
		{"metrics/a.go", own + "tensor", "without native code"},
		{"metrics/a_test.go", own + "internal/testutil", "without native code"},
		{"metrics/a.go", "C", "native code"},
		{"metrics/a_test.go", "C", "native code"},
		{"metrics/a_test.go", own + "metrics", ""},
		{"tab/card/a.go", own + "tab", "without native code"},
		{"tab/clipbank/a.go", own + "clipenc", ""},
		{"tab/a.go", own + "clipenc", "no arrow"},
		{"tab/a.go", own + "tab/clipbank", "no arrow"},
		{"tab/card/a.go", own + "internal/atomicfile", ""},
		{"metrics/tsne/a.go", own + "internal/pipeline", ""},
		{"metrics/tsne/a_test.go", own + "metrics", ""},
		{"metrics/tsne/a.go", own + "metrics", "no arrow goes from metrics/tsne to metrics"},
		{"metrics/a_test.go", "github.com/stretchr/testify/require", ""},
		{"metrics/a.go", "github.com/stretchr/testify/require", "not among"},
		{"synth/a.go", "golang.org/x/image/draw", ""},
		{"synth/a.go", "math/rand", "math/rand/v2"},
		{"synth/a.go", "math/rand/v2", ""},
		{"internal/seed/a.go", own + "internal/pipeline", ""},
		{"internal/seed/a.go", own + "tensor", "without native code"},
		{"internal/seed/a.go", own + "metrics", "no arrow"},
		{"internal/testutil/a.go", own + "tensor", ""},
		{"internal/testutil/a.go", own + "backbone", "no arrow"},
		{"examples/pretrain/main.go", own + "tab", ""},
		{"examples/pretrain/main.go", own + "examples/pretrain/internal/chart", ""},
		{"examples/pretrain/internal/chart/a.go", own + "examples/pretrain/internal/font", ""},
		{"examples/pretrain/main.go", own + "examples/quickstart/internal/sentences", "no arrow"},
		{"examples/pretrain/main.go", own + "internal/seed", "no arrow"},
		{"examples/pretrain/main.go", own + "internal/atomicfile", ""},
		{"examples/classify/main.go", own + "dataset/wafers", ""},
		{"dataset/wafers/a.go", own + "dataset", "no arrow"},
		{"dataset/wafers/a_test.go", own + "dataset", ""},
		{"dataset/wafers/a_test.go", own + "tensor", "without native code"},
		{"examples/pretrain/main.go", own + "tensor/libtorch", "no arrow goes to a command"},
		{"examples/pretrain/main.go", gotch + "/ts", "native code"},
		{"examples/pretrain/main.go", own + "surprise", "no place"},
		{"surprise/a.go", "fmt", "no place"},
		{"internal/util/a.go", "fmt", "says nothing"},
	}
	for _, c := range cases {
		t.Run(c.file+" to "+c.imports, func(t *testing.T) {
			r, err := archtest.Check(fstest.MapFS{
				"go.mod":                 {Data: []byte("module github.com/gotab/gotab\n")},
				c.file:                   {Data: []byte("package p\n\nimport _ \"" + c.imports + "\"\n")},
				"tensor/gotchts/go.mod":  {Data: []byte("module x\n")},
				"tensor/gotchts/a.go":    {Data: []byte("package p\nimport _ \"" + gotch + "/ts\"\n")},
				"synth/testdata/a.go":    {Data: []byte("not Go")},
				".hidden/a.go":           {Data: []byte("not Go")},
				"synth/testdata/x/b.txt": {Data: []byte("x")},
			})
			require.NoError(t, err)
			require.Equal(t, []string{filepath.ToSlash(filepath.Dir(c.file))}, r.Packages)
			if c.why == "" {
				require.Empty(t, r.Violations)
				return
			}
			require.Len(t, r.Violations, 1)
			require.Contains(t, r.Violations[0], c.why)
			require.Contains(t, r.Violations[0], filepath.ToSlash(filepath.Dir(c.file)))
		})
	}
}

func TestSourcesThatCannotBeParsed(t *testing.T) {
	_, err := archtest.Check(fstest.MapFS{"synth/a.go": {Data: []byte("import")}})
	require.ErrorContains(t, err, "synth/a.go")
}
