package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/dataset/drawn"
	"github.com/gotab/gotab/evaluate/beforeafter"
	"github.com/gotab/gotab/prompt"
	"github.com/gotab/gotab/tab"
	"github.com/gotab/gotab/tab/training"
	"github.com/gotab/gotab/tensor"
)

// tiny is the whole program in a few seconds.
func tiny(out string) []string {
	return []string{"-device", "cpu", "-size", "64", "-epochs", "1", "-good", "4", "-tests", "1", "-out", out}
}

func TestWholeProgram(t *testing.T) {
	out, kept := t.TempDir(), t.TempDir()
	live := tensor.Live()
	var stdout, stderr bytes.Buffer
	require.NoError(t, run(t.Context(), append(tiny(out), "-keep", kept), &stdout, &stderr))
	require.Empty(t, stderr.String())
	require.Equal(t, live, tensor.Live(), "all tensors are freed")
	requireKept(t, kept)

	said := stdout.String()
	require.Contains(t, said, "recipe dense: "+training.Shorts(0)[0].About)
	for _, class := range append(drawn.Classes(), "mean") {
		require.Regexp(t, `(?m)^`+class+`( +\d+\.\d){4}$`, said)
	}
	require.Contains(t, said, "all-MiniLM-L6-v2 (Apache-2.0)")
	require.Contains(t, said, "pre-training: epoch 1 of 1")
	require.Contains(t, said, filepath.Join(out, "quickstart.html"))

	page, err := os.ReadFile(filepath.Join(out, "quickstart.html"))
	require.NoError(t, err)
	text := string(page)
	require.Contains(t, text, "recipe dense, 1 epochs")
	require.Contains(t, text, training.Shorts(0)[0].About)
	require.NotContains(t, text, "http:")
	require.NotContains(t, text, "https:")
	require.NotContains(t, text, "ZgotmplZ", "the template refused a value")
	for _, m := range regexp.MustCompile(`src="([^"]{0,30})`).FindAllStringSubmatch(text, -1) {
		require.True(t, strings.HasPrefix(m[1], "data:image/png;base64,"), m[1])
	}
	for _, class := range drawn.Classes() {
		require.Contains(t, text, "<h2>"+class+"</h2>")
		kinds, err := drawn.Defects(class)
		require.NoError(t, err)
		for _, k := range append(kinds, dataset.Good) {
			require.Contains(t, text, `<th scope="col">`+k+`</th>`)
		}
	}

	f, err := os.Open(filepath.Join(out, "quickstart.png"))
	require.NoError(t, err)
	defer f.Close()
	sheet, err := png.Decode(f)
	require.NoError(t, err)
	require.Greater(t, sheet.Bounds().Dx(), 600)
}

// requireKept looks at what -keep has written: a data set and weights that other programs
// open.
func requireKept(t *testing.T, dir string) {
	t.Helper()
	ds, closer, err := dataset.Open(t.Context(), filepath.Join(dir, keepPictures), dataset.DefaultConfig())
	require.NoError(t, err)
	defer func() { require.NoError(t, closer.Close()) }()
	require.Empty(t, ds.Issues())
	require.Equal(t, drawn.Classes(), ds.Classes())
	good := 0
	for i := range ds.Len() {
		if it := ds.Item(i); it.Split == dataset.Train {
			require.True(t, it.IsGood(), it.Name)
			good++
		}
	}
	require.Equal(t, len(drawn.Classes())*(4+scaleImages), good)
	net, err := backbone.OpenResNet18(filepath.Join(dir, keepWeights), tensor.CPU)
	require.NoError(t, err)
	require.NoError(t, net.Close())
}

// The article's objective is one word away, and says on the page that it was it.
func TestPaperRecipe(t *testing.T) {
	out := t.TempDir()
	var stdout bytes.Buffer
	require.NoError(t, run(t.Context(), append(tiny(out), "-recipe", "paper"), &stdout, io.Discard))
	paper, err := training.ShortOf("paper", 1)
	require.NoError(t, err)
	require.Contains(t, stdout.String(), "recipe paper: "+paper.About)
	page, err := os.ReadFile(filepath.Join(out, "quickstart.html"))
	require.NoError(t, err)
	require.Contains(t, string(page), "recipe paper, 1 epochs")
	require.NotContains(t, string(page), training.Shorts(0)[0].About)
}

