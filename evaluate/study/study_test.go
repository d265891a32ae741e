package study

import (
	"bytes"
	"context"
	"image"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/evaluate"
	"github.com/gotab/gotab/evaluate/detectors"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tensor"
)

func TestMain(m *testing.M) { os.Exit(testutil.OneThread(m)) }

// A training is asked for once; one that failed says why until another succeeds, and one
// that has a checkpoint goes on.
func TestTrain(t *testing.T) {
	dir := t.TempDir()
	program, notes := filepath.Join(dir, "pretrain"), filepath.Join(dir, "notes")
	require.NoError(t, os.WriteFile(program, []byte(`#!/bin/sh
echo "$*" >> '`+notes+`'
while [ $# -gt 0 ]; do
  [ "$1" = -out ] && out=$2
  shift
done
if [ ! -e "$out.ckpt" ]; then echo begun > "$out.ckpt"; echo "no luck" ; exit 1; fi
echo weights > "$out"
`), 0o755))
	var log bytes.Buffer
	r := &Runner{Start: "start.safetensors", Out: dir, Pretrain: program, Log: &log}
	v := Variant{evaluate.Training{Name: "a", Seed: 3, Share: 1}, r.Weights("a", 3)}
	require.ErrorContains(t, r.Train(t.Context(), v, []string{"-x", "1"}), "a seed 3: pretrain: exit status 1; see ")
	said, err := Failure(v)
	require.NoError(t, err)
	require.Contains(t, said, "exit status 1")
	b, err := os.ReadFile(v.File + ".log")
	require.NoError(t, err)
	require.Equal(t, "no luck\n", string(b))
	require.NoError(t, r.Train(t.Context(), v, []string{"-x", "1"}))
	said, err = Failure(v)
	require.NoError(t, err)
	require.Empty(t, said)
	require.NoError(t, r.Train(t.Context(), v, nil), "the weights are there")
	b, err = os.ReadFile(notes)
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	require.Len(t, lines, 2)
	require.Equal(t, "-device cpu -x 1 -init start.safetensors -seed 3 -out "+v.File+" -log "+v.File+".jsonl", lines[0])
	require.Equal(t, lines[0]+" -resume", lines[1])
}

// A Trainer is asked as the program is, and believed when its weights are there.
func TestTrainer(t *testing.T) {
	dir := t.TempDir()
	r := &Runner{Start: "start.safetensors", Out: dir, Device: tensor.CPU}
	v := Variant{evaluate.Training{Name: "a", Seed: 3, Share: 1}, r.Weights("a", 3)}
	var asked [][]string
	r.Trainer = func(_ context.Context, of Variant, flags []string) error {
		require.Equal(t, v, of)
		asked = append(asked, flags)
		return nil
	}
	require.NoError(t, r.FindPretrain())
	err := r.Train(t.Context(), v, []string{"-x", "1"})
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.ErrorContains(t, err, "a seed 3: pretrain: it ended without an error and left no weights")
	said, err := Failure(v)
	require.NoError(t, err)
	require.Contains(t, said, "left no weights")
	require.Equal(t, [][]string{{"-device", "cpu", "-x", "1", "-init", "start.safetensors", "-seed", "3", "-out", v.File, "-log", v.File + ".jsonl"}}, asked)
	require.Error(t, r.Train(t.Context(), v, []string{"-recipe", "none"})) // which has no steps to log
	require.Equal(t, []string{"-device", "cpu", "-recipe", "none", "-init", "start.safetensors", "-seed", "3", "-out", v.File}, asked[1])
	r.Trainer = func(_ context.Context, of Variant, _ []string) error {
		return os.WriteFile(of.File, []byte("weights"), 0o644)
	}
	require.NoError(t, r.Train(t.Context(), v, nil))
	said, err = Failure(v)
	require.NoError(t, err)
	require.Empty(t, said)
}

// A Runner needs a store to judge, and nobody to listen.
func TestRunnerOfLittle(t *testing.T) {
	root, dir := testutil.Plant(t, 3, 1, false), t.TempDir()
	net, err := backbone.NewResNet18(tensor.CPU, rand.New(rand.NewPCG(1, 1)))
	require.NoError(t, err)
	file := filepath.Join(dir, "start.safetensors")
	require.NoError(t, net.Save(file))
	require.NoError(t, net.Close())
	set := Set{Class: "cloth"}
	set.Good, err = dataset.OpenMVTecAD(root, "cloth", dataset.Train)
	require.NoError(t, err)
	set.Test, err = dataset.OpenMVTecAD(root, "cloth", dataset.Test)
	require.NoError(t, err)
	fit := Fit{Name: "padim", Seed: evaluate.Seed{Number: 1}, Method: func(n *detectors.Network) (evaluate.Method, error) {
		return detectors.PaDiM(detectors.Choice{Net: n})
	}}
	r := &Runner{Start: file, Out: dir}
	_, err = r.Judge(t.Context(), StartOf(file), []Set{set}, []Fit{fit})
	require.ErrorIs(t, err, evaluate.ErrConfig)
	r.Store, err = evaluate.OpenStore("", false)
	require.NoError(t, err)
	judged, err := r.Judge(t.Context(), StartOf(file), []Set{set}, []Fit{fit})
	require.NoError(t, err)
	require.Len(t, judged, 1)
	found, err := (&Runner{Start: file}).Found(t.Context(), StartOf(file), []Set{set}, []Fit{fit}, r.Store.Records())
	require.NoError(t, err)
	require.Equal(t, judged[0].Record, found[0].Record)
	fit.Seed.Number = 2
	found, err = r.Found(t.Context(), StartOf(file), []Set{set}, []Fit{fit}, r.Store.Records())
	require.NoError(t, err)
	require.Empty(t, found)
}

