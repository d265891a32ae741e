package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tab"
	"github.com/gotab/gotab/tensor"
	"github.com/gotab/gotab/tensor/dist"
)

// A root of good and bad pictures is one class, of the good ones.
func TestDefectsAreNotLearnt(t *testing.T) {
	testutil.NoLeak(t)
	from, dir := testutil.Plant(t, 4, 1, false), t.TempDir()
	for _, names := range [][2]string{{"good", "bad"}, {"OK", "NG"}} {
		root := filepath.Join(t.TempDir(), "part")
		require.NoError(t, os.MkdirAll(root, 0o755))
		require.NoError(t, os.Rename(copied(t, filepath.Join(from, "cloth/train/good")), filepath.Join(root, names[0])))
		require.NoError(t, os.Rename(copied(t, filepath.Join(from, "cloth/test/hole")), filepath.Join(root, names[1])))
		out := filepath.Join(dir, names[0]+".safetensors")
		var stdout, stderr bytes.Buffer
		require.NoError(t, run(t.Context(), []string{"-data", root, "-objective", "binary", "-size", "64", "-epochs", "1", "-batch", "2", "-repeat", "1", "-device", "cpu", "-out", out}, &stdout, &stderr))
		require.Contains(t, stderr.String(), "4 good images of 1 class")
		w, err := tensor.OpenWeights(out)
		require.NoError(t, err)
		require.Equal(t, `["part"]`, w.Metadata["classes"])
	}
}

// copied is a copy of a folder of files.
func copied(t *testing.T, dir string) string {
	to := filepath.Join(t.TempDir(), "copy")
	require.NoError(t, os.CopyFS(to, os.DirFS(dir)))
	return to
}

// A resumed run has its checkpoint's settings: others are refused, and a run that is
// complete says that nothing was trained.
func TestResumeKeepsItsSettings(t *testing.T) {
	testutil.NoLeak(t)
	out := filepath.Join(t.TempDir(), "w.safetensors")
	base := []string{"-data", testutil.Plant(t, 4, 1, false), "-objective", "binary", "-out", out, "-size", "64", "-repeat", "1", "-device", "cpu", "-batch", "2", "-epochs", "1"}
	var stdout, stderr bytes.Buffer
	require.NoError(t, run(t.Context(), base, &stdout, &stderr))
	require.NotContains(t, stderr.String(), "nothing was trained")
	before, err := os.ReadFile(out)
	require.NoError(t, err)
	for _, more := range [][]string{{"-epochs", "3"}, {"-batch", "4"}, {"-size", "96"}, {"-lr", "0.5"}, {"-seed", "7"}, {"-objective", "classes"}, {"-bn", "frozen"}, {"-head-epochs", "1"}, {"-freeze", "layer1"}} {
		err := run(t.Context(), append(append([]string(nil), base...), append(more, "-resume")...), &stdout, &stderr)
		require.ErrorIs(t, err, errUsage, more)
		require.ErrorContains(t, err, more[0]+" (")
		require.ErrorContains(t, err, "-resume goes on with the settings of")
	}
	stderr.Reset()
	require.NoError(t, run(t.Context(), append(base, "-resume"), &stdout, &stderr))
	require.Contains(t, stderr.String(), "nothing was trained: the run of "+out+".ckpt had done all its 1 epochs")
	after, err := os.ReadFile(out)
	require.NoError(t, err)
	require.Equal(t, before, after)
}