// A recipe takes as long as it says unless -epochs does.
func TestRecipes(t *testing.T) {
	for _, r := range training.Shorts(0) {
		s, err := parse([]string{"-recipe", r.Name}, io.Discard)
		require.NoError(t, err)
		require.Equal(t, r, s.short)
		require.Equal(t, r.Train.Epochs, s.epochs)
		s, err = parse([]string{"-recipe", r.Name, "-epochs", "2"}, io.Discard)
		require.NoError(t, err)
		require.Equal(t, 2, s.short.Train.Epochs)
	}
	s, err := parse(nil, io.Discard)
	require.NoError(t, err)
	require.Equal(t, "dense", s.short.Name)
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	out := t.TempDir()
	require.ErrorIs(t, run(ctx, tiny(out), io.Discard, io.Discard), context.Canceled)
	files, err := os.ReadDir(out)
	require.NoError(t, err)
	require.Empty(t, files, "nothing half-written")
}

func TestBadFlags(t *testing.T) {
	for want, args := range map[string][]string{
		"-size":       {"-size", "32"},
		"-epochs":     {"-epochs", "0"},
		"-recipe":     {"-recipe", "magic"},
		"-good":       {"-good", "1"},
		"-tests":      {"-tests", "0"},
		"-clip-model": {"-clip-model", "huge"},
		"flags only":  {"data"},
		"abacus":      {"-device", "abacus"},
	} {
		err := run(t.Context(), args, io.Discard, io.Discard)
		require.ErrorContains(t, err, want)
	}
	require.ErrorIs(t, run(t.Context(), []string{"-help"}, io.Discard, io.Discard), flag.ErrHelp)
	_, err := outputFolder(filepath.Join(os.Args[0], "below-a-file"))
	require.ErrorContains(t, err, "-out")
}

func TestFailureToPrintIsReported(t *testing.T) {
	p := progress{w: brokenPipe{}}
	p.say("hello")
	require.ErrorIs(t, p.err, errBroken)
}

var errBroken = errors.New("broken")

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errBroken }

func TestMissingCLIP(t *testing.T) {
	s := settings{clip: filepath.Join(t.TempDir(), "none.safetensors"), clipModel: "b"}
	_, _, err := anchors(t.Context(), s, drawn.Classes(), tensor.CPU)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorContains(t, err, "none.safetensors")
}

// The committed bank belongs to the drawings and to the sentences of today.
func TestBankFitsDrawingsAndPrompts(t *testing.T) {
	bank, err := tab.ReadBank(bytes.NewReader(bankFile))
	require.NoError(t, err)
	require.Equal(t, drawn.Classes(), bank.Classes)
	require.Equal(t, prompt.DefaultIDPA().Hash(), bank.Prompts, "make the bank anew with bank.py")
	require.Equal(t, "sentence-transformers/all-MiniLM-L6-v2", bank.Model)
	require.Len(t, bank.Normal[0], 384)
	require.NotEqual(t, bank.Normal, bank.Abnormal)
	require.Less(t, len(bankFile), 50<<10)
}

// Only the test set has defects, and as many good images beside them.
func TestWhatIsDrawn(t *testing.T) {
	all, err := drawAll(t.Context(), settings{seed: 1, size: 64, good: 5, tests: 1})
	require.NoError(t, err)
	count := map[string]int{}
	for _, it := range dataset.Items(all) {
		count[it.Split+" "+it.Class+" "+it.Label.String()]++
	}
	for _, c := range drawn.Classes() {
		require.Equal(t, 5, count[dataset.Train+" "+c+" good"])
		require.Equal(t, scaleImages, count[beforeafter.SplitScale+" "+c+" good"])
		require.Positive(t, count[dataset.Test+" "+c+" defective"])
		require.Equal(t, count[dataset.Test+" "+c+" defective"], count[dataset.Test+" "+c+" good"])
		require.Zero(t, count[dataset.Train+" "+c+" defective"]+count[beforeafter.SplitScale+" "+c+" defective"])
	}
}