// learner notes where its checkpoint is to be.
type learner struct{ at *string }

func (l learner) Fit(context.Context, dataset.Dataset) error { return nil }
func (l learner) Close() error                               { return nil }
func (l learner) Learn(_ context.Context, m evaluate.Material) (evaluate.Learnt, error) {
	*l.at = m.Checkpoint
	return evaluate.Learnt{Images: m.Good.Len()}, nil
}
func (l learner) Score(context.Context, image.Image) (evaluate.Result, error) {
	return evaluate.Result{Map: evaluate.Map{W: 16, H: 16, Data: make([]float32, 256)}}, nil
}

// A class is called as a manifest likes, and its checkpoint still lies among the others.
func TestCheckpointOfAnyClass(t *testing.T) {
	root, dir, at := testutil.Plant(t, 3, 1, false), t.TempDir(), ""
	net, err := backbone.NewResNet18(tensor.CPU, rand.New(rand.NewPCG(1, 1)))
	require.NoError(t, err)
	file := filepath.Join(dir, "start.safetensors")
	require.NoError(t, net.Save(file))
	require.NoError(t, net.Close())
	set := Set{Data: "plant", Class: "../../line1/bolt"}
	renamed := func(class, split string) dataset.Dataset {
		ds, err := dataset.OpenMVTecAD(root, class, split)
		require.NoError(t, err)
		items := dataset.Items(ds)
		for i := range items {
			if class == "cloth" {
				items[i].Class = set.Class
			}
		}
		out, err := dataset.Apply(ds, items)
		require.NoError(t, err)
		return out
	}
	set.Good, set.Test, set.Others = renamed("cloth", dataset.Train), renamed("cloth", dataset.Test), renamed("steel", dataset.Train)
	fit := Fit{Name: "learner", Seed: evaluate.Seed{Number: 1}, Method: func(n *detectors.Network) (evaluate.Method, error) {
		m := evaluate.Method{Name: "learner", Others: true, Protocol: evaluate.DefaultProtocol(), Chance: "nothing", Weights: n.Weights, WeightsSHA256: n.SHA256}
		m.Protocol.Transform = dataset.Square(16)
		m.New = func(evaluate.Seed) (evaluate.Detector, error) { return learner{&at}, nil }
		return m, nil
	}}
	r := &Runner{Start: file, Out: filepath.Join(dir, "out")}
	r.Store, err = evaluate.OpenStore("", false)
	require.NoError(t, err)
	_, err = r.Judge(t.Context(), StartOf(file), []Set{set}, []Fit{fit})
	require.NoError(t, err)
	require.Equal(t, filepath.Join(r.Out, "checkpoints"), filepath.Dir(at))
}

func TestCopyGood(t *testing.T) {
	root, to := testutil.Plant(t, 3, 1, false), t.TempDir()
	classes, err := CopyGood(t.Context(), root, to, func(class string, good dataset.Dataset) []int {
		require.Equal(t, 3, good.Len())
		if class == "steel" {
			return nil
		}
		return []int{0, 2}
	})
	require.NoError(t, err)
	require.Equal(t, testutil.PlantClasses(), classes)
	copies, err := filepath.Glob(filepath.Join(to, "*", "*", "*", "*"))
	require.NoError(t, err)
	require.Equal(t, []string{filepath.Join(to, "cloth/train/good/000.png"), filepath.Join(to, "cloth/train/good/002.png")}, copies)
	a, err := os.ReadFile(copies[1])
	require.NoError(t, err)
	b, err := os.ReadFile(filepath.Join(root, "cloth/train/good/002.png"))
	require.NoError(t, err)
	require.Equal(t, b, a)
}

func TestNames(t *testing.T) {
	v := Variant{evaluate.Training{Name: "a", Seed: 3, Share: 0.5}, "f"}
	require.Equal(t, "a seed 3 a=0.5", v.String())
	require.Equal(t, "a a=0.5", v.Group())
	require.Equal(t, v.Group(), GroupOf(evaluate.Record{Training: &v.Training}))
	require.Empty(t, GroupOf(evaluate.Record{}))
	require.Equal(t, Start, StartOf("f").Group())
	_, err := FindProgram("a program that is not there")
	require.ErrorContains(t, err, "go build -o FOLDER")
}