func TestOutputsThatWouldMislead(t *testing.T) {
	dir, root := t.TempDir(), testutil.Plant(t, 4, 1, false)
	init := filepath.Join(dir, "a.safetensors")
	require.NoError(t, os.WriteFile(init, []byte("weights"), 0o644))
	link := filepath.Join(dir, "b.safetensors")
	require.NoError(t, os.Symlink(init, link))
	var stdout, stderr bytes.Buffer
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"-out", filepath.Join(dir, "x.pth")}, "would hold safetensors, and its ending says .pth"},
		{[]string{"-init", init, "-out", init}, "-init and -out are the same file"},
		{[]string{"-init", link, "-out", init}, "-init and -out are the same file"},
		{[]string{"-out", filepath.Join(dir, "x"), "-init", init, "-log", link}, "-log and -init are the same file"},
		{[]string{"-out", filepath.Join(dir, "x"), "-csv", filepath.Join(dir, "x")}, "-csv and -out are the same file"},
		{[]string{"-out", filepath.Join(dir, "x"), "-objective", "binary", "-interpolate", "0.5"}, "-interpolate, -init: "},
		{[]string{"-out", filepath.Join(dir, "x"), "-recipe", "none", "-scale", "1,1", "-init", init, "-draws", "0"}, "-draws is 0"},
		{[]string{"-out", filepath.Join(dir, "x"), "-recipe", "none", "-scale", "1,1", "-init", init, "-licence", "mine"}, "so -licence has no meaning"},
		{[]string{"-out", filepath.Join(dir, "x"), "-recipe", "none", "-scale", "1,1", "-init", init, "-csv", filepath.Join(dir, "c")}, "so -csv has no meaning"},
		{[]string{"-out", filepath.Join(dir, "x"), "-recipe", "none", "-scale", "1,1", "-init", init, "-watch", "0.1"}, "so -watch has no meaning"},
		{[]string{"-out", init, "-freeze", "layer4"}, `-freeze is "layer4", want stem, layer1, layer2 or layer3`},
		{[]string{"-out", init, "-watch", "0.6"}, "-watch is 0.6, want 0 to 0.5"},
		{[]string{"-out", init, "-epochs", "0"}, "-epochs is 0, want 1 or more"},
		{[]string{"-out", init, "-batch", "0"}, "-batch is 0"},
		{[]string{"-out", init, "-prefix", "x."}, "-prefix is for the file of -init"},
		{[]string{"-out", init, "-transform", "wide"}, `-transform is "wide"`},
	} {
		err := run(t.Context(), append([]string{"-data", root}, c.args...), &stdout, &stderr)
		require.ErrorIs(t, err, errUsage, c.args)
		require.ErrorContains(t, err, c.says)
	}
	err := run(t.Context(), []string{"-data", root, "-objective", "binary", "-device", "cpu", "-out", filepath.Join(dir, "none", "w.safetensors")}, &stdout, &stderr)
	require.ErrorContains(t, err, "make its folder first")
	require.ErrorIs(t, err, os.ErrNotExist)
	data, err := os.ReadFile(init)
	require.NoError(t, err)
	require.Equal(t, "weights", string(data))
}

// Every broken file of every root is listed before the training.
func TestBrokenImagesAreListedFirst(t *testing.T) {
	testutil.NoLeak(t)
	root, out := testutil.Plant(t, 4, 1, false), filepath.Join(t.TempDir(), "w.safetensors")
	for _, name := range []string{"cloth/train/good/001.png", "steel/train/good/002.png"} {
		require.NoError(t, os.WriteFile(filepath.Join(root, name), []byte("\x89PNG"), 0o644))
	}
	args := []string{"-data", root, "-objective", "binary", "-out", out, "-size", "64", "-repeat", "1", "-device", "cpu", "-batch", "2", "-epochs", "1"}
	var stdout, stderr bytes.Buffer
	err := run(t.Context(), args, &stdout, &stderr)
	require.ErrorContains(t, err, "cloth/train/good/001.png")
	require.ErrorContains(t, err, "steel/train/good/002.png")
	require.NoError(t, run(t.Context(), append(args, "-skip-broken"), &stdout, &stderr))
	w, err := tensor.OpenWeights(out)
	require.NoError(t, err)
	require.Equal(t, "2", w.Metadata["skipped_images"])
}

// A class that the bank does not have is found before anything else is done, and the
// error says what helps.
func TestUnknownClassSaysWhatToDo(t *testing.T) {
	testutil.NoLeak(t)
	root, out := testutil.Plant(t, 4, 1, false), filepath.Join(t.TempDir(), "w.safetensors")
	require.NoError(t, os.Rename(filepath.Join(root, "steel"), filepath.Join(root, "brass")))
	args := []string{"-data", root, "-out", out, "-size", "64", "-repeat", "1", "-device", "cpu", "-batch", "2", "-epochs", "1"}
	var stdout, stderr bytes.Buffer
	err := run(t.Context(), append(args, "-recipe", "paper", "-bank", bankFile(t), "-init", filepath.Join(root, "is not looked at")), &stdout, &stderr)
	require.ErrorIs(t, err, tab.ErrUnknownClass)
	for _, says := range []string{`no anchors for ["brass"]`, `it has ["cloth" "steel"]`, "examples/bank makes a bank", "-objective binary or classes", "-text 0"} {
		require.ErrorContains(t, err, says)
	}
	require.NotContains(t, err.Error(), "\n")
	err = run(t.Context(), append(args, "-init", "is not looked at"), &stdout, &stderr)
	require.ErrorIs(t, err, errUsage)
	require.ErrorContains(t, err, "neither -bank nor -clip is given: examples/bank makes a bank")

	// What the sentence names does need no bank, and one that is not asked need not fit.
	require.Equal(t, []string{"binary", "classes"}, unanchored())
	require.NoError(t, run(t.Context(), append(args, "-objective", "classes", "-bank", bankFile(t)), &stdout, &stderr))
	o, err := parse(append(args, "-recipe", "amplify", "-text", "0"), &stderr)
	require.NoError(t, err)
	cfg, _, err := settings(o)
	require.NoError(t, err)
	require.False(t, cfg.Objective.Needs().Anchors)
}

// The folder of -probe is looked at before the training, whose end it would spoil.
func TestProbeIsLookedAtFirst(t *testing.T) {
	testutil.NoLeak(t)
	root, out := testutil.Plant(t, 4, 1, false), filepath.Join(t.TempDir(), "w.safetensors")
	fresh := func() string { return copied(t, root) }
	var stdout, stderr bytes.Buffer
	train := func(probe string, more ...string) error {
		stdout.Reset()
		stderr.Reset()
		return run(t.Context(), append([]string{"-data", root, "-probe", probe, "-objective", "binary", "-out", out, "-size", "64", "-repeat", "1", "-device", "cpu",
			"-batch", "2", "-epochs", "1"}, more...), &stdout, &stderr)
	}
	refused := func(probe string, says ...string) {
		t.Helper()
		err := train(probe)
		for _, s := range append(says, "probe "+probe) {
			require.ErrorContains(t, err, s)
		}
		require.NotContains(t, stdout.String(), "loss", "it has trained")
	}
	broken := fresh()
	for _, name := range []string{"cloth/test/hole/000.png", "steel/train/good/002.png"} {
		require.NoError(t, os.WriteFile(filepath.Join(broken, name), []byte("\x89PNG"), 0o644))
	}
	refused(broken, "cloth/test/hole/000.png", "steel/train/good/002.png", "-skip-broken")

	one := fresh()
	require.NoError(t, os.RemoveAll(filepath.Join(one, "cloth/test/hole")))
	require.NoError(t, os.RemoveAll(filepath.Join(one, "steel/test/good")))
	refused(one, "cloth: ", "all 1 test images are good", "steel: ", "none of the 1 test images is good")

	mask := fresh()
	path := filepath.Join(mask, "cloth/ground_truth/hole/000_mask.png")
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.Rename(filepath.Join(copied(t, filepath.Join(root, "cloth/test/good")), "000.png"), path))
	require.NoError(t, train(mask))
	require.Contains(t, stderr.String(), "note: ", "a mask that covers the picture is said")
	refused(filepath.Join(root, "none"), "none")

	// What is left out is said of the probe too.
	more := fresh()
	for _, split := range []string{"test/hole", "train/good"} {
		require.NoError(t, os.WriteFile(filepath.Join(more, "cloth", split, "099.png"), []byte("\x89PNG"), 0o644))
	}
	require.NoError(t, train(more, "-skip-broken"))
	require.Contains(t, stderr.String(), "left out: ")
	require.Contains(t, stderr.String(), "probe: 2 images were left out")
	w, err := tensor.OpenWeights(out)
	require.NoError(t, err)
	require.Equal(t, "2", w.Metadata["probe_skipped_images"])
}

// Tiles are trained on in the place of pictures, and a run goes on with the same ones.
func TestTrainsOnTiles(t *testing.T) {
	testutil.NoLeak(t)
	out := filepath.Join(t.TempDir(), "w.safetensors")
	args := []string{"-data", testutil.Plant(t, 4, 1, false), "-objective", "binary", "-out", out, "-size", "64", "-repeat", "1", "-device", "cpu", "-batch", "4", "-epochs", "1"}
	var stdout, stderr bytes.Buffer
	require.NoError(t, run(t.Context(), append(args, "-transform", "tiles:48", "-max-steps", "1"), &stdout, &stderr))
	require.Contains(t, stderr.String(), "8 images are seen as 32 tiles (tiles of 48 pixels, overlap 25 %)")
	require.Contains(t, stderr.String(), "32 good images of 2 classes")
	require.ErrorIs(t, run(t.Context(), append(args, "-transform", "square", "-resume", "-max-steps", "1"), &stdout, &stderr), tab.ErrCheckpoint)
	require.NoError(t, run(t.Context(), append(args, "-transform", "tiles:48", "-resume", "-max-steps", "1"), &stdout, &stderr))
}

// Several processes need the engine, which the default build does not have, and one
// that is told to be one of one does not.
func TestSeveralProcessesNeedTheEngine(t *testing.T) {
	args := []string{"-data", t.TempDir(), "-out", filepath.Join(t.TempDir(), "w.safetensors"), "-objective", "classes"}
	t.Setenv("RANK", "1")
	t.Setenv("WORLD_SIZE", "2")
	err := run(t.Context(), args, io.Discard, io.Discard)
	require.ErrorIs(t, err, dist.ErrConfig)
	require.ErrorContains(t, err, "Host")
	t.Setenv("MASTER_ADDR", "127.0.0.1")
	if !dist.Built() {
		err = run(t.Context(), args, io.Discard, io.Discard)
		require.ErrorIs(t, err, dist.ErrNotBuilt)
		require.ErrorContains(t, err, "env -dist")
	}
	err = run(t.Context(), append(args[:4:4], "-recipe", "none", "-scale", "1,1", "-init", "x.safetensors"), io.Discard, io.Discard)
	require.ErrorIs(t, err, errUsage)
	require.ErrorContains(t, err, "one of 2")
	require.ErrorIs(t, run(t.Context(), append(args, "-rank-timeout", "0"), io.Discard, io.Discard), errUsage)
	require.ErrorIs(t, run(t.Context(), append(args, "-rank-bn", "none"), io.Discard, io.Discard), errUsage)
}
